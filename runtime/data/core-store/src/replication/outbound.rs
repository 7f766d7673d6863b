//! What is on its way to a peer, and how much of that there may be: for one peer, and for all of them together, so that a crowd costs
//! no more memory than a few.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

/// Bytes on their way to a slow peer before we stop answering its requests, while few ask.
const MAX_QUEUED: usize = 4 * 1024 * 1024;
/// Bytes on their way to a peer before we stop reading what it sends. Above [`MAX_QUEUED`], so that two peers that serve each
/// other never both stop; only what is not answered within that budget gets here.
pub(super) const MAX_BACKLOG: usize = 2 * MAX_QUEUED;
/// What all peers that are answered share in equal parts. Eight of them have all that one may have.
const TOGETHER: usize = 8 * MAX_QUEUED;
/// What each may have, however many they are: two chunks of 64 KiB, one to send and one to read meanwhile. A swarm's 256 places
/// for peers that come to it share [`TOGETHER`] so.
const LEAST: usize = TOGETHER / 256;

/// The peers of this process that are answered: it is the process that has memory.
pub(super) static ALL: Crowd = Crowd {
    answered: AtomicUsize::new(0),
    queued: AtomicUsize::new(0),
};

/// How many share, and what lies in memory for all of them.
#[derive(Debug)]
pub(super) struct Crowd {
    answered: AtomicUsize,
    queued: AtomicUsize,
}

impl Crowd {
    /// What one may have on its way that has `queued`: an equal part, but beyond [`LEAST`] nothing that others still hold, who came
    /// when they were fewer.
    fn part(&self, queued: usize) -> usize {
        let answered = self.answered.load(Ordering::Relaxed).max(1);
        let free = TOGETHER.saturating_sub(self.queued.load(Ordering::Relaxed));
        let equal = (TOGETHER / answered).min(MAX_QUEUED);
        equal.min(queued.saturating_add(free)).max(LEAST)
    }
}

/// The bytes on their way to one peer.
pub(super) struct Outbound {
    crowd: &'static Crowd,
    shared: Arc<Shared>,
    takes_part: bool,
}

struct Shared {
    queued: AtomicUsize,
    /// Whether the driver found no room, and is to be woken when there is some.
    waits: AtomicBool,
    wake: Arc<Notify>,
}

impl Outbound {
    /// Nothing is on its way yet. `wake` is notified when there is room for those who wait for some.
    pub(super) fn new(crowd: &'static Crowd, wake: Arc<Notify>) -> Self {
        Self {
            crowd,
            shared: Arc::new(Shared {
                queued: AtomicUsize::new(0),
                waits: AtomicBool::new(false),
                wake,
            }),
            takes_part: false,
        }
    }

    /// Says whether the peer wants answers; those that do, or have some on their way, share. To be called again from time to time: who
    /// wants nothing more gives his part back at the first call after the last was sent.
    pub(super) fn take_part(&mut self, wants: bool) {
        let takes_part = wants || self.queued() > 0;
        if takes_part != self.takes_part {
            self.takes_part = takes_part;
            if takes_part {
                self.crowd.answered.fetch_add(1, Ordering::Relaxed);
            } else {
                self.crowd.answered.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.shared.queued.load(Ordering::SeqCst)
    }

    /// How many more bytes may be made for the peer now. If none, the driver is woken once half of its part is free.
    pub(super) fn room(&self) -> usize {
        // First the word, then the look: a frame that is dropped between the two sees the word.
        self.shared.waits.store(true, Ordering::SeqCst);
        let queued = self.queued();
        let room = self.crowd.part(queued).saturating_sub(queued);
        if room > 0 {
            self.shared.waits.store(false, Ordering::SeqCst);
        }
        room
    }

    /// Counts a frame until its last copy is dropped, which is when it was encrypted and handed to the stream.
    pub(super) fn count(&self, bytes: Bytes) -> Bytes {
        self.shared.queued.fetch_add(bytes.len(), Ordering::SeqCst);
        self.crowd.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Frame {
            bytes,
            crowd: self.crowd,
            shared: self.shared.clone(),
        })
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        if self.takes_part {
            self.crowd.answered.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

struct Frame {
    bytes: Bytes,
    crowd: &'static Crowd,
    shared: Arc<Shared>,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.crowd.queued.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        let before = self.shared.queued.fetch_sub(self.bytes.len(), Ordering::SeqCst);
        let after = before.saturating_sub(self.bytes.len());
        // Half of it, so that answers leave in batches.
        let has_room = after <= self.crowd.part(after) / 2 && self.shared.waits.swap(false, Ordering::SeqCst);
        let reads_again = before >= MAX_BACKLOG && after < MAX_BACKLOG;
        if has_room || reads_again {
            self.shared.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd() -> &'static Crowd {
        Box::leak(Box::new(Crowd {
            answered: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
        }))
    }

    /// The room of the first so many, who alone ask.
    fn room_of(all: &mut [Outbound], asking: usize) -> usize {
        for (number, outbound) in all.iter_mut().enumerate() {
            outbound.take_part(number < asking);
        }
        all.iter().take(asking).map(Outbound::room).sum()
    }

    fn frame(length: usize) -> Bytes {
        vec![7; length].into()
    }

    #[tokio::test]
    async fn a_frame_counts_until_it_was_taken_and_then_the_one_who_waits_is_woken() {
        let wake = Arc::new(Notify::new());
        let mut outbound = Outbound::new(crowd(), wake.clone());
        outbound.take_part(true);
        let frames = [1, 2, 1].map(|megabytes| outbound.count(frame(megabytes << 20)));
        assert_eq!((outbound.queued(), outbound.room()), (MAX_QUEUED, 0));
        let [first, second, third] = frames;
        let copy = second.clone();
        drop((first, second));
        assert_eq!(
            outbound.queued(),
            3 << 20,
            "one was copied, and the copy is not sent"
        );
        let woken = async || {
            let brief = std::time::Duration::from_millis(50);
            tokio::time::timeout(brief, wake.notified()).await.is_ok()
        };
        assert!(!woken().await, "too little is free");
        drop(copy);
        assert!(woken().await && outbound.queued() == 1 << 20);
        outbound.take_part(false);
        assert_eq!(
            outbound.crowd.answered.load(Ordering::Relaxed),
            1,
            "not all is sent"
        );
        drop(third);
        outbound.take_part(false);
        assert_eq!(outbound.crowd.answered.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_crowd_shares_what_a_few_may_have_and_who_leaves_gives_his_part_back() {
        let crowd = crowd();
        let mut all: Vec<Outbound> = (0..256)
            .map(|_| Outbound::new(crowd, Arc::new(Notify::new())))
            .collect();
        assert_eq!(room_of(&mut all, 8), TOGETHER);
        for asking in [9, 50, 200, 256] {
            let room = room_of(&mut all, asking);
            assert!((TOGETHER - 256..=TOGETHER).contains(&room), "{asking}: {room}");
        }
        // The first eight hold all there is when the others come.
        room_of(&mut all, 8);
        let first = all.iter().take(8);
        let held: Vec<Bytes> = first.map(|outbound| outbound.count(frame(MAX_QUEUED))).collect();
        assert_eq!(room_of(&mut all, 20), 12 * LEAST);
        drop(held);
        assert_eq!(
            room_of(&mut all, 1),
            MAX_QUEUED,
            "those who ask for nothing take nothing"
        );
        drop(all);
        assert_eq!(crowd.answered.load(Ordering::Relaxed), 0);
    }
}
