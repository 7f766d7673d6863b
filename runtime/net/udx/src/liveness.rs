//! Whether the peer of a stream in use still lives: when it is silent, it is asked.

use crate::congestion::Micros;

/// Silence after which the peer is asked, and how often again. Every implementation answers a heartbeat at once.
const ASK_AFTER: Micros = 2_000_000;
const ASK_EVERY: Micros = 500_000;
/// So much silence, and so many questions without an answer, mean that it is gone. Five in a row get lost once in
/// 100 000 times on a path that loses a tenth there and back; a machine that slept asks them all after it woke.
const GONE_AFTER: Micros = 4_500_000;
const QUESTIONS: u32 = 5;
/// And so many times the longest round trip to be expected: a queue of seconds on the way is no death.
const ROUND_TRIPS: Micros = 3;
const UNKNOWN_ROUND_TRIP: Micros = 2_000_000;
/// What a machine's sleep or a peer that delays on purpose may add.
const MOST_PATIENCE: Micros = 25_000_000;
/// A stream without data for so long is idle: nobody waits, and the layers above have longer time-outs for it.
const IDLE_AFTER: Micros = 15_000_000;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ask,
    Gone,
}

#[derive(Debug, Default)]
pub(crate) struct Liveness {
    heard: Micros,
    used: Micros,
    asked: u32,
    first_asked: Micros,
    /// The longest that an answer took so far: where little is sent, nothing else tells how slow the path is.
    slowest: Micros,
    timer: Option<Micros>,
}

impl Liveness {
    /// Anything came from the peer.
    pub(crate) fn heard(&mut self, now: Micros) {
        if self.asked > 0 {
            self.slowest = self.slowest.max(now.saturating_sub(self.first_asked));
        }
        self.heard = now;
        self.asked = 0;
        self.timer = self.timer.map(|_| now + ASK_AFTER);
    }

    /// Data went or came.
    pub(crate) fn used(&mut self, now: Micros) {
        self.used = now;
        if self.timer.is_none() {
            // Silence before that was no failure.
            self.heard = now;
            self.asked = 0;
            self.timer = Some(now + ASK_AFTER);
        }
    }

    pub(crate) fn timer(&self) -> Option<Micros> {
        self.timer
    }

    /// What is due at `now`, when an answer takes `round_trip` as far as known.
    pub(crate) fn on_timer(&mut self, now: Micros, round_trip: Option<Micros>) -> Due {
        if self.timer.is_none_or(|at| at > now) {
            return Due::Nothing;
        }
        if now.saturating_sub(self.used) > IDLE_AFTER && self.asked == 0 {
            self.timer = None;
            return Due::Nothing;
        }
        let round_trip = round_trip.unwrap_or(UNKNOWN_ROUND_TRIP).max(self.slowest);
        let patience = GONE_AFTER.max(ASK_AFTER + ROUND_TRIPS.saturating_mul(round_trip).min(MOST_PATIENCE));
        if self.asked >= QUESTIONS && now.saturating_sub(self.heard) >= patience {
            return Due::Gone;
        }
        if self.asked == 0 {
            self.first_asked = now;
        }
        self.asked += 1;
        self.timer = Some(now + ASK_EVERY);
        Due::Ask
    }
}
