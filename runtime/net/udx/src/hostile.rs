//! One engine against a peer that answers what no honest peer would, late, or not at all, with a virtual clock.

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

/// A stream that asked for something and waits for the answer, over a path of `delay` each way that loses `loss` percent
/// and stands still during `outage`. Gives when it closed within `time`.
fn waiting(delay: Micros, loss: u64, outage: std::ops::Range<Micros>, time: Micros) -> Option<Micros> {
    let engine = || {
        let mut engine = Engine::new(0);
        engine.connect(0, 1, false);
        engine.watch_peer();
        engine
    };
    let mut sides = [engine(), engine()];
    let mut wire: Vec<(Micros, usize, Vec<u8>)> = Vec::new();
    let mut seed = 7u64;
    for now in (0..time).step_by(10_000) {
        // A question now and then, and its answer; data keeps the stream in use.
        if now % 3_000_000 == 0 {
            sides[0].sender.write(&[0; 100]);
            sides[1].sender.write(&[0; 1000]);
        }
        for (index, side) in sides.iter_mut().enumerate() {
            side.on_timer(now);
            let mut out = Vec::new();
            while side.poll_transmit(now, &mut out, true) {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                if (seed >> 33) % 100 >= loss && !outage.contains(&now) {
                    wire.push((now + delay, 1 - index, out.clone()));
                }
                out.clear();
            }
        }
        let (arrived, under_way): (Vec<_>, Vec<_>) = wire.into_iter().partition(|(at, ..)| *at <= now);
        wire = under_way;
        for (_, to, packet) in arrived {
            let (header, rest) = Header::decode(&packet).unwrap();
            sides[to].on_packet(now, &header, rest);
            sides[to].receiver.read(usize::MAX, |_| ());
        }
        if sides[0].closed().is_some() {
            assert_eq!(sides[0].closed(), Some(CloseReason::TimedOut));
            return Some(now);
        }
    }
    None
}

#[test]
fn a_peer_that_died_is_noticed_within_five_seconds_while_it_is_needed() {
    let died = 20_000_000;
    let closed = waiting(10_000, 0, died..Micros::MAX, 60_000_000).unwrap();
    assert!(closed - died < 5_500_000, "{} ms", (closed - died) / 1000);
}

#[test]
fn a_slow_path_that_loses_packets_is_no_death() {
    assert_eq!(waiting(200_000, 5, 0..0, 600_000_000), None);
    assert_eq!(waiting(1_500_000, 5, 0..0, 600_000_000), None);
    assert_eq!(waiting(20_000, 15, 0..0, 600_000_000), None);
    assert_eq!(waiting(20_000, 0, 19_000_000..21_500_000, 60_000_000), None);
}

#[test]
fn a_machine_that_slept_asks_before_it_gives_up() {
    let mut engine = Engine::new(0);
    engine.connect(0, 1, false);
    engine.watch_peer();
    engine.sender.write(&[0; 100]);
    let mut out = Vec::new();
    while engine.poll_transmit(0, &mut out, true) {}
    let header = Header {
        kind: 0,
        data_offset: 0,
        stream_id: 1,
        window: 1 << 20,
        seq: 0,
        ack: 1,
    };
    engine.on_packet(10_000, &header, &[]);
    let woke = 10_000_000;
    engine.on_timer(woke);
    assert_eq!(engine.closed(), None);
    assert!(engine.poll_transmit(woke, &mut out, true), "it asks");
    engine.on_packet(woke + 50_000, &header, &[]);
    engine.on_timer(woke + 2_000_000);
    assert_eq!(engine.closed(), None);
}

#[test]
fn an_address_that_did_not_prove_itself_gets_no_more_than_a_few_packets_and_three_times_what_it_sent() {
    let mut writer = Writer::new();
    writer.engine.limit(0);
    let (mut total, mut most) = (0, 3 * 1200);
    for round in 0..2_000u64 {
        let now = round * 10_000;
        let mut out = Vec::new();
        if writer.engine.write_room() > 0 {
            writer.engine.sender.write(&[0; 1000]);
        }
        while writer.engine.poll_transmit(now, &mut out, true) {}
        total += out.len();
        assert!(
            total <= most,
            "{total} bytes sent, {most} allowed at {} ms",
            now / 1000
        );
        writer.engine.on_timer(now);
        if round % 50 == 49 {
            writer.engine.heard(37);
            most += 3 * 37;
        }
    }
    assert!(total > 2 * 1200, "{total}");
}
