//! What local readers wait for: blocks, ranges, byte offsets and upgrades. Replication reads this to decide what to ask of
//! peers. Pure bookkeeping: no IO, no clock.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::bitfield::Bitfield;
use crate::proof::RequestSeek;

/// Identifies a registered want, so that it can be withdrawn.
pub type WantId = u64;

/// A range of blocks that someone wants stored.
#[derive(Debug, Clone)]
pub struct RangeWant {
    /// First block.
    pub start: u64,
    /// After the last block; `None`: up to the core's end, wherever it moves.
    pub end: Option<u64>,
    /// First block that may still be missing; everything before it in the range is stored.
    cursor: u64,
}

/// All wants of one core, and which blocks were asked of a peer already.
#[derive(Debug, Default)]
pub struct Wants {
    next_id: WantId,
    /// Wanted blocks, with the number of readers that wait for each.
    blocks: BTreeMap<u64, u32>,
    ranges: BTreeMap<WantId, RangeWant>,
    seeks: BTreeMap<WantId, RequestSeek>,
    inflight: HashMap<u64, u32>,
    /// Where in the span of the ranges picking begins, as a part of 2³² of it; `None`: at the start.
    origin: Option<u32>,
}

impl Wants {
    /// From now on ranges are picked from a place within their span on, around to it again. Of many who fetch the same at once
    /// each begins elsewhere then, and has soon what the others lack. In order within, so that proofs stay short.
    pub fn begin_at(&mut self, part: u32) {
        self.origin = Some(part);
    }

    /// Whether [`begin_at`](Self::begin_at) was called: others fetch the same.
    pub fn is_shared(&self) -> bool {
        self.origin.is_some()
    }

    /// The blocks to look at first and those to look at afterwards.
    fn passes(&self, length: u64) -> [(u64, u64); 2] {
        let Some(part) = self.origin else {
            return [(0, u64::MAX), (0, 0)];
        };
        let first = self.ranges.values().map(|range| range.start).min().unwrap_or(0);
        let ends = self.ranges.values().map(|range| range.end.unwrap_or(length));
        let span = ends.max().unwrap_or(0).min(length).saturating_sub(first);
        let into = (u128::from(span) * u128::from(part)) >> 32;
        let at = first.saturating_add(u64::try_from(into).unwrap_or(0));
        [(at, u64::MAX), (0, at)]
    }

    /// Someone waits for block `index`.
    pub fn add_block(&mut self, index: u64) {
        *self.blocks.entry(index).or_default() += 1;
    }

    /// One reader of block `index` waits no more.
    pub fn remove_block(&mut self, index: u64) {
        if let Some(count) = self.blocks.get_mut(&index) {
            *count -= 1;
            if *count == 0 {
                self.blocks.remove(&index);
            }
        }
    }

    /// Someone wants `start..end` stored (`None`: to the end, live).
    pub fn add_range(&mut self, start: u64, end: Option<u64>) -> WantId {
        self.next_id += 1;
        self.ranges.insert(
            self.next_id,
            RangeWant {
                start,
                end,
                cursor: start,
            },
        );
        self.next_id
    }

    /// The range is wanted no more.
    pub fn remove_range(&mut self, id: WantId) {
        self.ranges.remove(&id);
    }

    /// Someone looks for the block at a byte offset.
    pub fn add_seek(&mut self, seek: RequestSeek) -> WantId {
        self.next_id += 1;
        self.seeks.insert(self.next_id, seek);
        self.next_id
    }

    /// The seek ended.
    pub fn remove_seek(&mut self, id: WantId) {
        self.seeks.remove(&id);
    }

    /// The byte offsets looked for.
    pub fn seeks(&self) -> impl Iterator<Item = (WantId, RequestSeek)> + '_ {
        self.seeks.iter().map(|(id, seek)| (*id, *seek))
    }

    /// Whether nobody wants any block, range or seek.
    pub fn is_idle(&self) -> bool {
        self.blocks.is_empty() && self.ranges.is_empty() && self.seeks.is_empty()
    }

    /// Whether something wanted is not stored (`have`) of a core of that length: a block, also one that is not known to exist, a part of
    /// a range as far as the core goes, or the way to a byte.
    pub fn lacks(&self, have: &Bitfield, length: u64) -> bool {
        let lacks = |range: &RangeWant| {
            let end = range.end.unwrap_or(length).min(length);
            range.cursor < end && have.first_unset(range.cursor) < end
        };
        !self.seeks.is_empty()
            || self.blocks.keys().any(|index| !have.get(*index))
            || self.ranges.values().any(lacks)
    }

    /// Blocks may be missing again from `start` on (truncation, clear).
    pub fn rewind(&mut self, start: u64) {
        for range in self.ranges.values_mut() {
            range.cursor = range.cursor.min(start).max(range.start);
        }
    }

    /// Picks up to `max` wanted blocks that are not stored (`have`) nor asked for, that the peer holds (`peer_has`), and that lie
    /// within `length`; marks them as asked. Waited-for blocks go first, then ranges in order. `skip` are blocks this
    /// peer must not be asked for again.
    pub fn pick(
        &mut self,
        have: &Bitfield,
        peer_has: &Bitfield,
        length: u64,
        skip: &dyn Fn(u64) -> bool,
        max: usize,
    ) -> Vec<u64> {
        let mut picked = Vec::new();
        let mut seen = HashSet::new();
        for index in self.blocks.keys().take_while(|index| **index < length) {
            if picked.len() >= max {
                break;
            }
            let asked = self.inflight.contains_key(index);
            if !asked && !have.get(*index) && peer_has.get(*index) && !skip(*index) {
                seen.insert(*index);
                picked.push(*index);
            }
        }
        for (from, to) in self.passes(length) {
            for range in self.ranges.values_mut() {
                range.cursor = have.first_unset(range.cursor);
                let end = range.end.unwrap_or(length).min(length).min(to);
                let mut index = range.cursor.max(from);
                while picked.len() < max {
                    let Some(next) = peer_has.first_set(index, end) else {
                        break;
                    };
                    index = next + 1;
                    if have.get(next) {
                        index = have.first_unset(next);
                    } else if !self.inflight.contains_key(&next) && !skip(next) && seen.insert(next) {
                        picked.push(next);
                    }
                }
            }
        }
        for index in &picked {
            *self.inflight.entry(*index).or_default() += 1;
        }
        picked
    }

    /// A block that was asked of a peer arrived or was given up; it may be asked for again if it is still missing.
    pub fn unmark(&mut self, index: u64) {
        if let Some(count) = self.inflight.get_mut(&index) {
            *count -= 1;
            if *count == 0 {
                self.inflight.remove(&index);
            }
        }
    }

    /// How many blocks are being asked for.
    pub fn inflight(&self) -> usize {
        self.inflight.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_is_asked_once_and_waited_ones_first() {
        let mut wants = Wants::default();
        let mut peer = Bitfield::default();
        peer.set_range(0, 10, true);
        let mut have = Bitfield::default();
        have.set(1, true);
        wants.add_range(0, None);
        wants.add_block(7);
        let none = |_| false;
        assert_eq!(wants.pick(&have, &peer, 10, &none, 3), [7, 0, 2]);
        assert_eq!(
            wants.pick(&have, &peer, 10, &|index| index == 4, 9),
            [3, 5, 6, 8, 9]
        );
        assert!(wants.pick(&have, &peer, 10, &none, 9) == [4]);
        wants.unmark(3);
        assert_eq!(wants.pick(&have, &peer, 10, &none, 9), [3]);
        assert!(wants.pick(&have, &peer, 10, &none, 9).is_empty());
    }

    #[test]
    fn who_fetches_with_others_begins_at_a_place_of_its_own_and_comes_around() {
        let mut wants = Wants::default();
        let mut peer = Bitfield::default();
        peer.set_range(0, 100, true);
        let (have, none) = (Bitfield::default(), |_: u64| false);
        assert!(!wants.is_shared());
        wants.begin_at(u32::MAX / 2);
        wants.add_range(60, Some(70));
        wants.add_range(50, Some(54));
        wants.add_block(3);
        // The span is 50..70, its middle 59: what lies behind it first, then the rest, and before both who waits.
        let picked = wants.pick(&have, &peer, 100, &none, 99);
        let expected: Vec<u64> = [3].into_iter().chain(60..70).chain(50..54).collect();
        assert_eq!(picked, expected);
        picked.iter().for_each(|index| wants.unmark(*index));
        wants.begin_at(0xc000_0000);
        let picked = wants.pick(&have, &peer, 100, &none, 99);
        let expected: Vec<u64> = [3]
            .into_iter()
            .chain(65..70)
            .chain(60..65)
            .chain(50..54)
            .collect();
        assert_eq!(picked, expected);
    }

    #[test]
    fn what_is_wanted_and_not_here_is_lacking() {
        let (mut wants, mut have) = (Wants::default(), Bitfield::default());
        assert!(!wants.lacks(&have, 10));
        let live = wants.add_range(2, None);
        assert!(wants.lacks(&have, 10) && !wants.lacks(&have, 2));
        have.set_range(2, 10, true);
        assert!(!wants.lacks(&have, 10) && wants.lacks(&have, 11));
        wants.remove_range(live);
        // A core that is shorter than what is asked of it lacks that block, and nothing of a range.
        wants.add_range(0, Some(30));
        have.set_range(0, 10, true);
        assert!(!wants.lacks(&have, 10));
        wants.add_block(12);
        assert!(wants.lacks(&have, 10));
        wants.remove_block(12);
        let seek = wants.add_seek(RequestSeek { bytes: 5, padding: 0 });
        assert!(wants.lacks(&have, 10));
        wants.remove_seek(seek);
        assert!(!wants.lacks(&have, 10));
    }

    #[test]
    fn withdrawn_wants_are_not_asked() {
        let mut wants = Wants::default();
        let mut peer = Bitfield::default();
        peer.set_range(0, 10, true);
        let id = wants.add_range(0, Some(5));
        wants.add_block(9);
        wants.add_block(9);
        wants.remove_block(9);
        wants.remove_range(id);
        assert_eq!(wants.pick(&Bitfield::default(), &peer, 10, &|_| false, 9), [9]);
        wants.remove_block(9);
        assert!(wants.is_idle());
    }
}
