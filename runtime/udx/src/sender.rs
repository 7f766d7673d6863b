//! The sending half of a stream: cuts bytes into packets, finds out which were lost, and sends those again.
//!
//! Losses are found by time (RACK, RFC 8985); a probe timeout covers the tail, and grows into a full timeout.

use std::collections::VecDeque;

use crate::congestion::{Congestion, Micros, Sample};
use crate::mtu::Mtu;
use crate::receiver::FIRST;

/// Headers below the payload: IP, UDP, UDX.
const IPV4_OVERHEAD: u16 = 20 + 8 + 20;
const IPV6_OVERHEAD: u16 = 40 + 8 + 20;
/// The window libudx starts with, before the peer says its own.
const INITIAL_REMOTE_WINDOW: u32 = 4 * 1024 * 1024;
const INITIAL_RTT: Micros = 250_000;
const MAX_PROBE_INTERVAL: Micros = 5_000_000;
/// Probe timeouts in a row after which everything on its way counts as lost.
const PROBES_BEFORE_TIMEOUT: u32 = 2;
const MIN_PROBES_BEFORE_GIVING_UP: u32 = 6;
/// Without any progress for this long, the peer is gone.
const GIVE_UP: Micros = 25_000_000;
/// Room left in a zero-window wait before the peer counts as gone: it answers probes while it lives.
const GIVE_UP_ZERO_WINDOW: Micros = 60_000_000;
const MAX_RTT: Micros = 30_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    InFlight,
    Lost,
    Acked,
}

#[derive(Debug, Clone)]
struct Packet {
    offset: u64,
    length: u16,
    end: bool,
    padding: u8,
    /// The path MTU it was filled up to.
    mtu: u16,
    sent_at: Micros,
    transmits: u32,
    /// When it left: bytes acknowledged so far, when that was, when the first packet of the flight had left, and
    /// whether there was too little to send.
    delivered: u64,
    delivered_at: Micros,
    flight_from: Micros,
    app_limited: bool,
    fate: Fate,
    /// Acknowledged ahead of its turn.
    sacked: bool,
}

/// A packet to be put on the wire now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    pub(crate) length: usize,
    pub(crate) end: bool,
    pub(crate) padding: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Queued,
    Sent,
}

/// The peer stopped answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerGone;

#[derive(Debug)]
pub(crate) struct Sender {
    buffer: VecDeque<u8>,
    /// Stream offsets of the first buffered byte and of the first one never sent.
    base: u64,
    unsent: u64,
    end: End,
    packets: VecDeque<Packet>,
    una: u64,
    next: u64,
    /// Transmissions in order of time: packet number and how often it had been sent then.
    order: VecDeque<(u64, u32)>,
    lost: VecDeque<u64>,
    in_flight: usize,
    in_flight_bytes: u64,
    /// Packets acknowledged ahead of `una`.
    sacked: usize,
    remote_window: u32,
    window_seq: u64,
    window_ack: u64,
    overhead: u16,
    mtu: Mtu,
    congestion: Congestion,
    srtt: Micros,
    rttvar: Micros,
    min_rtt: Micros,
    rack_rtt: Micros,
    rack_latest: (Micros, u64),
    highest_acked: u64,
    reordering: bool,
    /// Until this packet is acknowledged, further losses belong to the same event.
    recovery: Option<u64>,
    /// Delivery rate: bytes acknowledged so far, when, the send time of the packet that showed it, and until how
    /// many acknowledged bytes the flow is limited by the application.
    delivered: u64,
    delivered_at: Micros,
    flight_from: Micros,
    app_limited_until: u64,
    lost_bytes: u64,
    rack_timer: Option<Micros>,
    probe_timer: Option<Micros>,
    window_timer: Option<Micros>,
    pace_timer: Option<Micros>,
    probe_count: u32,
    probe_wanted: bool,
    window_probes: u32,
    heartbeat: bool,
    last_progress: Micros,
    last_heard: Micros,
    pub(crate) retransmits: u64,
}

impl Sender {
    pub(crate) fn new(now: Micros) -> Self {
        Self {
            buffer: VecDeque::new(),
            base: 0,
            unsent: 0,
            end: End::Open,
            packets: VecDeque::new(),
            una: FIRST,
            next: FIRST,
            order: VecDeque::new(),
            lost: VecDeque::new(),
            in_flight: 0,
            in_flight_bytes: 0,
            sacked: 0,
            remote_window: INITIAL_REMOTE_WINDOW,
            window_seq: FIRST,
            window_ack: FIRST,
            overhead: IPV4_OVERHEAD,
            mtu: Mtu::new(),
            congestion: Congestion::new(u64::from(crate::mtu::BASE)),
            srtt: 0,
            rttvar: 0,
            min_rtt: Micros::MAX,
            rack_rtt: 0,
            rack_latest: (0, 0),
            highest_acked: FIRST,
            reordering: false,
            recovery: None,
            delivered: 0,
            delivered_at: now,
            flight_from: now,
            app_limited_until: 0,
            lost_bytes: 0,
            rack_timer: None,
            probe_timer: None,
            window_timer: None,
            pace_timer: None,
            probe_count: 0,
            probe_wanted: false,
            window_probes: 0,
            heartbeat: false,
            last_progress: now,
            last_heard: now,
            retransmits: 0,
        }
    }

    /// The path changed: what was known of its capacity is void.
    pub(crate) fn set_path(&mut self, ipv6: bool, now: Micros) {
        self.overhead = if ipv6 { IPV6_OVERHEAD } else { IPV4_OVERHEAD };
        self.mtu = Mtu::new();
        self.last_progress = now;
        self.last_heard = now;
    }

    fn max_payload(&self) -> usize {
        usize::from(self.mtu.current() - self.overhead)
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn srtt(&self) -> Micros {
        self.srtt
    }

    pub(crate) fn mtu(&self) -> u16 {
        self.mtu.current()
    }

    pub(crate) fn congestion_window(&self) -> u64 {
        self.congestion.window()
    }

    /// Bytes written but not yet sent for the first time.
    pub(crate) fn queued(&self) -> usize {
        self.pending() as usize
    }

    fn pending(&self) -> u64 {
        self.base + self.buffer.len() as u64 - self.unsent
    }

    pub(crate) fn write(&mut self, data: &[u8]) {
        self.buffer.extend(data);
    }

    pub(crate) fn finish(&mut self) {
        if self.end == End::Open {
            self.end = End::Queued;
        }
    }

    pub(crate) fn is_finishing(&self) -> bool {
        self.end != End::Open
    }

    /// Whether the peer has acknowledged everything, the end included.
    pub(crate) fn is_done(&self) -> bool {
        self.end == End::Sent && self.una == self.next
    }

    /// Whether nothing waits for an acknowledgement.
    pub(crate) fn is_idle(&self) -> bool {
        self.una == self.next
    }

    /// Probe timeouts since the last progress.
    pub(crate) fn probe_count(&self) -> u32 {
        self.probe_count
    }

    /// Appends the payload of `packet` to `out`.
    pub(crate) fn payload(&self, packet: &Outgoing, out: &mut Vec<u8>) {
        let start = (packet.offset - self.base) as usize;
        let (first, second) = self.buffer.as_slices();
        let from_first = first.len().saturating_sub(start).min(packet.length);
        let start_second = start.saturating_sub(first.len());
        out.extend_from_slice(first.get(start..start + from_first).unwrap_or_default());
        let rest = packet.length - from_first;
        out.extend_from_slice(second.get(start_second..start_second + rest).unwrap_or_default());
    }

    /// Whether a heartbeat is due: the peer's window is closed and its opening may have been lost.
    pub(crate) fn take_heartbeat(&mut self) -> bool {
        std::mem::take(&mut self.heartbeat)
    }

    /// The next packet to send. Without `partial`, new data only goes out in full packets.
    pub(crate) fn next_packet(&mut self, now: Micros, partial: bool) -> Option<Outgoing> {
        if self.probe_wanted {
            self.probe_wanted = false;
            if let Some(packet) = self.probe_packet(now) {
                return Some(packet);
            }
        }
        let room = self.in_flight_bytes < self.congestion.window();
        while let Some(&seq) = self.lost.front() {
            let Some(packet) = self.packet(seq).filter(|packet| packet.fate == Fate::Lost) else {
                self.lost.pop_front();
                continue;
            };
            let size = u64::from(packet.length);
            if !room || !self.paced(now, size) {
                return None;
            }
            self.lost.pop_front();
            return self.resend(now, seq);
        }
        if !room {
            return None;
        }
        self.new_packet(now, partial, false)
    }

    fn paced(&mut self, now: Micros, size: u64) -> bool {
        self.pace_timer = self
            .congestion
            .pace(now, size + u64::from(self.overhead), self.srtt);
        self.pace_timer.is_none()
    }

    fn new_packet(&mut self, now: Micros, partial: bool, probe: bool) -> Option<Outgoing> {
        let pending = self.pending();
        let outstanding = self.unsent - self.base;
        let allowed = u64::from(self.remote_window).saturating_sub(outstanding);
        let full = self.max_payload() as u64;
        let length = full.min(pending).min(allowed);
        let ends = self.end == End::Queued && length == pending;
        if length == 0 && !ends {
            self.app_limited_until = (self.delivered + self.in_flight_bytes).max(1);
            self.watch_window(now, pending);
            return None;
        }
        let limited_by_window = length < full && length < pending;
        if limited_by_window {
            self.app_limited_until = (self.delivered + self.in_flight_bytes).max(1);
        }
        if !probe && !ends && ((limited_by_window && self.in_flight > 0) || (length < full && !partial)) {
            return None;
        }
        if !probe && !self.paced(now, length) {
            return None;
        }
        let padding = if length == full && !probe {
            self.mtu.probe().unwrap_or(0)
        } else {
            0
        };
        if self.is_idle() {
            self.last_progress = now;
        }
        let seq = self.next;
        self.packets.push_back(Packet {
            offset: self.unsent,
            length: length as u16,
            end: ends,
            padding,
            mtu: self.mtu.current(),
            sent_at: now,
            transmits: 0,
            delivered: 0,
            delivered_at: 0,
            flight_from: 0,
            app_limited: false,
            fate: Fate::Lost,
            sacked: false,
        });
        self.next += 1;
        self.unsent += length;
        if ends {
            self.end = End::Sent;
        }
        self.transmit(now, seq)
    }

    /// Nothing on its way could make the peer tell that its window opened, so ask from time to time.
    fn watch_window(&mut self, now: Micros, pending: u64) {
        if pending > 0 && self.is_idle() && self.window_timer.is_none() {
            self.window_timer = Some(now + self.probe_interval().max(200_000));
            self.last_heard = now;
        }
    }

    /// The oldest packet in doubt, or new data if nothing is in doubt.
    fn probe_packet(&mut self, now: Micros) -> Option<Outgoing> {
        let oldest = self.packets.iter().position(|packet| packet.fate != Fate::Acked);
        match oldest {
            Some(index) => {
                let seq = self.una + index as u64;
                self.leave_flight(seq);
                self.resend(now, seq)
            }
            None => self.new_packet(now, true, true),
        }
    }

    fn resend(&mut self, now: Micros, seq: u64) -> Option<Outgoing> {
        self.retransmits += 1;
        self.transmit(now, seq)
    }

    fn transmit(&mut self, now: Micros, seq: u64) -> Option<Outgoing> {
        if self.in_flight == 0 {
            self.flight_from = now;
            self.delivered_at = now;
        }
        let (delivered, delivered_at, flight_from) = (self.delivered, self.delivered_at, self.flight_from);
        let app_limited = self.app_limited_until > 0;
        let packet = self.packet_mut(seq)?;
        packet.delivered = delivered;
        packet.delivered_at = delivered_at;
        packet.flight_from = flight_from;
        packet.app_limited = app_limited;
        packet.sent_at = now;
        packet.transmits += 1;
        packet.fate = Fate::InFlight;
        let entry = (seq, packet.transmits);
        let outgoing = Outgoing {
            seq,
            offset: packet.offset,
            length: usize::from(packet.length),
            end: packet.end,
            padding: packet.padding,
        };
        self.order.push_back(entry);
        self.in_flight += 1;
        self.in_flight_bytes += outgoing.length as u64;
        self.window_timer = None;
        if self.probe_timer.is_none() {
            self.probe_timer = Some(now + self.probe_interval());
        }
        Some(outgoing)
    }

    fn index(&self, seq: u64) -> Option<usize> {
        usize::try_from(seq.checked_sub(self.una)?).ok()
    }

    fn packet(&self, seq: u64) -> Option<&Packet> {
        self.packets.get(self.index(seq)?)
    }

    fn packet_mut(&mut self, seq: u64) -> Option<&mut Packet> {
        let index = self.index(seq)?;
        self.packets.get_mut(index)
    }

    /// Takes a packet out of the count of those on their way, as lost.
    fn leave_flight(&mut self, seq: u64) {
        let Some(packet) = self.packet_mut(seq) else {
            return;
        };
        if packet.fate != Fate::InFlight {
            return;
        }
        packet.fate = Fate::Lost;
        let (length, padding, mtu) = (packet.length, packet.padding, packet.mtu);
        packet.padding = 0;
        self.in_flight -= 1;
        self.in_flight_bytes -= u64::from(length);
        if padding > 0 {
            self.mtu.on_lost(padding, mtu);
        }
    }

    /// Takes an acknowledgement: everything before `ack`, and the `sacks`.
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
            if self.buffer.is_empty() && self.buffer.capacity() > 1 << 20 {
                self.buffer.shrink_to(1 << 16);
            }
        }
        for (start, end) in sacks {
            if start >= self.una && start < end && end <= self.next {
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

    fn probe_interval(&self) -> Micros {
        let base = if self.srtt == 0 {
            2 * INITIAL_RTT
        } else {
            self.srtt + (4 * self.rttvar).max(5_000) + 10_000
        };
        (base << self.probe_count.min(10)).min(MAX_PROBE_INTERVAL.max(2 * self.srtt))
    }

    /// When [`Sender::on_timer`] wants to be called.
    pub(crate) fn next_timer(&self) -> Option<Micros> {
        [
            self.rack_timer,
            self.probe_timer,
            self.window_timer,
            self.pace_timer,
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
        if self.probe_timer.is_some_and(|at| at <= now) {
            self.on_probe_timeout(now)?;
        }
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
