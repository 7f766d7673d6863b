//! What stands in the way of an update before a byte of it is fetched: an install that cannot be replaced, or a disk without room.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Room that an update leaves on a disk, in bytes, so that what a person does meanwhile (a message, a document) can still be kept.
const LEFT_OVER: u64 = 32 << 20;

/// A disk, and what an update needs of it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Free now.
    pub free: u64,
    /// Wanted free before the update begins.
    pub needed: u64,
}

impl Room {
    /// Of the disk that an app's data folder is on, for a build of `bytes`: it is there once as blocks in the store, and once as files.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn at(data: &Path, bytes: u64) -> io::Result<Self> {
        Ok(Self {
            free: fs4::available_space(existing(data))?,
            needed: bytes.saturating_mul(2).saturating_add(LEFT_OVER),
        })
    }

    /// Whether it is enough.
    pub fn is_enough(self) -> bool {
        self.free >= self.needed
    }
}

/// Whether a file can be made in a folder, or in the one above it where it would be made: tried, not asked, as rights are not all
/// that can be in the way.
///
/// # Errors
/// What the system said.
pub fn writable(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".bosc-tmp-")
        .tempfile_in(existing(folder))?;
    file.write_all(&[0; 4096])?;
    file.as_file().sync_all()
}

/// Whether the bundle can be exchanged: its folder must let go of it.
///
/// # Errors
/// The folder, and what the system said.
pub fn replaceable(bundle: &Path) -> Result<(), (PathBuf, io::Error)> {
    let folder = bundle.parent().unwrap_or(bundle);
    writable(folder).map_err(|error| (folder.to_owned(), error))
}

/// Whether the system refused something because the disk, or the user's part of it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_room_for_so_much_and_not_for_more() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = dir.path().join("not/there/yet");
        assert!(Room::at(&beneath, 1).unwrap().is_enough());
        let room = Room::at(&beneath, u64::MAX).unwrap();
        assert!(!room.is_enough() && room.needed == u64::MAX);
        let room = Room::at(dir.path(), 100).unwrap();
        assert_eq!(room.needed, 200 + LEFT_OVER);
    }

    #[test]
    fn what_can_be_written_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        replaceable(&dir.path().join("PearChat")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let (folder, _) = replaceable(Path::new("/proc/PearChat")).unwrap_err();
        assert_eq!(folder, Path::new("/proc"));
    }
}
