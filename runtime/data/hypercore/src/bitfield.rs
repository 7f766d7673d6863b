//! Which blocks are stored: one bit each, in pages of 32,768 bits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bits in a page.
pub(crate) const PAGE_BITS: u64 = 32_768;
/// Bytes in a page.
pub(crate) const PAGE_BYTES: usize = 4096;
const WORDS: usize = PAGE_BYTES / 8;

/// A sparse bitfield that remembers which pages changed since they were last stored. Clones share their pages until one of
/// them changes.
#[derive(Debug, Clone, Default)]
pub struct Bitfield {
    pages: BTreeMap<u64, Arc<[u64; WORDS]>>,
    dirty: BTreeSet<u64>,
}

fn split(bit: u64) -> (u64, usize, u64) {
    let within = bit % PAGE_BITS;
    (bit / PAGE_BITS, (within / 64) as usize, 1 << (within % 64))
}

impl Bitfield {
    /// Whether bit `bit` is set.
    pub fn get(&self, bit: u64) -> bool {
        let (page, word, mask) = split(bit);
        self.pages
            .get(&page)
            .and_then(|page| page.get(word))
            .is_some_and(|word| word & mask != 0)
    }

    /// Sets or clears one bit; true if it changed.
    pub fn set(&mut self, bit: u64, value: bool) -> bool {
        let (number, word, mask) = split(bit);
        if !value && !self.pages.contains_key(&number) {
            return false;
        }
        let page = Arc::make_mut(self.pages.entry(number).or_insert_with(|| Arc::new([0; WORDS])));
        let Some(word) = page.get_mut(word) else {
            return false;
        };
        if (*word & mask != 0) == value {
            return false;
        }
        *word ^= mask;
        self.dirty.insert(number);
        true
    }

    /// Sets or clears `start..end`.
    pub fn set_range(&mut self, start: u64, end: u64, value: bool) {
        let mut bit = start;
        while bit < end {
            let number = bit / PAGE_BITS;
            if !value {
                // Skip pages that hold nothing to clear.
                match self.pages.range(number..).next() {
                    Some((next, _)) if *next > number => {
                        bit = next.saturating_mul(PAGE_BITS);
                        continue;
                    }
                    Some(_) => {}
                    None => return,
                }
            }
            if bit.is_multiple_of(PAGE_BITS) && end - bit >= PAGE_BITS {
                if value {
                    // In place: whoever sets the same range again and again allocates nothing.
                    let page = self.pages.entry(number).or_insert_with(|| Arc::new([0; WORDS]));
                    *Arc::make_mut(page) = [u64::MAX; WORDS];
                } else {
                    self.pages.remove(&number);
                }
                self.dirty.insert(number);
                bit += PAGE_BITS;
                continue;
            }
            // The part of the page that lies in the range.
            let stop = ((number + 1) * PAGE_BITS).min(end);
            self.set_in_page(bit, stop, value);
            bit = stop;
        }
    }

    /// Sets or clears `start..end`, which lie in one page.
    fn set_in_page(&mut self, start: u64, end: u64, value: bool) {
        let (number, first, _) = split(start);
        let page = Arc::make_mut(self.pages.entry(number).or_insert_with(|| Arc::new([0; WORDS])));
        let mut changed = false;
        let mut bit = start;
        for word in page.iter_mut().skip(first) {
            if bit >= end {
                break;
            }
            let stop = ((bit / 64 + 1) * 64).min(end);
            let mask = (u64::MAX >> (64 - (stop - bit))) << (bit % 64);
            let now = if value { *word | mask } else { *word & !mask };
            changed |= std::mem::replace(word, now) != now;
            bit = stop;
        }
        if changed {
            self.dirty.insert(number);
        }
    }

    /// Forgets which pages changed, for bitfields that are not stored.
    pub fn forget_dirty(&mut self) {
        self.dirty.clear();
    }

    /// How many pages are held in memory.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The first bit at or after `start` that is not set.
    pub fn first_unset(&self, start: u64) -> u64 {
        let mut bit = start;
        loop {
            let (number, word, _) = split(bit);
            let Some(page) = self.pages.get(&number) else {
                return bit;
            };
            let bits = page.get(word).copied().unwrap_or(0) >> (bit % 64);
            let run = u64::from((!bits).trailing_zeros()).min(64 - bit % 64);
            bit += run;
            if run == 0 || !bit.is_multiple_of(64) {
                return bit;
            }
        }
    }

    /// The first bit at or after `start` and before `end` that is set.
    pub fn first_set(&self, start: u64, end: u64) -> Option<u64> {
        let mut bit = start;
        while bit < end {
            let (number, word, _) = split(bit);
            let Some(page) = self.pages.get(&number) else {
                bit = (number + 1) * PAGE_BITS;
                continue;
            };
            let bits = page.get(word).copied().unwrap_or(0) >> (bit % 64);
            if bits != 0 {
                let found = bit + u64::from(bits.trailing_zeros());
                return (found < end).then_some(found);
            }
            bit = (bit / 64 + 1) * 64;
        }
        None
    }

    /// How many bits of `start..end` are set.
    pub fn count(&self, start: u64, end: u64) -> u64 {
        let mut total = 0;
        let mut bit = start;
        while let Some(set) = self.first_set(bit, end) {
            let unset = self.first_unset(set).min(end);
            total += unset - set;
            bit = unset;
        }
        total
    }

    /// The 32-bit words, little-endian bits, that cover `start..start + length`; `start` a multiple of 32. For the wire.
    pub fn words(&self, start: u64, length: u64) -> Vec<u32> {
        let first = start / 32;
        let mut words: Vec<u32> = (first..(start + length).div_ceil(32))
            .map(|word| {
                let (number, index, _) = split(word * 32);
                let bits = self
                    .pages
                    .get(&number)
                    .and_then(|page| page.get(index))
                    .copied()
                    .unwrap_or(0);
                (bits >> (word % 2 * 32)) as u32
            })
            .collect();
        while words.last() == Some(&0) {
            words.pop();
        }
        words
    }

    /// Takes over 32-bit words from the wire, from bit `start`, a multiple of 32.
    pub fn insert_words(&mut self, start: u64, words: &[u32]) {
        for (i, bits) in (0u64..).zip(words) {
            let bit = start + 32 * i;
            let (number, index, _) = split(bit);
            if *bits == 0 && !self.pages.contains_key(&number) {
                continue;
            }
            let page = Arc::make_mut(self.pages.entry(number).or_insert_with(|| Arc::new([0; WORDS])));
            if let Some(word) = page.get_mut(index) {
                let shift = bit % 64;
                *word = (*word & !(0xffff_ffff << shift)) | (u64::from(*bits) << shift);
                self.dirty.insert(number);
            }
        }
    }

    /// The pages that changed, as stored bytes; they count as clean afterwards.
    pub fn take_dirty(&mut self) -> Vec<(u64, Vec<u8>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty
            .into_iter()
            .map(|number| (number, self.page(number)))
            .collect()
    }

    /// Marks the page that holds `bit` as changed, to be stored again.
    pub fn touch(&mut self, bit: u64) {
        self.dirty.insert(bit / PAGE_BITS);
    }

    /// The stored form of page `number`.
    pub fn page(&self, number: u64) -> Vec<u8> {
        match self.pages.get(&number) {
            Some(page) => page.iter().flat_map(|word| word.to_le_bytes()).collect(),
            None => vec![0; PAGE_BYTES],
        }
    }

    /// Adds the bits of a stored page (OR), without marking it changed.
    pub fn merge_page(&mut self, number: u64, bytes: &[u8]) {
        let page = Arc::make_mut(self.pages.entry(number).or_insert_with(|| Arc::new([0; WORDS])));
        for (word, chunk) in page.iter_mut().zip(bytes.chunks_exact(8)) {
            *word |= u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8]));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_runs() {
        let mut bits = Bitfield::default();
        assert_eq!(bits.first_unset(5), 5);
        bits.set_range(3, 40_000, true);
        assert_eq!((bits.first_unset(3), bits.first_unset(0)), (40_000, 0));
        assert_eq!(bits.first_set(0, 10), Some(3));
        assert_eq!(bits.first_set(40_000, 1 << 30), None);
        assert_eq!(bits.count(0, 1 << 20), 39_997);
        bits.set(100, false);
        assert_eq!(bits.first_unset(3), 100);
    }

    #[test]
    fn whole_pages_are_set_and_cleared_at_once() {
        let mut bits = Bitfield::default();
        let end = 4 * PAGE_BITS + 7;
        bits.set_range(5, end, true);
        assert_eq!(bits.count(0, u64::from(u32::MAX)), end - 5);
        bits.take_dirty();
        bits.set_range(PAGE_BITS - 1, 3 * PAGE_BITS + 1, false);
        assert_eq!(bits.first_unset(5), PAGE_BITS - 1);
        assert_eq!(bits.first_set(PAGE_BITS - 1, end), Some(3 * PAGE_BITS + 1));
        assert_eq!(bits.pages(), 3);
        // What was cleared is stored as cleared.
        let stored = bits.take_dirty();
        assert!(
            stored
                .iter()
                .any(|(page, bytes)| *page == 1 && bytes.iter().all(|byte| *byte == 0))
        );
        assert_eq!(stored.len(), 4);
        bits.set_range(0, u64::MAX, false);
        assert_eq!(bits.first_set(0, end), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(ops: Vec<(u16, u8, bool)>, probe: u16) {
            let mut bits = Bitfield::default();
            let mut model = BTreeSet::new();
            for (start, length, value) in ops {
                let (start, end) = (u64::from(start), u64::from(start) + u64::from(length));
                bits.set_range(start, end, value);
                for bit in start..end {
                    if value { model.insert(bit); } else { model.remove(&bit); }
                }
            }
            let probe = u64::from(probe);
            prop_assert_eq!(bits.get(probe), model.contains(&probe));
            prop_assert_eq!(bits.first_set(probe, 1 << 20), model.range(probe..).next().copied());
            prop_assert_eq!(bits.first_unset(probe), (probe..).find(|bit| !model.contains(bit)).unwrap());
            prop_assert_eq!(bits.count(0, 1 << 20), model.len() as u64);
            let mut copy = Bitfield::default();
            copy.insert_words(0, &bits.words(0, 1 << 17));
            prop_assert_eq!(copy.count(0, 1 << 20), model.len() as u64);
            let mut stored = Bitfield::default();
            for (number, bytes) in bits.take_dirty() {
                stored.merge_page(number, &bytes);
            }
            prop_assert_eq!(stored.first_set(probe, 1 << 20), model.range(probe..).next().copied());
        }
    }
}
