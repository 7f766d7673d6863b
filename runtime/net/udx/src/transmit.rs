//! Gathers a stream's packets and hands them to the kernel in large pieces.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::congestion::Micros;
use crate::engine::Engine;
use crate::socket::SocketCore;

/// The most one segmented send may carry.
const MAX_SEND: usize = 65_000;

thread_local! {
    /// The buffer of whatever stream sends on this thread: a stream holds one only while the kernel wants it to wait, or a crowd of
    /// streams would hold some of the largest that was ever sent, each.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Packets that left the engine but not yet the process.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    /// How much of both the kernel has taken.
    sent_bytes: usize,
    sent_packets: usize,
    /// Not yet in the stream's statistics.
    count: (u64, u64),
}

impl Outbox {
    /// Packets and bytes sent since the last call.
    pub(crate) fn take_counts(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.count)
    }

    fn is_empty(&self) -> bool {
        self.sent_packets == self.lengths.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
        self.sent_bytes = 0;
        self.sent_packets = 0;
        if self.bytes.capacity() == 0 {
            self.bytes = BUFFER.take();
        }
    }

    /// Gives the buffer back.
    fn release(&mut self) {
        BUFFER.set(std::mem::take(&mut self.bytes));
        self.lengths = Vec::new();
    }

    /// Takes packets out of the engine until a send is full or there are no more.
    fn fill(&mut self, engine: &mut Engine, now: Micros, partial: bool) {
        while self.bytes.len() < MAX_SEND {
            let before = self.bytes.len();
            if !engine.poll_transmit(now, &mut self.bytes, partial) {
                break;
            }
            self.lengths.push(self.bytes.len() - before);
        }
    }

    /// How many of the unsent packets can go out in one call: equal lengths, the last one may be shorter.
    fn run(&self, max_segments: usize) -> (usize, usize, usize) {
        let lengths = self.lengths.get(self.sent_packets..).unwrap_or_default();
        let segment = lengths.first().copied().unwrap_or(0);
        let (mut packets, mut bytes) = (0, 0);
        for &length in lengths {
            if packets == max_segments.max(1)
                || length > segment
                || (packets > 0 && bytes + length > MAX_SEND)
            {
                break;
            }
            packets += 1;
            bytes += length;
            if length < segment {
                break;
            }
        }
        (packets, bytes, segment)
    }

    /// Sends all there is. False if the kernel wants us to wait.
    pub(crate) fn flush(
        &mut self,
        socket: &Arc<SocketCore>,
        to: SocketAddr,
        mut refill: impl FnMut(&mut dyn FnMut(&mut Engine, Micros, bool)),
    ) -> bool {
        loop {
            if self.is_empty() {
                self.clear();
                refill(&mut |engine, now, partial| self.fill(engine, now, partial));
                if self.lengths.is_empty() {
                    self.release();
                    return true;
                }
            }
            while !self.is_empty() {
                let (packets, bytes, segment) = self.run(socket.max_segments());
                let contents = self
                    .bytes
                    .get(self.sent_bytes..self.sent_bytes + bytes)
                    .unwrap_or_default();
                if socket.try_send(to, contents, segment).is_err() {
                    return false;
                }
                self.sent_packets += packets;
                self.sent_bytes += bytes;
                self.count.0 += packets as u64;
                self.count.1 += bytes as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_has_sent_all_holds_nothing_and_one_that_waits_holds_what_is_left() {
        let (mut one, mut other) = (Outbox::default(), Outbox::default());
        one.clear();
        one.bytes.extend_from_slice(&[7; 10_000]);
        one.lengths.push(10_000);
        other.clear();
        assert_eq!(other.bytes.capacity(), 0, "the other one has the buffer");
        one.clear();
        one.release();
        assert_eq!((one.bytes.capacity(), one.lengths.capacity()), (0, 0));
        other.clear();
        assert!(other.bytes.is_empty() && other.bytes.capacity() >= 10_000);
    }

    #[test]
    fn runs_are_of_equal_packets_with_a_shorter_last() {
        let outbox = |lengths: &[usize]| Outbox {
            lengths: lengths.to_vec(),
            ..Outbox::default()
        };
        assert_eq!(outbox(&[10, 10, 7, 10]).run(64), (3, 27, 10));
        assert_eq!(outbox(&[10, 12, 7]).run(64), (1, 10, 10));
        assert_eq!(outbox(&[10; 9]).run(4), (4, 40, 10));
        assert_eq!(outbox(&[1400; 60]).run(64), (46, 64400, 1400));
        assert_eq!(outbox(&[10, 10]).run(0), (1, 10, 10));
    }
}
