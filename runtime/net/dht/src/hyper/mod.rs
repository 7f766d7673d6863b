//! What HyperDHT adds to the RPC (npm hyperdht): finding and announcing peers, relaying handshakes, hole punching.

mod fair;
pub mod messages;
pub(crate) mod nat;
pub mod noise_payload;
pub mod secure_payload;
pub mod sign;
pub mod store;

/// Commands of HyperDHT.
pub mod command {
    /// Noise handshake with a server, possibly relayed.
    pub const PEER_HANDSHAKE: u64 = 0;
    /// Hole punching round, relayed.
    pub const PEER_HOLEPUNCH: u64 = 1;
    /// Who relays for the server whose public key hashes to the target?
    pub const FIND_PEER: u64 = 2;
    /// Who announced the target?
    pub const LOOKUP: u64 = 3;
    /// Store that a peer is reachable.
    pub const ANNOUNCE: u64 = 4;
    /// Take that back.
    pub const UNANNOUNCE: u64 = 5;
    /// Store a signed, replaceable value.
    pub const MUTABLE_PUT: u64 = 6;
    /// Get one.
    pub const MUTABLE_GET: u64 = 7;
    /// Store a value under its hash.
    pub const IMMUTABLE_PUT: u64 = 8;
    /// Get one.
    pub const IMMUTABLE_GET: u64 = 9;
}

/// How far a peer can be reached without its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Firewall {
    /// Not known yet.
    #[default]
    Unknown,
    /// Anybody reaches it.
    Open,
    /// Its NAT gives one port for all remotes.
    Consistent,
    /// Its NAT gives each remote another port.
    Random,
}

impl Firewall {
    /// From the number on the wire; what we do not know counts as random, the worst.
    pub(crate) fn from_wire(n: u64) -> Self {
        match n {
            0 => Self::Unknown,
            1 => Self::Open,
            2 => Self::Consistent,
            _ => Self::Random,
        }
    }

    /// The number on the wire.
    pub(crate) fn to_wire(self) -> u64 {
        self as u64
    }
}

/// Error numbers in handshakes and hole punching.
pub(crate) mod error_code {
    /// Fine.
    pub(crate) const NONE: u64 = 0;
    /// The other side gave up.
    pub(crate) const ABORTED: u64 = 1;
    /// The payload's version is not spoken.
    pub(crate) const VERSION_MISMATCH: u64 = 2;
    /// Too busy punching.
    pub(crate) const TRY_LATER: u64 = 3;
    /// A mutable value of that sequence number exists with other content.
    pub(crate) const SEQ_REUSED: u64 = 16;
    /// A newer mutable value exists.
    pub(crate) const SEQ_TOO_LOW: u64 = 17;
}
