//! Bitfields, from the wire and from the disk, against a plain list of bits.

#![no_main]

use arbitrary::Arbitrary;
use hypercore::bitfield::Bitfield;
use libfuzzer_sys::fuzz_target;

/// Beyond this everything stays clear, so that the list stays short.
const ROOM: usize = 3 * 32_768;

#[derive(Debug, Arbitrary)]
enum Step {
    Set(u32, bool),
    Range(u32, u16, bool),
    Words(u16, Vec<u32>),
    Page(u8, Vec<u8>),
    Look(u32, u16),
}

/// The first place from `start` on with that bit; `ROOM` stands for all that follow, which are clear.
fn next(model: &[bool], start: usize, value: bool) -> Option<usize> {
    let found = model[start..].iter().position(|bit| *bit == value);
    found.map(|at| start + at).or((!value).then_some(ROOM))
}

fuzz_target!(|steps: Vec<Step>| {
    let mut bits = Bitfield::default();
    let mut model = vec![false; ROOM];
    for step in steps.into_iter().take(40) {
        match step {
            Step::Set(at, value) => {
                let at = at as usize % ROOM;
                let changed = std::mem::replace(&mut model[at], value) != value;
                assert_eq!(bits.set(at as u64, value), changed);
            }
            Step::Range(start, length, value) => {
                let start = start as usize % ROOM;
                let end = (start + usize::from(length) % 3000).min(ROOM);
                bits.set_range(start as u64, end as u64, value);
                model[start..end].fill(value);
            }
            Step::Words(start, words) => {
                let start = usize::from(start) * 32 % ROOM;
                let words: Vec<u32> = words.into_iter().take((ROOM - start) / 32).collect();
                bits.insert_words(start as u64, &words);
                for (bits, word) in model[start..].chunks_exact_mut(32).zip(&words) {
                    bits.iter_mut()
                        .enumerate()
                        .for_each(|(at, bit)| *bit = word >> at & 1 == 1);
                }
                let read = bits.words(start as u64, 32 * words.len() as u64);
                assert!(read.len() <= words.len() && words.starts_with(&read));
                assert!(words[read.len()..].iter().all(|word| *word == 0));
            }
            Step::Page(number, bytes) => {
                let start = usize::from(number) * 32_768 % ROOM;
                bits.merge_page((start / 32_768) as u64, &bytes);
                // A page is made of whole words of eight bytes.
                let whole = bytes.len() / 8 * 8;
                for (at, byte) in bytes[..whole].iter().take(4096).enumerate() {
                    for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                        model[start + at * 8 + bit] = true;
                    }
                }
            }
            Step::Look(start, length) => {
                let start = start as usize % ROOM;
                let end = (start + usize::from(length)).min(ROOM);
                let (from, to) = (start as u64, (start + usize::from(length)) as u64);
                assert_eq!(bits.get(from), model[start]);
                let count = model[start..end].iter().filter(|bit| **bit).count();
                assert_eq!(bits.count(from, to), count as u64);
                let set = next(&model, start, true).filter(|at| *at < end);
                assert_eq!(bits.first_set(from, to), set.map(|at| at as u64));
                let clear = next(&model, start, false);
                assert_eq!(Some(bits.first_unset(from)), clear.map(|at| at as u64));
            }
        }
    }
    let expected = |bits: &[bool]| {
        bits.iter()
            .rev()
            .fold(0u32, |word, bit| word << 1 | u32::from(*bit))
    };
    let mut words = bits.words(0, ROOM as u64).into_iter();
    assert!(
        model
            .chunks_exact(32)
            .all(|bits| words.next().unwrap_or(0) == expected(bits))
    );
    // What is stored is read back.
    for (number, bytes) in bits.take_dirty() {
        let mut read = Bitfield::default();
        read.merge_page(number, &bytes);
        assert_eq!(read.page(number), bits.page(number));
    }
});
