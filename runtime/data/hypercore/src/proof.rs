//! What peers ask of each other and what they answer: requests and proofs.
//!
//! Shapes: npm `hypercore` lib/messages.js (`wire.request`, `wire.data`). The wire codecs are in [`crate::messages`].

use bytes::Bytes;

use crate::manifest::Manifest;
use crate::merkle::Node;

/// Asks for one block, or (as `hash`) for one tree node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestBlock {
    /// Block index, or flat-tree index when a hash is asked for.
    pub index: u64,
    /// How many levels above it the asker lacks: the proof needs nodes up to there only.
    pub nodes: u64,
}

/// Asks for the tree nodes that lead to a byte offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSeek {
    /// Byte offset from the start of the core.
    pub bytes: u64,
    /// Bytes at the start of each block that do not count (encrypted cores).
    pub padding: u64,
}

/// Asks for the signed tree between two lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestUpgrade {
    /// The asker's length.
    pub start: u64,
    /// How many blocks further.
    pub length: u64,
}

/// A request, without the id that pairs it with its answer on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The asker's fork.
    pub fork: u64,
    /// A block and the proof of it.
    pub block: Option<RequestBlock>,
    /// A node and the proof of it.
    pub hash: Option<RequestBlock>,
    /// A byte offset.
    pub seek: Option<RequestSeek>,
    /// A longer tree.
    pub upgrade: Option<RequestUpgrade>,
    /// The manifest as well.
    pub manifest: bool,
    /// Urgency; 0 is normal.
    pub priority: u64,
}

/// A block with the nodes that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataBlock {
    /// Block index.
    pub index: u64,
    /// The block.
    pub value: Bytes,
    /// Siblings on the way up, lowest first.
    pub nodes: Vec<Node>,
}

/// A node with the nodes that prove it; the first is the node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataHash {
    /// Flat-tree index.
    pub index: u64,
    /// The node, then siblings on the way up.
    pub nodes: Vec<Node>,
}

/// The nodes that lead to a byte offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSeek {
    /// The byte offset asked for.
    pub bytes: u64,
    /// The node found, then siblings on the way up.
    pub nodes: Vec<Node>,
}

/// A signed, longer tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataUpgrade {
    /// The asker's length.
    pub start: u64,
    /// How many blocks further the first nodes lead.
    pub length: u64,
    /// Nodes from `start` to `start + length`.
    pub nodes: Vec<Node>,
    /// Nodes from there to the length that was signed.
    pub additional_nodes: Vec<Node>,
    /// Signature over the full tree; its form depends on the manifest.
    pub signature: Vec<u8>,
}

/// An answer: everything needed to verify what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Data {
    /// The answerer's fork.
    pub fork: u64,
    /// A block.
    pub block: Option<DataBlock>,
    /// A node.
    pub hash: Option<DataHash>,
    /// A byte offset.
    pub seek: Option<DataSeek>,
    /// A longer tree.
    pub upgrade: Option<DataUpgrade>,
    /// The manifest, if it was asked for.
    pub manifest: Option<Manifest>,
}
