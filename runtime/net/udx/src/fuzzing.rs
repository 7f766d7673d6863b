//! The engine of one stream and the packet format for fuzz targets, without sockets and with a virtual clock. No part of the API.

use crate::congestion::Micros;
use crate::engine::Engine;
use crate::packet::Header;

/// Decodes a packet, looks at all of it, and encodes its header again: the first bytes of the packet.
pub fn header(packet: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = Header::decode(packet)?;
    let _ = (header.sacks(rest).count(), header.payload(rest));
    let mut out = Vec::new();
    header.encode(&mut out);
    Some(out)
}

/// A packet whose numbers are near those that the stream expects.
#[derive(Debug, Clone)]
pub struct Near {
    /// Its flags.
    pub kind: u8,
    /// Where its data begin.
    pub data_offset: u8,
    /// The window it tells.
    pub window: u32,
    /// Its number, from the one that is expected.
    pub seq: i16,
    /// What it acknowledges, from the next number to be sent.
    pub ack: i16,
    /// Ranges that it acknowledges, each from the next number to be sent.
    pub sacks: Vec<(i16, i16)>,
    /// Its data.
    pub data: Vec<u8>,
}

/// One connected stream.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    now: Micros,
}

impl Default for Session {
    fn default() -> Self {
        let mut engine = Engine::new(0);
        engine.connect(0, 1, false);
        Self { engine, now: 0 }
    }
}

impl Session {
    /// A datagram came.
    pub fn datagram(&mut self, bytes: &[u8]) {
        if let Some((header, rest)) = Header::decode(bytes) {
            self.engine.on_packet(self.now, &header, rest);
        }
    }

    /// A packet came whose numbers fit more or less.
    pub fn near(&mut self, packet: &Near) {
        let next = self.engine.sender.next() as u32;
        let from = |delta: i16| next.wrapping_add_signed(delta.into());
        let mut rest: Vec<u8> = packet
            .sacks
            .iter()
            .flat_map(|(start, end)| [from(*start).to_le_bytes(), from(*end).to_le_bytes()])
            .flatten()
            .collect();
        rest.extend_from_slice(&packet.data);
        let header = Header {
            kind: packet.kind,
            data_offset: packet.data_offset,
            stream_id: 0,
            window: packet.window,
            seq: (self.engine.receiver.next() as u32).wrapping_add_signed(packet.seq.into()),
            ack: from(packet.ack),
        };
        self.engine.on_packet(self.now, &header, &rest);
    }

    /// Writes up to `length` bytes; how many were taken.
    pub fn write(&mut self, length: usize) -> usize {
        if self.engine.closed().is_some() || self.engine.sender.is_finishing() {
            return 0;
        }
        let room = self.engine.write_room().min(length);
        self.engine.sender.write(&vec![7; room]);
        room
    }

    /// Reads up to `most` bytes; how many there were.
    pub fn read(&mut self, most: usize) -> usize {
        let read = self.engine.receiver.read(most, |_| ());
        self.engine.after_read();
        read
    }

    /// Ends the sending side.
    pub fn finish(&mut self) {
        self.engine.sender.finish();
    }

    /// Ends the stream.
    pub fn destroy(&mut self) {
        self.engine.destroy(self.now);
    }

    /// Nobody reads or writes any more.
    pub fn abandon(&mut self) {
        self.engine.abandon(self.now);
    }

    /// Heartbeats after this many microseconds.
    pub fn keep_alive(&mut self, after: u64) {
        let after = Some(after).filter(|after| *after > 0);
        self.engine.set_keep_alive(self.now, after);
    }

    /// Time passes, and what is due is done.
    pub fn advance(&mut self, by: u64) {
        self.now += by;
        self.engine.on_timer(self.now);
    }

    /// The packets to be sent now, at most `most` of them.
    pub fn transmit(&mut self, partial: bool, most: usize) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while packets.len() < most {
            let mut out = Vec::new();
            if !self.engine.poll_transmit(self.now, &mut out, partial) {
                break;
            }
            packets.push(out);
        }
        packets
    }

    /// How long until something is due; `None` if nothing ever is, or all is over.
    pub fn due_in(&self) -> Option<u64> {
        let timer = self.engine.next_timer()?;
        (!self.engine.is_forgotten(self.now)).then_some(timer.saturating_sub(self.now))
    }

    /// Whether the stream is over.
    pub fn is_closed(&self) -> bool {
        self.engine.closed().is_some()
    }
}
