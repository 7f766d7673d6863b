//! What acknowledgements and time tell the sender: round trips, rates, losses, and when to ask again.

use super::{
    Fate, GIVE_UP, GIVE_UP_ZERO_WINDOW, INITIAL_RTT, MAX_PROBE_INTERVAL, MAX_RTT,
    MIN_PROBES_BEFORE_GIVING_UP, PROBES_BEFORE_TIMEOUT, PeerGone, Sender,
};
use crate::congestion::{Micros, Sample};

impl Sender {
    /// Takes an acknowledgement: everything before `ack`, and the `sacks`, which ascend and do not overlap. A packet that
    /// is known to have arrived is not looked at again, so an acknowledgement costs what it brings.
    pub(crate) fn on_ack(
        &mut self,
        now: Micros,
        seq: u64,
        ack: u64,
        window: u32,
        sacks: impl Iterator<Item = (u64, u64)>,
    ) {
        if ack > self.next {
            return;
        }
        self.last_heard = now;
        self.window_probes = 0;
        if ack >= self.una && (seq > self.window_seq || (seq == self.window_seq && ack >= self.window_ack)) {
            self.window_seq = seq;
            self.window_ack = ack;
            self.remote_window = window;
            if window > 0 {
                self.window_timer = None;
            }
        }
        let mut newly = Newly::default();
        for seq in self.una..ack {
            self.acknowledge(now, seq, &mut newly);
        }
        let advanced = ack > self.una;
        while self.una < ack {
            let Some(packet) = self.packets.pop_front() else {
                break;
            };
            self.una += 1;
            if packet.sacked {
                self.sacked -= 1;
            }
        }
        if advanced {
            let keep = self.packets.front().map_or(self.unsent, |packet| packet.offset);
            self.buffer
                .drain(..((keep - self.base) as usize).min(self.buffer.len()));
            self.base = keep;
            self.sacked_ranges.forget_before(self.una);
            self.advanced(now);
            if self.buffer.is_empty() && self.buffer.capacity() > 1 << 20 {
                self.buffer.shrink_to(1 << 16);
            }
        }
        let mut least = self.una;
        for (start, end) in sacks {
            if start < least || start >= end || end > self.next {
                continue;
            }
            least = end;
            for (start, end) in self.sacked_ranges.insert(start, end) {
                for seq in start..end {
                    if self.acknowledge(now, seq, &mut newly) {
                        self.sacked += 1;
                        if let Some(packet) = self.packet_mut(seq) {
                            packet.sacked = true;
                        }
                    }
                }
            }
        }
        if newly.packets == 0 && !advanced {
            return;
        }
        self.settle(now, ack, &newly);
    }

    fn settle(&mut self, now: Micros, ack: u64, newly: &Newly) {
        self.last_progress = now;
        self.probe_count = 0;
        self.probe_wanted = false;
        self.mtu.start();
        if let Some(rtt) = newly.rtt(now) {
            self.sample(rtt);
        }
        if self.recovery.is_some_and(|until| ack >= until) {
            self.recovery = None;
        }
        self.detect_losses(now);
        if let Some(latest) = &newly.latest {
            self.tell_congestion(now, newly, latest);
        }
        self.probe_timer = (!self.is_idle()).then(|| now + self.probe_interval());
    }

    fn tell_congestion(&mut self, now: Micros, newly: &Newly, latest: &Latest) {
        self.delivered += newly.bytes;
        self.delivered_at = now;
        if self.app_limited_until > 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        self.flight_from = latest.sent_at;
        let sending = latest.sent_at.saturating_sub(latest.flight_from);
        let interval = sending.max(now.saturating_sub(latest.delivered_at));
        // Shorter than a round trip means that acknowledgements were compressed on their way.
        let measured = interval > 0 && interval >= self.min_rtt;
        let rate = measured.then(|| (self.delivered - latest.delivered) as f64 / interval as f64);
        let sample = Sample {
            now,
            acked: newly.bytes,
            lost: std::mem::take(&mut self.lost_bytes),
            delivered: self.delivered,
            delivered_at_send: latest.delivered,
            rate,
            app_limited: latest.app_limited,
            rtt: newly.rtt(now),
            in_flight: self.in_flight_bytes,
            packet: self.max_payload() as u64,
        };
        self.congestion.on_ack(&sample);
    }

    /// Marks one packet as arrived. False if that was known.
    fn acknowledge(&mut self, now: Micros, seq: u64, newly: &mut Newly) -> bool {
        let Some(packet) = self.packet_mut(seq) else {
            return false;
        };
        if packet.fate == Fate::Acked {
            return false;
        }
        let was_in_flight = packet.fate == Fate::InFlight;
        packet.fate = Fate::Acked;
        let (length, sent_at, padding, mtu) = (packet.length, packet.sent_at, packet.padding, packet.mtu);
        let first_transmit = packet.transmits == 1;
        let latest = Latest {
            sent_at,
            first_transmit,
            delivered: packet.delivered,
            delivered_at: packet.delivered_at,
            flight_from: packet.flight_from,
            app_limited: packet.app_limited,
        };
        if was_in_flight {
            self.in_flight -= 1;
            self.in_flight_bytes -= u64::from(length);
            if padding > 0 {
                self.mtu.on_acked(padding, mtu);
            }
        }
        newly.packets += 1;
        newly.bytes += u64::from(length);
        let is_latest = |known: &Latest| (sent_at, first_transmit) >= (known.sent_at, known.first_transmit);
        if newly.latest.as_ref().is_none_or(is_latest) {
            newly.latest = Some(latest);
        }
        let rtt = now.saturating_sub(sent_at);
        if first_transmit || rtt >= self.min_rtt {
            self.rack_rtt = rtt;
            self.rack_latest = self.rack_latest.max((sent_at, seq));
        }
        if seq >= self.highest_acked {
            self.highest_acked = seq;
        } else if first_transmit {
            self.reordering = true;
        }
        true
    }

    fn sample(&mut self, rtt: Micros) {
        let rtt = rtt.clamp(1, MAX_RTT);
        self.min_rtt = self.min_rtt.min(rtt);
        if self.srtt == 0 {
            self.srtt = rtt;
            self.rttvar = rtt / 2;
            return;
        }
        // A machine that slept sees absurd samples.
        let outlier = self.srtt + 5 * self.rttvar;
        let rtt = if rtt > 5_000_000 && rtt > outlier {
            outlier
        } else {
            rtt
        };
        self.rttvar = (3 * self.rttvar + rtt.abs_diff(self.srtt)) / 4;
        self.srtt = (7 * self.srtt + rtt) / 8;
    }

    fn reordering_window(&self) -> Micros {
        if !self.reordering && (self.recovery.is_some() || self.sacked >= 3) {
            return 0;
        }
        (self.min_rtt.min(MAX_RTT) / 4).min(self.srtt)
    }

    fn detect_losses(&mut self, now: Micros) {
        self.rack_timer = None;
        let window = self.reordering_window();
        let mut lost = 0;
        while let Some(&(seq, transmit)) = self.order.front() {
            let current = self
                .packet(seq)
                .filter(|packet| packet.fate == Fate::InFlight && packet.transmits == transmit)
                .map(|packet| (packet.sent_at, packet.padding > 0, packet.length));
            let Some((sent_at, is_probe, length)) = current else {
                self.order.pop_front();
                continue;
            };
            if (sent_at, seq) >= self.rack_latest {
                break;
            }
            let deadline = sent_at + self.rack_rtt + window;
            if deadline > now {
                self.rack_timer = Some(deadline);
                break;
            }
            self.order.pop_front();
            self.leave_flight(seq);
            self.lost.push_back(seq);
            // A probe that was too large says nothing about congestion.
            if !is_probe {
                lost += 1;
                self.lost_bytes += u64::from(length);
            }
        }
        if lost > 0 && self.recovery.is_none() {
            self.recovery = Some(self.next);
        }
    }

    /// The longest that an answer is expected to take.
    pub(crate) fn round_trip(&self) -> Micros {
        if self.srtt == 0 {
            2 * INITIAL_RTT
        } else {
            self.srtt + (4 * self.rttvar).max(5_000) + 10_000
        }
    }

    pub(super) fn probe_interval(&self) -> Micros {
        let base = self.round_trip();
        (base << self.probe_count.min(10)).min(MAX_PROBE_INTERVAL.max(2 * self.srtt))
    }

    /// When [`Sender::on_timer`] wants to be called.
    pub(crate) fn next_timer(&self) -> Option<Micros> {
        [
            self.rack_timer,
            self.probe_timer,
            self.window_timer,
            self.pace_timer,
            self.stall_timer,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due at `now`.
    pub(crate) fn on_timer(&mut self, now: Micros) -> Result<(), PeerGone> {
        if self.pace_timer.is_some_and(|at| at <= now) {
            self.pace_timer = None;
        }
        if self.rack_timer.is_some_and(|at| at <= now) {
            self.detect_losses(now);
        }
        if self.window_timer.is_some_and(|at| at <= now) {
            if now.saturating_sub(self.last_heard) > GIVE_UP_ZERO_WINDOW {
                return Err(PeerGone);
            }
            self.window_probes += 1;
            self.heartbeat = true;
            let interval = self.probe_interval().max(200_000) << self.window_probes.min(5);
            self.window_timer = Some(now + interval.min(MAX_PROBE_INTERVAL));
        }
        if self.stall_timer.is_some_and(|at| at <= now) {
            self.on_stall(now)?;
        }
        if self.probe_timer.is_some_and(|at| at <= now) {
            self.on_probe_timeout(now)?;
        }
        Ok(())
    }

    /// The oldest packet is on its way for too long. After a sleep of the machine it may not have been sent again yet.
    fn on_stall(&mut self, now: Micros) -> Result<(), PeerGone> {
        let again = self
            .packets
            .front()
            .map(|oldest| oldest.transmits >= MIN_PROBES_BEFORE_GIVING_UP);
        if again == Some(true) && now.saturating_sub(self.last_advance) >= GIVE_UP {
            return Err(PeerGone);
        }
        self.stall_timer = again.is_some().then_some(now + MAX_PROBE_INTERVAL);
        Ok(())
    }

    fn on_probe_timeout(&mut self, now: Micros) -> Result<(), PeerGone> {
        self.probe_timer = None;
        if self.is_idle() {
            return Ok(());
        }
        self.probe_count += 1;
        let silence = now.saturating_sub(self.last_progress);
        if self.probe_count >= MIN_PROBES_BEFORE_GIVING_UP && silence > GIVE_UP {
            return Err(PeerGone);
        }
        if self.probe_count > PROBES_BEFORE_TIMEOUT {
            self.on_timeout();
        }
        self.probe_wanted = true;
        self.probe_timer = Some(now + self.probe_interval());
        Ok(())
    }

    fn on_timeout(&mut self) {
        if self.probe_count == PROBES_BEFORE_TIMEOUT + 1 {
            let packet = self.max_payload() as u64;
            self.congestion.on_timeout(packet);
            self.recovery = Some(self.next);
        }
        if self.probe_count == PROBES_BEFORE_TIMEOUT + 3 {
            self.mtu.on_black_hole();
        }
        self.order.clear();
        self.lost.clear();
        for seq in self.una..self.next {
            self.leave_flight(seq);
            if self.packet(seq).is_some_and(|packet| packet.fate == Fate::Lost) {
                self.lost.push_back(seq);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Newly {
    packets: usize,
    bytes: u64,
    /// The one sent last.
    latest: Option<Latest>,
}

#[derive(Debug)]
struct Latest {
    sent_at: Micros,
    first_transmit: bool,
    delivered: u64,
    delivered_at: Micros,
    flight_from: Micros,
    app_limited: bool,
}

impl Newly {
    /// The round-trip time, if the latest packet was sent only once.
    fn rtt(&self, now: Micros) -> Option<Micros> {
        let latest = self.latest.as_ref().filter(|latest| latest.first_transmit)?;
        Some(now.saturating_sub(latest.sent_at).max(1))
    }
}
