//! Putting what was made into its place, whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::PackagingError;
use crate::stop::{self, Stop};

/// A place beside the one that something is made for, under a hidden name; what is left there is deleted.
#[derive(Debug)]
pub(crate) struct Beside {
    folder: PathBuf,
    to: PathBuf,
    stop: Stop,
}

impl Beside {
    /// For what will be at `to`.
    pub(crate) fn new(to: &Path, stop: &Stop) -> Result<Self, PackagingError> {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let folder = to.with_file_name(format!(".{name}.new"));
        remove(&folder)?;
        remove(&stop::away(&folder))?;
        stop.begin(&folder)?;
        Ok(Self {
            folder,
            to: to.to_owned(),
            stop: stop.clone(),
        })
    }

    /// Where it is made: under its own name, which bundles bear inside as well.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(self.to.file_name().unwrap_or_default())
    }

    /// Moves it into place, and what was there away.
    pub(crate) fn keep(self) -> Result<(), PackagingError> {
        self.stop.finish(|| {
            remove(&self.to)?;
            fs::rename(self.path(), &self.to).map_err(PackagingError::io("write", &self.to))
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        self.stop.ended(&self.folder);
    }
}

/// Deletes a file or folder; nothing there is fine.
fn remove(path: &Path) -> Result<(), PackagingError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PackagingError::io("replace", path)(error))
        }
        _ => Ok(()),
    }
}
