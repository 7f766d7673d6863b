//! One core on one connection, as a state machine: messages and time in, messages out (npm `hypercore` lib/replicator.js).

mod tell;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::bitfield::Bitfield;
use crate::codec::DecodeError;
use crate::merkle::{Cursor, MAX_LENGTH, SeekResult};
use crate::messages::{self, INVALID_REQUEST, NOT_AVAILABLE, Range, Sync, Want, kind};
use crate::proof::{Request, RequestBlock, RequestSeek, RequestUpgrade};
use crate::storage::lock;
use crate::{Core, CoreError, CoreEvent, PeerInfo, ProofError, crypto};

/// Requests in flight at first, and at most. Each answer raises the window by one, each time-out halves it.
const WINDOW: usize = 64;
const MAX_WINDOW: usize = 512;
/// A request that is not answered for this long is asked of another peer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Answers come in order, so on a slow line a request may wait while others are answered, but no longer than this.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Pages kept of what a peer says it holds: 16 MiB, 134 million blocks. What it tells beyond that is not remembered.
const MAX_REMOTE_PAGES: usize = 4096;
/// Blocks that one range message may add out of order.
const MAX_RANGE: u64 = 1 << 22;
/// Requests of the peer that wait for their turn; more is a flood.
const MAX_UPLOADS: usize = 16_384;
/// Answers that did not fit, in a row, before the peer counts as broken.
const MAX_STALE: u32 = 1000;
/// Invalid requests before the peer counts as broken (as upstream).
const MAX_INVALID: u32 = 64;
/// Blocks about which one want message asks: upstream's batch of 65,536 words.
const WANT_SPAN: u64 = 65_536 * 32;

/// The peer must be dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It does not know the core's key.
    #[error("the peer did not prove that it knows the key of core {0}")]
    Capability(crate::Key),
    /// A message does not decode.
    #[error("the peer sent a malformed {0} message")]
    Malformed(&'static str),
    /// It sent a proof that does not hold.
    #[error("the peer sent an {0}")]
    InvalidProof(String),
    /// It floods us, or never answers with sense.
    #[error("the peer misbehaves: {0}")]
    Misbehaves(&'static str),
    /// Not its fault: our store failed.
    #[error(transparent)]
    Core(#[from] CoreError),
}

/// An outgoing message: its type and its bytes.
pub type Outgoing = (u64, Vec<u8>);

#[derive(Debug)]
struct Inflight {
    /// The block asked for, while it is marked as asked in the core's wants.
    block: Option<u64>,
    upgrade: bool,
    seek: bool,
    sent: Instant,
}

/// The state of one core on one connection.
pub struct Peer {
    core: Core,
    /// Number of this peer at the core.
    id: u64,
    is_initiator: bool,
    handshake_hash: [u8; 64],
    remote_public_key: [u8; 32],
    events: tokio::sync::broadcast::Receiver<CoreEvent>,
    opened: bool,
    /// What we told last.
    told: Option<Sync>,
    told_contiguous: u64,
    /// Our length when we last looked for blocks that were appended.
    seen_length: u64,
    remote: Sync,
    synced: bool,
    remote_blocks: Bitfield,
    remote_contiguous: u64,
    /// Ranges the peer asked to be kept informed about.
    remote_wants: Vec<(u64, u64)>,
    /// Spans we asked about.
    wanted: BTreeSet<u64>,
    /// Blocks it could not deliver.
    refused: HashSet<u64>,
    /// Those of them that only timed out; they may be asked for again, of this peer too, once others had their chance.
    late: Vec<u64>,
    /// When the latest of them timed out.
    late_since: Option<Instant>,
    /// When an answer came last.
    heard: Option<Instant>,
    inflight: HashMap<u64, Inflight>,
    next_request: u64,
    window: usize,
    stale: u32,
    invalid: u32,
    uploads: VecDeque<(u64, Request)>,
    outgoing: VecDeque<Outgoing>,
    /// After an upgrade request went unanswered, when to try again.
    upgrade_after: Option<Instant>,
}

fn malformed(what: &'static str) -> impl Fn(DecodeError) -> PeerError {
    move |_| PeerError::Malformed(what)
}

impl Peer {
    /// A peer for `core` on a connection with this handshake. `id` must be unique among the core's peers.
    pub fn new(core: Core, id: u64, info: &secret_stream::ConnectionInfo) -> Self {
        let events = core.events();
        let seen_length = core.length();
        Self {
            core,
            id,
            is_initiator: info.is_initiator,
            handshake_hash: info.handshake_hash,
            remote_public_key: info.remote_public_key,
            events,
            opened: false,
            told: None,
            told_contiguous: 0,
            seen_length,
            remote: Sync::default(),
            synced: false,
            remote_blocks: Bitfield::default(),
            remote_contiguous: 0,
            remote_wants: Vec::new(),
            wanted: BTreeSet::new(),
            refused: HashSet::new(),
            late: Vec::new(),
            late_since: None,
            heard: None,
            inflight: HashMap::new(),
            next_request: 1,
            window: WINDOW,
            stale: 0,
            invalid: 0,
            uploads: VecDeque::new(),
            outgoing: VecDeque::new(),
            upgrade_after: None,
        }
    }

    /// The core.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The handshake that opens our side of the channel.
    pub fn handshake(&self) -> Vec<u8> {
        let capability =
            crypto::replication_capability(self.is_initiator, &self.core.key().0, &self.handshake_hash);
        messages::encode_handshake(&capability)
    }

    /// The peer opened its side.
    pub fn handle_open(&mut self, handshake: &[u8]) -> Result<(), PeerError> {
        let capability = messages::decode_handshake(handshake).map_err(malformed("handshake"))?;
        let key = self.core.key();
        if capability != crypto::replication_capability(!self.is_initiator, &key.0, &self.handshake_hash) {
            return Err(PeerError::Capability(key));
        }
        self.opened = true;
        self.publish();
        Ok(())
    }

    /// A message arrived.
    pub fn handle_message(&mut self, kind: u64, payload: &Bytes, now: Instant) -> Result<(), PeerError> {
        match kind {
            kind::SYNC => self.on_sync(Sync::decode(payload).map_err(malformed("sync"))?),
            kind::REQUEST => {
                let (id, request) = messages::decode_request(payload).map_err(malformed("request"))?;
                self.uploads.retain(|(other, _)| *other != id || id == 0);
                self.uploads.push_back((id, request));
                if self.uploads.len() > MAX_UPLOADS {
                    return Err(PeerError::Misbehaves("it asks for more than it takes"));
                }
            }
            kind::CANCEL => {
                let id = messages::decode_id(payload).map_err(malformed("cancel"))?;
                self.uploads.retain(|(other, _)| *other != id);
            }
            kind::DATA => self.on_data(payload, now)?,
            kind::NO_DATA => {
                let id = messages::decode_id(payload).map_err(malformed("no-data"))?;
                if let Some(asked) = self.inflight.remove(&id) {
                    self.refused.extend(asked.block);
                    self.release(asked, now);
                }
            }
            kind::WANT => self.on_want(Want::decode(payload).map_err(malformed("want"))?),
            kind::UNWANT => {
                let want = Want::decode(payload).map_err(malformed("unwant"))?;
                self.remote_wants
                    .retain(|range| *range != (want.start, want.length));
            }
            kind::BITFIELD => {
                let (start, words) = messages::decode_bitfield(payload).map_err(malformed("bitfield"))?;
                if start % 32 != 0 || start > MAX_LENGTH || words.len() > 1 << 20 {
                    return Err(PeerError::Malformed("bitfield"));
                }
                if self.remote_blocks.pages() < MAX_REMOTE_PAGES {
                    self.remote_blocks.insert_words(start, &words);
                    self.remote_blocks.forget_dirty();
                }
                self.remote_contiguous = self.remote_contiguous.min(start);
                self.refused.clear();
                self.publish();
            }
            kind::RANGE => self.on_range(Range::decode(payload).map_err(malformed("range"))?)?,
            _ => {} // An extension, or a message of a later version.
        }
        Ok(())
    }

    fn on_sync(&mut self, sync: Sync) {
        if sync.fork != self.remote.fork {
            self.refused.clear();
        }
        self.remote = sync;
        self.synced = true;
        self.upgrade_after = None;
        self.publish();
    }

    fn on_range(&mut self, range: Range) -> Result<(), PeerError> {
        let end = range
            .start
            .checked_add(range.length)
            .filter(|end| *end <= MAX_LENGTH);
        let end = end.ok_or(PeerError::Malformed("range"))?;
        if range.drop {
            self.remote_blocks.set_range(range.start, end, false);
            self.remote_contiguous = self.remote_contiguous.min(range.start);
        } else if range.start <= self.remote_contiguous {
            self.remote_contiguous = self.remote_contiguous.max(end);
        } else if range.length <= MAX_RANGE && self.remote_blocks.pages() < MAX_REMOTE_PAGES {
            self.remote_blocks.set_range(range.start, end, true);
        }
        self.remote_blocks.forget_dirty();
        if !range.drop {
            self.refused.clear();
        }
        self.publish();
        Ok(())
    }

    fn on_data(&mut self, payload: &Bytes, now: Instant) -> Result<(), PeerError> {
        let (id, data) = messages::decode_data(payload).map_err(malformed("data"))?;
        let Some(asked) = self.inflight.remove(&id) else {
            return Ok(());
        }; // Cancelled, timed out, or pushed.
        if let Some(block) = &data.block
            && asked.block != Some(block.index)
        {
            self.release(asked, now);
            return Err(PeerError::InvalidProof(
                "answer with another block than the one asked for".to_owned(),
            ));
        }
        let block_missing = asked.block.is_some() && data.block.is_none();
        self.heard = Some(now);
        let result = self.core.verify(data);
        self.release(asked, now);
        match result {
            Ok(_) if !block_missing => {
                self.stale = 0;
                self.window = (self.window + 1).min(MAX_WINDOW);
                Ok(())
            }
            Ok(_) | Err(ProofError::Stale) => {
                self.stale += 1;
                if self.stale > MAX_STALE {
                    return Err(PeerError::Misbehaves("its answers never fit"));
                }
                Ok(())
            }
            Err(ProofError::Invalid(reason)) => {
                Err(PeerError::InvalidProof(format!("invalid proof: {reason}")))
            }
            Err(ProofError::Core(error)) => Err(error.into()),
        }
    }

    /// Gives back what a finished request held.
    fn release(&mut self, asked: Inflight, now: Instant) {
        if let Some(block) = asked.block {
            lock(&self.core.shared.wants).unmark(block);
        }
        if asked.upgrade {
            self.upgrade_after = Some(now + Duration::from_millis(500));
        }
    }

    /// Tells the core what we know of the peer.
    fn publish(&self) {
        let info = PeerInfo {
            remote_public_key: self.remote_public_key,
            remote_length: self.remote.length,
            remote_contiguous_length: self.remote_contiguous,
            remote_fork: self.remote.fork,
            synced: self.synced,
        };
        self.core.set_peer(self.id, info);
    }

    /// Looks at what changed in the core, asks for more, and answers requests while `upload_budget` bytes last.
    pub fn poll(&mut self, now: Instant, upload_budget: usize) -> Result<(), PeerError> {
        if !self.opened {
            return Ok(());
        }
        self.tell_sync()?;
        self.tell_blocks();
        self.expire(now);
        self.ask_upgrade(now);
        self.ask_seeks(now)?;
        self.ask_blocks(now)?;
        self.answer(upload_budget)
    }

    /// The next message to send.
    pub fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// Whether requests of the peer wait for an answer.
    pub fn has_uploads(&self) -> bool {
        !self.uploads.is_empty()
    }

    fn remote_has(&self, index: u64) -> bool {
        index < self.remote_contiguous || self.remote_blocks.get(index)
    }

    /// Gives up requests that are not answered.
    fn expire(&mut self, now: Instant) {
        if self
            .late_since
            .is_some_and(|since| now.saturating_duration_since(since) > TIMEOUT)
        {
            self.late_since = None;
            for block in self.late.drain(..) {
                self.refused.remove(&block);
            }
        }
        let heard = self.heard;
        let late: Vec<u64> = self
            .inflight
            .iter()
            .filter(|(_, asked)| {
                let sign = heard.map_or(asked.sent, |heard| heard.max(asked.sent));
                now.saturating_duration_since(sign) > TIMEOUT
                    || now.saturating_duration_since(asked.sent) > MAX_WAIT
            })
            .map(|(id, _)| *id)
            .collect();
        if late.is_empty() {
            return;
        }
        self.window = (self.window / 2).max(4);
        for id in late {
            if let Some(asked) = self.inflight.remove(&id) {
                self.refused.extend(asked.block);
                self.late.extend(asked.block);
                self.late_since = Some(now);
                self.release(asked, now);
                self.outgoing.push_back((kind::CANCEL, messages::encode_id(id)));
            }
        }
        // Somebody else may deliver.
        self.core.shared.wake();
    }

    fn request(&mut self, request: &Request, asked: Inflight) {
        let id = self.next_request;
        self.next_request += 1;
        self.inflight.insert(id, asked);
        self.outgoing
            .push_back((kind::REQUEST, messages::encode_request(id, request)));
    }

    fn ask_upgrade(&mut self, now: Instant) {
        let (fork, length) = (self.core.fork(), self.core.length());
        if !self.synced || !self.remote.uploading || self.inflight.values().any(|asked| asked.upgrade) {
            return;
        }
        if self.upgrade_after.is_some_and(|after| now < after) {
            return;
        }
        let reorg = self.remote.fork > fork && self.remote.length > 0;
        let grown = self.remote.fork == fork
            && self.remote.length > length
            && self.remote.can_upgrade
            && self.remote.remote_length == length;
        if !reorg && !grown {
            return;
        }
        let start = if reorg { 0 } else { length };
        let request = Request {
            fork: self.remote.fork,
            upgrade: Some(RequestUpgrade {
                start,
                length: self.remote.length - start,
            }),
            manifest: self.core.manifest().is_none() && self.remote.has_manifest,
            ..Request::default()
        };
        self.request(
            &request,
            Inflight {
                block: None,
                upgrade: true,
                seek: false,
                sent: now,
            },
        );
    }

    fn ask_seeks(&mut self, now: Instant) -> Result<(), PeerError> {
        if self.remote.fork != self.core.fork() || self.inflight.values().any(|asked| asked.seek) {
            return Ok(());
        }
        let seeks: Vec<u64> = lock(&self.core.shared.wants)
            .seeks()
            .map(|(_, bytes)| bytes)
            .collect();
        for bytes in seeks {
            let SeekResult::Within { start, end } = self.core.seek_local(bytes)? else {
                continue;
            };
            // A leaf of the span we have: the answer proves it together with the node the byte is in.
            let leaf = start + rand::random_range(0..(end - start).max(1));
            let mut cursor = Cursor::new(2 * leaf);
            let mut nodes = 0;
            while cursor.index() != start + end - 1 && cursor.parent().is_ok() {
                nodes += 1;
            }
            let request = Request {
                fork: self.remote.fork,
                hash: Some(RequestBlock {
                    index: 2 * leaf,
                    nodes,
                }),
                seek: Some(RequestSeek { bytes, padding: 0 }),
                ..Request::default()
            };
            self.request(
                &request,
                Inflight {
                    block: None,
                    upgrade: false,
                    seek: true,
                    sent: now,
                },
            );
            break;
        }
        Ok(())
    }

    fn ask_blocks(&mut self, now: Instant) -> Result<(), PeerError> {
        let room = self.window.saturating_sub(self.inflight.len());
        // Asking one at a time would scan the wants for every block.
        if room == 0 || (room < self.window / 8 && self.inflight.len() > 8) {
            return Ok(());
        }
        if !self.remote.uploading || self.remote.fork != self.core.fork() {
            return Ok(());
        }
        self.remote_blocks_up_to_date();
        let picked = {
            let state = lock(&self.core.shared.state);
            let length = state.tree.length.min(self.remote.length);
            let mut wants = lock(&self.core.shared.wants);
            if wants.is_idle() {
                return Ok(());
            }
            wants.pick(&state.bitfield, &self.remote_blocks, length, &self.refused, room)
        };
        if picked.is_empty() {
            self.ask_what_it_holds();
        }
        for index in picked {
            let nodes = self.core.missing_nodes(2 * index)?;
            let request = Request {
                fork: self.remote.fork,
                block: Some(RequestBlock { index, nodes }),
                ..Request::default()
            };
            self.request(
                &request,
                Inflight {
                    block: Some(index),
                    upgrade: false,
                    seek: false,
                    sent: now,
                },
            );
        }
        Ok(())
    }

    /// Spells the contiguous length out in the bitfield that blocks are picked by.
    fn remote_blocks_up_to_date(&mut self) {
        let start = self.remote_blocks.first_unset(0);
        // Up to what is verified, not what the peer claims: no more of it can be asked for.
        let end = self
            .remote_contiguous
            .min(self.remote.length)
            .min(self.core.length());
        if start < end {
            self.remote_blocks.set_range(start, end, true);
        }
    }

    /// If the peer is sparse, asks which of the blocks we lack it holds.
    fn ask_what_it_holds(&mut self) {
        if self.remote_contiguous >= self.remote.length {
            return;
        }
        let first = self.core.contiguous_length().max(self.remote_contiguous) / WANT_SPAN;
        let last = self.remote.length.saturating_sub(1) / WANT_SPAN;
        for span in first..=last.min(first + 3) {
            if self.wanted.insert(span) {
                let want = Want {
                    start: span * WANT_SPAN,
                    length: WANT_SPAN,
                    any: false,
                };
                self.outgoing.push_back((kind::WANT, want.encode()));
            }
        }
    }

    /// Answers requests, in order, while the budget lasts.
    fn answer(&mut self, mut budget: usize) -> Result<(), PeerError> {
        while budget > 0 {
            let Some((id, request)) = self.uploads.pop_front() else {
                return Ok(());
            };
            let message = match self.core.create_proof(&request) {
                Ok(Some(data)) => {
                    if let Some(block) = &data.block {
                        let (index, bytes) = (block.index, block.value.len() as u64);
                        self.core.shared.emit(CoreEvent::Upload { index, bytes });
                    }
                    (kind::DATA, messages::encode_data(id, &data))
                }
                Ok(None) => (kind::NO_DATA, messages::encode_no_data(id, NOT_AVAILABLE)),
                Err(ProofError::Core(error)) => return Err(error.into()),
                Err(_) => {
                    self.invalid += 1;
                    if self.invalid >= MAX_INVALID {
                        return Err(PeerError::Misbehaves("its requests make no sense"));
                    }
                    (kind::NO_DATA, messages::encode_no_data(id, INVALID_REQUEST))
                }
            };
            budget = budget.saturating_sub(message.1.len() + 64);
            self.outgoing.push_back(message);
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        {
            let mut wants = lock(&self.core.shared.wants);
            for asked in self.inflight.values() {
                asked.block.into_iter().for_each(|block| wants.unmark(block));
            }
        }
        self.core.detach(self.id);
    }
}
