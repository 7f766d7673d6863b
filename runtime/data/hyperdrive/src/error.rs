//! What can go wrong in a drive, and whose fault it is.

use std::path::PathBuf;

use hyperbee::BeeError;
use hyperblobs::BlobError;

/// An error of a drive, of a local folder or of a mirror between them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// A core failed.
    #[error(transparent)]
    Core(#[from] core_store::CoreError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] corestore::CorestoreError),
    /// The list of entries failed.
    #[error(transparent)]
    Bee(#[from] BeeError),
    /// The contents failed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A path that no drive can hold.
    #[error("the path {path:?} cannot be used: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no file at a path.
    #[error("there is no file {path} in the drive")]
    NotFound {
        /// The path.
        path: String,
    },
    /// A file that is larger than whoever reads it takes.
    #[error("the file {path} in the drive is too large: at most {most} bytes of it are read")]
    TooLarge {
        /// The path.
        path: String,
        /// Bytes that would have been read.
        most: u64,
    },
    /// Links that lead to links, sixteen times.
    #[error("the link {path} leads in a circle")]
    LinkLoop {
        /// The path.
        path: String,
    },
    /// The author of the drive wrote an entry that cannot be read.
    #[error("the entry {path:?} of the drive cannot be read: {reason}")]
    Entry {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry that would be written outside the destination, or over something that it must not touch.
    #[error("the entry {entry:?} is refused: {reason}")]
    Unsafe {
        /// The entry.
        entry: String,
        /// Why.
        reason: String,
    },
    /// The drive belongs to another machine, or this is a checkout.
    #[error("the drive {key} cannot be written to from here: its key pair is on the machine that made it")]
    NotWritable {
        /// The drive.
        key: hypercore::Key,
    },
    /// A checkout was to be written to.
    #[error("a checkout cannot be written to: write to the drive itself")]
    Checkout,
    /// The key leads to a core that has no companion for contents.
    #[error("the core {key} is not a drive of a version that this program can read: {reason}")]
    NotADrive {
        /// The core.
        key: hypercore::Key,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A truncation beyond the end.
    #[error("cannot truncate to length {wanted}: the drive has length {length}")]
    Truncation {
        /// Length asked for.
        wanted: u64,
        /// Length there is.
        length: u64,
    },
    /// The operating system refused something.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl DriveError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn refused(entry: &str, reason: impl Into<String>) -> Self {
        Self::Unsafe {
            entry: entry.into(),
            reason: reason.into(),
        }
    }
}
