//! Replication: one [`Peer`] per core and connection speaks `hypercore/alpha`; [`replicate`] pumps a connection that carries
//! many of them.
//!
//! A peer asks for what the core's [`wants`](crate::wants) name and its counterpart holds, many requests at a time, and answers what it
//! is asked. Peers of one core share nothing but the core itself, so any of them can stop or lie without holding up the
//! others: what one does not deliver is asked of the next.

mod driver;
mod peer;

pub use driver::{Lookup, Replication, replicate};
pub use peer::{Outgoing, Peer, PeerError};
