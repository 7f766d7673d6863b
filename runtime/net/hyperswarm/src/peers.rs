//! The peers found on topics: whom to connect to next, and when to try again (npm hyperswarm lib/peer-info.js,
//! lib/retry-timer.js). No I/O: time is passed in.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use base::{PublicKey, Topic};

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
/// A connection that lived so long before it broke is made again at once. One that breaks sooner may break again.
const NOT_FLEETING: Duration = Duration::from_secs(1);
/// The longest pause before a peer that answers but turns us away is tried again: a place may be free any moment.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Pauses after a peer that was used ended the connection in good order for the first, second, … time in a row, while nothing is
/// wanted: it has better use for the place. The first are short, since it may have ended it for another reason.
const SENT_AWAY: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
];
/// By how much they differ either way, so that a crowd does not come back together.
const SPREAD: f64 = 0.2;
/// Whoever had a place for so long is sent away for the first time again.
const SETTLED: Duration = Duration::from_secs(10 * 60);
/// Peers remembered. Anybody can announce as many as he likes: beyond, one that has never been connected makes room, by chance.
const MAX_PEERS: usize = 4096;
/// Failed attempts in a row before a peer must be found again to be tried again.
const MAX_ATTEMPTS: u32 = 8;

/// Relays taken from one node's answer about one peer: peers announce three.
const RELAYS_PER_ANSWER: usize = 3;
/// Relays remembered of one peer, those of a few restarts.
const MAX_RELAYS: usize = 12;
/// Nodes answer one lookup within this time; what was not named for so long counts anew.
const ONE_LOOKUP: Duration = Duration::from_secs(5);

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
    topics: HashSet<Topic>,
    attempts: u32,
    /// When it may be tried; none = only after it was found again.
    next: Option<Instant>,
    busy: bool,
    connected: Option<Instant>,
    /// Whether there ever was a connection with it.
    met: bool,
    /// Whether the last attempt to reach it did.
    answers: bool,
    /// How often in a row it ended the connection in good order, and whether that is what it did last.
    sent_away: u32,
    is_away: bool,
    /// Why it could not be had last, and when that was.
    failure: Option<(Instant, String)>,
}

/// How a connection, or the attempt to make one, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By us: in good order, or for want of a place on our side.
    Closed,
    /// By the peer in good order, after messages went both ways: it wants the place for another. With a number drawn by chance,
    /// which spreads those that come back.
    SentAway(u32),
    /// Messages went both ways, and then it broke.
    Broken(String),
    /// It was ended before anything was said.
    Refused(String),
    /// No connection came about.
    Failed(String),
    /// The peer is kept out until then.
    Banned(Instant, String),
}

/// What came of looking for the peers of a topic, now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sought {
    /// Peers that were found on it.
    pub found: usize,
    /// Those of them that are connected.
    pub connected: usize,
    /// Those that were tried without success and are not connected.
    pub failed: usize,
    /// Why the last of these could not be had.
    pub last_failure: Option<String>,
}

/// A peer that was found on a topic, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoughtPeer {
    /// Its public key.
    pub public_key: PublicKey,
    /// Whether it is connected.
    pub connected: bool,
    /// Why it could not be had last, if it is not connected.
    pub failure: Option<String>,
}

/// Whom to connect to next.
#[derive(Debug, Default)]
pub struct PeerQueue {
    /// In an order of their own, so that equal draws choose equally.
    peers: BTreeMap<PublicKey, Peer>,
    /// Whether something is wanted that no connected peer brings.
    wanting: bool,
}

/// The pause after so many in a row.
pub(crate) fn nth(pauses: &[Duration], number: u32) -> Duration {
    let i = (number.max(1) - 1) as usize;
    pauses.get(i).or(pauses.last()).copied().unwrap_or_default()
}

fn backoff(attempts: u32) -> Duration {
    nth(&BACKOFF, attempts)
}

fn spread(pause: Duration, draw: u32) -> Duration {
    let part = f64::from(draw) / f64::from(u32::MAX);
    pause.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * part)
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
    pub fn found(
        &mut self,
        now: Instant,
        key: PublicKey,
        topic: Topic,
        relays: &[SocketAddrV4],
        draw: impl Fn() -> u32,
    ) {
        if !self.peers.contains_key(&key) && self.peers.len() >= MAX_PEERS {
            let strangers = self.peers.iter();
            let strangers = strangers.filter(|(_, p)| !p.busy && p.connected.is_none() && !p.met);
            let Some(victim) = strangers.min_by_key(|_| draw()).map(|(key, _)| *key) else {
                return;
            };
            self.peers.remove(&victim);
        }
        let new = !self.peers.contains_key(&key);
        let peer = self.peers.entry(key).or_insert_with(|| Peer {
            relays: Vec::new(),
            topics: HashSet::new(),
            attempts: 0,
            next: Some(now),
            busy: false,
            connected: None,
            met: false,
            answers: false,
            sent_away: 0,
            is_away: false,
            failure: None,
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

    /// Whether a peer of the topic answered last and is not connected: it has no place for us.
    pub(crate) fn has_no_place(&self, topic: &Topic) -> bool {
        let mut found = self.peers.values().filter(|p| p.topics.contains(topic));
        found.any(|p| p.answers && p.connected.is_none())
    }

    /// Whether a peer of the topic sent us away and is not tried before some time has passed, as nothing is wanted.
    pub fn is_sent_away(&self, topic: &Topic) -> bool {
        let mut found = self.peers.values().filter(|p| p.topics.contains(topic));
        !self.wanting && found.any(|p| p.is_away && p.connected.is_none())
    }

    /// Whether something is wanted that no connected peer brings. Those who sent us away are tried again at once then.
    pub fn set_wanting(&mut self, now: Instant, wanting: bool) {
        self.wanting = wanting;
        let away = self.peers.values_mut().filter(|p| p.is_away && wanting);
        for peer in away.filter(|p| !p.busy && p.connected.is_none()) {
            peer.is_away = false;
            peer.next = Some(now);
        }
    }

    /// Whether the peer was found on the topic.
    pub fn is_on(&self, key: &PublicKey, topic: &Topic) -> bool {
        self.peers.get(key).is_some_and(|p| p.topics.contains(topic))
    }

    /// Nodes that relay handshakes for the peer, as far as others say.
    pub(crate) fn relays(&self, key: &PublicKey) -> Vec<SocketAddrV4> {
        let peer = self.peers.get(key);
        peer.map(|peer| peer.relays.iter().map(|relay| relay.address).collect())
            .unwrap_or_default()
    }

    /// Forgets what was found on a topic that was left.
    pub fn leave(&mut self, topic: &Topic) {
        self.peers.retain(|_, peer| {
            peer.topics.remove(topic);
            !peer.topics.is_empty() || peer.busy || peer.connected.is_some()
        });
    }

    /// The peer to try now, fewest failures first, then by chance. It counts as busy until [`PeerQueue::closed`].
    pub fn take(&mut self, now: Instant, draw: impl Fn() -> u32) -> Option<(PublicKey, Vec<SocketAddrV4>)> {
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
    pub fn next(&self) -> Option<Instant> {
        let idle = self
            .peers
            .values()
            .filter(|p| !p.busy && p.connected.is_none() && !p.topics.is_empty());
        idle.filter_map(|p| p.next).min()
    }

    /// Peers that were never tried or are being tried.
    pub fn untried(&self) -> usize {
        self.peers
            .values()
            .filter(|p| p.busy || (p.attempts == 0 && p.connected.is_none()))
            .count()
    }

    /// A connection with the peer is open.
    pub fn opened(&mut self, now: Instant, key: &PublicKey) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.busy = false;
            peer.connected = Some(now);
            peer.met = true;
            peer.answers = true;
            peer.is_away = false;
            peer.failure = None;
        }
    }

    /// What came of looking for peers of that topic.
    pub fn sought(&self, topic: &Topic) -> Sought {
        let mut sought = Sought::default();
        let mut last = None;
        for peer in self.peers.values().filter(|p| p.topics.contains(topic)) {
            sought.found += 1;
            if peer.connected.is_some() {
                sought.connected += 1;
            } else if let Some(failure) = &peer.failure {
                sought.failed += 1;
                last = last.max(Some(failure));
            }
        }
        sought.last_failure = last.map(|(_, reason)| reason.clone());
        sought
    }

    /// Each of them.
    pub(crate) fn sought_each(&self, topic: &Topic) -> Vec<SoughtPeer> {
        let found = self.peers.iter().filter(|(_, p)| p.topics.contains(topic));
        let status = |(key, peer): (&PublicKey, &Peer)| {
            let connected = peer.connected.is_some();
            let failure = peer.failure.as_ref().filter(|_| !connected);
            SoughtPeer {
                public_key: *key,
                connected,
                failure: failure.map(|(_, reason)| reason.clone()),
            }
        };
        found.map(status).collect()
    }

    /// The connection, or the attempt to make one, is over. When it is tried again depends on why.
    pub fn closed(&mut self, now: Instant, key: &PublicKey, end: End) {
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
        if lived >= Some(SETTLED) {
            peer.sent_away = 0;
        }
        peer.is_away = matches!(end, End::SentAway(_)) && !self.wanting;
        if matches!(end, End::SentAway(_)) {
            peer.sent_away = peer.sent_away.saturating_add(1);
        }
        let usual = (peer.attempts <= MAX_ATTEMPTS).then(|| now + backoff(peer.attempts));
        peer.next = match &end {
            End::Broken(_) if lived >= Some(NOT_FLEETING) => {
                peer.attempts = 0;
                Some(now)
            }
            End::SentAway(draw) if !self.wanting => {
                Some(now + spread(nth(&SENT_AWAY, peer.sent_away), *draw))
            }
            End::SentAway(_) => Some(now + backoff(peer.attempts).min(REFUSED_PAUSE)),
            End::Refused(_) => usual.map(|at| at.min(now + REFUSED_PAUSE)),
            End::Banned(until, _) => Some(usual.map_or(*until, |at| at.max(*until))),
            End::Closed | End::Broken(_) | End::Failed(_) => usual,
        };
        if matches!(end, End::Refused(_) | End::Failed(_)) {
            peer.answers = matches!(end, End::Refused(_));
        }
        peer.failure = match end {
            End::Closed | End::SentAway(_) => None,
            End::Broken(why) | End::Refused(why) | End::Failed(why) | End::Banned(_, why) => Some((now, why)),
        };
        if peer.topics.is_empty() {
            self.peers.remove(key);
        }
    }

    /// The attempt is over because another connection with the peer is there; that one counts.
    pub fn superseded(&mut self, key: &PublicKey) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.busy = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Topic = Topic([9; 32]);

    fn relay(port: u16) -> Vec<SocketAddrV4> {
        vec![SocketAddrV4::new([1, 2, 3, 4].into(), port)]
    }

    fn failed() -> End {
        End::Failed("no answer".into())
    }

    fn number(n: u32) -> PublicKey {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        PublicKey(key)
    }

    #[test]
    fn a_peer_is_tried_again_when_the_end_gives_hope() {
        let (now, until) = (Instant::now(), Instant::now() + Duration::from_secs(600));
        let why = || String::from("why");
        let second = Duration::from_secs(1);
        for (earlier, lived, end, pause) in [
            (3, Some(2), End::Broken(why()), Duration::ZERO),
            (0, Some(0), End::Broken(why()), second),
            (6, Some(0), End::Refused(why()), REFUSED_PAUSE),
            (0, Some(0), End::Refused(why()), second),
            (3, None, End::Failed(why()), 15 * second),
            (0, Some(60), End::Banned(until, why()), until - now),
            (0, None, End::Banned(until, why()), until - now),
        ] {
            let mut queue = PeerQueue::default();
            queue.found(now, PublicKey([1; 32]), TOPIC, &relay(1), || 0);
            for _ in 0..earlier {
                queue.closed(now, &PublicKey([1; 32]), failed());
            }
            let since = lived.map(|lived| now - lived * second);
            since.inspect(|since| queue.opened(*since, &PublicKey([1; 32])));
            queue.closed(now, &PublicKey([1; 32]), end.clone());
            assert_eq!(queue.next(), Some(now + pause), "{end:?} after {earlier}");
        }
    }

    #[test]
    fn invented_peers_do_not_keep_a_later_one_out_nor_push_out_one_that_was_met() {
        let (now, mut queue) = (Instant::now(), PeerQueue::default());
        queue.found(now, PublicKey([1; 32]), TOPIC, &relay(1), || 0);
        queue.opened(now, &PublicKey([1; 32]));
        queue.closed(now, &PublicKey([1; 32]), End::Closed);
        for n in 0..MAX_PEERS as u32 * 2 {
            queue.found(now, number(n), TOPIC, &relay(1), || n);
        }
        queue.found(now, PublicKey([2; 32]), TOPIC, &relay(1), || 0);
        assert!(queue.is_on(&PublicKey([1; 32]), &TOPIC) && queue.is_on(&PublicKey([2; 32]), &TOPIC));
        assert_eq!(queue.peers.len(), MAX_PEERS);
    }

    #[test]
    fn it_is_known_how_many_were_found_and_why_they_could_not_be_had() {
        let (now, mut queue) = (Instant::now(), PeerQueue::default());
        assert_eq!(queue.sought(&TOPIC), Sought::default());
        for n in 0..4 {
            queue.found(now, number(n), TOPIC, &relay(1), || 0);
        }
        queue.found(now, number(9), Topic([8; 32]), &relay(1), || 0);
        let later = now + Duration::from_secs(1);
        queue.closed(later, &number(0), End::Failed("the last".into()));
        queue.closed(now, &number(1), failed());
        queue.closed(later, &number(9), End::Failed("of another topic".into()));
        queue.closed(now, &number(2), failed());
        queue.opened(now, &number(2));
        let sought = Sought {
            found: 4,
            connected: 1,
            failed: 2,
            last_failure: Some("the last".into()),
        };
        assert_eq!(queue.sought(&TOPIC), sought);
    }

    #[test]
    fn a_failing_peer_is_tried_ever_less_often_then_only_when_found_again() {
        let start = Instant::now();
        let mut queue = PeerQueue::default();
        queue.found(start, PublicKey([1; 32]), TOPIC, &relay(1), || 0);
        let mut now = start;
        let mut pauses = Vec::new();
        while let Some(at) = queue.next() {
            pauses.push((at - now).as_secs());
            now = at;
            assert_eq!(queue.take(now, || 0), Some((PublicKey([1; 32]), relay(1))));
            assert_eq!(queue.take(now, || 0), None, "it is busy");
            queue.closed(now, &PublicKey([1; 32]), failed());
        }
        assert_eq!(pauses, [0, 1, 2, 5, 15, 30, 60, 60, 60]);
        queue.found(now, PublicKey([1; 32]), TOPIC, &relay(1), || 0);
        assert_eq!(queue.next(), Some(now + Duration::from_secs(60)));
        queue.found(now, PublicKey([1; 32]), TOPIC, &relay(2), || 0);
        assert_eq!(queue.next(), Some(now), "new relays: it was restarted");
    }

    #[test]
    fn a_peer_that_turns_us_away_is_told_from_one_that_is_gone() {
        let (now, key, mut queue) = (Instant::now(), PublicKey([1; 32]), PeerQueue::default());
        queue.found(now, key, TOPIC, &relay(1), || 0);
        assert!(!queue.has_no_place(&TOPIC), "nobody knows yet");
        for (end, without_place) in [(End::Refused("no place".into()), true), (failed(), false)] {
            queue.closed(now, &key, end);
            assert_eq!(queue.has_no_place(&TOPIC), without_place);
        }
        queue.opened(now, &key);
        assert!(!queue.has_no_place(&TOPIC), "it has one");
        queue.closed(now, &key, End::Broken("cut".into()));
        assert!(queue.has_no_place(&TOPIC) && !queue.has_no_place(&Topic([8; 32])));
    }

    #[test]
    fn who_is_sent_away_again_and_again_waits_for_minutes_until_something_is_wanted() {
        let (start, key, mut queue) = (Instant::now(), PublicKey([1; 32]), PeerQueue::default());
        queue.found(start, key, TOPIC, &relay(1), || 0);
        let mut now = start;
        let mut pauses = Vec::new();
        let mut send_away = |queue: &mut PeerQueue, lived: Duration| {
            queue.take(now, || 0).unwrap();
            queue.opened(now, &key);
            assert!(!queue.is_sent_away(&TOPIC), "it is connected");
            now += lived;
            queue.closed(now, &key, End::SentAway(u32::MAX / 2));
            let next = queue.next().unwrap();
            pauses.push((next - now).as_secs_f64().round() as u64);
            now = next;
            now
        };
        for _ in 0..5 {
            send_away(&mut queue, Duration::from_secs(100));
        }
        send_away(&mut queue, SETTLED);
        let now = send_away(&mut queue, Duration::ZERO);
        assert_eq!(pauses, [5, 30, 120, 300, 300, 5, 30]);
        assert!(queue.is_sent_away(&TOPIC) && !queue.is_sent_away(&Topic([8; 32])));
        let soon = now - Duration::from_secs(29);
        queue.set_wanting(soon, true);
        assert_eq!(queue.next(), Some(soon), "something is wanted");
        assert!(!queue.is_sent_away(&TOPIC));
        queue.take(soon, || 0).unwrap();
        queue.opened(soon, &key);
        queue.closed(now, &key, End::SentAway(0));
        assert_eq!(queue.next(), Some(now + Duration::from_secs(1)), "and still is");
        assert!(!queue.is_sent_away(&TOPIC));
        for (draw, pause) in [(0, 4), (u32::MAX, 6)] {
            assert_eq!(spread(Duration::from_secs(5), draw), Duration::from_secs(pause));
        }
    }

    #[test]
    fn a_lost_good_connection_is_made_again_soon() {
        let now = Instant::now();
        let mut queue = PeerQueue::default();
        queue.found(now, PublicKey([1; 32]), TOPIC, &relay(1), || 0);
        for _ in 0..3 {
            queue.closed(now, &PublicKey([1; 32]), failed());
        }
        queue.opened(now, &PublicKey([1; 32]));
        assert_eq!(queue.next(), None);
        let later = now + GOOD_CONNECTION;
        queue.closed(later, &PublicKey([1; 32]), End::Closed);
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
            queue.found(now, PublicKey([1; 32]), TOPIC, &lie, || 0);
            for _ in 0..5 {
                queue.found(now, PublicKey([1; 32]), TOPIC, &honest, || 0);
            }
            queue.found(now, PublicKey([1; 32]), TOPIC, &lie, || 0);
            let (_, relays) = queue.take(now, || 0).unwrap();
            assert_eq!(relays[..3], honest, "named by most");
            assert!(relays.len() <= MAX_RELAYS);
            let taken = relays.iter().filter(|address| lie.contains(address));
            assert_eq!(taken.count(), RELAYS_PER_ANSWER, "only so many of one answer");
            queue.superseded(&PublicKey([1; 32]));
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
                queue.found(now, PublicKey([1; 32]), TOPIC, &relays, || 0);
            }
            let (_, known) = queue.take(now, || 0).unwrap();
            assert_eq!(known[..3], relays);
            queue.superseded(&PublicKey([1; 32]));
            now += Duration::from_secs(60);
        }
    }
}
