//! Why a release was not requested or not committed, with npm `hyper-multisig`'s codes (lib/error.js).

use std::fmt;

use core_store::CoreError;
use hypercore::Key;
use hyperdrive::DriveError;

use crate::request::RequestError;

/// One of a drive's two cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The list of entries.
    Entries,
    /// The contents.
    Contents,
}

impl Part {
    /// The name in upstream's messages and results: `db` or `blobs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entries => "db",
            Self::Contents => "blobs",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A guard held, or the commit failed. `source` and `target` are keys of drives, as their links name them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MultisigError {
    /// The source has fewer blocks than asked for.
    #[error(
        "SOURCE_CORE_TOO_SMALL: {part} Source core is smaller than the requested length of {wanted}: it has {found} blocks; \
         seed pear://{source_key} on a machine that has them, and check that both use the same --bootstrap"
    )]
    SourceTooSmall {
        /// Which core.
        part: Part,
        /// The source drive.
        source_key: Key,
        /// Length asked for.
        wanted: u64,
        /// Length found.
        found: u64,
    },
    /// The source was truncated: signatures would cover a fork that the target does not have.
    #[error(
        "SOURCE_CORE_FORKED: the source pear://{source_key} was truncated (fork {fork}), and peers would refuse what is signed over it; \
         make a new link with `bosc touch`, provision the release onto it, and request again from there"
    )]
    SourceForked {
        /// The source drive.
        source_key: Key,
        /// Its fork.
        fork: u64,
    },
    /// Too few peers have the source.
    #[error(
        "SOURCE_CORE_INSUFFICIENT_PEERS: Source core is not well seeded ({found}/{needed} peers): \
         run `bosc seed pear://{source_key}` on {needed} machines besides this store"
    )]
    SourcePeers {
        /// The source drive.
        source_key: Key,
        /// Peers found.
        found: usize,
        /// Peers needed.
        needed: usize,
    },
    /// Too few peers have all of the source.
    #[error(
        "SOURCE_CORE_NOT_FULLY_SEEDED: {part} Source core is not yet fully downloaded by sufficient seeders ({found}/{needed}): \
         wait for those of pear://{source_key} to finish ({state}), or raise --peer-update-timeout"
    )]
    SourceNotSeeded {
        /// Which core.
        part: Part,
        /// The source drive.
        source_key: Key,
        /// Full copies found.
        found: usize,
        /// Full copies needed.
        needed: usize,
        /// How far each peer is.
        state: String,
    },
    /// The source holds other data than the request was made over.
    #[error(
        "SRC_KEY_MISMATCH: {part} the source pear://{source_key} at the requested length is not what the request was made over; \
         use the link that the request was made with"
    )]
    SourceMismatch {
        /// Which core.
        part: Part,
        /// The source drive.
        source_key: Key,
    },
    /// The request leaves out contents that its entries name.
    #[error(
        "REQUEST_CONTENT_TOO_SMALL: the request is for {stated} blocks of contents, but its entries need {needed}: files of the release could be \
         had from nobody; ask who sent it, and request again from pear://{source_key}"
    )]
    ContentTooSmall {
        /// The source drive.
        source_key: Key,
        /// Blocks in the request.
        stated: u64,
        /// Blocks that the entries name.
        needed: u64,
    },
    /// The target is longer than what is to be committed.
    #[error(
        "TARGET_CORE_TOO_BIG: {part} The target core already has {found} blocks, more than the {wanted} of this request: a newer release is out; \
         request again from a newer version"
    )]
    TargetTooBig {
        /// Which core.
        part: Part,
        /// The target's length.
        found: u64,
        /// Length of the request.
        wanted: u64,
    },
    /// The target has no entries yet, but other contents than the source's.
    #[error(
        "TARGET_NOT_EMPTY: the contents of pear://{target} are not empty, and not the beginning of this release; \
         use the source that was committed first, or another namespace in pear.json"
    )]
    TargetNotEmpty {
        /// The target drive.
        target: Key,
    },
    /// Too few peers have the target.
    #[error(
        "TARGET_CORE_INSUFFICIENT_PEERS: {part} Target core is not well seeded ({found}/{needed} peers): \
         run `bosc seed pear://{target}` on {needed} machines besides this store"
    )]
    TargetPeers {
        /// Which core.
        part: Part,
        /// The target drive.
        target: Key,
        /// Peers found.
        found: usize,
        /// Peers needed.
        needed: usize,
    },
    /// Too few peers have all of the target.
    #[error(
        "TARGET_CORE_NOT_FULLY_SEEDED: {part} Target core is not yet fully downloaded by sufficient seeders ({found}/{needed}): \
         wait for those of pear://{target} to finish ({state}), or raise --peer-update-timeout"
    )]
    TargetNotSeeded {
        /// Which core.
        part: Part,
        /// The target drive.
        target: Key,
        /// Full copies found.
        found: usize,
        /// Full copies needed.
        needed: usize,
        /// How far each peer is.
        state: String,
    },
    /// The source is no continuation of the target.
    #[error(
        "INCOMPATIBLE_SOURCE_AND_TARGET: {part} Target core contains different data from the source core. Nothing was written. \
         Make a new link with `bosc touch`, provision the release onto it with the version link of pear://{target} as the third argument, \
         and request again from there"
    )]
    Incompatible {
        /// Which core.
        part: Part,
        /// The target drive.
        target: Key,
    },
    /// Too few signers answered.
    #[error("Insufficient quorum: {obtained} / {needed}; still asked: {missing}")]
    Quorum {
        /// Different signers that answered.
        obtained: u64,
        /// How many must.
        needed: u64,
        /// Public keys of those who did not.
        missing: String,
    },
    /// The request is for another team, quorum, order of keys or namespace.
    #[error(
        "the request is for pear://{requested}, but the multisig object of pear.json makes pear://{configured}; \
         use the pear.json that the request was made with"
    )]
    OtherTeam {
        /// The link of the request.
        requested: Key,
        /// The link of pear.json.
        configured: Key,
    },
    /// There is nothing to request, or not for this team.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The store refused the blocks.
    #[error("COMMIT_FAILED: Failed to commit the batch: {part} {source}")]
    CommitFailed {
        /// Which core.
        part: Part,
        /// Why.
        source: CoreError,
    },
    /// A core failed.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A drive failed.
    #[error(transparent)]
    Drive(#[from] DriveError),
}

impl MultisigError {
    /// Upstream's code, or one of the same kind where upstream has no such guard.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SourceTooSmall { .. } => "SOURCE_CORE_TOO_SMALL",
            Self::SourceForked { .. } => "SOURCE_CORE_FORKED",
            Self::SourcePeers { .. } => "SOURCE_CORE_INSUFFICIENT_PEERS",
            Self::SourceNotSeeded { .. } => "SOURCE_CORE_NOT_FULLY_SEEDED",
            Self::SourceMismatch { .. } => "SRC_KEY_MISMATCH",
            Self::ContentTooSmall { .. } => "REQUEST_CONTENT_TOO_SMALL",
            Self::TargetTooBig { .. } => "TARGET_CORE_TOO_BIG",
            Self::TargetNotEmpty { .. } => "TARGET_NOT_EMPTY",
            Self::TargetPeers { .. } => "TARGET_CORE_INSUFFICIENT_PEERS",
            Self::TargetNotSeeded { .. } => "TARGET_CORE_NOT_FULLY_SEEDED",
            Self::Incompatible { .. } => "INCOMPATIBLE_SOURCE_AND_TARGET",
            Self::CommitFailed { .. } => "COMMIT_FAILED",
            Self::OtherTeam { .. } | Self::Request(_) => "ERR_INVALID_INPUT",
            Self::Quorum { .. } | Self::Core(_) | Self::Drive(_) => "ERR_OPERATION_FAILED",
        }
    }
}
