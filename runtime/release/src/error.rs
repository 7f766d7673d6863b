//! Why a release is not made, as a sentence for a person and a code for a script.

use std::io;
use std::path::Path;

/// What was refused, or failed. A sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Something is not as a release needs it; nothing was written.
    #[error("{1}")]
    Refused(Why, String),
    /// The file system.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, with its path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A link.
    #[error(transparent)]
    Link(#[from] app::LinkError),
    /// A package.json.
    #[error(transparent)]
    Manifest(#[from] app::ManifestError),
    /// The network.
    #[error(transparent)]
    Peers(#[from] peers::PeersError),
    /// The package.json on a drive.
    #[error(transparent)]
    Unreadable(Box<bosc_runtime::Unreadable>),
    /// A drive.
    #[error(transparent)]
    Drive(#[from] hyperdrive::DriveError),
    /// A core.
    #[error(transparent)]
    Core(#[from] core_store::CoreError),
    /// The store.
    #[error(transparent)]
    Store(#[from] corestore::CorestoreError),
}

/// Why something was refused: stable, so that a script can go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// What was asked for makes no sense as it is.
    Input,
    /// A folder, file or version is not there.
    Missing,
    /// It is no deployment folder, or a bundle in it is not what its package.json says.
    Deployment,
    /// The link's secret key is not in this store.
    NotOurs,
    /// Files look like secrets.
    Secrets,
    /// Links lead out of the folder.
    LinksOut,
    /// No installed app would take the version.
    NotNewer,
    /// The version is a prerelease.
    Prerelease,
    /// Two drives have different histories.
    History,
    /// The folder holds files.
    NotEmpty,
    /// The disk has spoilt what was stored.
    Damaged,
    /// It changed while it was read.
    Changed,
}

impl From<bosc_runtime::Unreadable> for ReleaseError {
    fn from(error: bosc_runtime::Unreadable) -> Self {
        Self::Unreadable(Box::new(error))
    }
}

impl ReleaseError {
    /// The code in JSON output; the Pear CLI's, where it has one.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(why, _) => why.code(),
            Self::Io { .. } => "ERR_IO",
            Self::Link(_) => "ERR_INVALID_LINK",
            Self::Manifest(app::ManifestError::Missing { .. }) => "ERR_INVALID_PROJECT_DIR",
            Self::Manifest(_) => "ERR_INVALID_MANIFEST",
            Self::Peers(peers::PeersError::NoSource(_) | peers::PeersError::Behind { .. }) => "ERR_NO_PEERS",
            Self::Peers(_) => "ERR_NETWORK",
            Self::Drive(hyperdrive::DriveError::Bee(hyperbee::BeeError::InsideBatch { .. })) => {
                "ERR_NOT_FOUND"
            }
            Self::Unreadable(_) | Self::Drive(_) | Self::Core(_) | Self::Store(_) => "ERR_OPERATION_FAILED",
        }
    }

    pub(crate) fn refused(why: Why, message: impl Into<String>) -> Self {
        Self::Refused(why, message.into())
    }

    /// For `map_err`: what was tried, and the path it was tried on.
    pub(crate) fn io(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |source| Self::Io { what, source }
    }
}

impl Why {
    fn code(self) -> &'static str {
        match self {
            Self::Input => "ERR_INVALID_INPUT",
            Self::Missing => "ERR_NOT_FOUND",
            Self::Deployment => "ERR_INVALID_PROJECT_DIR",
            Self::NotOurs => "ERR_PERMISSION_REQUIRED",
            Self::Secrets => "ERR_SECRETS",
            Self::LinksOut => "ERR_EXTERNAL_LINKS",
            Self::NotNewer => "ERR_NOT_NEWER",
            Self::Prerelease => "ERR_INVALID_VERSION",
            Self::History => "ERR_INCOMPATIBLE",
            Self::NotEmpty => "ERR_DIR_NONEMPTY",
            Self::Damaged => "ERR_DAMAGED",
            Self::Changed => "ERR_CHANGED",
        }
    }
}

/// Ends a function with a refusal: why, then the sentence as `format!` takes it.
macro_rules! refuse {
    ($why:ident, $($sentence:tt)*) => {
        return Err($crate::ReleaseError::refused($crate::Why::$why, format!($($sentence)*)))
    };
}
pub(crate) use refuse;
