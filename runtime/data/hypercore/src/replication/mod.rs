//! Replication: one [`Peer`] per core and connection speaks `hypercore/alpha`; [`replicate`] pumps a connection that carries
//! many of them.
//!
//! A peer asks for what the core's [`wants`](crate::wants) name and its counterpart holds, many requests at a time, and answers what it
//! is asked. Peers of one core share nothing but the core itself, so any of them can stop or lie without holding up the
//! others: what one does not deliver is asked of the next.

mod action;
mod core_view;
mod driver;
mod peer;

pub use action::{Action, Change, Done, Head, InvalidRequest, Job, Verdict, View};
pub use core_view::{CoreView, work};
pub use driver::{Lookup, Replication, ReplicationError, replicate};
pub use peer::{Peer, PeerError};
