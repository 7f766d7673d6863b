//! One app: what it knows of the release, whom it is connected with, and what it fetches.

use std::time::{Duration, Instant};

use base::Topic;
use bosc_runtime::testing::Schedule;
use hypercore::bitfield::Bitfield;
use hypercore::wants::Wants;
use hyperswarm::testing::PeerQueue;

/// Pauses between lookups while nobody is connected, and otherwise, as the swarm's.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_GROWTH: f64 = 1.2;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The topic of the release.
pub(super) const TOPIC: Topic = Topic([1; 32]);
pub(super) const REFRESH: Duration = Duration::from_secs(600);

/// An app.
pub(super) struct App {
    /// Seeds it found.
    pub(super) queue: PeerQueue,
    pub(super) schedule: Schedule,
    pub(super) heard: bool,
    /// Seeds it has a place at.
    pub(super) seeds: Vec<u32>,
    pub(super) gives: bool,
    pub(super) fetch: Option<Box<Fetch>>,
    pub(super) done: bool,
    /// When its downlink is free.
    pub(super) free: Instant,
    pause: Duration,
    /// The event that counts, of those that were planned.
    pub(super) next_lookup: Option<Instant>,
    pub(super) next_dial: Option<Instant>,
}

/// A release being fetched.
pub(super) struct Fetch {
    pub(super) wants: Wants,
    pub(super) have: Bitfield,
    pub(super) left: u64,
    /// Requests that are not answered, by source.
    pub(super) asked: Vec<(u32, usize)>,
}

impl Fetch {
    pub(super) fn new(pieces: u64, origin: Option<u32>) -> Self {
        let mut wants = Wants::default();
        origin.into_iter().for_each(|part| wants.begin_at(part));
        wants.add_range(0, Some(pieces));
        Self {
            wants,
            have: Bitfield::default(),
            left: pieces,
            asked: Vec::new(),
        }
    }

    /// Requests to a source that are not answered.
    pub(super) fn asked(&self, from: u32) -> usize {
        let of = self.asked.iter().find(|(source, _)| *source == from);
        of.map_or(0, |(_, count)| *count)
    }

    pub(super) fn ask(&mut self, from: u32, count: usize) {
        match self.asked.iter_mut().find(|(source, _)| *source == from) {
            Some((_, asked)) => *asked += count,
            None => self.asked.push((from, count)),
        }
    }

    /// A piece is here.
    pub(super) fn take(&mut self, from: u32, index: u64) {
        self.wants.unmark(index);
        if let Some((_, asked)) = self.asked.iter_mut().find(|(source, _)| *source == from) {
            *asked = asked.saturating_sub(1);
        }
        if !self.have.get(index) {
            self.have.set(index, true);
            self.left -= 1;
        }
    }
}

impl App {
    /// Started at `now`; `random` in `0..1` decides its delay.
    pub(super) fn new(now: Instant, delay: Option<Duration>, random: f64, gives: bool) -> Self {
        Self {
            queue: PeerQueue::default(),
            schedule: Schedule::new(now, delay, random),
            heard: false,
            seeds: Vec::new(),
            gives,
            fetch: None,
            done: false,
            free: now,
            pause: FIRST_PAUSE,
            next_lookup: None,
            next_dial: None,
        }
    }

    /// How long until the next lookup, after one.
    pub(super) fn pause(&mut self) -> Duration {
        if !self.seeds.is_empty() || self.queue.is_sent_away(&TOPIC) {
            self.pause = FIRST_PAUSE;
            return REFRESH;
        }
        let pause = self.pause;
        self.pause = pause.mul_f64(PAUSE_GROWTH).min(LONGEST_PAUSE);
        pause
    }
}
