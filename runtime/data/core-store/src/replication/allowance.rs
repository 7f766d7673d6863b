//! How many messages a second of one connection are looked at: what a message may cost is bounded, so that this bounds what a
//! flood of them costs.

use std::time::{Duration, Instant};

/// Messages a second. Each takes about a microsecond, so that a flood takes a twentieth of a processor; an honest peer at its
/// fastest, with blocks of a few bytes, sends a third of that.
const A_SECOND: u32 = 50_000;
/// What may come at once: what was saved up in a second.
const MOST: u32 = A_SECOND;
/// Once nothing is left, how many are waited for, so that a flood does not wake us for each message.
const WAITED_FOR: u32 = 1_000;

/// The messages that a connection has left. They come back with time.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: MOST,
            since: now,
        }
    }

    /// Until when nothing is looked at; `None` if something may be.
    pub(super) fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        if self.left > 0 {
            return None;
        }
        let ready = self.since + time_for(WAITED_FOR);
        if ready > now {
            return Some(ready);
        }
        let earned = now.saturating_duration_since(self.since).as_micros() * u128::from(A_SECOND) / 1_000_000;
        self.left = u32::try_from(earned).unwrap_or(MOST).min(MOST);
        self.since = now;
        None
    }

    /// Takes off what messages cost.
    pub(super) fn spend(&mut self, cost: u32) {
        self.left = self.left.saturating_sub(cost);
    }
}

fn time_for(messages: u32) -> Duration {
    Duration::from_secs(1) * messages / A_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_held_to_the_rate_and_a_pause_gives_a_burst() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let spend_all = |allowance: &mut Allowance, now| {
            let mut spent = 0;
            while allowance.ready_at(now).is_none() {
                allowance.spend(1);
                spent += 1;
            }
            spent
        };
        assert_eq!(spend_all(&mut allowance, start), MOST);
        let (mut now, mut in_a_second) = (start, 0);
        for _ in 0..1000 {
            now += Duration::from_millis(1);
            in_a_second += spend_all(&mut allowance, now);
        }
        assert!(
            (A_SECOND - WAITED_FOR..=A_SECOND).contains(&in_a_second),
            "{in_a_second}"
        );
        let ready = allowance.ready_at(now);
        assert!(ready.is_some_and(|ready| ready <= now + time_for(WAITED_FOR)));
        assert_eq!(spend_all(&mut allowance, now + Duration::from_secs(60)), MOST);
    }
}
