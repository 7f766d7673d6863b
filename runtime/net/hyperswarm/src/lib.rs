//! Hyperswarm: join a topic, get encrypted connections to whoever else did.
//!
//! Works with npm `hyperswarm` peers, over [`dht`]. Differences that peers do not notice: a topic without connections
//! is looked up again within seconds rather than minutes, so that a peer that comes later is found at once; failed
//! peers are tried again with growing pauses.
//!
//! ```no_run
//! # async fn example(topic: base::Topic) -> Result<(), hyperswarm::SwarmError> {
//! use hyperswarm::{JoinOptions, Swarm, SwarmConfig};
//!
//! let swarm = Swarm::new(SwarmConfig::default()).await?;
//! let mut connections = swarm.connections();
//! swarm.join(topic, JoinOptions::default()).flushed().await;
//! while let Some(connection) = connections.recv().await {
//!     println!("connected to {}", connection.info().remote_public_key);
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod config;
mod connections;
mod discovery;
mod inbound;
mod limits;
mod peers;
mod renew;
mod stats;
mod swarm;
mod threads;

/// The state machines alone, for simulations: nothing here is for apps.
#[doc(hidden)]
pub mod testing {
    pub use crate::limits::{Guest, Place, who_leaves};
    pub use crate::peers::{End, PeerQueue};
}

pub use base::{KeyPair, PublicKey, Topic};
pub use config::{JoinOptions, SwarmConfig, SwarmError};
pub use dht::Route;
pub use dht::hyper::Firewall;
pub use discovery::Discovery;
pub use peers::{Sought, SoughtPeer};
pub use secret_stream::Connection;
pub use stats::{PeerStatus, Stats, TopicStatus, Totals};
pub use swarm::Swarm;
pub use threads::Threads;
