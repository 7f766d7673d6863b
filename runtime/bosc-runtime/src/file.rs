//! Small files that are written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

/// What the temporary files of [`write_whole`] begin with.
const PREFIX: &str = ".tmp";
/// And how long their names are: the prefix and six letters.
const NAME_BYTES: usize = 10;

/// Makes a folder, and those above it that are not there, for this user alone. One that is there stays as it is.
///
/// # Errors
/// What the system said.
pub fn private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a value as JSON, in place of what was there; it is on the disk when this returns.
pub(crate) fn write_whole(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    private_dir(folder)?;
    replace(path, &serde_json::to_vec_pretty(value)?)
}

/// Writes a file whose folder is there, in place of what was there; it is on the disk when this returns.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes durable which files a folder has: without it a power cut may undo a rename.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Deletes what [`write_whole`] left in a folder when it was interrupted.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX) && name.len() == NAME_BYTES);
        if ours
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "could not delete a temporary file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn data_folders_are_for_their_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (data, folder) = (root.path().join("data"), root.path().join("data/pear-runtime"));
        write_whole(&folder.join("bundle.json"), &1).unwrap();
        assert_eq!((mode(&data), mode(&folder)), (0o700, 0o700));
        assert_eq!(mode(&folder.join("bundle.json")), 0o600);
        private_dir(&folder).unwrap();
    }

    #[test]
    fn what_an_interrupted_write_leaves_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        write_whole(&path, &1).unwrap();
        // As a kill between the write and the rename leaves it.
        let file = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(&folder)
            .unwrap();
        let (_, left) = file.keep().unwrap();
        fs::write(folder.path().join(".tmp"), "").unwrap();
        fs::create_dir(folder.path().join(".tmpfolder")).unwrap();
        sweep(folder.path());
        assert!(!left.exists());
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [".tmp", ".tmpfolder", "bundle.json"]);
        sweep(&folder.path().join("none"));
    }
}
