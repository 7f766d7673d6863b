//! What can go wrong in a bee, and whose fault it is.

use core_store::CoreError;

/// A block that is not in the format it should be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The block ends inside a field.
    #[error("the block ends inside a field")]
    Truncated,
    /// A number does not fit into 64 bits.
    #[error("a number is too long")]
    Varint,
    /// A field has a wire type that the format does not use here.
    #[error("a field has an unexpected type")]
    WireType,
    /// A field that must be there is missing.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A list is longer than any tree needs.
    #[error("a list of {0} is too long")]
    TooMany(&'static str),
    /// The text of the header is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
}

/// An error of a [`crate::Bee`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeeError {
    /// The core below failed.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The author of the core wrote a block that is not a bee block.
    #[error(
        "block {seq} of the bee cannot be read: {source}; this link is not a drive, or its author's tool is broken"
    )]
    Decode {
        /// Index of the block.
        seq: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The author of the core wrote a tree that contradicts itself.
    #[error("the tree at block {seq} is damaged: {what}")]
    Corrupt {
        /// Index of the block.
        seq: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A version was asked for that never was: its length is one in the middle of a batch. Nothing is wrong with the bee.
    #[error(
        "there is no version of length {length}: it lies inside one batch of writes, which was made as a whole, and nothing is damaged. \
         Take the versioned link that `bosc stage` printed, or the newest, which `bosc info` shows"
    )]
    InsideBatch {
        /// The length.
        length: u64,
    },
    /// The core is another thing than a bee.
    #[error("the core holds a {0:?}, not a hyperbee")]
    NotABee(String),
    /// Somebody tried to write to a checkout.
    #[error("a checkout cannot be written to: write to the head of the bee")]
    Checkout,
    /// Another writer appended while a batch was open.
    #[error(
        "the bee grew from length {expected} to {found} while a batch was open: another program writes to it; try again"
    )]
    Conflict {
        /// Length when the batch began.
        expected: u64,
        /// Length now.
        found: u64,
    },
}
