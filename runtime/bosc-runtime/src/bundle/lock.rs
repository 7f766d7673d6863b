//! One swap at a time for one installed bundle, whichever instance with whichever data folder asks for it.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use app::fit;

use super::exchange;

/// How often a lock that another process holds is asked for again.
const AGAIN: Duration = Duration::from_millis(50);

/// More than a record takes, in bytes.
const MAX_RECORD_BYTES: u64 = 512;

/// The lock of one bundle, `.<name>.lock` beside it. The system drops it with the process, however that ends. The file stays,
/// because deleting it would let two hold the lock; it says which version was put in place last.
#[derive(Debug)]
pub(super) struct BundleLock(File);

impl BundleLock {
    fn path(installed: &Path) -> PathBuf {
        let name = installed.file_name().unwrap_or("app".as_ref()).to_string_lossy();
        installed.with_file_name(format!(".{name}.lock"))
    }

    /// Takes the lock; `None` if another process holds it for as long as `patience`.
    pub(super) fn take(installed: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(Self::path(installed))?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(AGAIN),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The version that is installed: by its package.json, or, for a bundle that is one file, by what was put there last.
    pub(super) fn installed_version(&self, installed: &Path) -> Option<String> {
        fit::version_of(installed).or_else(|| {
            let mut record = String::new();
            let mut file = &self.0;
            file.rewind().ok()?;
            file.take(MAX_RECORD_BYTES).read_to_string(&mut record).ok()?;
            let (id, version) = record.trim().split_once(' ')?;
            let same = exchange::file_id(installed).is_some_and(|found| id == found.to_string());
            same.then(|| version.to_owned())
        })
    }

    /// Writes down which version was just put in place.
    pub(super) fn record(&self, installed: &Path, version: &str) {
        let Some(id) = exchange::file_id(installed) else {
            return;
        };
        let mut file = &self.0;
        let written = file
            .rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| write!(file, "{id} {version}"));
        if let Err(error) = written {
            tracing::warn!(%error, "could not write down which version is in place");
        }
    }
}
