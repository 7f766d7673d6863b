//! Which nodes to ask for a handshake with a server, in which order, and what is remembered of them.
//!
//! Anybody may run a node and be named as a relay. What the server itself said inside an authenticated handshake is worth
//! most; a node that brought something else than the server's answer is asked last.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use base::PublicKey;

/// Servers whose relays are remembered.
const MAX_SERVERS: usize = 512;
/// Relays remembered of one server: servers announce themselves through three.
const MAX_OWN: usize = 4;
/// Doubtful nodes remembered of one server: as many as one attempt may ask.
const MAX_DOUBTFUL: usize = 16;
/// How long a node stays doubtful.
const DOUBT: Duration = Duration::from_secs(10 * 60);

#[derive(Debug, Default)]
struct Known {
    /// Named by the server itself.
    own: Vec<SocketAddrV4>,
    doubtful: VecDeque<(SocketAddrV4, Instant)>,
}

/// What is remembered of servers' relays.
#[derive(Debug, Default)]
pub(super) struct Relays {
    servers: HashMap<PublicKey, Known>,
}

impl Relays {
    fn entry(&mut self, server: PublicKey) -> &mut Known {
        if self.servers.len() >= MAX_SERVERS && !self.servers.contains_key(&server) {
            self.servers.clear();
        }
        self.servers.entry(server).or_default()
    }

    /// The server named these inside an authenticated handshake.
    pub(super) fn remember(&mut self, server: PublicKey, relays: impl IntoIterator<Item = SocketAddrV4>) {
        self.entry(server).own = relays.into_iter().take(MAX_OWN).collect();
    }

    /// The node did not bring the server's answer, or not a way to the server.
    pub(super) fn doubt(&mut self, now: Instant, server: PublicKey, relay: SocketAddrV4) {
        let doubtful = &mut self.entry(server).doubtful;
        doubtful.retain(|(address, at)| *address != relay && now.saturating_duration_since(*at) < DOUBT);
        if doubtful.len() >= MAX_DOUBTFUL {
            doubtful.pop_front();
        }
        doubtful.push_back((relay, now));
    }

    /// Whether the node is doubtful for that server.
    pub(super) fn is_doubtful(&self, now: Instant, server: &PublicKey, relay: &SocketAddrV4) -> bool {
        self.servers.get(server).is_some_and(|known| {
            let mut all = known.doubtful.iter();
            all.any(|(address, at)| address == relay && now.saturating_duration_since(*at) < DOUBT)
        })
    }

    /// The nodes to ask: `route` first, then in turns those the server named and those a lookup `found`, so that
    /// neither list can crowd the other out; doubtful ones last.
    pub(super) fn to_ask(
        &self,
        now: Instant,
        server: &PublicKey,
        route: Option<SocketAddrV4>,
        found: &[SocketAddrV4],
    ) -> Vec<SocketAddrV4> {
        let own = self.servers.get(server).map_or(&[][..], |known| &known.own);
        let turns = (0..own.len().max(found.len())).flat_map(|i| [own.get(i), found.get(i)]);
        let mut out: Vec<SocketAddrV4> = Vec::new();
        for address in route.into_iter().chain(turns.flatten().copied()) {
            if !out.contains(&address) {
                out.push(address);
            }
        }
        out.sort_by_key(|address| self.is_doubtful(now, server, address));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new([1, 2, 3, 4].into(), port)
    }

    #[test]
    fn what_the_server_named_and_what_was_found_take_turns() {
        let now = Instant::now();
        let mut relays = Relays::default();
        relays.remember(PublicKey([1; 32]), (1..10).map(at));
        let found: Vec<_> = (11..30).map(at).collect();
        let asked = relays.to_ask(now, &PublicKey([1; 32]), Some(at(99)), &found);
        assert_eq!(asked[..8], [99, 1, 11, 2, 12, 3, 13, 4].map(at));
        assert_eq!(
            relays.to_ask(now, &PublicKey([2; 32]), None, &found)[..2],
            [11, 12].map(at)
        );
    }

    #[test]
    fn a_doubtful_node_is_asked_last_for_a_while() {
        let now = Instant::now();
        let mut relays = Relays::default();
        let found: Vec<_> = (1..4).map(at).collect();
        relays.doubt(now, PublicKey([1; 32]), at(1));
        assert_eq!(
            relays.to_ask(now, &PublicKey([1; 32]), None, &found),
            [2, 3, 1].map(at)
        );
        assert_eq!(
            relays.to_ask(now, &PublicKey([2; 32]), None, &found),
            [1, 2, 3].map(at),
            "another server"
        );
        assert_eq!(
            relays.to_ask(now + DOUBT, &PublicKey([1; 32]), None, &found),
            [1, 2, 3].map(at)
        );
        for port in 100..1000 {
            relays.doubt(now, PublicKey([1; 32]), at(port));
            relays.doubt(now, PublicKey([port.to_le_bytes()[0]; 32]), at(port));
        }
        assert!(relays.servers[&PublicKey([1; 32])].doubtful.len() <= MAX_DOUBTFUL);
        assert!(relays.servers.len() <= MAX_SERVERS);
    }
}
