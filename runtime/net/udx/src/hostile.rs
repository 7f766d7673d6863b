//! One engine against a peer that answers what no honest peer would, with a virtual clock.

use crate::congestion::Micros;
use crate::engine::{CloseReason, Engine};
use crate::packet::{Header, SACK};
use crate::receiver::FIRST;

const MB: usize = 1 << 20;

/// A writer that always has more, and how many bytes it handed over.
struct Writer {
    engine: Engine,
    written: usize,
}

impl Writer {
    fn new() -> Self {
        let mut engine = Engine::new(0);
        engine.connect(0, 1, false);
        Self { engine, written: 0 }
    }

    /// Writes what is taken and sends what may be sent; the headers of what was sent.
    fn run(&mut self, now: Micros) -> Vec<Header> {
        let mut sent = Vec::new();
        loop {
            let room = self.engine.write_room();
            if room > 0 && self.engine.closed().is_none() {
                self.engine.sender.write(&vec![0; room]);
                self.written += room;
            }
            let mut out = Vec::new();
            if !self.engine.poll_transmit(now, &mut out, true) {
                return sent;
            }
            sent.extend(Header::decode(&out).map(|(header, _)| header));
        }
    }

    fn answer(&mut self, now: Micros, ack: u64, sacks: &[(u64, u64)]) {
        let header = Header {
            kind: SACK,
            data_offset: 0,
            stream_id: 1,
            window: u32::MAX,
            seq: 0,
            ack: ack as u32,
        };
        let block = |(start, end): &(u64, u64)| [(*start as u32).to_le_bytes(), (*end as u32).to_le_bytes()];
        let rest: Vec<u8> = sacks.iter().flat_map(block).flatten().collect();
        self.engine.on_packet(now, &header, &rest);
    }
}

#[test]
fn a_peer_that_never_acknowledges_the_first_packet_costs_little_and_is_given_up() {
    let mut writer = Writer::new();
    let (mut now, mut most) = (0, 0);
    while writer.engine.closed().is_none() {
        let sent = writer.run(now);
        now += 1_000;
        for header in sent {
            let seq = FIRST + u64::from(header.seq);
            if seq > FIRST {
                writer.answer(now, FIRST, &[(FIRST + 1, seq + 1)]);
            }
        }
        writer.engine.on_timer(now);
        most = most.max(writer.written);
        assert!(most <= 20 * MB, "{} MB kept after {} ms", most / MB, now / 1000);
        assert!(
            now < 60_000_000,
            "not given up after a minute, {} MB kept",
            most / MB
        );
    }
    assert_eq!(writer.engine.closed(), Some(CloseReason::TimedOut));
    assert!((25_000_000..40_000_000).contains(&now), "{now}");
}

/// Packets on their way, none acknowledged, and the number after the last.
fn with_packets_under_way() -> (Writer, u64) {
    let mut writer = Writer::new();
    let mut next = FIRST;
    for round in 1..200 {
        for header in writer.run(round * 1_000) {
            next = next.max(FIRST + u64::from(header.seq) + 1);
        }
        writer.answer(round * 1_000, FIRST, &[(FIRST + 1, next)]);
    }
    (writer, next)
}

#[test]
fn an_acknowledgement_costs_what_it_brings() {
    let (mut writer, next) = with_packets_under_way();
    assert!(next - FIRST > 1_000, "{} packets under way", next - FIRST);
    let all = vec![(FIRST + 1, next); 7_500];
    let start = std::time::Instant::now();
    for round in 0..300 {
        writer.answer(1_000_000 + round, FIRST, &all);
    }
    let took = start.elapsed();
    println!(
        "300 datagrams of 7500 ranges over {} packets: {took:?}",
        next - FIRST
    );
    assert!(took.as_millis() < 500, "{took:?}");
}

#[test]
fn ranges_out_of_order_are_ignored() {
    let mut writer = Writer::new();
    let next = FIRST + writer.run(0).len() as u64;
    assert!(next > FIRST + 8);
    writer.answer(
        10_000,
        FIRST,
        &[
            (FIRST + 4, FIRST + 6),
            (FIRST + 2, FIRST + 3),
            (FIRST + 5, FIRST + 8),
        ],
    );
    assert_eq!(writer.engine.sender.sacked(), 2);
    writer.answer(11_000, FIRST, &[(FIRST + 2, FIRST + 3), (FIRST + 4, FIRST + 8)]);
    assert_eq!(writer.engine.sender.sacked(), 5);
    writer.answer(12_000, FIRST + 7, &[]);
    assert_eq!(writer.engine.sender.sacked(), 1);
}
