//! How fast the connections of a store hand out blocks together: each waits for its turn and pays for what it sent. No clock:
//! time is passed in.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::lock;

/// What a connection may send in one turn, in bytes, before the next one's: a usual chunk. A turn cannot end within a block, so a
/// larger one is paid for afterwards.
pub const TURN: usize = 64 * 1024;
/// The slowest rate in bytes a second: a turn of each of some hundred connections would take hours with less.
const SLOWEST: u64 = 1024;

/// Turns on an uplink, one after the other.
#[derive(Debug, Clone)]
pub struct Uplink {
    rate: u64,
    open: bool,
    /// When the next turn may begin.
    free: Instant,
}

impl Uplink {
    /// An open one for `rate` bytes a second, of which at least 1024 are granted.
    pub fn new(now: Instant, rate: u64) -> Self {
        Self {
            rate: rate.max(SLOWEST),
            open: true,
            free: now,
        }
    }

    /// Takes the next turn, for [`TURN`] bytes: returns when it begins. One that nobody was there to take is gone.
    pub fn turn(&mut self, now: Instant) -> Instant {
        let at = self.free.max(now);
        self.free = at + self.time_for(TURN);
        at
    }

    /// More was sent in a turn than is in it; the next ones begin later.
    pub fn charge(&mut self, bytes: usize) {
        self.free += self.time_for(bytes);
    }

    fn time_for(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.rate as f64)
    }
}

/// An [`Uplink`] that the connections of a store share.
#[derive(Debug, Clone)]
pub struct SharedUplink(Arc<Mutex<Uplink>>);

impl SharedUplink {
    /// For `rate` bytes a second together.
    pub fn new(rate: u64) -> Self {
        Self(Arc::new(Mutex::new(Uplink::new(Instant::now(), rate))))
    }

    /// Whether blocks are handed out at all, which is so at first. Connections look at it within half a second.
    pub fn set_open(&self, open: bool) {
        lock(&self.0).open = open;
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.0).open
    }
}

/// One connection's part in it.
#[derive(Debug)]
pub(super) struct Turns {
    uplink: SharedUplink,
    /// What is left of the present turn.
    left: usize,
    next: Option<Instant>,
}

impl Turns {
    pub(super) fn new(uplink: SharedUplink) -> Self {
        Self {
            uplink,
            left: 0,
            next: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.uplink.is_open()
    }

    /// Bytes that may be sent now. `wanted`: there is something to send, and a turn is taken for it.
    pub(super) fn budget(&mut self, now: Instant, wanted: bool) -> usize {
        if self.left == 0 && wanted {
            let next = self.next.get_or_insert_with(|| lock(&self.uplink.0).turn(now));
            if *next <= now {
                self.next = None;
                self.left = TURN;
            }
        }
        self.left
    }

    /// When to ask again, if a turn is waited for.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.next
    }

    /// So much was sent.
    pub(super) fn spend(&mut self, bytes: usize) {
        let over = bytes.saturating_sub(self.left);
        self.left = self.left.saturating_sub(bytes);
        if over > 0 {
            lock(&self.uplink.0).charge(over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that always have something to send, in blocks of `block` bytes, for a minute; what each sent.
    fn minute(rate: u64, connections: usize, block: usize) -> Vec<usize> {
        let start = Instant::now();
        let shared = SharedUplink(Arc::new(Mutex::new(Uplink::new(start, rate))));
        let mut turns: Vec<Turns> = (0..connections).map(|_| Turns::new(shared.clone())).collect();
        let mut sent = vec![0; connections];
        for ms in 0..60_000 {
            let now = start + Duration::from_millis(ms);
            for (turns, sent) in turns.iter_mut().zip(&mut sent) {
                while turns.budget(now, true) > 0 {
                    turns.spend(block);
                    *sent += block;
                }
            }
        }
        sent
    }

    #[test]
    fn all_together_keep_to_the_rate_and_each_gets_its_part_whatever_the_size_of_blocks() {
        for (rate, connections, block) in [
            (500_000, 1, 65_536),
            (500_000, 20, 65_536),
            (500_000, 20, 900),
            (1_000_000, 7, 262_144),
            (50_000, 3, 65_536),
        ] {
            let sent = minute(rate, connections, block);
            let (all, most) = (sent.iter().sum::<usize>(), 60 * rate as usize);
            // Who has its turn already, before another's large block is paid for, is a block ahead.
            let (low, high) = (most - most / 10, most + TURN + block * connections);
            assert!((low..=high).contains(&all), "{rate} {connections} {block}: {all}");
            let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
            assert!(most - least <= 2 * (TURN + block), "{rate} {block}: {sent:?}");
        }
    }

    #[test]
    fn who_waits_is_told_until_when_and_an_idle_hour_saves_nothing_up() {
        let start = Instant::now();
        let shared = SharedUplink(Arc::new(Mutex::new(Uplink::new(start, TURN as u64))));
        let (mut first, mut second) = (Turns::new(shared.clone()), Turns::new(shared));
        assert_eq!(first.budget(start, false), 0);
        assert_eq!((first.budget(start, true), second.budget(start, true)), (TURN, 0));
        let second_after = start + Duration::from_secs(1);
        assert_eq!((first.ready_at(), second.ready_at()), (None, Some(second_after)));
        first.spend(3 * TURN);
        assert_eq!(second.budget(second_after, true), TURN);
        assert_eq!(first.budget(second_after, true), 0);
        assert_eq!(first.ready_at(), Some(start + Duration::from_secs(4)));
        let later = start + Duration::from_secs(3600);
        second.spend(TURN);
        assert_eq!(
            (first.budget(later, true), second.budget(later, true)),
            (TURN, TURN)
        );
        first.spend(TURN);
        second.spend(TURN);
        assert_eq!((first.budget(later, true), second.budget(later, true)), (0, 0));
    }
}
