//! What a swarm did so far, and who is connected now.

use std::net::SocketAddr;
use std::time::Duration;

use base::PublicKey;
use dht::{Link, Route};

/// A swarm's counts: of now, and since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Open connections that others made.
    pub inbound: usize,
    /// Open connections that this side made.
    pub outbound: usize,
    /// Attempts to connect that are under way.
    pub attempts: usize,
    /// Connections whose peer has yet to prove who it is.
    pub unproven: usize,
    /// Other DHT nodes that are known.
    pub dht_nodes: usize,
    /// What came of everything so far.
    pub total: Totals,
}

/// Counts since the swarm began; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Attempts to connect.
    pub dialled: u64,
    /// Those that failed.
    pub failed: u64,
    /// Connections that others made and that got a place.
    pub taken: u64,
    /// Peers that were turned away: no place, banned, or without a proof of who they are.
    pub turned_away: u64,
    /// Connections that had to go for others.
    pub displaced: u64,
    /// Connections, either side's, by how they came about.
    pub direct: u64,
    /// Those that needed hole punching.
    pub punched: u64,
    /// Those that a relay passes on.
    pub relayed: u64,
    /// Peers that lied and were banned.
    pub banned: u64,
}

impl Totals {
    /// A connection is there.
    pub(crate) fn opened(&mut self, link: &Link) {
        let count = match link.route() {
            Route::Direct => &mut self.direct,
            Route::Punched => &mut self.punched,
            Route::Relayed => &mut self.relayed,
        };
        *count += 1;
    }
}

/// An open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who is at the other end.
    pub public_key: PublicKey,
    /// Whether it came to us.
    pub inbound: bool,
    /// How its packets get here.
    pub route: Route,
    /// Where it is; none through a relay.
    pub address: Option<SocketAddr>,
    /// How long it is connected.
    pub age: Duration,
    /// Smoothed round-trip time, once there is one.
    pub round_trip: Option<Duration>,
    /// Encrypted bytes sent to it.
    pub bytes_up: u64,
    /// Encrypted bytes received from it.
    pub bytes_down: u64,
}

impl PeerStatus {
    pub(crate) fn of(public_key: PublicKey, link: &Link, inbound: bool) -> Self {
        Self {
            public_key,
            inbound,
            route: link.route(),
            address: link.remote_address(),
            age: link.age(),
            round_trip: link.round_trip(),
            bytes_up: link.bytes_written(),
            bytes_down: link.bytes_read(),
        }
    }
}

/// How announcing and looking up a topic goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStatus {
    /// Rounds done, successful or not.
    pub rounds: u64,
    /// DHT nodes that answered in the last one.
    pub nodes: usize,
    /// Those that took our announcement then; 0 if we do not announce.
    pub announced_on: usize,
}
