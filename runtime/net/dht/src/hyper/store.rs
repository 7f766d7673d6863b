//! What a node stores and relays for others (npm hyperdht lib/persistent.js, lib/router.js, npm record-cache).
//!
//! Everything is bounded in number and age; what is asked of it is decided without I/O: see [`Store::handle`].

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};

use super::messages::{Announce, Handshake, Holepunch, LookupReply, Mode, Mutable, Peer};
use super::sign::{NS, mutable_signable, verify_announce};
use super::{command, error_code};
use crate::address::{Id, hash};
use crate::rpc::{Answer, Incoming};
use secret_stream::KeyPair;

const MAX_AGE: Duration = Duration::from_secs(20 * 60);
const MAX_VALUE_AGE: Duration = Duration::from_secs(48 * 60 * 60);
const MAX_ENTRIES: usize = 65_536;
const MAX_VALUES: usize = 8_192;
/// Announcements kept per topic, and how many a lookup gets.
const MAX_PER_TOPIC: usize = 1_024;
const LOOKUP_LIMIT: usize = 20;
const MAX_RELAYS: usize = 3;
/// How far in the future a bump may lie.
const MAX_BUMP_DRIFT_MS: u64 = 60_000;

/// A map that forgets entries not renewed between 2/3 and 4/3 of its age, or when it is full.
#[derive(Debug)]
struct Aged<K, V> {
    fresh: HashMap<K, V>,
    stale: HashMap<K, V>,
    max_size: usize,
    age: Duration,
    turned: Instant,
}

impl<K: Eq + Hash + Clone, V> Aged<K, V> {
    fn new(now: Instant, max_size: usize, age: Duration) -> Self {
        Self {
            fresh: HashMap::new(),
            stale: HashMap::new(),
            max_size,
            age,
            turned: now,
        }
    }

    fn turn(&mut self, now: Instant) {
        let (step, elapsed) = (self.age * 2 / 3, now.saturating_duration_since(self.turned));
        if elapsed >= step || self.fresh.len() * 2 >= self.max_size {
            self.turned = now;
            self.stale = std::mem::take(&mut self.fresh);
        }
        // Nobody asked for so long that two turns are due.
        if elapsed >= step * 2 {
            self.stale.clear();
        }
    }

    fn set(&mut self, now: Instant, key: K, value: V) {
        self.turn(now);
        self.stale.remove(&key);
        self.fresh.insert(key, value);
    }

    fn get(&mut self, now: Instant, key: &K) -> Option<&V> {
        self.turn(now);
        self.fresh.get(key).or_else(|| self.stale.get(key))
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.fresh.remove(key).or_else(|| self.stale.remove(key))
    }
}

/// A server that announced itself to us: handshakes for it go to where its announcement came from.
#[derive(Debug, Clone)]
struct Forward {
    relay: SocketAddrV4,
    record: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Refresh {
    target: Id,
    peer: Id,
    record: Vec<u8>,
    is_self: bool,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Answer it.
    Answer(Answer),
    /// Pass it on with this body.
    Relay(Vec<u8>, SocketAddrV4),
    /// It is malformed or not to be answered.
    Ignore,
    /// There is no such command here.
    Unknown,
}

/// Records and routes of others.
#[derive(Debug)]
pub struct Store {
    rng: StdRng,
    records: Aged<(Id, Id), Vec<u8>>,
    topics: HashMap<Id, Vec<Id>>,
    topics_checked: Instant,
    bumps: Aged<Id, u64>,
    refreshes: Aged<Id, Refresh>,
    forwards: Aged<Id, Forward>,
    mutables: Aged<Id, Mutable>,
    immutables: Aged<Id, Vec<u8>>,
}

impl Store {
    /// An empty store. `seed` makes its choices deterministic.
    pub fn new(now: Instant, seed: [u8; 32]) -> Self {
        Self {
            rng: StdRng::from_seed(seed),
            records: Aged::new(now, MAX_ENTRIES, MAX_AGE),
            topics: HashMap::new(),
            topics_checked: now,
            bumps: Aged::new(now, MAX_ENTRIES, MAX_AGE),
            refreshes: Aged::new(now, MAX_ENTRIES, MAX_AGE),
            forwards: Aged::new(now, MAX_ENTRIES, MAX_AGE),
            mutables: Aged::new(now, MAX_VALUES, MAX_VALUE_AGE),
            immutables: Aged::new(now, MAX_VALUES, MAX_VALUE_AGE),
        }
    }

    /// Where handshakes for the server of that target go, if it announced itself here.
    pub fn route(&mut self, now: Instant, target: &Id) -> Option<SocketAddrV4> {
        self.forwards.get(now, target).map(|f| f.relay)
    }

    /// Decides what to do with a request. `id` is the node's own if it is persistent: others store nothing.
    /// `own_record` is the record of a server on this very node listening at the target.
    pub fn handle(
        &mut self,
        now: Instant,
        id: Option<Id>,
        own_record: Option<&[u8]>,
        req: &Incoming,
    ) -> Verdict {
        let value = req.value.as_deref();
        match req.command {
            command::PEER_HANDSHAKE => self.relay_handshake(now, req).unwrap_or(Verdict::Ignore),
            command::PEER_HOLEPUNCH => self.relay_holepunch(now, req).unwrap_or(Verdict::Ignore),
            _ => {
                let (Some(id), Some(target)) = (id, req.target) else {
                    return if id.is_none() {
                        Verdict::Unknown
                    } else {
                        Verdict::Ignore
                    };
                };
                match req.command {
                    command::FIND_PEER => {
                        let record = own_record
                            .map(<[u8]>::to_vec)
                            .or_else(|| self.forwards.get(now, &target).map(|f| f.record.clone()));
                        Verdict::Answer(full(record))
                    }
                    command::LOOKUP => self.lookup(now, &target, own_record),
                    command::ANNOUNCE => self.announce(now, &id, &target, req).unwrap_or(Verdict::Ignore),
                    command::UNANNOUNCE => self.unannounce(&id, &target, req).unwrap_or(Verdict::Ignore),
                    command::MUTABLE_PUT => self.mutable_put(now, &target, req).unwrap_or(Verdict::Ignore),
                    command::MUTABLE_GET => {
                        let Some(Ok(seq)) = value.map(|v| crate::wire::Reader::new(v).uint()) else {
                            return Verdict::Ignore;
                        };
                        let found = self.mutables.get(now, &target).filter(|m| m.seq >= seq);
                        Verdict::Answer(full(found.map(Mutable::encode)))
                    }
                    command::IMMUTABLE_PUT => match value {
                        Some(value) if req.token.is_some() && hash(&[value]) == target => {
                            self.immutables.set(now, target, value.to_vec());
                            Verdict::Answer(full(None))
                        }
                        _ => Verdict::Ignore,
                    },
                    command::IMMUTABLE_GET => {
                        Verdict::Answer(full(self.immutables.get(now, &target).cloned()))
                    }
                    _ => Verdict::Unknown,
                }
            }
        }
    }

    fn lookup(&mut self, now: Instant, target: &Id, own_record: Option<&[u8]>) -> Verdict {
        let mut peers = self.topics.get(target).cloned().unwrap_or_default();
        peers.retain(|peer| self.records.get(now, &(*target, *peer)).is_some());
        if peers.is_empty() {
            self.topics.remove(target);
        }
        peers.shuffle(&mut self.rng);
        peers.truncate(LOOKUP_LIMIT);
        let mut records: Vec<Vec<u8>> = peers
            .iter()
            .filter_map(|peer| self.records.get(now, &(*target, *peer)).cloned())
            .collect();
        let forward = self.forwards.get(now, target).map(|f| f.record.clone());
        if records.len() < LOOKUP_LIMIT {
            records.extend(own_record.map(<[u8]>::to_vec).or(forward));
        }
        let bump = self.bumps.get(now, target).copied().unwrap_or(0);
        let raw: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        Verdict::Answer(full(
            (!raw.is_empty()).then(|| LookupReply::encode_raw(&raw, bump)),
        ))
    }

    fn announce(&mut self, now: Instant, id: &Id, target: &Id, req: &Incoming) -> Option<Verdict> {
        let token = req.token?;
        let mut announce = Announce::decode(req.value.as_deref()?).ok()?;
        if announce.peer.is_none() {
            return self.refresh(now, &announce.refresh?, req);
        }
        if !verify_announce(target, &token, id, &announce, &NS.announce) {
            return None;
        }
        let peer = announce.peer.as_mut()?;
        peer.relay_addresses.truncate(MAX_RELAYS);
        let (record, key) = (peer.encode(), peer.public_key);
        let is_self = hash(&[&key]) == *target;
        let entry = Refresh {
            target: *target,
            peer: key,
            record,
            is_self,
        };
        if !is_self {
            let current = self.bumps.get(now, target).copied().unwrap_or(0);
            if announce.bump > current && announce.bump <= unix_ms() + MAX_BUMP_DRIFT_MS {
                self.bumps.set(now, *target, announce.bump);
            }
        }
        self.put(now, req.from, &entry);
        if let Some(refresh) = announce.refresh {
            self.refreshes.set(now, refresh, entry);
        }
        Some(Verdict::Answer(Answer::default()))
    }

    /// Prolongs an announcement: the secret whose hash was left with it is shown, and is the next hash.
    fn refresh(&mut self, now: Instant, secret: &Id, req: &Incoming) -> Option<Verdict> {
        let active = hash(&[secret]);
        let entry = self.refreshes.get(now, &active)?.clone();
        self.put(now, req.from, &entry);
        self.refreshes.remove(&active);
        self.refreshes.set(now, *secret, entry);
        Some(Verdict::Answer(Answer::default()))
    }

    fn put(&mut self, now: Instant, from: SocketAddrV4, entry: &Refresh) {
        if entry.is_self {
            let forward = Forward {
                relay: from,
                record: entry.record.clone(),
            };
            self.forwards.set(now, entry.target, forward);
            self.remove_record(&entry.target, &entry.peer);
            return;
        }
        self.sweep(now);
        let peers = self.topics.entry(entry.target).or_default();
        if !peers.contains(&entry.peer) {
            if peers.len() >= MAX_PER_TOPIC {
                let oldest = peers.remove(0);
                self.records.remove(&(entry.target, oldest));
            }
            peers.push(entry.peer);
        }
        self.records
            .set(now, (entry.target, entry.peer), entry.record.clone());
    }

    /// Drops topics whose records aged out.
    fn sweep(&mut self, now: Instant) {
        let due = now.saturating_duration_since(self.topics_checked) >= MAX_AGE / 4;
        if !due && self.topics.len() < MAX_ENTRIES {
            return;
        }
        self.topics_checked = now;
        let records = &mut self.records;
        self.topics.retain(|target, peers| {
            peers.retain(|peer| records.get(now, &(*target, *peer)).is_some());
            !peers.is_empty()
        });
    }

    fn remove_record(&mut self, target: &Id, peer: &Id) {
        self.records.remove(&(*target, *peer));
        if let Some(peers) = self.topics.get_mut(target) {
            peers.retain(|p| p != peer);
            if peers.is_empty() {
                self.topics.remove(target);
            }
        }
    }

    fn unannounce(&mut self, id: &Id, target: &Id, req: &Incoming) -> Option<Verdict> {
        let token = req.token?;
        let announce = Announce::decode(req.value.as_deref()?).ok()?;
        if !verify_announce(target, &token, id, &announce, &NS.unannounce) {
            return None;
        }
        let Peer { public_key, .. } = announce.peer?;
        if hash(&[&public_key]) == *target {
            self.forwards.remove(target);
        }
        self.remove_record(target, &public_key);
        Some(Verdict::Answer(Answer::default()))
    }

    fn mutable_put(&mut self, now: Instant, target: &Id, req: &Incoming) -> Option<Verdict> {
        req.token?;
        let (public_key, new) = Mutable::decode_put(req.value.as_deref()?).ok()?;
        if hash(&[&public_key]) != *target
            || !KeyPair::verify(&public_key, &mutable_signable(&new), &new.signature)
        {
            return None;
        }
        if let Some(old) = self.mutables.get(now, target) {
            let error = if new.seq == old.seq && new.value != old.value {
                error_code::SEQ_REUSED
            } else if new.seq < old.seq {
                error_code::SEQ_TOO_LOW
            } else {
                error_code::NONE
            };
            if error != error_code::NONE {
                return Some(Verdict::Answer(Answer {
                    error,
                    closer: true,
                    ..Answer::default()
                }));
            }
        }
        self.mutables.set(now, *target, new);
        Some(Verdict::Answer(full(None)))
    }

    fn relay_handshake(&mut self, now: Instant, req: &Incoming) -> Option<Verdict> {
        let hs = Handshake::decode(req.value.as_deref()?).ok()?;
        let relay = req.target.and_then(|target| self.route(now, &target));
        let pass = |mode, peer_address, relay_address| {
            Handshake {
                mode,
                noise: hs.noise.clone(),
                peer_address,
                relay_address,
            }
            .encode()
        };
        match hs.mode {
            Mode::FromClient => match hs.relay_address.or(relay) {
                Some(to) => Some(Verdict::Relay(pass(Mode::FromRelay, Some(req.from), None), to)),
                None => Some(Verdict::Answer(Answer {
                    closer: true,
                    ..Answer::default()
                })),
            },
            Mode::FromRelay => Some(Verdict::Relay(
                pass(Mode::FromSecondRelay, hs.peer_address, Some(req.from)),
                relay?,
            )),
            Mode::FromServer => {
                let to = hs.peer_address?;
                let value = Some(pass(Mode::Reply, Some(req.from), None));
                Some(Verdict::Answer(Answer {
                    value,
                    to: Some(to),
                    ..Answer::default()
                }))
            }
            Mode::FromSecondRelay | Mode::Reply => None,
        }
    }

    fn relay_holepunch(&mut self, now: Instant, req: &Incoming) -> Option<Verdict> {
        let hp = Holepunch::decode(req.value.as_deref()?).ok()?;
        let pass = |mode| {
            Holepunch {
                mode,
                peer_address: Some(req.from),
                ..hp.clone()
            }
            .encode()
        };
        match hp.mode {
            Mode::FromClient => {
                let route = req.target.and_then(|target| self.route(now, &target));
                Some(Verdict::Relay(pass(Mode::FromRelay), hp.peer_address.or(route)?))
            }
            Mode::FromServer => {
                let to = hp.peer_address?;
                Some(Verdict::Answer(Answer {
                    value: Some(pass(Mode::Reply)),
                    to: Some(to),
                    ..Answer::default()
                }))
            }
            _ => None,
        }
    }
}

/// An answer with token and closer nodes.
fn full(value: Option<Vec<u8>>) -> Answer {
    Answer {
        value,
        token: true,
        closer: true,
        ..Answer::default()
    }
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as u64)
}
