//! One core on one connection, as a state machine: messages, answers of the store and time in, [`Action`]s out (npm
//! `hypercore` lib/replicator.js). No store, no socket and no clock below it.

mod ask;
mod tell;
mod theirs;
mod uploads;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use base::wire::DecodeError;
use bytes::Bytes;

use self::theirs::Theirs;
use self::uploads::Uploads;
use super::action::{Action, Change, Done, Handshake, Head, Job, PeerInfo, Verdict, View};
use crate::messages::{self, Sync, Want, kind};
use crate::{Key, PublicKey, crypto};

/// Answers that did not fit, in a row, before the peer counts as broken.
const MAX_STALE: u32 = 1000;
/// Answers to upgrade requests, in a row, that upgrade nothing, before the peer counts as broken: it claims a length that it
/// does not prove.
const MAX_UNPROVEN: u32 = 16;

/// The peer must be dropped.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It does not know the core's key.
    #[error("the peer did not prove that it knows the key of core {0}")]
    Capability(Key),
    /// A message does not decode.
    #[error("the peer sent a malformed {0} message")]
    Malformed(&'static str),
    /// It sent a proof that does not hold.
    #[error("the peer sent an invalid proof of core {key}: {reason}")]
    InvalidProof {
        /// The core.
        key: Key,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It floods us, or never answers with sense.
    #[error("the peer misbehaves: {0}")]
    Misbehaves(&'static str),
}

/// A request of ours that is not answered yet.
#[derive(Debug)]
struct Inflight {
    /// The block asked for.
    block: Option<u64>,
    /// Whether that block is still marked as asked, so that no other peer is asked for it.
    marked: bool,
    /// The fork it was about.
    fork: u64,
    upgrade: bool,
    seek: bool,
    sent: Instant,
    /// The answer came and is being verified.
    verifying: bool,
}

/// The state of one core on one connection.
#[derive(Debug)]
pub struct Peer {
    key: Key,
    is_initiator: bool,
    handshake_hash: [u8; 64],
    remote_public_key: PublicKey,
    opened: bool,
    /// What we told last.
    told: Option<Sync>,
    told_contiguous: u64,
    /// Our length when we last looked for blocks that were appended.
    seen_length: u64,
    /// Blocks stored since we last told.
    stored: Vec<u64>,
    /// Whether the upgrade from a length to a head can be proved: the head's fork and length, the length, and the answer once
    /// the store gave it.
    reaches: Option<((u64, u64), u64, Option<bool>)>,
    theirs: Theirs,
    /// What we told the core's users of the peer.
    published: Option<PeerInfo>,
    /// Blocks it could not deliver.
    refused: HashSet<u64>,
    /// Those of them in the order in which that was noticed; they may be asked for again once others had their chance.
    late: Vec<u64>,
    /// When the latest of them was.
    late_since: Option<Instant>,
    /// When an answer came last.
    heard: Option<Instant>,
    /// How long its answers take, smoothed.
    answer_time: Option<Duration>,
    inflight: HashMap<u64, Inflight>,
    /// Blocks asked for that others may be asked for as well, with the number of the request.
    given_over: HashMap<u64, u64>,
    /// Blocks picked whose place in the tree is being looked up.
    locating: HashSet<u64>,
    seeking: bool,
    next_request: u64,
    window: usize,
    stale: u32,
    unproven: u32,
    uploads: Uploads,
    /// Whether the peer's requests are answered.
    uploading: bool,
    actions: VecDeque<Action>,
    /// After an upgrade request went unanswered, when to try again.
    upgrade_after: Option<Instant>,
}

fn malformed(what: &'static str) -> impl Fn(DecodeError) -> PeerError {
    move |_| PeerError::Malformed(what)
}

impl Peer {
    /// A peer for the core `key` of which `head` is known, on a connection with this handshake.
    pub fn new(key: Key, head: Head, handshake: &Handshake) -> Self {
        Self {
            key,
            is_initiator: handshake.is_initiator,
            handshake_hash: handshake.hash,
            remote_public_key: handshake.remote_public_key,
            opened: false,
            told: None,
            told_contiguous: 0,
            seen_length: head.length,
            stored: Vec::new(),
            reaches: None,
            theirs: Theirs::default(),
            published: None,
            refused: HashSet::new(),
            late: Vec::new(),
            late_since: None,
            heard: None,
            answer_time: None,
            inflight: HashMap::new(),
            given_over: HashMap::new(),
            locating: HashSet::new(),
            seeking: false,
            next_request: 1,
            window: ask::WINDOW,
            stale: 0,
            unproven: 0,
            uploads: Uploads::default(),
            uploading: true,
            actions: VecDeque::new(),
            upgrade_after: None,
        }
    }

    /// The handshake that opens our side of the channel.
    pub fn handshake(&self) -> Vec<u8> {
        let capability = crypto::replication_capability(self.is_initiator, &self.key.0, &self.handshake_hash);
        messages::encode_handshake(&capability)
    }

    /// The peer opened its side.
    ///
    /// # Errors
    /// If it does not know the core's key: drop it.
    pub fn handle_open(&mut self, handshake: &[u8]) -> Result<(), PeerError> {
        let capability = messages::decode_handshake(handshake).map_err(malformed("handshake"))?;
        if capability != crypto::replication_capability(!self.is_initiator, &self.key.0, &self.handshake_hash)
        {
            return Err(PeerError::Capability(self.key));
        }
        self.opened = true;
        Ok(())
    }

    /// A message arrived. Returns what looking at it cost, as that many of the smallest messages: whoever drives the peer should
    /// put off a peer that costs too much.
    ///
    /// # Errors
    /// If it breaks the protocol: drop the peer.
    pub fn handle_message(
        &mut self,
        kind: u64,
        payload: &Bytes,
        now: Instant,
        view: &mut impl View,
    ) -> Result<u32, PeerError> {
        let mut cost = 1;
        match kind {
            kind::SYNC => {
                let sync = Sync::decode(payload).map_err(malformed("sync"))?;
                if sync.fork != self.theirs.sync().fork {
                    self.refused.clear();
                }
                self.theirs.on_sync(sync);
                self.upgrade_after = None;
            }
            kind::REQUEST => {
                let (id, request) = messages::decode_request(payload).map_err(malformed("request"))?;
                if !self.uploads.push(id, request) {
                    return Err(PeerError::Misbehaves("it asks for more than it takes"));
                }
            }
            kind::CANCEL => {
                let id = messages::decode_id(payload).map_err(malformed("cancel"))?;
                self.uploads.cancel(id);
            }
            kind::DATA => self.on_data(payload, now, view)?,
            kind::NO_DATA => {
                let id = messages::decode_id(payload).map_err(malformed("no-data"))?;
                if self.inflight.get(&id).is_some_and(|asked| !asked.verifying)
                    && let Some(asked) = self.inflight.remove(&id)
                {
                    self.put_off(&asked, now);
                    self.release(&asked, now, view);
                }
            }
            kind::WANT => self
                .theirs
                .on_want(Want::decode(payload).map_err(malformed("want"))?),
            kind::UNWANT => self
                .theirs
                .on_unwant(Want::decode(payload).map_err(malformed("unwant"))?),
            kind::BITFIELD => {
                let (start, words) = messages::decode_bitfield(payload).map_err(malformed("bitfield"))?;
                cost += self.theirs.on_bitfield(start, &words, view.head().length)?;
                self.refused.clear();
            }
            kind::RANGE => {
                let range = messages::Range::decode(payload).map_err(malformed("range"))?;
                cost += self.theirs.on_range(range, view.head().length)?;
                if !range.drop {
                    self.refused.clear();
                }
            }
            _ => {} // An extension, or a message of a later version.
        }
        Ok(cost)
    }

    fn on_data(&mut self, payload: &Bytes, now: Instant, view: &mut impl View) -> Result<(), PeerError> {
        let (id, data) = messages::decode_data(payload).map_err(malformed("data"))?;
        let Some(asked) = self.inflight.get_mut(&id).filter(|asked| !asked.verifying) else {
            return Ok(());
        }; // Cancelled, timed out, or pushed.
        if let Some(block) = &data.block
            && asked.block != Some(block.index)
        {
            if let Some(asked) = self.inflight.remove(&id) {
                self.release(&asked, now, view);
            }
            return Err(self.lied("it answers with another block than the one asked for"));
        }
        asked.verifying = true;
        let took = now.saturating_duration_since(asked.sent);
        let smoothed = self.answer_time.map_or(took, |before| (before * 7 + took) / 8);
        self.answer_time = Some(smoothed);
        self.heard = Some(now);
        self.actions.push_back(Action::Store(Job::Verify {
            id,
            data: Box::new(data),
        }));
        Ok(())
    }

    fn lied(&self, reason: &'static str) -> PeerError {
        PeerError::InvalidProof {
            key: self.key,
            reason,
        }
    }

    /// What came of a [`Job`].
    ///
    /// # Errors
    /// If it shows that the peer lies: drop it.
    pub fn handle_done(&mut self, done: Done, now: Instant, view: &mut impl View) -> Result<(), PeerError> {
        match done {
            Done::Verified { id, verdict } => self.on_verdict(id, verdict, now, view),
            Done::Proved { id, answer } => {
                let (kind, bytes) = self.uploads.answered(id, answer)?;
                self.actions.push_back(Action::Send(kind, bytes));
                Ok(())
            }
            Done::Later { id, request } => {
                self.uploads.put_back(id, request);
                Ok(())
            }
            Done::Located(blocks) => {
                self.on_located(&blocks, now, view);
                Ok(())
            }
            Done::Sought { seek, result } => {
                self.on_sought(seek, result, now);
                Ok(())
            }
            Done::Reaches { from, of, reaches } => {
                if let Some((head, length, answer)) = &mut self.reaches
                    && (*head, *length) == (of, from)
                {
                    *answer = Some(reaches);
                } else {
                    self.reaches = None; // Of a head that is gone: ask again.
                }
                Ok(())
            }
        }
    }

    fn on_verdict(
        &mut self,
        id: u64,
        verdict: Verdict,
        now: Instant,
        view: &mut impl View,
    ) -> Result<(), PeerError> {
        let Some(asked) = self.inflight.remove(&id) else {
            return Ok(());
        };
        self.release(&asked, now, view);
        let (block, upgraded) = match verdict {
            Verdict::Invalid(reason) => return Err(self.lied(reason)),
            Verdict::Stale => (false, true),
            Verdict::Taken { block, upgraded } => (block, upgraded),
        };
        if asked.upgrade {
            self.unproven = if upgraded { 0 } else { self.unproven + 1 };
            if self.unproven > MAX_UNPROVEN {
                return Err(PeerError::Misbehaves("it claims a length that it does not prove"));
            }
        }
        if verdict == Verdict::Stale || (asked.block.is_some() && !block) {
            self.stale += 1;
            if self.stale > MAX_STALE {
                return Err(PeerError::Misbehaves("its answers never fit"));
            }
        } else {
            self.stale = 0;
            self.widen(view);
        }
        Ok(())
    }

    /// The block of a request that was not answered is asked of others for a while. Not for ever: the peer may have it
    /// by now, and an answer can cross the news. What it lacked of a fork that is gone says nothing of the present one.
    fn put_off(&mut self, asked: &Inflight, now: Instant) {
        if asked.fork == self.theirs.sync().fork
            && let Some(block) = asked.block
        {
            self.refused.insert(block);
            self.late.push(block);
            self.late_since = Some(now);
        }
    }

    /// Gives back what a finished request held.
    fn release(&mut self, asked: &Inflight, now: Instant, view: &mut impl View) {
        match asked.block {
            Some(block) if asked.marked => view.unmark(block),
            Some(block) => drop(self.given_over.remove(&block)),
            None => {}
        }
        if asked.upgrade {
            self.upgrade_after = Some(now + ask::UPGRADE_PAUSE);
        }
    }

    /// Something happened to our core.
    pub fn handle_change(&mut self, change: Change) {
        match change {
            Change::Truncated(length) => {
                if self.told_contiguous > length {
                    self.send_range(true, length, self.told_contiguous - length);
                    self.told_contiguous = length;
                }
                self.seen_length = self.seen_length.min(length);
            }
            // Looked at when the peer is told next.
            Change::Grown(_) => {}
            Change::Stored(index) => {
                self.withdraw(index);
                if self.theirs.wants(index) && !self.theirs.has(index) {
                    self.stored.push(index);
                }
            }
            Change::Missed => self.theirs.ask_again(),
        }
    }

    /// Tells what is new, asks for what is wanted, gives up what is late, and answers requests while `budget` bytes last.
    pub fn poll(&mut self, now: Instant, budget: usize, view: &mut impl View) {
        self.publish();
        if !self.opened {
            return;
        }
        let head = view.head();
        self.tell_sync(&head);
        self.tell_blocks(&head, view);
        let left = self.tell_wants(&head, budget, view);
        self.expire(now, view);
        self.ask_upgrade(&head, now);
        self.ask_seek(&head, view);
        self.ask_blocks(&head, view);
        if !self.uploading {
            self.decline();
            return;
        }
        for (id, request) in self.uploads.take(left) {
            self.actions.push_back(Action::Store(Job::Prove { id, request }));
        }
    }

    /// Whether the peer's requests are answered with blocks, which is so at first. If not, the peer is told so, and a request that
    /// comes or waits all the same is answered with that there is nothing.
    pub fn set_uploading(&mut self, uploading: bool) {
        self.uploading = uploading;
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether requests of the peer wait for an answer.
    pub fn has_uploads(&self) -> bool {
        self.uploads.is_waiting() || self.theirs.is_asking()
    }

    /// Gives back what the peer was asked for. Nothing may be fed to it afterwards.
    pub fn close(&mut self, view: &mut impl View) {
        let asked = self.inflight.values().filter(|asked| asked.marked);
        let blocks: Vec<u64> = asked
            .filter_map(|asked| asked.block)
            .chain(self.locating.drain())
            .collect();
        blocks.into_iter().for_each(|block| view.unmark(block));
        self.inflight.clear();
        self.opened = false;
    }

    /// Tells the core's users what we know of the peer, if it is news.
    fn publish(&mut self) {
        let sync = self.theirs.sync();
        let info = PeerInfo {
            remote_public_key: self.remote_public_key,
            remote_length: sync.length,
            remote_contiguous_length: self.theirs.contiguous(),
            remote_fork: sync.fork,
            synced: self.theirs.is_synced(),
        };
        if self.opened && self.published.as_ref() != Some(&info) {
            self.published = Some(info.clone());
            self.actions.push_back(Action::Publish(info));
        }
    }
}
