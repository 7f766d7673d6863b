//! What streams may keep until their peers acknowledge it: each, and all of a set together, so that many slow peers cost no more memory
//! than a few.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes kept for a peer that has not acknowledged them yet, whatever window it offers: what it acknowledges out of
/// turn has to be kept, too. Twice our own receive window, and enough for a gigabit over 130 ms.
pub(crate) const MAX_OUTSTANDING: usize = 16 * 1024 * 1024;
/// What all streams with something to keep share in equal parts: enough for three that are far away and fast, and for a gigabit over
/// 400 ms to all of them.
const TOGETHER: usize = 3 * MAX_OUTSTANDING;
/// What each may keep, however many they are. A swarm's 256 places for peers that come to it share [`TOGETHER`] so.
const LEAST: usize = TOGETHER / 256;

/// How many streams of a set have something to keep.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<AtomicUsize>);

impl Memory {
    /// What each may keep.
    pub(crate) fn part(&self) -> usize {
        let holding = self.0.load(Ordering::Relaxed).max(1);
        (TOGETHER / holding).clamp(LEAST, MAX_OUTSTANDING)
    }
}

/// One stream's entry in the count.
#[derive(Debug)]
pub(crate) struct Holding {
    memory: Memory,
    holds: bool,
}

impl Holding {
    pub(crate) fn new(memory: Memory) -> Self {
        Self { memory, holds: false }
    }

    /// Says whether the stream has something to keep.
    pub(crate) fn set(&mut self, holds: bool) {
        if holds != self.holds {
            self.holds = holds;
            if holds {
                self.memory.0.fetch_add(1, Ordering::Relaxed);
            } else {
                self.memory.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// What the stream may keep.
    pub(crate) fn part(&self) -> usize {
        self.memory.part()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn a_stream_takes_no_more_than_its_part_and_keeps_nothing_once_it_is_over() {
        let mut engine = Engine::new(0);
        engine.connect(0, 1, false);
        engine.keep_at_most(LEAST);
        engine.sender.write(&vec![7; LEAST - 10]);
        assert!(engine.write_room() <= 10 && !engine.is_writable());
        let mut packet = Vec::new();
        assert!(engine.poll_transmit(0, &mut packet, true));
        engine.destroy(0);
        assert_eq!(engine.sender.kept(), 0);
        // It says that it is over, and nothing else.
        assert!(engine.poll_transmit(0, &mut packet, true) && !engine.poll_transmit(0, &mut packet, true));
    }

    #[test]
    fn a_crowd_keeps_no_more_than_three_may_and_who_ends_gives_his_part_back() {
        let memory = Memory::default();
        let mut all = Vec::new();
        for count in 1..=256 {
            let mut holding = Holding::new(memory.clone());
            holding.set(true);
            holding.set(true);
            all.push(holding);
            let kept = count * memory.part();
            assert!(
                kept <= TOGETHER && kept + 256 >= TOGETHER.min(count * MAX_OUTSTANDING),
                "{count}: {kept}"
            );
        }
        all.iter_mut().skip(10).for_each(|holding| holding.set(false));
        assert_eq!(memory.part(), TOGETHER / 10);
        drop(all);
        assert_eq!(memory.part(), MAX_OUTSTANDING);
    }
}
