//! What a [`Peer`](super::Peer) wants done, and what it is told afterwards. The peer does none of it itself: it opens no store,
//! sends nothing and asks no clock.

use crate::PublicKey;
use crate::bitfield::Bitfield;
use crate::merkle::SeekResult;
use crate::proof::{Data, Request, RequestSeek};

/// How the connection came about: what proves to each side that the other knows a core's key.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// Whether this side opened the connection.
    pub is_initiator: bool,
    /// The hash of the Noise handshake: the same on both sides, unique to this connection.
    pub hash: [u8; 64],
    /// The authenticated public key of the other side.
    pub remote_public_key: PublicKey,
}

/// A peer as this core sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer's Noise public key.
    pub remote_public_key: PublicKey,
    /// Length of its copy, in blocks.
    pub remote_length: u64,
    /// How many blocks from the start it holds without a gap.
    pub remote_contiguous_length: u64,
    /// Its fork.
    pub remote_fork: u64,
    /// Whether it told us its state yet.
    pub synced: bool,
}

/// The head of our core, as far as a peer has to know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// How often the core was truncated.
    pub fork: u64,
    /// Length in blocks.
    pub length: u64,
    /// How many blocks from the start are stored without a gap.
    pub contiguous: u64,
    /// Whether the manifest is known, so that it need not be asked for.
    pub knows_manifest: bool,
    /// Whether there is a manifest to hand out: a core that is older than manifests has none.
    pub has_manifest: bool,
}

/// What a peer looks up in the core it belongs to. All of it is in memory and answers at once.
pub trait View {
    /// The core's head.
    fn head(&mut self) -> Head;
    /// Whether all of `start..end` is stored.
    fn has_range(&self, start: u64, end: u64) -> bool;
    /// The 32-bit words that cover `start..start + length`, as [`Bitfield::words`].
    fn words(&self, start: u64, length: u64) -> Vec<u32>;
    /// Whether nobody wants anything.
    fn is_idle(&self) -> bool;
    /// Whether others fetch the same at the same time, and may have what a slow peer was asked for.
    fn is_shared(&self) -> bool;
    /// Picks up to `max` blocks below `length` that are wanted, not stored, not asked of anybody, held by the peer and not
    /// refused by it, and marks them as asked.
    fn pick(&mut self, held: &Bitfield, length: u64, refused: &dyn Fn(u64) -> bool, max: usize) -> Vec<u64>;
    /// A block that was picked may be asked for again.
    fn unmark(&mut self, index: u64);
    /// A byte offset that somebody looks for.
    fn sought(&self) -> Option<RequestSeek>;
}

/// Something to be done for a peer.
#[derive(Debug)]
pub enum Action {
    /// Send a message: its type and its bytes.
    Send(u64, Vec<u8>),
    /// Do something with the store, and tell the peer what came of it.
    Store(Job),
    /// Let the core's users know of the peer's state.
    Publish(PeerInfo),
}

/// Work that may read or write the store, or hash megabytes. Done in the order in which it was asked for.
#[derive(Debug, Clone)]
pub enum Job {
    /// Verify an answer and take over what it brings.
    Verify {
        /// Which request it answers.
        id: u64,
        /// The answer.
        data: Box<Data>,
    },
    /// Make the answer to a request of the peer.
    Prove {
        /// The peer's number for it.
        id: u64,
        /// The request.
        request: Request,
    },
    /// Count the tree levels that are missing above each of some blocks.
    Locate {
        /// Block indices.
        blocks: Vec<u64>,
    },
    /// Find out how far the stored nodes lead to a byte offset.
    Seek {
        /// The offset.
        seek: RequestSeek,
    },
    /// Find out whether the roots of a shorter tree are stored, without which the upgrade from it cannot be proved.
    Reaches {
        /// The shorter length.
        from: u64,
    },
}

/// What came of a [`Job`].
#[derive(Debug)]
pub enum Done {
    /// Of [`Job::Verify`].
    Verified {
        /// Which request was answered.
        id: u64,
        /// How it went.
        verdict: Verdict,
    },
    /// Of [`Job::Prove`].
    Proved {
        /// The peer's number for the request.
        id: u64,
        /// The answer; `None` if what was asked for is not stored here.
        answer: Result<Option<Box<Data>>, InvalidRequest>,
    },
    /// [`Job::Prove`] was put off: enough was read from the store for now.
    Later {
        /// The peer's number for it.
        id: u64,
        /// The request.
        request: Request,
    },
    /// Of [`Job::Locate`]: each block with the number of levels missing above it.
    Located(Vec<(u64, u64)>),
    /// Of [`Job::Seek`].
    Sought {
        /// The offset.
        seek: RequestSeek,
        /// Where the nodes lead.
        result: SeekResult,
    },
    /// Of [`Job::Reaches`].
    Reaches {
        /// The shorter length.
        from: u64,
        /// The fork and length that the answer holds for.
        of: (u64, u64),
        /// The answer.
        reaches: bool,
    },
}

/// A request that fits no tree: the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidRequest;

/// How a proof fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds, and what it brought was taken over.
    Taken {
        /// It brought a block.
        block: bool,
        /// It made the core longer, or moved it to another fork.
        upgraded: bool,
    },
    /// It answers an older state of the core.
    Stale,
    /// It does not hold.
    Invalid(&'static str),
}

/// Something happened to the core that a peer may have to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was cut to this length.
    Truncated(u64),
    /// It grew to this length.
    Grown(u64),
    /// A block was stored.
    Stored(u64),
    /// Some changes were missed.
    Missed,
}
