//! The sessions of a server: one for each client's Noise message. Anybody may send those, by the thousand and with any address
//! in them; so they are counted by who really sent them, and those that have not proved themselves make room for new ones.
//!
//! No I/O: time is passed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Sessions kept at once. Each costs a stream id and some kilobytes.
const MAX_SESSIONS: usize = 1024;
/// The share of one sender when the table is full, be it a relay of ours with many clients or one stranger.
const SHARE_OF_SENDER: usize = 256;
/// The share of one client address when the table is full: while there is room, a school behind one address may have all of
/// it. Only relays of ours are believed what a client's address is.
const SHARE_OF_CLIENT: usize = 64;
/// How long a session answers the same handshake after it began.
pub(super) const SESSION_TIME: Duration = Duration::from_secs(20);
/// How long it lasts after its client proved itself: a hole punch through a NAT that changes ports takes 35 s at most.
const PROVEN_TIME: Duration = Duration::from_secs(40);
/// However often the client writes, a session ends after this time.
const LONGEST_SESSION: Duration = Duration::from_secs(60);

/// Where a handshake came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// Who sent the packet: a relay of ours with its port, a stranger without.
    sender: SocketAddrV4,
    client: Ipv4Addr,
}

impl Origin {
    /// Of a packet `from` there about `client`.
    pub(super) fn new(from: SocketAddrV4, is_relay: bool, client: SocketAddrV4) -> Self {
        if is_relay {
            return Self {
                sender: from,
                client: *client.ip(),
            };
        }
        Self {
            sender: SocketAddrV4::new(*from.ip(), 0),
            client: *from.ip(),
        }
    }
}

/// BLAKE2b-256 of a client's first message.
type MessageHash = [u8; 32];

#[derive(Debug)]
struct Entry<T> {
    id: u64,
    origin: Origin,
    began: Instant,
    until: Instant,
    proven: bool,
    value: T,
}

/// Sessions by the hash of the client's message, and by the number the client was told.
#[derive(Debug)]
pub(super) struct Sessions<T> {
    by_key: HashMap<MessageHash, Entry<T>>,
    by_id: HashMap<u64, MessageHash>,
}

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            by_id: HashMap::new(),
        }
    }
}

impl<T> Sessions<T> {
    /// The session of that client's message.
    pub(super) fn get(&self, key: &MessageHash) -> Option<&T> {
        self.by_key.get(key).map(|entry| &entry.value)
    }

    /// The session of that number.
    pub(super) fn by_id(&self, id: u64) -> Option<&T> {
        self.get(self.by_id.get(&id)?)
    }

    /// The client of that session showed that it holds the keys: it stays for a while longer.
    pub(super) fn prove(&mut self, now: Instant, id: u64) {
        let key = self.by_id.get(&id);
        if let Some(entry) = key.and_then(|key| self.by_key.get_mut(key)) {
            entry.proven = true;
            entry.until = (now + PROVEN_TIME).min(entry.began + LONGEST_SESSION);
        }
    }

    /// Drops what is over.
    pub(super) fn forget_old(&mut self, now: Instant) {
        let by_id = &mut self.by_id;
        self.by_key.retain(|_, entry| {
            let keep = entry.until > now;
            if !keep {
                by_id.remove(&entry.id);
            }
            keep
        });
    }

    /// Makes room for a session of that origin. Only a full table has to: then whoever has its share already gives up its own
    /// oldest unproven one, and for others the heaviest sender does. False if there is none to drop.
    pub(super) fn make_room(&mut self, origin: Origin) -> bool {
        if self.by_key.len() < MAX_SESSIONS {
            return true;
        }
        let all = || self.by_key.values().map(|entry| entry.origin);
        let of_client = |o: &Origin| o.client == origin.client && o.sender == origin.sender;
        let victim = if all().filter(of_client).count() >= SHARE_OF_CLIENT {
            self.oldest(false, of_client)
        } else if all().filter(|o| o.sender == origin.sender).count() >= SHARE_OF_SENDER {
            self.oldest(false, |o| o.sender == origin.sender)
        } else {
            self.oldest_of_heaviest(false, |o| o.sender, 0)
                // Proving oneself is cheap: it does not keep others out for more than one's share.
                .or_else(|| self.oldest_of_heaviest(true, |o| (o.sender, o.client), SHARE_OF_CLIENT))
                .or_else(|| self.oldest_of_heaviest(true, |o| o.sender, SHARE_OF_SENDER))
        };
        let Some(victim) = victim else { return false };
        if let Some(entry) = self.by_key.remove(&victim) {
            self.by_id.remove(&entry.id);
        }
        true
    }

    fn oldest(&self, proven: bool, of: impl Fn(&Origin) -> bool) -> Option<MessageHash> {
        let entries = self.by_key.iter();
        let entries = entries.filter(|(_, e)| e.proven == proven && of(&e.origin));
        entries.min_by_key(|(_, e)| e.began).map(|(key, _)| *key)
    }

    /// The oldest session of whoever has most of that kind, if those are more than `share`.
    fn oldest_of_heaviest<K: Eq + Hash>(
        &self,
        proven: bool,
        who: impl Fn(&Origin) -> K,
        share: usize,
    ) -> Option<MessageHash> {
        let mut counts: HashMap<K, usize> = HashMap::new();
        for entry in self.by_key.values().filter(|entry| entry.proven == proven) {
            *counts.entry(who(&entry.origin)).or_default() += 1;
        }
        let most = counts.values().copied().max().filter(|most| *most > share)?;
        self.oldest(proven, |o| counts.get(&who(o)) == Some(&most))
    }

    /// Files a session; call [`Sessions::make_room`] before.
    pub(super) fn insert(&mut self, now: Instant, key: MessageHash, id: u64, origin: Origin, value: T) {
        let entry = Entry {
            id,
            origin,
            began: now,
            until: now + SESSION_TIME,
            proven: false,
            value,
        };
        self.by_id.insert(id, key);
        self.by_key.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u32, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from(0x0500_0000 + n), port)
    }

    struct Table {
        sessions: Sessions<()>,
        now: Instant,
        next: u64,
    }

    impl Table {
        fn new() -> Self {
            Self {
                sessions: Sessions::default(),
                now: Instant::now(),
                next: 0,
            }
        }

        fn add(&mut self, origin: Origin) -> Option<u64> {
            self.now += Duration::from_micros(1);
            self.next += 1;
            let mut key = [0; 32];
            key[..8].copy_from_slice(&self.next.to_le_bytes());
            self.sessions.make_room(origin).then(|| {
                self.sessions.insert(self.now, key, self.next, origin, ());
                self.next
            })
        }

        fn has(&self, id: u64) -> bool {
            self.sessions.by_id(id).is_some()
        }
    }

    #[test]
    fn a_strangers_flood_leaves_the_others_alone() {
        let mut table = Table::new();
        let relay = at(1, 1);
        let honest = table.add(Origin::new(relay, true, at(2, 5))).unwrap();
        for i in 0..10_000 {
            // It names another client each time.
            let from = at(3, (i % 60_000) as u16);
            assert!(table.add(Origin::new(from, false, at(100 + i, 7))).is_some());
        }
        assert!(table.has(honest));
        assert_eq!(table.sessions.by_key.len(), MAX_SESSIONS);
        let late = table.add(Origin::new(relay, true, at(4, 5))).unwrap();
        assert!(table.add(Origin::new(at(3, 1), false, at(5, 7))).is_some());
        assert!(table.has(late), "the flood makes room for others and for itself");
    }

    #[test]
    fn a_school_behind_one_address_has_all_the_room_there_is() {
        let mut table = Table::new();
        let pupils: Vec<_> = (0..500)
            .map(|port| {
                table
                    .add(Origin::new(at(1, 1), true, at(2, 1000 + port)))
                    .unwrap()
            })
            .collect();
        let gone = pupils.iter().filter(|id| !table.has(**id)).count();
        assert_eq!(gone, 0, "of 500 clients");
    }

    #[test]
    fn who_proves_itself_a_thousand_times_keeps_nobody_out() {
        let mut table = Table::new();
        let origin = Origin::new(at(1, 1), false, at(1, 1));
        for _ in 0..MAX_SESSIONS {
            let id = table.add(origin).unwrap();
            table.sessions.prove(table.now, id);
        }
        let other = table.add(Origin::new(at(2, 1), false, at(2, 1)));
        assert!(other.is_some_and(|id| table.has(id)));
    }

    #[test]
    fn a_rogue_relays_flood_leaves_the_other_relays_alone() {
        let mut table = Table::new();
        let honest: Vec<_> = (0..100)
            .map(|i| table.add(Origin::new(at(1, 1), true, at(1000 + i, 5))).unwrap())
            .collect();
        for i in 0..10_000 {
            assert!(table.add(Origin::new(at(1, 2), true, at(5000 + i, 7))).is_some());
        }
        assert!(honest.iter().all(|id| table.has(*id)));
        assert_eq!(table.sessions.by_key.len(), MAX_SESSIONS);
    }

    #[test]
    fn when_all_is_full_the_oldest_unproven_of_the_heaviest_goes() {
        let mut table = Table::new();
        let few: Vec<_> = (0..10)
            .map(|i| table.add(Origin::new(at(9, 1), true, at(i, 5))))
            .collect();
        for i in 0..MAX_SESSIONS as u32 * 2 {
            let relay = at(20 + i % 7, 1);
            assert!(table.add(Origin::new(relay, true, at(1000 + i, 5))).is_some());
        }
        assert!(few.iter().flatten().all(|id| table.has(*id)));
        assert_eq!(table.sessions.by_key.len(), MAX_SESSIONS);
        assert_eq!(table.sessions.by_id.len(), MAX_SESSIONS);
    }

    #[test]
    fn the_proven_stay_but_not_for_ever() {
        let mut table = Table::new();
        let origin = Origin::new(at(1, 1), false, at(1, 1));
        let first = table.add(origin).unwrap();
        table.sessions.prove(table.now, first);
        for _ in 0..MAX_SESSIONS * 2 {
            assert!(table.add(origin).is_some());
        }
        assert!(table.has(first));
        for _ in 0..20 {
            table.now += Duration::from_secs(10);
            table.sessions.prove(table.now, first);
            table.sessions.forget_old(table.now);
        }
        assert!(
            !table.has(first),
            "it is over after a minute whatever the client does"
        );

        let mut table = Table::new();
        let proven: Vec<_> = (0..MAX_SESSIONS).map(|_| table.add(origin).unwrap()).collect();
        proven.iter().for_each(|id| table.sessions.prove(table.now, *id));
        assert_eq!(table.add(origin), None, "none of them makes room");
        table.sessions.forget_old(table.now + PROVEN_TIME);
        assert_eq!(table.sessions.by_key.len(), 0);
        assert_eq!(table.sessions.by_id.len(), 0);
    }
}
