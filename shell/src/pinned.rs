//! A folder that stays the one it was, whatever takes its place: an update that another instance of the app put there must not be shown
//! by a program that is of the version before.

use std::path::{Path, PathBuf};

/// A folder that was opened. Its [`path`](Self::path) leads to it for as long as this lives.
pub(crate) struct Pinned {
    path: PathBuf,
    #[cfg(target_os = "linux")]
    _open: Option<std::fs::File>,
}

impl Pinned {
    /// Opens it. One that cannot be opened, and each on systems that do not name what is open, goes by its own path.
    pub(crate) fn new(folder: &Path) -> Self {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let open = std::fs::File::open(folder).ok();
            let by_number =
                |open: &std::fs::File| PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
            let path = open.as_ref().map(by_number).filter(|path| path.is_dir());
            Self {
                path: path.unwrap_or_else(|| folder.to_owned()),
                _open: open,
            }
        }
        #[cfg(not(target_os = "linux"))]
        Self {
            path: folder.to_owned(),
        }
    }

    /// Where it is, for this process alone.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::page::{Assets, DriveAssets};

    #[tokio::test]
    async fn a_page_is_of_the_version_that_runs_though_another_took_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (installed, kept) = (dir.path().join("App"), dir.path().join("kept"));
        let write = |text: &str| {
            std::fs::create_dir_all(installed.join("renderer")).unwrap();
            std::fs::write(installed.join("renderer/style.css"), text).unwrap();
        };
        write("old");
        let pinned = Pinned::new(&installed);
        let assets = DriveAssets::folder(pinned.path());
        std::fs::rename(&installed, &kept).unwrap();
        write("new");
        let file = "renderer/style.css";
        assert_eq!(assets.size(file).await.unwrap(), Some(3));
        assert_eq!(&assets.read(file, 0..3).await.unwrap()[..], b"old");
        // Deleted at last, it is missing, and not the other's.
        std::fs::remove_dir_all(&kept).unwrap();
        assert!(!matches!(assets.size(file).await, Ok(Some(_))));
        let nowhere = dir.path().join("nowhere");
        assert_eq!(Pinned::new(&nowhere).path(), nowhere);
    }
}
