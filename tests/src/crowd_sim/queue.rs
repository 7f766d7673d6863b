//! What happens next, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Something that happens to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// It looks the topic up.
    Lookup(u32),
    /// It may dial somebody.
    Dial(u32),
    /// A peer told it of the release.
    Hear(u32),
    /// Its check is due.
    Due(u32),
    /// A source has sent a piece.
    Sent { app: u32, from: u32, index: u32 },
    /// A piece arrives from a source.
    Piece { app: u32, from: u32, index: u32 },
}

/// Events by time; those of one moment in the order in which they were added.
#[derive(Debug)]
pub(super) struct Queue {
    start: Instant,
    heap: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    added: u64,
    pub(super) now: Instant,
}

impl Queue {
    pub(super) fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            heap: BinaryHeap::new(),
            added: 0,
            now: start,
        }
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.added += 1;
        let at = at.max(self.now).saturating_duration_since(self.start);
        self.heap.push(Reverse((at, self.added, event)));
    }

    pub(super) fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    /// When the next event is.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let Reverse((at, ..)) = self.heap.peek()?;
        Some(self.start + *at)
    }

    pub(super) fn next(&mut self) -> Option<Event> {
        let Reverse((at, _, event)) = self.heap.pop()?;
        self.now = self.start + at;
        Some(event)
    }
}
