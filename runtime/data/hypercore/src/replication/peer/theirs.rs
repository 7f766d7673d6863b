//! What the peer told of itself: its head, what it holds, and what it asks to be told of.

use std::collections::{BTreeMap, VecDeque};

use super::PeerError;
use crate::bitfield::{Bitfield, PAGE_BITS};
use crate::merkle::MAX_LENGTH;
use crate::messages::{Range, Sync, Want};

/// How far beyond our own verified length we remember what a peer holds: 128 KiB of bits, 64 GiB of chunks. What it
/// tells beyond is asked for again once we are that long.
const MARGIN: u64 = 1 << 20;
/// Ranges that a peer is kept informed about. npm names one for each 2 million blocks that it looks at.
const MAX_WANTS: usize = 64;
/// Questions about ranges that wait for an answer. More are dropped: they can be asked again.
const MAX_ASKED: usize = 64;
/// Words that one bitfield message may hold, as upstream: 32 million blocks.
const MAX_WORDS: usize = 1 << 20;

/// The peer's side.
#[derive(Debug, Default)]
pub(super) struct Theirs {
    sync: Sync,
    synced: bool,
    blocks: Bitfield,
    contiguous: u64,
    /// Ranges it asked to be kept informed about.
    wants: Vec<(u64, u64)>,
    /// Of those, what it was not told yet.
    asked: VecDeque<(u64, u64)>,
    /// Spans that we asked about, and how far we remembered answers then.
    looked_at: BTreeMap<u64, u64>,
    limit: u64,
}

impl Theirs {
    pub(super) fn on_sync(&mut self, sync: Sync) {
        self.sync = sync;
        self.synced = true;
    }

    pub(super) fn on_want(&mut self, want: Want) {
        let range = (want.start, want.length);
        if self.wants.len() < MAX_WANTS && !self.wants.contains(&range) {
            self.wants.push(range);
        }
        if self.asked.len() < MAX_ASKED && !self.asked.contains(&range) {
            self.asked.push_back(range);
        }
    }

    pub(super) fn on_unwant(&mut self, want: Want) {
        self.wants.retain(|range| *range != (want.start, want.length));
    }

    /// Whether to ask about a span: it was not asked about, or what was told of it was not remembered in full.
    pub(super) fn look_at(&mut self, span: u64) -> bool {
        self.looked_at
            .insert(span, self.limit)
            .is_none_or(|limit| limit != self.limit)
    }

    /// Everything it asked about is to be told anew.
    pub(super) fn ask_again(&mut self) {
        self.asked = self.wants.iter().copied().collect();
    }

    /// The oldest question, from where it was not answered yet.
    pub(super) fn next_asked(&mut self) -> Option<(u64, u64)> {
        self.asked.pop_front()
    }

    /// The rest of a question that did not fit.
    pub(super) fn put_back(&mut self, start: u64, length: u64) {
        self.asked.push_front((start, length));
    }

    pub(super) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether it asked to be told of block `index`.
    pub(super) fn wants(&self, index: u64) -> bool {
        let within = |(start, length): &(u64, u64)| index.checked_sub(*start).is_some_and(|at| at < *length);
        self.wants.iter().any(within)
    }

    /// Returns how many pages that took.
    pub(super) fn on_bitfield(&mut self, start: u64, words: &[u32], length: u64) -> Result<u32, PeerError> {
        if !start.is_multiple_of(32) || start > MAX_LENGTH || words.len() > MAX_WORDS {
            return Err(PeerError::Malformed("bitfield"));
        }
        let room = limit(length).saturating_sub(start) / 32;
        let kept = words.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.blocks
            .insert_words(start, words.get(..kept).unwrap_or_default());
        self.blocks.forget_dirty();
        self.contiguous = self.contiguous.min(start);
        Ok(pages(32 * words.len() as u64))
    }

    /// Returns how many pages that took.
    pub(super) fn on_range(&mut self, range: Range, length: u64) -> Result<u32, PeerError> {
        let end = range
            .start
            .checked_add(range.length)
            .filter(|end| *end <= MAX_LENGTH);
        let end = end.ok_or(PeerError::Malformed("range"))?;
        let mut cost = 0;
        let remembered = end.min(limit(length));
        if range.drop {
            cost = pages(remembered.saturating_sub(range.start));
            self.blocks.set_range(range.start, end, false);
            self.contiguous = self.contiguous.min(range.start);
        } else if range.start <= self.contiguous {
            self.contiguous = self.contiguous.max(end);
        } else {
            cost = pages(remembered.saturating_sub(range.start));
            self.blocks.set_range(range.start, remembered, true);
        }
        self.blocks.forget_dirty();
        Ok(cost)
    }

    pub(super) fn sync(&self) -> &Sync {
        &self.sync
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    pub(super) fn contiguous(&self) -> u64 {
        self.contiguous
    }

    pub(super) fn has(&self, index: u64) -> bool {
        index < self.contiguous || self.blocks.get(index)
    }

    /// The blocks it holds, below `length`, with the contiguous ones spelt out. No more of them can be asked for than are
    /// verified, so no more are spelt out.
    pub(super) fn held(&mut self, length: u64) -> &Bitfield {
        // Asking anew costs little, and is only of use once a core grew by as much as was remembered.
        if length > self.limit {
            self.limit = limit(length);
        }
        let start = self.blocks.first_unset(0);
        let end = self.contiguous.min(self.sync.length).min(length);
        if start < end {
            self.blocks.set_range(start, end, true);
            self.blocks.forget_dirty();
        }
        &self.blocks
    }
}

/// Pages that so many bits fill.
fn pages(bits: u64) -> u32 {
    u32::try_from(bits.div_ceil(PAGE_BITS)).unwrap_or(u32::MAX)
}

/// Where we stop remembering, for a core of `length` blocks.
fn limit(length: u64) -> u64 {
    length.saturating_add(MARGIN).next_multiple_of(PAGE_BITS)
}
