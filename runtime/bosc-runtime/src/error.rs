//! What can go wrong, with what to do next.

use std::path::PathBuf;

use corestore::CorestoreError;
use hyperdrive::DriveError;
use peers::PeersError;

/// The runtime could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The store in the app's data folder.
    #[error(transparent)]
    Store(#[from] CorestoreError),
    /// The drive.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The network.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// A folder of the app's data.
    #[error("cannot use {path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The update was not put in place; the running version is untouched unless said otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// This is not an installed app.
    #[error("this app runs from a project folder: only an installed app can be updated")]
    NotInstalled,
    /// The new program was asked whether it can run, and did not say so. It is not installed again.
    #[error(
        "version {version} cannot run on this machine ({why}); it was not installed, and the running version stays"
    )]
    CannotRun {
        /// The new version.
        version: String,
        /// What it did instead.
        why: String,
    },
    /// The staged bundle is not what was staged: a disk that fails, or another program.
    #[error(
        "{path} was changed after it was staged, so the update was not put in place; it is fetched again"
    )]
    Altered {
        /// The first file or folder that differs.
        path: PathBuf,
    },
    /// Another instance of the app put something else in place meanwhile.
    #[error(
        "version {version} was not put in place: {path} holds version {installed} already; start the app again"
    )]
    NotNewer {
        /// The version that was to be put in place.
        version: String,
        /// The version that is there.
        installed: String,
        /// The installed bundle.
        path: PathBuf,
    },
    /// Another instance of the app is replacing the bundle.
    #[error("another instance of the app is replacing {path}: try again")]
    Busy {
        /// The installed bundle.
        path: PathBuf,
    },
    /// The folder that holds the bundle cannot be written.
    #[error(
        "cannot replace {path}: {source}; move the app to a folder that is yours to write, or update it as its owner"
    )]
    Swap {
        /// The installed bundle.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file system cannot exchange two folders in one step.
    #[error(
        "cannot replace {path} in one step: its file system does not support it; install the app on a local disk"
    )]
    NoExchange {
        /// The installed bundle.
        path: PathBuf,
    },
    /// Copying beside the bundle, or writing the note for the next start.
    #[error("cannot prepare the update in {path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
