//! Namespaces, versions and bounds (npm `autobase` lib/caps.js, lib/system.js).

use std::sync::LazyLock;

use base::hash::namespace;

/// The version of oplog messages that are written.
pub const OPLOG_VERSION: u64 = 2;
/// The version of a fresh system core's values.
pub const DEFAULT_SYSTEM_VERSION: u64 = 1;
/// The newest version of them that can be read and extended.
pub const MAX_SYSTEM_VERSION: u64 = 2;
/// The version of the manifests of fresh cores: views and writers under it are encrypted by hypercore's own scheme.
pub const DEFAULT_MANIFEST_VERSION: u8 = 1;

/// Prefix of what a view's signer namespace is hashed from.
pub static NS_SIGNER: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("autobase", 0));
/// Prefix of what a block key is hashed from.
pub(crate) static NS_BLOCK_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("autobase", 1));
/// Prefix of what the key of a block's hash is hashed from.
pub(crate) static NS_HASH_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("autobase", 2));
/// What keys are made from before any other entropy was agreed on.
pub static GENESIS_ENTROPY: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("autobase/entropy", 0));

/// Heads that one node may link, and entries that one clock may have. A node links what nobody linked yet, so as many as there are
/// writers that wrote at the same time.
pub const MAX_HEADS: usize = 65_536;
/// Nodes of one batch, which enter the order together or not at all and are held until its last is here.
pub const MAX_BATCH: u64 = 65_536;
/// Views of one base. An app names them in its code; each is signed by each indexer.
pub const MAX_VIEWS: usize = 4096;
/// Indexers of one base. Every node's clock has up to one entry for each.
pub const MAX_INDEXERS: usize = 4096;
/// Blocks of one view that a node says it read (npm traces at most 256, twice as many are read).
pub const MAX_TRACE: usize = 512;
/// Nodes of the tip and their links, together, that are held in memory, at a few hundred bytes a node and 40 a link. Indexers may
/// fill as much again: without their nodes nothing would ever be indexed, and the room never be made.
pub const MAX_NODES: usize = 1 << 20;
/// Nodes and links, together, that wait for what they link or for the rest of their batch. If there are more, the writer of whom the most
/// wait starts over. Any one batch fits.
pub const MAX_WAITING: usize = 1 << 18;
/// Writers that are held in memory: those that wrote what is not indexed yet, and those that such nodes link.
pub const MAX_WRITERS: usize = 1 << 17;
