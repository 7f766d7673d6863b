//! Replication as a state machine: one [`Peer`] per core and connection speaks `hypercore/alpha`.
//!
//! A peer asks for what the core's [`wants`](crate::wants) name and its counterpart holds, many requests at a time, and answers
//! what it is asked. Peers of one core share nothing but what their [`View`] shows, so any of them can stop or lie without
//! holding up the others: what one does not deliver is asked of the next.

mod action;
mod peer;

pub use action::{Action, Change, Done, Handshake, Head, InvalidRequest, Job, PeerInfo, Verdict, View};
pub use peer::{Peer, PeerError};
