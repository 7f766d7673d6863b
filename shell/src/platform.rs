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

/// Has the page's processes run in WebKit's sandbox, where that can work; where it cannot, says why in the log and goes on.
/// Must be called before any thread is started, once the log is there.
///
/// Linux: the sandbox must be on before the first web process, and `wry` gives no way to its context before that; WebKitGTK
/// also takes it from `WEBKIT_FORCE_SANDBOX`. It ends the whole app if it cannot start its helpers, so they are tried first.
/// The page needs no folder of this machine: its files come through the host.
pub(crate) fn sandbox_page() {
    #[cfg(target_os = "linux")]
    linux::sandbox_page();
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
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::ShellError;

    const SWITCH: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

    const SANDBOX: &str = "WEBKIT_FORCE_SANDBOX";

    /// WebKit's own switch, for people whose system the sandbox does not fit.
    const NO_SANDBOX: &str = "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS";

    /// What WebKit starts its processes with, where distributions have it.
    const HELPERS: [&str; 2] = ["/usr/bin/bwrap", "/usr/bin/xdg-dbus-proxy"];

    /// How long the sandbox may take to prove that it works.
    const SANDBOX_WITHIN: Duration = Duration::from_secs(3);

    pub(super) fn sandbox_page() {
        if [SANDBOX, NO_SANDBOX]
            .iter()
            .any(|name| std::env::var_os(name).is_some())
        {
            return;
        }
        match sandbox_works() {
            // SAFETY: sandbox_page() is called before any other thread exists, so nothing reads the environment meanwhile.
            Ok(()) => unsafe { std::env::set_var(SANDBOX, "1") },
            Err(why) => tracing::warn!("the page runs without WebKit's sandbox: {why}"),
        }
    }

    /// Tries what WebKit will do: a process in namespaces of its own.
    fn sandbox_works() -> Result<(), String> {
        if rustix::process::geteuid().is_root() {
            return Err("this is root, who can leave it; start the app as an ordinary user".to_owned());
        }
        if let Some(missing) = HELPERS.iter().find(|helper| !Path::new(helper).exists()) {
            return Err(format!(
                "{missing} is missing; install it (bubblewrap, xdg-dbus-proxy)"
            ));
        }
        // WebKit binds these folders into the sandbox, and ends with it if it may not.
        let libraries = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let closed = |folder: &PathBuf| {
            std::fs::metadata(folder).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        };
        if let Some(folder) = std::env::split_paths(&libraries).find(closed) {
            return Err(format!(
                "LD_LIBRARY_PATH names {}, which this user may not read",
                folder.display()
            ));
        }
        let mut child = Command::new("/usr/bin/bwrap")
            .args("--ro-bind / / --proc /proc --dev /dev --unshare-all true".split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("bubblewrap cannot be started: {error}"))?;
        let until = Instant::now() + SANDBOX_WITHIN;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                Ok(Some(_)) => return Err("this system lets nobody make user namespaces".to_owned()),
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err("bubblewrap does not end".to_owned());
                }
            }
        }
    }

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
