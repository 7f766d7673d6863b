//! HyperDHT: the Kademlia RPC, peer announce and lookup, relayed handshakes and hole punching.
//!
//! Wire compatible with npm `dht-rpc` and `hyperdht`. The layers, from low to high:
//! - [`address`], [`id`], [`rpc::message`], [`hyper::messages`]: formats;
//! - [`rpc::Rpc`], [`hyper::store::Store`], `hyper::nat`: state machines without I/O, so that they can be simulated;
//! - [`Node`]: a node on real sockets; [`local`]: a network of them in one process.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod address;
#[doc(hidden)]
pub mod fuzzing;
pub mod hyper;
pub mod id;
pub mod local;
mod node;
pub mod rpc;
#[cfg(test)]
mod vectors;
mod wire;

mod error;

pub use error::{ConnectError, DhtError, NoResponse};
pub use node::{
    ConnectOptions, FoundPeers, Link, Node, NodeConfig, PUBLIC_BOOTSTRAP, PeerConnection, PeerQuery, Route,
    Server, ServerOptions,
};
