//! One stream as a state machine without I/O or clock: packets and time go in, packets and a deadline come out.

use crate::congestion::Micros;
use crate::liveness::{Due, Liveness};
use crate::memory::MAX_OUTSTANDING;
use crate::mtu;
use crate::packet::{DATA, DESTROY, END, HEARTBEAT, Header, SACK, expand};
use crate::receiver::Receiver;
use crate::sender::{PeerGone, Sender};

/// How many bytes the peer may have on their way to us or unread: twice what libudx offers.
const RECEIVE_WINDOW: usize = 8 * 1024 * 1024;
/// How long a closed stream still answers repeated packets of its peer.
const TIME_WAIT: Micros = 5_000_000;
/// How long a stream whose handle was dropped may take to deliver the rest.
const LINGER: Micros = 30_000_000;
/// What may be sent to an address from which nothing came yet: three full packets, which is about three times the
/// handshake that named it. Some peers wait for our first packet, so it cannot be nothing. The last packet may be larger than what
/// is left, so that much is not given out.
const UNPROVEN_START: i64 = (3 * mtu::BASE - mtu::MAX) as i64;
/// How many times what came from there.
const UNPROVEN_FACTOR: i64 = 3;
/// Payloads up to this size are keep-alives of the layer above, and no use.
const KEEP_ALIVE_PAYLOAD: usize = 64;
/// The least a writer may queue, and the most.
const MIN_QUEUE: usize = 64 * 1024;
const MAX_QUEUE: usize = 4 * 1024 * 1024;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Both sides ended it and everything was delivered.
    #[error("the stream ended")]
    Ended,
    /// This side destroyed it.
    #[error("the stream was destroyed by this side")]
    Destroyed,
    /// The peer destroyed it.
    #[error("the peer destroyed the stream")]
    Reset,
    /// The peer stopped answering.
    #[error("the peer stopped answering")]
    TimedOut,
}

impl CloseReason {
    /// The error for whoever still reads or writes.
    pub(crate) fn to_io_error(self) -> std::io::Error {
        let kind = match self {
            CloseReason::Ended | CloseReason::Destroyed => std::io::ErrorKind::BrokenPipe,
            CloseReason::Reset => std::io::ErrorKind::ConnectionReset,
            CloseReason::TimedOut => std::io::ErrorKind::TimedOut,
        };
        std::io::Error::new(kind, self)
    }
}

#[derive(Debug)]
pub(crate) struct Engine {
    remote_id: Option<u32>,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    ack_wanted: bool,
    heartbeat_wanted: bool,
    destroy_wanted: bool,
    keep_alive: Option<Micros>,
    keep_alive_timer: Option<Micros>,
    closed: Option<CloseReason>,
    /// When a closed stream, or one nobody holds, is forgotten.
    forget_at: Option<Micros>,
    abandoned: bool,
    /// Bytes that may still be sent to a peer that may not be where we send to, below nothing by what the last packet had too many;
    /// `None` once it is known to be.
    allowance: Option<i64>,
    /// Set if silence of the peer is to be looked into.
    liveness: Option<Liveness>,
    /// Bytes that may be kept until the peer acknowledges them.
    memory: usize,
}

impl Engine {
    pub(crate) fn new(now: Micros) -> Self {
        Self {
            remote_id: None,
            sender: Sender::new(now),
            receiver: Receiver::new(RECEIVE_WINDOW),
            ack_wanted: false,
            heartbeat_wanted: false,
            destroy_wanted: false,
            keep_alive: None,
            keep_alive_timer: None,
            closed: None,
            forget_at: None,
            abandoned: false,
            allowance: None,
            liveness: None,
            memory: MAX_OUTSTANDING,
        }
    }

    /// Asks a peer that is silent while the stream is in use, and closes when it does not answer.
    pub(crate) fn watch_peer(&mut self) {
        self.liveness.get_or_insert_default();
    }

    fn used(&mut self, now: Micros, payload: usize) {
        if let Some(liveness) = self.liveness.as_mut().filter(|_| payload > KEEP_ALIVE_PAYLOAD) {
            liveness.used(now);
        }
    }

    /// Limits what is sent to a few packets and three times what was `heard` from there.
    pub(crate) fn limit(&mut self, heard: u64) {
        let heard = i64::try_from(heard).unwrap_or(i64::MAX);
        self.allowance = Some(UNPROVEN_START.saturating_add(UNPROVEN_FACTOR.saturating_mul(heard)));
    }

    /// A packet of `length` bytes came from where we send to.
    pub(crate) fn heard(&mut self, length: usize) {
        if let Some(left) = &mut self.allowance {
            *left = left.saturating_add(UNPROVEN_FACTOR * length as i64);
        }
    }

    /// The peer is where we send to.
    pub(crate) fn unlimit(&mut self) {
        self.allowance = None;
    }

    pub(crate) fn connect(&mut self, now: Micros, remote_id: u32, ipv6: bool) {
        self.remote_id = Some(remote_id);
        self.sender.set_path(ipv6, now);
        self.arm_keep_alive(now);
    }

    /// The peer is elsewhere.
    pub(crate) fn moved(&mut self, now: Micros, ipv6: bool) {
        self.sender.set_path(ipv6, now);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.remote_id.is_some()
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Whether nothing is left to do and the stream's id may be reused.
    pub(crate) fn is_forgotten(&self, now: Micros) -> bool {
        self.closed.is_some() && self.forget_at.is_none_or(|at| at <= now)
    }

    /// Gives up answering repeated packets after the close.
    pub(crate) fn forget(&mut self) {
        if self.closed.is_some() {
            self.forget_at = None;
        }
    }

    pub(crate) fn set_keep_alive(&mut self, now: Micros, interval: Option<Micros>) {
        self.keep_alive = interval;
        self.arm_keep_alive(now);
    }

    fn arm_keep_alive(&mut self, now: Micros) {
        self.keep_alive_timer = match self.keep_alive {
            Some(interval) if self.is_connected() && self.closed.is_none() => Some(now + interval),
            _ => None,
        };
    }

    /// Sets how many bytes may be kept until the peer acknowledges them. What is kept already stays.
    pub(crate) fn keep_at_most(&mut self, bytes: usize) {
        self.memory = bytes;
    }

    /// How many bytes a writer may have queued.
    fn queue(&self) -> usize {
        (2 * self.sender.congestion_window() as usize).clamp(MIN_QUEUE, MAX_QUEUE)
    }

    /// How many more bytes a writer may hand over now.
    pub(crate) fn write_room(&self) -> usize {
        let left = self.memory.saturating_sub(self.sender.kept());
        self.queue().saturating_sub(self.sender.queued()).min(left)
    }

    /// Whether there is so much room that a writer who waits for some should write: not for a packet each.
    pub(crate) fn is_writable(&self) -> bool {
        self.write_room() >= self.queue().min(self.memory) / 4
    }

    /// Says that nothing more will be read or written. What was written and ended is still delivered; a stream
    /// that was not ended is destroyed.
    pub(crate) fn abandon(&mut self, now: Micros) {
        if self.abandoned || self.closed.is_some() {
            return;
        }
        if !self.sender.is_finishing() || !self.is_connected() {
            return self.destroy(now);
        }
        self.abandoned = true;
        self.receiver.discard();
        self.forget_at = Some(now + LINGER);
    }

    /// Ends the stream at once, in both directions.
    pub(crate) fn destroy(&mut self, now: Micros) {
        if self.closed.is_none() {
            self.destroy_wanted = self.is_connected();
            self.close(now, CloseReason::Destroyed);
        }
    }

    fn close(&mut self, now: Micros, reason: CloseReason) {
        self.closed = Some(reason);
        self.sender.release();
        self.keep_alive_timer = None;
        self.forget_at = match reason {
            CloseReason::Ended | CloseReason::Destroyed if self.is_connected() => Some(now + TIME_WAIT),
            _ => None,
        };
    }

    /// Takes a packet that is meant for this stream.
    pub(crate) fn on_packet(&mut self, now: Micros, header: &Header, rest: &[u8]) {
        match self.closed {
            None => {}
            // The peer did not see our last packet. Say it again, but never answer an answer.
            Some(CloseReason::Destroyed) => {
                self.destroy_wanted = header.kind & (DATA | END | HEARTBEAT) != 0;
                return;
            }
            Some(CloseReason::Ended) => {
                self.ack_wanted |= header.kind & (DATA | END | HEARTBEAT) != 0;
                return;
            }
            Some(_) => return,
        }
        if let Some(liveness) = &mut self.liveness {
            liveness.heard(now);
        }
        if header.kind & HEARTBEAT != 0 {
            self.ack_wanted = true;
            return;
        }
        let Some(payload) = header.payload(rest) else {
            return;
        };
        let seq = expand(header.seq, self.receiver.next());
        if header.kind & (DATA | END) != 0 {
            self.ack_wanted = true;
            let payload = if header.kind & DATA != 0 { payload } else { &[] };
            self.used(now, payload.len());
            self.receiver.on_packet(seq, payload, header.kind & END != 0);
        }
        if header.kind & DESTROY != 0 && seq >= self.receiver.next() {
            return self.close(now, CloseReason::Reset);
        }
        let near = self.sender.next();
        let sacks = header
            .sacks(rest)
            .map(|(start, end)| (expand(start, near), expand(end, near)));
        self.sender
            .on_ack(now, seq, expand(header.ack, near), header.window, sacks);
        self.arm_keep_alive(now);
        self.check_ended(now);
    }

    fn check_ended(&mut self, now: Micros) {
        if self.closed.is_none() && self.sender.is_done() && self.receiver.is_complete() {
            self.close(now, CloseReason::Ended);
        }
    }

    /// Something was read. Whether the peer should hear now that there is room again.
    pub(crate) fn after_read(&mut self) -> bool {
        let update = self.closed.is_none() && self.receiver.wants_window_update();
        self.ack_wanted |= update;
        update
    }

    /// When [`Engine::on_timer`] wants to be called.
    pub(crate) fn next_timer(&self) -> Option<Micros> {
        if self.closed.is_some() {
            return self.forget_at;
        }
        let sender = if self.is_connected() {
            self.sender.next_timer()
        } else {
            None
        };
        let liveness = self
            .liveness
            .as_ref()
            .filter(|_| self.is_connected())
            .and_then(Liveness::timer);
        [sender, self.keep_alive_timer, self.forget_at, liveness]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn on_timer(&mut self, now: Micros) {
        if self.closed.is_some() || !self.is_connected() {
            return;
        }
        let round_trip = (self.sender.srtt() > 0).then(|| self.sender.round_trip());
        let due = match &mut self.liveness {
            Some(liveness) => liveness.on_timer(now, round_trip),
            None => Due::Nothing,
        };
        self.heartbeat_wanted |= due == Due::Ask;
        if self.sender.on_timer(now) == Err(PeerGone) || due == Due::Gone {
            // A peer that ended first and is gone has most likely seen our end.
            let reason = if self.receiver.is_complete() && self.sender.is_finishing() {
                CloseReason::Ended
            } else {
                CloseReason::TimedOut
            };
            return self.close(now, reason);
        }
        let last_word_lost = self.abandoned && self.receiver.is_complete() && self.sender.probe_count() > 5;
        if last_word_lost {
            return self.close(now, CloseReason::Ended);
        }
        if self.abandoned && self.forget_at.is_some_and(|at| at <= now) {
            return self.destroy(now);
        }
        if self.keep_alive_timer.is_some_and(|at| at <= now) {
            self.heartbeat_wanted |= self.sender.is_idle();
            self.arm_keep_alive(now);
        }
    }

    /// Appends the next packet to `out`; false if there is none now. Call until it says so. Without `partial`, new
    /// data only goes out in full packets, so that small writes can gather.
    pub(crate) fn poll_transmit(&mut self, now: Micros, out: &mut Vec<u8>, partial: bool) -> bool {
        if self.allowance.is_some_and(|left| left <= 0) {
            return false;
        }
        let before = out.len();
        let sent = self.transmit(now, out, partial);
        if let Some(left) = &mut self.allowance {
            *left = left.saturating_sub((out.len() - before) as i64);
        }
        sent
    }

    fn transmit(&mut self, now: Micros, out: &mut Vec<u8>, partial: bool) -> bool {
        let Some(stream_id) = self.remote_id else {
            return false;
        };
        if std::mem::take(&mut self.destroy_wanted) {
            self.header(stream_id, DESTROY, 0, self.sender.next()).encode(out);
            return true;
        }
        if self.closed.is_some() {
            return self.closed == Some(CloseReason::Ended) && self.transmit_ack(stream_id, out);
        }
        // Gaps are told first; a plain acknowledgement can ride on data.
        if !self.receiver.ranges().is_empty() && self.transmit_ack(stream_id, out) {
            return true;
        }
        if self.sender.take_heartbeat() || std::mem::take(&mut self.heartbeat_wanted) {
            self.header(stream_id, HEARTBEAT, 0, self.sender.next())
                .encode(out);
            return true;
        }
        if let Some(packet) = self.sender.next_packet(now, partial) {
            let kind = if packet.length > 0 { DATA } else { 0 } | if packet.end { END } else { 0 };
            self.header(stream_id, kind, packet.padding, packet.seq)
                .encode(out);
            out.resize(out.len() + usize::from(packet.padding), 0);
            self.sender.payload(&packet, out);
            self.ack_wanted = false;
            self.used(now, packet.length);
            return true;
        }
        self.transmit_ack(stream_id, out)
    }

    fn transmit_ack(&mut self, stream_id: u32, out: &mut Vec<u8>) -> bool {
        if !std::mem::take(&mut self.ack_wanted) {
            return false;
        }
        let kind = if self.receiver.ranges().is_empty() {
            0
        } else {
            SACK
        };
        self.header(stream_id, kind, 0, self.sender.next()).encode(out);
        for (start, end) in self.receiver.news() {
            out.extend_from_slice(&(start as u32).to_le_bytes());
            out.extend_from_slice(&(end as u32).to_le_bytes());
        }
        true
    }

    fn header(&mut self, stream_id: u32, kind: u8, data_offset: u8, seq: u64) -> Header {
        Header {
            kind,
            data_offset,
            stream_id,
            window: self.receiver.advertise(),
            seq: seq as u32,
            ack: self.receiver.next() as u32,
        }
    }
}
