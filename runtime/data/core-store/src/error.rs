//! What can go wrong with a core.

use crate::storage::StorageError;

/// A local operation on a core failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// The disk or the database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The secret key is not on this machine.
    #[error("core {0} is not writable here: its secret key was made on another machine")]
    NotWritable(hypercore::Key),
    /// Another process appended or truncated between our reading the head and writing.
    #[error("core {0} was changed by another process meanwhile: nothing was written, run the command again")]
    Moved(hypercore::Key),
    /// A caller asked for what lies outside the core.
    #[error("block {index} is out of bounds: core {key} has {length} blocks")]
    OutOfBounds {
        /// The core.
        key: hypercore::Key,
        /// The block asked for.
        index: u64,
        /// The core's length in blocks.
        length: u64,
    },
    /// The block is not stored here and the caller did not want to wait, or the wait ended.
    #[error("block {index} of core {key} is not stored here and no peer sent it; is someone seeding it?")]
    NotAvailable {
        /// The core.
        key: hypercore::Key,
        /// The block asked for.
        index: u64,
    },
    /// Peers brought nothing for too long.
    #[error(
        "no peer sent block {index} of core {key} for {seconds} s: {peers} connected, {holding} of them know of it; is someone seeding it?"
    )]
    Stalled {
        /// The core.
        key: hypercore::Key,
        /// The block waited for.
        index: u64,
        /// How long nothing came, in seconds.
        seconds: u64,
        /// Peers that are connected for this core.
        peers: usize,
        /// Those whose copy reaches that far.
        holding: usize,
    },
    /// The manifest does not belong to the key, or is unusable.
    #[error("core {key}: {reason}")]
    InvalidManifest {
        /// The core.
        key: hypercore::Key,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The signature given for new blocks does not verify.
    #[error("core {0}: the signature over the new blocks does not verify against the manifest's signers")]
    InvalidSignature(hypercore::Key),
    /// Two cores of one operation lie in different stores.
    #[error("cores {key} and {source_key} lie in different stores; open both in one")]
    OtherStore {
        /// The core that would grow.
        key: hypercore::Key,
        /// The one it would grow from.
        source_key: hypercore::Key,
    },
    /// The tree is inconsistent: stored nodes are missing.
    #[error("core {key}: tree node {index} is missing from the store; mirror the core again from a peer")]
    MissingNode {
        /// The core.
        key: hypercore::Key,
        /// Flat-tree index of the node.
        index: u64,
    },
    /// The block cannot be encrypted or decrypted.
    #[error("block {index} of core {key}: {source}")]
    Cipher {
        /// The core.
        key: hypercore::Key,
        /// The block.
        index: u64,
        /// What is wrong.
        source: hypercore::encryption::CipherError,
    },
    /// The block exceeds what peers accept.
    #[error("a block of {0} bytes is larger than the 15 MiB that peers accept")]
    BlockTooLarge(usize),
}

/// A proof from a peer was not applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The peer's fault: the proof does not hold. The peer should be dropped.
    #[error("invalid proof: {0}")]
    Invalid(&'static str),
    /// Nobody's fault: the proof answers an older state of this core. Ask again.
    #[error("the proof does not fit this core any more")]
    Stale,
    /// A local failure.
    #[error(transparent)]
    Core(#[from] CoreError),
}

impl From<StorageError> for ProofError {
    fn from(error: StorageError) -> Self {
        Self::Core(CoreError::Storage(error))
    }
}
