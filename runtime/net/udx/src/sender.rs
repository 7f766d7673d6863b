//! The sending half of a stream: cuts bytes into packets, finds out which were lost, and sends those again.
//!
//! Losses are found by time (RACK, RFC 8985); a probe timeout covers the tail, and grows into a full timeout.

mod ranges;
mod recovery;

use std::collections::VecDeque;

use crate::congestion::{Congestion, Micros};
use crate::mtu::Mtu;
use crate::receiver::{FIRST, MAX_AHEAD};
use ranges::Ranges;

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
/// Without any progress for this long, the peer is gone. So it is if the oldest packet stays unacknowledged for so long,
/// however often it was sent and whatever came after it.
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
    /// Packets acknowledged ahead of `una`: how many, and which.
    sacked: usize,
    sacked_ranges: Ranges,
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
    /// When the oldest packet on its way became that.
    last_advance: Micros,
    stall_timer: Option<Micros>,
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
            sacked_ranges: Ranges::default(),
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
            last_advance: now,
            stall_timer: None,
            last_heard: now,
            retransmits: 0,
        }
    }

    /// The path changed: what was known of its capacity is void.
    pub(crate) fn set_path(&mut self, ipv6: bool, now: Micros) {
        self.overhead = if ipv6 { IPV6_OVERHEAD } else { IPV4_OVERHEAD };
        self.mtu = Mtu::new();
        self.last_progress = now;
        self.advanced(now);
        self.last_heard = now;
    }

    /// Another packet is the oldest on its way now, or none.
    fn advanced(&mut self, now: Micros) {
        self.last_advance = now;
        self.stall_timer = (!self.is_idle()).then_some(now + GIVE_UP);
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

    /// Packets acknowledged out of turn.
    #[cfg(test)]
    pub(crate) fn sacked(&self) -> usize {
        self.sacked
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

    /// Bytes kept as the peer has not acknowledged them yet.
    pub(crate) fn kept(&self) -> usize {
        self.buffer.len()
    }

    /// Gives back what was kept: the stream is over, and sends nothing of it any more.
    pub(crate) fn release(&mut self) {
        self.buffer = VecDeque::new();
        self.base = self.unsent;
        self.packets = VecDeque::new();
        self.una = self.next;
        self.order = VecDeque::new();
        self.lost = VecDeque::new();
        self.sacked_ranges = Ranges::default();
        (self.in_flight, self.in_flight_bytes, self.sacked) = (0, 0, 0);
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
        let mut allowed = u64::from(self.remote_window).saturating_sub(outstanding);
        if self.packets.len() as u64 >= MAX_AHEAD {
            // No receiver takes more ahead of the one it waits for.
            allowed = 0;
        }
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
        let was_idle = self.is_idle();
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
        if was_idle {
            self.last_progress = now;
            self.advanced(now);
        }
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
}
