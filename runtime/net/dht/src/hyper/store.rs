//! What a node stores and relays for others (npm hyperdht lib/persistent.js, lib/router.js, npm record-cache).
//!
//! Everything is bounded in number and age; what is asked of it is decided without I/O: see [`Store::handle`].

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::hash::blake2b;
use base::wire::Reader;
use base::{KeyPair, PublicKey};
use rand::seq::IndexedRandom;
use rand::{SeedableRng, rngs::StdRng};

use super::fair::Fair;
use super::messages::{Announce, Handshake, Holepunch, LookupReply, Mode, Mutable, Peer};
use super::sign::{NS, mutable_signable, verify_announce};
use super::{command, error_code};
use crate::id::{NodeId, Target};
use crate::rpc::{Answer, Incoming};

#[cfg(test)]
mod tests;

const MAX_AGE: Duration = Duration::from_secs(20 * 60);
const MAX_VALUE_AGE: Duration = Duration::from_secs(48 * 60 * 60);
const MAX_ENTRIES: usize = 65_536;
const MAX_VALUES: usize = 8_192;
/// Of all entries, one address may hold a quarter: more than the machines behind one address announce, and never all.
const OWNERS_SHARE: usize = 4;
/// Longest value: any answer with one fits one packet. (npm sets no limit but that of a datagram; BEP 44, which it follows, says 1000.)
const MAX_VALUE: usize = 1000;
/// Announcements kept per topic, those of them from one address (a whole office may sit behind one), and how many a lookup gets.
const MAX_PER_TOPIC: usize = 1_024;
const MAX_PER_TOPIC_AND_ADDRESS: usize = 32;
const LOOKUP_LIMIT: usize = 20;
const MAX_RELAYS: usize = 3;
/// How far in the future a bump may lie.
const MAX_BUMP_DRIFT_MS: u64 = 60_000;

/// A server that announced itself to us: handshakes for it go to where its announcement came from.
#[derive(Debug, Clone)]
struct Forward {
    relay: SocketAddrV4,
    record: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Refresh {
    target: Target,
    peer: PublicKey,
    record: Vec<u8>,
    is_self: bool,
}

/// A peer on a topic, and the address that announced it.
#[derive(Debug, Clone, Copy)]
struct Member {
    peer: PublicKey,
    owner: Ipv4Addr,
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
    records: Fair<(Target, PublicKey), Vec<u8>>,
    /// Who announced a topic, oldest first.
    topics: HashMap<Target, Vec<Member>>,
    bumps: Fair<Target, u64>,
    refreshes: Fair<[u8; 32], Refresh>,
    forwards: Fair<Target, Forward>,
    mutables: Fair<Target, Mutable>,
    immutables: Fair<Target, Vec<u8>>,
}

impl Store {
    /// An empty store. `seed` makes its choices deterministic.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: StdRng::from_seed(seed),
            records: map(MAX_ENTRIES, MAX_AGE),
            topics: HashMap::new(),
            bumps: map(MAX_ENTRIES, MAX_AGE),
            refreshes: map(MAX_ENTRIES, MAX_AGE),
            forwards: map(MAX_ENTRIES, MAX_AGE),
            mutables: map(MAX_VALUES, MAX_VALUE_AGE),
            immutables: map(MAX_VALUES, MAX_VALUE_AGE),
        }
    }

    /// Where handshakes for the server of that target go, if it announced itself here.
    pub fn route(&self, now: Instant, target: &Target) -> Option<SocketAddrV4> {
        self.forwards.get(now, target).map(|f| f.relay)
    }

    /// Decides what to do with a request. `id` is the node's own if it is persistent: others store nothing.
    /// `own_record` is the record of a server on this very node listening at the target.
    pub fn handle(
        &mut self,
        now: Instant,
        id: Option<NodeId>,
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
                        let Some(Ok(seq)) = value.map(|v| Reader::new(v).uint()) else {
                            return Verdict::Ignore;
                        };
                        let found = self.mutables.get(now, &target).filter(|m| m.seq >= seq);
                        Verdict::Answer(full(found.map(Mutable::encode)))
                    }
                    command::IMMUTABLE_PUT => match value {
                        Some(value)
                            if req.token.is_some()
                                && value.len() <= MAX_VALUE
                                && Target::of_value(value) == target =>
                        {
                            self.immutables.set(now, target, value.to_vec(), *req.from.ip());
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

    fn lookup(&mut self, now: Instant, target: &Target, own_record: Option<&[u8]>) -> Verdict {
        self.forget_old(now);
        let members = self.topics.get(target).map_or(&[][..], Vec::as_slice);
        let mut records: Vec<Vec<u8>> = members
            .sample(&mut self.rng, LOOKUP_LIMIT)
            .filter_map(|member| self.records.get(now, &(*target, member.peer)).cloned())
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

    fn announce(&mut self, now: Instant, id: &NodeId, target: &Target, req: &Incoming) -> Option<Verdict> {
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
        let is_self = Target::of_key(&key) == *target;
        let entry = Refresh {
            target: *target,
            peer: key,
            record,
            is_self,
        };
        if !is_self {
            let current = self.bumps.get(now, target).copied().unwrap_or(0);
            if announce.bump > current && announce.bump <= unix_ms() + MAX_BUMP_DRIFT_MS {
                self.bumps.set(now, *target, announce.bump, *req.from.ip());
            }
        }
        self.put(now, req.from, &entry);
        if let Some(refresh) = announce.refresh {
            self.refreshes.set(now, refresh, entry, *req.from.ip());
        }
        Some(Verdict::Answer(Answer::default()))
    }

    /// Prolongs an announcement: the secret whose hash was left with it is shown, and is the next hash.
    fn refresh(&mut self, now: Instant, secret: &[u8; 32], req: &Incoming) -> Option<Verdict> {
        let active = blake2b(&[secret]);
        let entry = self.refreshes.get(now, &active)?.clone();
        self.put(now, req.from, &entry);
        self.refreshes.remove(&active);
        self.refreshes.set(now, *secret, entry, *req.from.ip());
        Some(Verdict::Answer(Answer::default()))
    }

    fn put(&mut self, now: Instant, from: SocketAddrV4, entry: &Refresh) {
        if entry.is_self {
            let forward = Forward {
                relay: from,
                record: entry.record.clone(),
            };
            self.forwards.set(now, entry.target, forward, *from.ip());
            self.remove_record(&entry.target, &entry.peer);
            return;
        }
        let owner = *from.ip();
        self.remove_record(&entry.target, &entry.peer);
        if let Some(gone) = self.topics.get(&entry.target).and_then(|m| must_go(m, owner)) {
            self.remove_record(&entry.target, &gone);
        }
        let key = (entry.target, entry.peer);
        let gone = self.records.set(now, key, entry.record.clone(), owner);
        self.leave_topics(gone);
        self.topics.entry(entry.target).or_default().push(Member {
            peer: entry.peer,
            owner,
        });
    }

    /// Drops records that aged out.
    fn forget_old(&mut self, now: Instant) {
        let gone = self.records.expire(now);
        self.leave_topics(gone);
    }

    fn leave_topics(&mut self, gone: Vec<(Target, PublicKey)>) {
        for (target, peer) in gone {
            if let Some(members) = self.topics.get_mut(&target) {
                members.retain(|member| member.peer != peer);
                if members.is_empty() {
                    self.topics.remove(&target);
                }
            }
        }
    }

    fn remove_record(&mut self, target: &Target, peer: &PublicKey) {
        if self.records.remove(&(*target, *peer)).is_some() {
            self.leave_topics(vec![(*target, *peer)]);
        }
    }

    fn unannounce(&mut self, id: &NodeId, target: &Target, req: &Incoming) -> Option<Verdict> {
        let token = req.token?;
        let announce = Announce::decode(req.value.as_deref()?).ok()?;
        if !verify_announce(target, &token, id, &announce, &NS.unannounce) {
            return None;
        }
        let Peer { public_key, .. } = announce.peer?;
        if Target::of_key(&public_key) == *target {
            self.forwards.remove(target);
        }
        self.remove_record(target, &public_key);
        Some(Verdict::Answer(Answer::default()))
    }

    fn mutable_put(&mut self, now: Instant, target: &Target, req: &Incoming) -> Option<Verdict> {
        req.token?;
        let (public_key, new) = Mutable::decode_put(req.value.as_deref()?).ok()?;
        if new.value.len() > MAX_VALUE
            || Target::of_key(&public_key) != *target
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
        self.mutables.set(now, *target, new, *req.from.ip());
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

fn map<K: Eq + Hash + Clone, V>(max: usize, age: Duration) -> Fair<K, V> {
    Fair::new(max, max / OWNERS_SHARE, age)
}

/// Which peer must leave the topic before `owner` adds one: the oldest of the owner if it has its share, or, if the topic is
/// full, of the address that has most.
fn must_go(members: &[Member], owner: Ipv4Addr) -> Option<PublicKey> {
    let of = |owner: Ipv4Addr| members.iter().filter(move |member| member.owner == owner);
    let from = if of(owner).count() >= MAX_PER_TOPIC_AND_ADDRESS {
        owner
    } else if members.len() >= MAX_PER_TOPIC {
        let mut counts: HashMap<Ipv4Addr, usize> = HashMap::new();
        for member in members {
            *counts.entry(member.owner).or_default() += 1;
        }
        // Of several that have most, the one that is there longest.
        let most = counts.values().copied().max()?;
        members
            .iter()
            .find(|m| counts.get(&m.owner) == Some(&most))?
            .owner
    } else {
        return None;
    };
    of(from).next().map(|member| member.peer)
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
