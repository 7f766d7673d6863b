//! What the operating system needs before a window can be opened.

use crate::error::ShellError;

/// Prepares the process. Must be called first thing in `main`, before any thread is started.
///
/// Linux: WebKitGTK hands frames from its web process to the window through DMA-BUF. Without a GPU device (virtual
/// machines, Xvfb, containers) and with NVIDIA's own driver this often gives an empty window. In these cases
/// `WEBKIT_DISABLE_DMABUF_RENDERER=1` is set, which makes it use shared memory. A value already set is kept.
pub fn prepare() {
    #[cfg(target_os = "linux")]
    linux::choose_renderer();
}

/// Collects the exit codes of processes that an earlier program of this process left behind.
///
/// A restart replaces the program but keeps the process, so the old web view's processes, which end a moment later, are
/// still its children; uncollected they would stay as zombies until the app is closed.
pub fn reap_inherited() {
    #[cfg(target_os = "linux")]
    linux::reap_inherited();
}

/// Checks that windows can be opened at all.
pub fn check_display() -> Result<(), ShellError> {
    #[cfg(target_os = "linux")]
    return linux::check_display();
    #[cfg(not(target_os = "linux"))]
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;

    use super::ShellError;

    const SWITCH: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

    pub(super) fn choose_renderer() {
        if std::env::var_os(SWITCH).is_none()
            && !dmabuf_works(Path::new("/dev/dri"), Path::new("/proc/driver/nvidia"))
        {
            // SAFETY: prepare() is called before any other thread exists, so nothing reads the environment meanwhile.
            unsafe { std::env::set_var(SWITCH, "1") };
        }
    }

    /// Whether there is a render node that this user may open, and no driver known to fail.
    fn dmabuf_works(dri: &Path, nvidia: &Path) -> bool {
        let render_node = std::fs::read_dir(dri)
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| {
                entry.file_name().to_string_lossy().starts_with("renderD")
                    && std::fs::OpenOptions::new()
                        .read(true)
                        .write(true)
                        .open(entry.path())
                        .is_ok()
            });
        render_node && !nvidia.exists()
    }

    pub(super) fn reap_inherited() {
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        let children: Vec<_> = children
            .split_whitespace()
            .filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
            .collect();
        if !children.is_empty() {
            std::thread::spawn(move || {
                for child in children {
                    let _ = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty());
                }
            });
        }
    }

    pub(super) fn check_display() -> Result<(), ShellError> {
        gtk::init().map_err(|_| ShellError::NoDisplay)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_render_node_is_needed_and_nvidia_is_avoided() {
            let root = tempfile::tempdir().unwrap();
            let (dri, nvidia) = (root.path().join("dri"), root.path().join("nvidia"));
            assert!(!dmabuf_works(&dri, &nvidia));
            std::fs::create_dir(&dri).unwrap();
            std::fs::write(dri.join("card0"), "").unwrap();
            assert!(!dmabuf_works(&dri, &nvidia));
            std::fs::write(dri.join("renderD128"), "").unwrap();
            assert!(dmabuf_works(&dri, &nvidia));
            std::fs::create_dir(&nvidia).unwrap();
            assert!(!dmabuf_works(&dri, &nvidia));
        }
    }
}
