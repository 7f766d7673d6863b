//! What can go wrong with a store.

use std::path::PathBuf;

use core_store::{CoreError, StorageError};

/// An error of a [`crate::Corestore`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorestoreError {
    /// A core failed.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The folder cannot be made or its lock file cannot be opened.
    #[error("the store at {path} cannot be opened: {source}", path = path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process holds the writer lock.
    #[error("the store at {} is in use by another writer: wait until it is done, or stop it", .0.display())]
    Locked(PathBuf),
    /// The stored primary key is not 32 bytes.
    #[error("the store at {} is damaged: its primary key is not a key", .0.display())]
    PrimaryKey(PathBuf),
}
