//! Congestion control after BBR: the window and the pace follow the measured delivery rate and the shortest round
//! trip, so that random loss does not stop the flow. Heavy loss caps the window, as a short queue demands.

use std::collections::VecDeque;

/// Microseconds on the stream's clock.
pub(crate) type Micros = u64;

const INITIAL_PACKETS: u64 = 10;
const MIN_PACKETS: u64 = 4;
const MAX_WINDOW: u64 = 64 << 20;
/// 2 / ln 2: doubles the rate every round trip.
const STARTUP_GAIN: f64 = 2.885;
/// Asks for more, gives back the queue that it made, and keeps what it got. A stream with a small share gains by each cycle, so they
/// are short: of eight steps, two streams were far from even after ten seconds.
const CYCLE: [f64; 4] = [1.25, 0.75, 1.0, 1.0];
/// The step that gives back, and how many round trips it may take: where others keep the queue full, who gives back for
/// longer only yields to them.
const GIVE_BACK: usize = 1;
const GIVE_BACK_ROUNDS: Micros = 3;
const WINDOW_GAIN: f64 = 2.0;
/// A round trip that is longer than the shortest by this part of it shows a queue.
const QUEUE_SHOWS: Micros = 4;
/// Acknowledgements come in batches: room for what arrives in the meantime.
const BATCHING: f64 = 2_000.0;
/// Rounds that the highest rate is remembered: longer than a cycle, so that there is always one that asked for more, and not much
/// longer, so that a stream that lost a part of its share to another does not go on claiming it.
const RATE_ROUNDS: u64 = 6;
const MIN_RTT_EXPIRES: Micros = 10_000_000;
const PROBE_RTT: Micros = 200_000;
/// The share of a round's bytes whose loss means that a queue overflows.
const HEAVY_LOSS: f64 = 0.12;
/// Round trips below this are shorter than timers can pace.
const PACE_FROM: Micros = 3_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Startup,
    Drain,
    Cruise { step: usize, since: Micros },
    ProbeRtt { until: Micros },
}

/// What an acknowledgement showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) now: Micros,
    /// Newly acknowledged bytes, and those found lost.
    pub(crate) acked: u64,
    pub(crate) lost: u64,
    /// All bytes acknowledged so far; and how many were when the latest acknowledged packet left.
    pub(crate) delivered: u64,
    pub(crate) delivered_at_send: u64,
    /// Bytes per microsecond, where the packets gave a measure.
    pub(crate) rate: Option<f64>,
    /// The measure is too low because there was nothing more to send.
    pub(crate) app_limited: bool,
    pub(crate) rtt: Option<Micros>,
    pub(crate) in_flight: u64,
    /// Payload of a full packet.
    pub(crate) packet: u64,
}

#[derive(Debug)]
pub(crate) struct Congestion {
    phase: Phase,
    window: u64,
    /// The window before a timeout.
    saved_window: u64,
    /// The most that may be on its way after heavy loss.
    ceiling: u64,
    /// The highest rates of recent rounds, falling.
    rates: VecDeque<(u64, f64)>,
    round: u64,
    round_ends_at: u64,
    round_acked: u64,
    round_lost: u64,
    round_app_limited: bool,
    min_rtt: Micros,
    min_rtt_at: Micros,
    full_rate: f64,
    rounds_without_growth: u32,
    tokens: f64,
    refilled: Micros,
}

impl Congestion {
    pub(crate) fn new(packet: u64) -> Self {
        Self {
            phase: Phase::Startup,
            window: INITIAL_PACKETS * packet,
            saved_window: 0,
            ceiling: MAX_WINDOW,
            rates: VecDeque::new(),
            round: 0,
            round_ends_at: 0,
            round_acked: 0,
            round_lost: 0,
            round_app_limited: false,
            min_rtt: Micros::MAX,
            min_rtt_at: 0,
            full_rate: 0.0,
            rounds_without_growth: 0,
            tokens: 0.0,
            refilled: 0,
        }
    }

    /// How many bytes may be on their way.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    fn rate(&self) -> f64 {
        self.rates.front().map_or(0.0, |(_, rate)| *rate)
    }

    fn bandwidth_delay(&self) -> f64 {
        if self.min_rtt == Micros::MAX {
            0.0
        } else {
            self.rate() * self.min_rtt as f64
        }
    }

    pub(crate) fn on_ack(&mut self, sample: &Sample) {
        self.round_acked += sample.acked;
        self.round_lost += sample.lost;
        self.round_app_limited |= sample.app_limited;
        let round_ended = sample.delivered_at_send >= self.round_ends_at;
        if round_ended {
            self.round += 1;
            self.round_ends_at = sample.delivered;
        }
        self.take_rate(sample);
        let stale = sample.now.saturating_sub(self.min_rtt_at) > MIN_RTT_EXPIRES;
        if let Some(rtt) = sample.rtt.filter(|rtt| *rtt <= self.min_rtt || stale) {
            self.min_rtt = rtt.max(1);
            self.min_rtt_at = sample.now;
        }
        if round_ended {
            self.end_round(sample);
        }
        self.change_phase(sample, stale);
        self.set_window(sample);
    }

    fn take_rate(&mut self, sample: &Sample) {
        while self
            .rates
            .front()
            .is_some_and(|(round, _)| round + RATE_ROUNDS <= self.round)
            && self.rates.len() > 1
        {
            self.rates.pop_front();
        }
        let Some(rate) = sample
            .rate
            .filter(|rate| !sample.app_limited || *rate > self.rate())
        else {
            return;
        };
        // Lower rates from before cannot become the highest any more.
        while self.rates.back().is_some_and(|(_, older)| *older <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round, rate));
        if let Some(oldest) = self.rates.front_mut()
            && oldest.0 + RATE_ROUNDS <= self.round
        {
            self.rates.pop_front();
        }
    }

    fn end_round(&mut self, sample: &Sample) {
        let total = self.round_acked + self.round_lost;
        let heavy = self.round_lost > 8 * sample.packet && self.round_lost as f64 > HEAVY_LOSS * total as f64;
        if heavy {
            let floor = (self.bandwidth_delay() as u64).max(2 * MIN_PACKETS * sample.packet);
            self.ceiling = ((self.window.min(self.ceiling) as f64 * 0.8) as u64).max(floor);
        } else {
            self.ceiling = (self.ceiling + self.ceiling / 20 + sample.packet).min(MAX_WINDOW);
        }
        if self.phase == Phase::Startup {
            if self.rate() >= self.full_rate * 1.25 {
                self.full_rate = self.rate();
                self.rounds_without_growth = 0;
            } else if !self.round_app_limited {
                self.rounds_without_growth += 1;
            }
            // A queue that overflows is full, however little there was to send since.
            if self.rounds_without_growth >= 3 || (heavy && self.rate() > 0.0) {
                self.phase = Phase::Drain;
            }
        }
        self.round_acked = 0;
        self.round_lost = 0;
        self.round_app_limited = false;
    }

    /// No more is on its way than the path holds without a queue.
    fn is_drained(&self, sample: &Sample) -> bool {
        sample.in_flight as f64 <= self.bandwidth_delay() + BATCHING * self.rate()
    }

    fn change_phase(&mut self, sample: &Sample, stale: bool) {
        let now = sample.now;
        match self.phase {
            Phase::Drain if self.is_drained(sample) => {
                self.phase = Phase::Cruise { step: 2, since: now };
            }
            Phase::Cruise {
                step: GIVE_BACK,
                since,
            } if !self.is_drained(sample)
                && now.saturating_sub(since) < GIVE_BACK_ROUNDS * self.min_rtt.max(1_000) => {}
            Phase::Cruise { step, since } if now.saturating_sub(since) > self.min_rtt.max(1_000) => {
                self.phase = Phase::Cruise {
                    step: (step + 1) % CYCLE.len(),
                    since: now,
                };
            }
            Phase::ProbeRtt { until } if now >= until => {
                self.min_rtt_at = now;
                self.window = self.window.max(self.saved_window);
                self.phase = Phase::Cruise { step: 2, since: now };
            }
            _ => {}
        }
        if stale && matches!(self.phase, Phase::Cruise { .. }) && self.min_rtt > PACE_FROM {
            self.saved_window = self.window;
            self.phase = Phase::ProbeRtt {
                until: now + PROBE_RTT,
            };
        }
    }

    fn set_window(&mut self, sample: &Sample) {
        let floor = MIN_PACKETS * sample.packet;
        // While no queue builds up there is more to be found. A queue says that this was all: no more of one is made.
        let builds_up = sample
            .rtt
            .is_some_and(|rtt| rtt > self.min_rtt + self.min_rtt / QUEUE_SHOWS);
        let gain = if self.phase == Phase::Startup && !builds_up {
            STARTUP_GAIN
        } else {
            WINDOW_GAIN
        };
        let target = (gain * self.bandwidth_delay() + BATCHING * self.rate()) as u64 + 3 * sample.packet;
        let grown = self.window + sample.acked;
        self.window = match self.phase {
            Phase::ProbeRtt { .. } => self.window.min((self.bandwidth_delay() / 2.0) as u64),
            Phase::Startup if self.window < target || self.rates.is_empty() => grown,
            Phase::Startup if builds_up => target,
            Phase::Startup => self.window,
            _ => grown.min(target),
        };
        self.window = self.window.clamp(floor, self.ceiling.clamp(floor, MAX_WINDOW));
    }

    /// Nothing came back for so long that all on its way counts as lost.
    pub(crate) fn on_timeout(&mut self, packet: u64) {
        self.window = MIN_PACKETS * packet;
    }

    /// When `bytes` may be sent: now (`None`), or at a later time.
    pub(crate) fn pace(&mut self, now: Micros, bytes: u64, srtt: Micros) -> Option<Micros> {
        if srtt < PACE_FROM {
            self.refilled = now;
            return None;
        }
        let gain = match self.phase {
            Phase::Startup => STARTUP_GAIN,
            Phase::Drain => 1.0 / STARTUP_GAIN,
            Phase::Cruise { step, .. } => CYCLE.get(step).copied().unwrap_or(1.0),
            Phase::ProbeRtt { .. } => 1.0,
        };
        // Before the first measure, the window once per round trip.
        let rate = if self.rates.is_empty() {
            self.window as f64 / srtt as f64
        } else {
            self.rate()
        };
        // Never slower than the smallest window, however wrong the measure is.
        let per_micro = (rate * gain).max(MIN_PACKETS as f64 * 1200.0 / srtt.min(1_000_000) as f64);
        // Timers are late: what they miss may be caught up with.
        let burst = (per_micro * 4_000.0).max(16.0 * 1500.0);
        self.tokens = (self.tokens + per_micro * now.saturating_sub(self.refilled) as f64).min(burst);
        self.refilled = now;
        if self.tokens > 0.0 {
            self.tokens -= bytes as f64;
            return None;
        }
        Some(now + ((-self.tokens / per_micro) as u64).max(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of 10 bytes per microsecond and 20 ms, with acknowledgements once per round trip.
    fn run(congestion: &mut Congestion, rounds: u64, lost: f64) {
        let (start, mut delivered) = (congestion.round, congestion.round_ends_at);
        for round in 1..=rounds {
            let acked = congestion.window().min(200_000);
            let before = delivered;
            delivered += acked;
            congestion.on_ack(&Sample {
                now: (start + round) * 20_000,
                acked,
                lost: (acked as f64 * lost) as u64,
                delivered,
                delivered_at_send: before,
                rate: Some(acked as f64 / 20_000.0),
                app_limited: false,
                rtt: Some(20_000),
                in_flight: acked,
                packet: 1000,
            });
        }
    }

    #[test]
    fn it_finds_the_rate_and_keeps_it_under_light_loss() {
        let mut congestion = Congestion::new(1000);
        run(&mut congestion, 30, 0.05);
        assert!((congestion.rate() - 10.0).abs() < 0.1, "{}", congestion.rate());
        assert!(
            (400_000..=450_000).contains(&congestion.window()),
            "{}",
            congestion.window()
        );
        assert!(matches!(congestion.phase, Phase::Cruise { .. }));
    }

    #[test]
    fn heavy_loss_and_timeouts_reduce_the_window_until_they_pass() {
        let mut congestion = Congestion::new(1000);
        run(&mut congestion, 30, 0.0);
        run(&mut congestion, 3, 0.5);
        assert!(congestion.window() < 300_000, "{}", congestion.window());
        run(&mut congestion, 30, 0.0);
        assert!(congestion.window() > 400_000, "{}", congestion.window());
        congestion.on_timeout(1000);
        assert_eq!(congestion.window(), 4_000);
        run(&mut congestion, 8, 0.0);
        assert!(congestion.window() > 100_000, "{}", congestion.window());
    }

    #[test]
    fn the_pace_is_the_measured_rate() {
        let mut congestion = Congestion::new(1000);
        run(&mut congestion, 30, 0.0);
        congestion.phase = Phase::Cruise { step: 2, since: 0 };
        let (mut now, mut sent) = (1_000_000, 0u64);
        let start = now;
        while sent < 2_000_000 {
            match congestion.pace(now, 1000, 20_000) {
                None => sent += 1000,
                Some(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        let took = now - start;
        assert!((180_000..210_000).contains(&took), "{took}");
    }
}
