//! When to look at a new release (npm `pear-runtime-updater` 3.1: boot grace, then one random delay per start).

use std::time::{Duration, Instant};

/// After the start, releases are looked at without delay for this long.
const BOOT_GRACE: Duration = Duration::from_secs(60);
/// The longest delay if none is set.
const DEFAULT_DELAY: Duration = Duration::from_secs(3600);

/// Decides when a check is due. The delay is drawn once, so that a crowd of apps does not ask the seeders all at once.
#[derive(Debug, Clone)]
pub struct Schedule {
    started: Instant,
    delay: Duration,
    due: Option<Instant>,
}

impl Schedule {
    /// Starts at `now`; waits up to `limit` (default one hour), the part of it given by `random` in `0..1`.
    pub fn new(now: Instant, limit: Option<Duration>, random: f64) -> Self {
        let delay = limit.unwrap_or(DEFAULT_DELAY).mul_f64(random.clamp(0.0, 1.0));
        Self {
            started: now,
            delay: Duration::from_millis(delay.as_millis() as u64),
            due: None,
        }
    }

    /// The nominal delay.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// The drive grew: plans a check, unless one is planned before that. A drive that never stops growing is looked at all the same.
    pub fn handle_append(&mut self, now: Instant) {
        let in_grace = now.saturating_duration_since(self.started) <= BOOT_GRACE;
        self.retry_at(if in_grace { now } else { now + self.delay });
    }

    /// Plans a check at `at` unless an earlier one is planned.
    pub fn retry_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When the next check is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// The check begins.
    pub fn handle_check(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_once_in_the_boot_grace_and_delayed_after_it() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, None, 0.5);
        assert_eq!(schedule.delay(), Duration::from_secs(1800));
        let soon = start + Duration::from_secs(59);
        schedule.handle_append(soon);
        assert_eq!(schedule.next_due(), Some(soon));
        schedule.handle_check();
        assert_eq!(schedule.next_due(), None);
        let later = start + Duration::from_secs(61);
        schedule.handle_append(later);
        assert_eq!(schedule.next_due(), Some(later + schedule.delay()));
        // A burst of appends ends in one check, counted from the first.
        for seconds in 1..9999 {
            schedule.handle_append(later + Duration::from_secs(seconds));
        }
        assert_eq!(schedule.next_due(), Some(later + schedule.delay()));
    }

    #[test]
    fn a_delay_of_zero_is_at_once_always() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Some(Duration::ZERO), 0.99);
        let later = start + Duration::from_secs(9999);
        schedule.handle_append(later);
        assert_eq!(schedule.next_due(), Some(later));
    }
}
