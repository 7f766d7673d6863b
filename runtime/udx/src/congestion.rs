//! Congestion control: CUBIC (RFC 9438) with a delay-based exit from slow start, and pacing.

/// Microseconds on the stream's clock.
pub(crate) type Micros = u64;

const INITIAL_PACKETS: u64 = 10;
const MIN_PACKETS: u64 = 4;
const MAX_WINDOW: u64 = 32 << 20;
const BETA: f64 = 0.7;
const C: f64 = 0.4;

#[derive(Debug)]
pub(crate) struct Congestion {
    window: u64,
    threshold: u64,
    /// CUBIC: the window before the last reduction, when its epoch began, and the time to reach that window again.
    max_window: f64,
    epoch: Option<Micros>,
    k: f64,
    /// The window a Reno flow would have.
    reno: f64,
    tokens: f64,
    refilled: Micros,
}

impl Congestion {
    pub(crate) fn new(packet: u64) -> Self {
        Self {
            window: INITIAL_PACKETS * packet,
            threshold: u64::MAX,
            max_window: 0.0,
            epoch: None,
            k: 0.0,
            reno: 0.0,
            tokens: 0.0,
            refilled: 0,
        }
    }

    /// How many bytes may be on their way.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// Bytes were acknowledged while the window was in use.
    pub(crate) fn on_ack(&mut self, now: Micros, bytes: u64, packet: u64, rtt: Micros, min_rtt: Micros) {
        if self.window < self.threshold {
            self.window = (self.window + bytes).min(MAX_WINDOW);
            // The queue is filling: stop doubling before it overflows.
            if rtt > min_rtt + (min_rtt / 8).clamp(4_000, 16_000) && self.window > 16 * packet {
                self.threshold = self.window;
            }
            return;
        }
        let packet_f = packet as f64;
        let window = self.window as f64;
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.max_window = self.max_window.max(window);
            self.k = ((self.max_window - window) / packet_f / C).cbrt();
            self.reno = window;
            now
        });
        let t = (now.saturating_sub(epoch) + rtt) as f64 / 1e6;
        let target = self.max_window + C * (t - self.k).powi(3) * packet_f;
        let target = target.clamp(window, window * 1.5);
        self.reno += 3.0 * (1.0 - BETA) / (1.0 + BETA) * bytes as f64 * packet_f / window;
        let grown = (window + (target - window) * bytes as f64 / window).max(self.reno);
        self.window = (grown as u64).min(MAX_WINDOW);
    }

    /// Packets were lost, for the first time in this round trip.
    pub(crate) fn on_loss(&mut self, packet: u64) {
        let window = self.window as f64;
        // Fast convergence: give room to others when the last peak was not reached again.
        self.max_window = if window < self.max_window {
            window * (1.0 + BETA) / 2.0
        } else {
            window
        };
        self.window = ((window * BETA) as u64).max(MIN_PACKETS * packet);
        self.threshold = self.window;
        self.epoch = None;
    }

    /// Nothing came back for so long that all on its way counts as lost.
    pub(crate) fn on_timeout(&mut self, packet: u64) {
        self.on_loss(packet);
        self.window = MIN_PACKETS * packet;
    }

    /// When `bytes` may be sent: now (`None`), or at a later time.
    pub(crate) fn pace(&mut self, now: Micros, bytes: u64, srtt: Micros) -> Option<Micros> {
        // Below timer resolution the window alone is the pace.
        if srtt < 3_000 {
            return None;
        }
        let gain = if self.window < self.threshold { 2.0 } else { 1.25 };
        let per_micro = (self.window as f64 / srtt as f64 * gain).max(1e-3);
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

    #[test]
    fn slow_start_doubles_and_loss_reduces() {
        let mut congestion = Congestion::new(1000);
        congestion.on_ack(0, 10_000, 1000, 1_000, 1_000);
        assert_eq!(congestion.window(), 20_000);
        congestion.on_loss(1000);
        assert_eq!(congestion.window(), 14_000);
        congestion.on_timeout(1000);
        assert_eq!(congestion.window(), 4_000);
    }

    #[test]
    fn cubic_returns_to_the_old_window_and_beyond() {
        let mut congestion = Congestion::new(1000);
        congestion.window = 1_000_000;
        congestion.on_loss(1000);
        let (rtt, mut now) = (50_000, 0);
        for _ in 0..400 {
            now += rtt;
            congestion.on_ack(now, congestion.window(), 1000, rtt, rtt);
        }
        assert!(congestion.window() > 1_000_000, "{}", congestion.window());
        assert!(congestion.window() <= MAX_WINDOW);
    }

    #[test]
    fn pacing_spreads_a_window_over_a_round_trip() {
        let mut congestion = Congestion::new(1000);
        congestion.on_loss(1000);
        congestion.window = 1_000_000;
        congestion.threshold = 1;
        let (mut now, mut sent) = (1_000_000, 0u64);
        let start = now;
        while sent < 2_000_000 {
            match congestion.pace(now, 1000, 100_000) {
                None => sent += 1000,
                Some(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        let took = now - start;
        assert!((140_000..180_000).contains(&took), "{took}");
    }
}
