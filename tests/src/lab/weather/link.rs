//! One direction of a link as a state machine: a packet comes in at some time, and leaves at another one or is lost.

use std::time::Duration;

/// A point in time on the link's clock, which starts wherever its owner likes.
pub(super) type Instant = Duration;

/// What a link does to packets.
#[derive(Debug, Clone, PartialEq)]
pub struct Weather {
    /// How long a packet is on its way once it has left the queue.
    pub delay: Duration,
    /// Up to this much is added to that; the order stays, so a packet that takes long holds up those behind it.
    pub jitter: Duration,
    /// The share of packets that get lost on their way, 0 to 1.
    pub loss: f64,
    /// How many packets in a row are lost, on average. With 1 or less each is lost or not whatever happened before.
    pub burst: f64,
    /// The share of packets that arrive `late_by` after their turn, 0 to 1.
    pub late: f64,
    /// How much later those arrive.
    pub late_by: Duration,
    /// Bytes in a second; `None` for no limit, and then there is no queue.
    pub rate: Option<u64>,
    /// Bytes that may wait for their turn. What comes when that is full is dropped.
    pub queue: u64,
}

impl Weather {
    /// Nothing gets lost, nothing waits.
    pub fn fine() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: 1.0,
            late: 0.0,
            late_by: Duration::ZERO,
            rate: None,
            queue: u64::MAX,
        }
    }

    /// A link with half of this round trip.
    pub fn round_trip(round_trip: Duration) -> Self {
        Self {
            delay: round_trip / 2,
            ..Self::fine()
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives then.
    Arrives(Instant),
    /// It gets lost on the way.
    Lost,
    /// The queue has no room for it.
    Overflows,
}

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Link {
    weather: Weather,
    random: Random,
    /// When the last byte in the queue has left.
    free: Instant,
    /// When the last packet that was not late arrives.
    last: Instant,
    in_a_burst: bool,
}

impl Link {
    /// A link whose chances follow from `seed`.
    pub(super) fn new(weather: Weather, seed: u64) -> Self {
        Self {
            weather,
            random: Random(seed),
            free: Duration::ZERO,
            last: Duration::ZERO,
            in_a_burst: false,
        }
    }

    /// Takes a packet of `length` bytes. `now` never goes back.
    pub(super) fn offer(&mut self, now: Instant, length: usize) -> Fate {
        let length = length as u64;
        let mut leaves = now;
        if let Some(rate) = self.weather.rate {
            let waits = self.free.saturating_sub(now);
            let queued = (waits.as_secs_f64() * rate as f64) as u64;
            if queued.saturating_add(length) > self.weather.queue {
                return Fate::Overflows;
            }
            leaves = now + waits + Duration::from_secs_f64(length as f64 / rate.max(1) as f64);
            self.free = leaves;
        }
        if self.is_lost() {
            return Fate::Lost;
        }
        let jitter = self.weather.jitter.mul_f64(self.random.share());
        let arrives = (leaves + self.weather.delay + jitter).max(self.last);
        if self.random.chance(self.weather.late) {
            return Fate::Arrives(arrives + self.weather.late_by);
        }
        self.last = arrives;
        Fate::Arrives(arrives)
    }

    /// Gilbert's model: packets get lost while a burst lasts, and bursts begin so often that the share comes out.
    fn is_lost(&mut self) -> bool {
        let (loss, burst) = (self.weather.loss, self.weather.burst);
        if burst <= 1.0 {
            return self.random.chance(loss);
        }
        let changes = if self.in_a_burst {
            1.0 / burst
        } else {
            loss / (burst * (1.0 - loss).max(f64::EPSILON))
        };
        self.in_a_burst ^= self.random.chance(changes);
        self.in_a_burst
    }
}

/// SplitMix64: chances that follow from a seed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// From 0 to just below 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.share() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Offers `count` packets of 1000 bytes, one every `every`.
    fn fates(weather: Weather, count: u32, every: Duration) -> Vec<(Instant, Fate)> {
        let mut link = Link::new(weather, 7);
        (0..count)
            .map(|i| every * i)
            .map(|now| (now, link.offer(now, 1000)))
            .collect()
    }

    fn arrivals(fates: &[(Instant, Fate)]) -> Vec<Instant> {
        let arrives = |(_, fate): &(Instant, Fate)| match fate {
            Fate::Arrives(at) => Some(*at),
            _ => None,
        };
        fates.iter().filter_map(arrives).collect()
    }

    #[test]
    fn without_limits_a_packet_takes_the_delay() {
        for (now, fate) in fates(Weather::round_trip(50 * MS), 100, MS) {
            assert_eq!(fate, Fate::Arrives(now + 25 * MS));
        }
    }

    #[test]
    fn packets_leave_at_the_rate_and_what_the_queue_cannot_hold_is_dropped() {
        let weather = Weather {
            rate: Some(1_000_000),
            queue: 10_000,
            ..Weather::round_trip(20 * MS)
        };
        // All at once: ten wait, the rest is dropped.
        let burst = fates(weather.clone(), 30, Duration::ZERO);
        let expected: Vec<Instant> = (1..=10).map(|i| (10 + i) * MS).collect();
        assert_eq!(arrivals(&burst), expected);
        assert!(burst.iter().skip(10).all(|(_, fate)| *fate == Fate::Overflows));
        // At half the rate nothing waits; at twice the rate half is dropped in the end.
        let slow = fates(weather.clone(), 1000, 2 * MS);
        assert!(
            slow.iter()
                .all(|(now, fate)| *fate == Fate::Arrives(*now + 11 * MS))
        );
        let fast = arrivals(&fates(weather, 1000, MS / 2)).len();
        assert!((500..=515).contains(&fast), "{fast}");
    }

    #[test]
    fn the_share_of_losses_is_as_asked_alone_and_in_bursts() {
        for burst in [1.0, 8.0] {
            let weather = Weather {
                loss: 0.05,
                burst,
                ..Weather::fine()
            };
            let lost: Vec<bool> = fates(weather, 200_000, MS)
                .iter()
                .map(|(_, fate)| *fate == Fate::Lost)
                .collect();
            let count = lost.iter().filter(|lost| **lost).count();
            let runs = lost.windows(2).filter(|pair| pair[1] && !pair[0]).count();
            let (share, mean) = (count as f64 / 200_000.0, count as f64 / runs as f64);
            assert!((share - 0.05).abs() < 0.005, "{share} with bursts of {burst}");
            assert!(
                (mean - burst.max(1.05)).abs() < 0.1 * burst,
                "bursts of {mean} rather than {burst}"
            );
        }
    }

    #[test]
    fn jitter_keeps_the_order_and_lateness_does_not() {
        let jittery = Weather {
            jitter: 30 * MS,
            ..Weather::round_trip(20 * MS)
        };
        // Close together, packets hold up those behind them; far apart, each takes its own time.
        assert!(arrivals(&fates(jittery.clone(), 10_000, MS)).is_sorted());
        let found = fates(jittery, 10_000, 40 * MS);
        let times = arrivals(&found);
        let delays = || found.iter().zip(&times).map(|((now, _), at)| *at - *now);
        assert_eq!(times.len(), found.len());
        assert!(delays().all(|delay| (10 * MS..40 * MS).contains(&delay)));
        assert!(delays().any(|delay| delay < 12 * MS) && delays().any(|delay| delay > 38 * MS));
        let late = Weather {
            late: 0.1,
            late_by: 5 * MS,
            ..Weather::round_trip(20 * MS)
        };
        let found = fates(late, 10_000, MS);
        let count = found
            .iter()
            .filter(|(now, fate)| *fate == Fate::Arrives(*now + 15 * MS))
            .count();
        assert!((900..1100).contains(&count), "{count} of 10000 late");
        assert!(!arrivals(&found).is_sorted());
    }
}
