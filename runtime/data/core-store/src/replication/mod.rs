//! Replication over real connections: [`replicate`] pumps a connection that carries many cores, with one
//! [`hypercore::replication::Peer`] for each.

mod allowance;
mod core_view;
mod driver;
mod outbound;
pub mod uplink;

pub use core_view::{CoreView, work};
pub use driver::{Lookup, Replication, ReplicationError, replicate, replicate_within};
