//! The peers found on topics: whom to connect to next, and when to try again (npm hyperswarm lib/peer-info.js,
//! lib/retry-timer.js). No I/O: time is passed in.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// Pauses after the first, second, … failed attempt.
const BACKOFF: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
/// A connection that lived so long was a good one.
const GOOD_CONNECTION: Duration = Duration::from_secs(15);
/// Peers remembered; found ones beyond are ignored until others are gone.
const MAX_PEERS: usize = 4096;
/// Failed attempts in a row before a peer must be found again to be tried again.
const MAX_ATTEMPTS: u32 = 8;

/// Relays taken from one node's answer about one peer: peers announce three.
const RELAYS_PER_ANSWER: usize = 3;
/// Relays remembered of one peer, those of a few restarts.
const MAX_RELAYS: usize = 12;
/// Nodes answer one lookup within this time; what was not named for so long counts anew.
const ONE_LOOKUP: Duration = Duration::from_secs(5);

type Key = [u8; 32];

/// A node that others say relays for a peer. They may say anything, so what more of them say comes first.
#[derive(Debug)]
struct Relay {
    address: SocketAddrV4,
    /// In how many answers of the last lookup it was named, and when last.
    named: u32,
    last: Instant,
}

#[derive(Debug)]
struct Peer {
    relays: Vec<Relay>,
    topics: HashSet<[u8; 32]>,
    attempts: u32,
    /// When it may be tried; none = only after it was found again.
    next: Option<Instant>,
    busy: bool,
    connected: Option<Instant>,
}

/// Whom to connect to next.
#[derive(Debug, Default)]
pub(crate) struct PeerQueue {
    peers: HashMap<Key, Peer>,
}

fn backoff(attempts: u32) -> Duration {
    let i = (attempts.max(1) - 1) as usize;
    BACKOFF.get(i).or(BACKOFF.last()).copied().unwrap_or_default()
}

impl Peer {
    /// Adds what one node's answer named, most named first. Says whether there was a relay not known before.
    fn merge(&mut self, now: Instant, relays: &[SocketAddrV4]) -> bool {
        let mut moved = false;
        for relay in &mut self.relays {
            if now.saturating_duration_since(relay.last) > ONE_LOOKUP {
                relay.named = 0;
            }
        }
        for address in relays.iter().take(RELAYS_PER_ANSWER) {
            if let Some(known) = self.relays.iter_mut().find(|relay| relay.address == *address) {
                known.named = known.named.saturating_add(1);
                known.last = now;
                continue;
            }
            moved = true;
            if self.relays.len() >= MAX_RELAYS {
                let least = self.relays.iter().enumerate();
                let least = least
                    .min_by_key(|(_, relay)| (relay.named, relay.last))
                    .map(|(i, _)| i);
                least.map(|i| self.relays.remove(i));
            }
            self.relays.push(Relay {
                address: *address,
                named: 1,
                last: now,
            });
        }
        self.relays.sort_by_key(|relay| std::cmp::Reverse(relay.named));
        moved
    }
}

impl PeerQueue {
    /// A lookup of `topic` found the peer.
    pub(crate) fn found(&mut self, now: Instant, key: Key, topic: [u8; 32], relays: &[SocketAddrV4]) {
        if !self.peers.contains_key(&key) && self.peers.len() >= MAX_PEERS {
            return;
        }
        let new = !self.peers.contains_key(&key);
        let peer = self.peers.entry(key).or_insert_with(|| Peer {
            relays: Vec::new(),
            topics: HashSet::new(),
            attempts: 0,
            next: Some(now),
            busy: false,
            connected: None,
        });
        peer.topics.insert(topic);
        // Other relays mean that it announced itself anew: it lives.
        let moved = peer.merge(now, relays) && !new;
        if moved && !peer.busy && peer.connected.is_none() {
            peer.attempts = 0;
            peer.next = Some(now);
        }
        if peer.next.is_none() && !peer.busy && peer.connected.is_none() {
            peer.next = Some(now + backoff(peer.attempts));
        }
    }

    /// Whether the peer was found on the topic.
    pub(crate) fn is_on(&self, key: &Key, topic: &[u8; 32]) -> bool {
        self.peers.get(key).is_some_and(|p| p.topics.contains(topic))
    }

    /// Forgets what was found on a topic that was left.
    pub(crate) fn leave(&mut self, topic: &[u8; 32]) {
        self.peers.retain(|_, peer| {
            peer.topics.remove(topic);
            !peer.topics.is_empty() || peer.busy || peer.connected.is_some()
        });
    }

    /// The peer to try now, fewest failures first, then by chance. It counts as busy until [`PeerQueue::closed`].
    pub(crate) fn take(&mut self, now: Instant, draw: impl Fn() -> u32) -> Option<(Key, Vec<SocketAddrV4>)> {
        let (key, peer) = self
            .peers
            .iter_mut()
            .filter(|(_, p)| !p.busy && p.connected.is_none() && !p.topics.is_empty())
            .filter(|(_, p)| p.next.is_some_and(|at| at <= now))
            .min_by_key(|(_, p)| (p.attempts, draw()))?;
        peer.busy = true;
        Some((*key, peer.relays.iter().map(|relay| relay.address).collect()))
    }

    /// When the next peer may be tried.
    pub(crate) fn next(&self) -> Option<Instant> {
        let idle = self
            .peers
            .values()
            .filter(|p| !p.busy && p.connected.is_none() && !p.topics.is_empty());
        idle.filter_map(|p| p.next).min()
    }

    /// Peers that were never tried or are being tried.
    pub(crate) fn untried(&self) -> usize {
        self.peers
            .values()
            .filter(|p| p.busy || (p.attempts == 0 && p.connected.is_none()))
            .count()
    }

    /// A connection with the peer is open.
    pub(crate) fn opened(&mut self, now: Instant, key: &Key) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.busy = false;
            peer.connected = Some(now);
        }
    }

    /// The connection, or the attempt to make one, is over.
    pub(crate) fn closed(&mut self, now: Instant, key: &Key) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let lived = peer
            .connected
            .take()
            .map(|since| now.saturating_duration_since(since));
        peer.busy = false;
        peer.attempts = match lived {
            Some(lived) if lived >= GOOD_CONNECTION => 1,
            _ => peer.attempts + 1,
        };
        peer.next = (peer.attempts <= MAX_ATTEMPTS).then(|| now + backoff(peer.attempts));
        if peer.topics.is_empty() {
            self.peers.remove(key);
        }
    }

    /// The attempt is over because another connection with the peer is there; that one counts.
    pub(crate) fn superseded(&mut self, key: &Key) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.busy = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: [u8; 32] = [9; 32];

    fn relay(port: u16) -> Vec<SocketAddrV4> {
        vec![SocketAddrV4::new([1, 2, 3, 4].into(), port)]
    }

    #[test]
    fn a_failing_peer_is_tried_ever_less_often_then_only_when_found_again() {
        let start = Instant::now();
        let mut queue = PeerQueue::default();
        queue.found(start, [1; 32], TOPIC, &relay(1));
        let mut now = start;
        let mut pauses = Vec::new();
        while let Some(at) = queue.next() {
            pauses.push((at - now).as_secs());
            now = at;
            assert_eq!(queue.take(now, || 0), Some(([1; 32], relay(1))));
            assert_eq!(queue.take(now, || 0), None, "it is busy");
            queue.closed(now, &[1; 32]);
        }
        assert_eq!(pauses, [0, 1, 2, 5, 15, 30, 60, 60, 60]);
        queue.found(now, [1; 32], TOPIC, &relay(1));
        assert_eq!(queue.next(), Some(now + Duration::from_secs(60)));
        queue.found(now, [1; 32], TOPIC, &relay(2));
        assert_eq!(queue.next(), Some(now), "new relays: it was restarted");
    }

    #[test]
    fn a_lost_good_connection_is_made_again_soon() {
        let now = Instant::now();
        let mut queue = PeerQueue::default();
        queue.found(now, [1; 32], TOPIC, &relay(1));
        for _ in 0..3 {
            queue.closed(now, &[1; 32]);
        }
        queue.opened(now, &[1; 32]);
        assert_eq!(queue.next(), None);
        let later = now + GOOD_CONNECTION;
        queue.closed(later, &[1; 32]);
        assert_eq!(queue.next(), Some(later + Duration::from_secs(1)));
        queue.leave(&TOPIC);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn one_node_cannot_displace_what_the_others_say() {
        let mut now = Instant::now();
        let mut queue = PeerQueue::default();
        let honest: Vec<_> = (1..4).flat_map(relay).collect();
        for round in 0..10 {
            let lie: Vec<_> = (1000 + round * 100..).take(50).flat_map(relay).collect();
            queue.found(now, [1; 32], TOPIC, &lie);
            for _ in 0..5 {
                queue.found(now, [1; 32], TOPIC, &honest);
            }
            queue.found(now, [1; 32], TOPIC, &lie);
            let (_, relays) = queue.take(now, || 0).unwrap();
            assert_eq!(relays[..3], honest, "named by most");
            assert!(relays.len() <= MAX_RELAYS);
            let taken = relays.iter().filter(|address| lie.contains(address));
            assert_eq!(taken.count(), RELAYS_PER_ANSWER, "only so many of one answer");
            queue.superseded(&[1; 32]);
            now += Duration::from_secs(600);
        }
    }

    #[test]
    fn a_peer_that_restarts_again_and_again_is_found_at_its_latest_relays() {
        let mut now = Instant::now();
        let mut queue = PeerQueue::default();
        for restart in 0..20 {
            let relays: Vec<_> = (restart * 3..).take(3).flat_map(relay).collect();
            for _ in 0..20 {
                queue.found(now, [1; 32], TOPIC, &relays);
            }
            let (_, known) = queue.take(now, || 0).unwrap();
            assert_eq!(known[..3], relays);
            queue.superseded(&[1; 32]);
            now += Duration::from_secs(60);
        }
    }
}
