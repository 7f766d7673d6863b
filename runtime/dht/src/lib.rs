//! HyperDHT: the Kademlia RPC, peer announce and lookup, relayed handshakes and hole punching.

pub mod address;
pub mod hyper;
pub mod local;
pub mod rpc;
pub mod wire;

mod error;

pub use error::{ConnectError, DhtError, NoResponse};
