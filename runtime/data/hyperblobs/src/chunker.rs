//! Cutting a byte stream into blocks: fixed ones, or chunks whose borders depend on the content, so that an insertion
//! moves only the borders next to it.
//!
//! Chunks are found with a gear hash and normalised cut points (Xia et al., "FastCDC", USENIX ATC 2016). Readers follow
//! the block map, so the borders are a writer's own choice; npm `mirror-drive` uses Rabin chunks of 512 KiB to 8 MiB,
//! ours average 64 KiB, because a change costs about one chunk on the wire.
//!
//! Not the `fastcdc` crate: its table and its masks put the borders elsewhere, and the blocks of every drive staged so far would be sent again.

use bytes::{Bytes, BytesMut};

/// Length of the blocks of a plain blob (npm `hyperblobs` `DEFAULT_BLOCK_SIZE`).
pub(crate) const PLAIN_BLOCK: usize = 64 * 1024;
/// No chunk is shorter, except the last one of a file.
pub(crate) const MIN_CHUNK: usize = 16 * 1024;
/// Chunks are about that long.
const NORMAL_CHUNK: usize = 64 * 1024;
/// No chunk is longer.
pub(crate) const MAX_CHUNK: usize = 256 * 1024;
/// Zero bits that a border needs before the normal length, and after it.
const BITS_BEFORE: u32 = 18;
const BITS_AFTER: u32 = 14;

/// One pseudo-random number per byte value, from SplitMix64. Changing it changes all borders.
#[expect(
    clippy::indexing_slicing,
    reason = "a constant is worked out when it is compiled"
)]
const GEAR: [u64; 256] = {
    let mut table = [0; 256];
    let mut state: u64 = 0x626f_7363_2d67_6561; // "bosc-gea"
    let mut at = 0;
    while at < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = z ^ (z >> 31);
        at += 1;
    }
    table
};

/// How to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunking {
    /// Blocks of 64 KiB.
    Plain,
    /// Content-defined chunks of 16 to 256 KiB, about 64 KiB on average.
    Content,
}

/// Cuts a stream into blocks: push bytes, take blocks, finish.
#[derive(Debug)]
pub(crate) struct Chunker {
    chunking: Chunking,
    buffer: BytesMut,
    /// Bytes of the buffer that were looked at, without a border among them.
    scanned: usize,
    hash: u64,
}

impl Chunker {
    /// A chunker at the start of a file.
    pub(crate) fn new(chunking: Chunking) -> Self {
        Self {
            chunking,
            buffer: BytesMut::new(),
            scanned: 0,
            hash: 0,
        }
    }

    /// Adds bytes; follow with [`Chunker::next_block`] until that gives `None`.
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next complete block, if the bytes pushed so far hold one.
    pub(crate) fn next_block(&mut self) -> Option<Bytes> {
        let length = match self.chunking {
            Chunking::Plain => (self.buffer.len() >= PLAIN_BLOCK).then_some(PLAIN_BLOCK)?,
            Chunking::Content => self.find_border()?,
        };
        (self.scanned, self.hash) = (0, 0);
        Some(self.buffer.split_to(length.min(self.buffer.len())).freeze())
    }

    /// What is left at the end of the file; `None` when nothing is.
    pub(crate) fn finish(mut self) -> Option<Bytes> {
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }

    #[expect(clippy::indexing_slicing, reason = "the table has an entry for every byte")]
    fn find_border(&mut self) -> Option<usize> {
        if self.buffer.len() < MIN_CHUNK {
            return None;
        }
        self.scanned = self.scanned.max(MIN_CHUNK);
        for (limit, bits) in [(NORMAL_CHUNK, BITS_BEFORE), (MAX_CHUNK, BITS_AFTER)] {
            let limit = limit.min(self.buffer.len());
            let window = self.buffer.get(self.scanned..limit).unwrap_or_default();
            for (at, &byte) in window.iter().enumerate() {
                self.hash = (self.hash << 1).wrapping_add(GEAR[usize::from(byte)]);
                if self.hash >> (u64::BITS - bits) == 0 {
                    return Some(self.scanned + at + 1);
                }
            }
            self.scanned = self.scanned.max(limit);
        }
        (self.scanned >= MAX_CHUNK).then_some(MAX_CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Bytes that look random and never change.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect()
    }

    fn chunks(data: &[u8], chunking: Chunking, step: usize) -> Vec<Bytes> {
        let mut chunker = Chunker::new(chunking);
        let mut out = Vec::new();
        for part in data.chunks(step.max(1)) {
            chunker.push(part);
            while let Some(block) = chunker.next_block() {
                out.push(block);
            }
        }
        out.extend(chunker.finish());
        out
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let before = noise(1, 4 << 20);
        let mut after = before.clone();
        after.splice(2_000_000..2_000_000, noise(2, 1024));
        let old: HashSet<_> = chunks(&before, Chunking::Content, 1 << 20).into_iter().collect();
        let new = chunks(&after, Chunking::Content, 1 << 20);
        let changed: usize = new
            .iter()
            .filter(|chunk| !old.contains(*chunk))
            .map(Bytes::len)
            .sum();
        assert!(changed <= 3 * NORMAL_CHUNK, "{changed} bytes changed");
        assert!((32..128).contains(&new.len()), "{} chunks in 4 MiB", new.len());
    }

    #[test]
    fn plain_blocks_are_64_kib() {
        let lengths: Vec<_> = chunks(&noise(3, 150_000), Chunking::Plain, 7001)
            .iter()
            .map(Bytes::len)
            .collect();
        assert_eq!(lengths, [65_536, 65_536, 18_928]);
        assert!(chunks(&[], Chunking::Plain, 1).is_empty());
        assert!(chunks(&[], Chunking::Content, 1).is_empty());
    }

    #[test]
    fn constant_bytes_are_cut_at_the_limit() {
        let lengths: Vec<_> = chunks(&[0; 600_000], Chunking::Content, 1000)
            .iter()
            .map(Bytes::len)
            .collect();
        assert!(lengths.iter().all(|&length| length <= MAX_CHUNK), "{lengths:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(16)))]
        #[test]
        fn borders_do_not_depend_on_how_bytes_arrive(seed in any::<u64>(), length in 0usize..600_000, step in 1000usize..300_000) {
            let data = noise(seed, length);
            let whole = chunks(&data, Chunking::Content, usize::MAX);
            prop_assert_eq!(&whole, &chunks(&data, Chunking::Content, step));
            prop_assert_eq!(whole.concat(), data);
            for chunk in whole.iter().rev().skip(1) {
                prop_assert!((MIN_CHUNK..=MAX_CHUNK).contains(&chunk.len()));
            }
        }
    }
}
