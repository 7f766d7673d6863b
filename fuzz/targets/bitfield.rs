//! Bitfields, from the wire and from the disk, against a plain set of numbers.

#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use hypercore::bitfield::Bitfield;
use libfuzzer_sys::fuzz_target;

/// Beyond this everything stays clear, so that the set stays small.
const ROOM: u64 = 3 * 32_768;

#[derive(Debug, Arbitrary)]
enum Step {
    Set(u32, bool),
    Range(u32, u16, bool),
    Words(u16, Vec<u32>),
    Page(u8, Vec<u8>),
    Look(u32, u16),
}

fuzz_target!(|steps: Vec<Step>| {
    let mut bits = Bitfield::default();
    let mut set = BTreeSet::new();
    for step in steps.into_iter().take(40) {
        match step {
            Step::Set(at, value) => {
                let at = u64::from(at) % ROOM;
                let changed = if value { set.insert(at) } else { set.remove(&at) };
                assert_eq!(bits.set(at, value), changed);
            }
            Step::Range(start, length, value) => {
                let start = u64::from(start) % ROOM;
                let end = (start + u64::from(length) % 3000).min(ROOM);
                bits.set_range(start, end, value);
                for at in start..end {
                    if value {
                        set.insert(at)
                    } else {
                        set.remove(&at)
                    };
                }
            }
            Step::Words(start, words) => {
                let start = u64::from(start) * 32 % ROOM;
                let words: Vec<u32> = words.into_iter().take(((ROOM - start) / 32) as usize).collect();
                bits.insert_words(start, &words);
                for (at, word) in (start..).step_by(32).zip(&words) {
                    for bit in 0..32 {
                        if word >> bit & 1 == 1 {
                            set.insert(at + bit)
                        } else {
                            set.remove(&(at + bit))
                        };
                    }
                }
                let read = bits.words(start, 32 * words.len() as u64);
                assert!(read.len() <= words.len() && words.starts_with(&read));
                assert!(words[read.len()..].iter().all(|word| *word == 0));
            }
            Step::Page(number, bytes) => {
                let number = u64::from(number) % (ROOM / 32_768);
                bits.merge_page(number, &bytes);
                for (at, eight) in bytes.chunks_exact(8).take(512).enumerate() {
                    for (byte, value) in eight.iter().enumerate() {
                        for bit in (0..8).filter(|bit| value >> bit & 1 == 1) {
                            set.insert(number * 32_768 + (at * 64 + byte * 8 + bit) as u64);
                        }
                    }
                }
            }
            Step::Look(start, length) => {
                let start = u64::from(start) % ROOM;
                let end = start + u64::from(length);
                assert_eq!(bits.get(start), set.contains(&start));
                assert_eq!(bits.count(start, end), set.range(start..end).count() as u64);
                assert_eq!(bits.first_set(start, end), set.range(start..end).next().copied());
                let clear = (start..).find(|at| !set.contains(at));
                assert_eq!(Some(bits.first_unset(start)), clear);
            }
        }
    }
    // What is stored is read back.
    let mut read = Bitfield::default();
    for (number, bytes) in bits.take_dirty() {
        read.merge_page(number, &bytes);
    }
    for at in &set {
        assert!(bits.get(*at));
    }
    assert_eq!(bits.count(0, ROOM), set.len() as u64);
});
