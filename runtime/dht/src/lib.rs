//! HyperDHT: the Kademlia RPC, peer announce and lookup, relayed handshakes and hole punching.

pub mod local;

mod error;

pub use error::DhtError;
