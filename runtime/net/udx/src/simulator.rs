//! Two engines over a simulated network with a virtual clock: delay, jitter, loss, repetition, size limits, a
//! bottleneck. Everything follows from the seed.

use std::collections::BTreeMap;

use crate::congestion::Micros;
use crate::engine::{CloseReason, Engine};
use crate::packet::Header;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn chance(&mut self, percent: f64) -> bool {
        (self.below(1_000_000) as f64) < percent * 10_000.0
    }
}

#[derive(Debug, Clone)]
struct Link {
    delay: Micros,
    jitter: Micros,
    loss: f64,
    repeat: f64,
    /// Largest datagram with IP and UDP headers.
    mtu: usize,
    /// Bytes per millisecond, and how many may queue.
    rate: u64,
    queue: u64,
    /// Nothing passes during this time.
    outage: std::ops::Range<Micros>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: 10_000,
            jitter: 0,
            loss: 0.0,
            repeat: 0.0,
            mtu: 1500,
            rate: 100_000,
            queue: 500_000,
            outage: 0..0,
        }
    }
}

struct Side {
    engine: Engine,
    to_send: usize,
    written: usize,
    read: usize,
    expected: usize,
    /// Bytes read per millisecond, 0 for all at once.
    read_rate: usize,
    next_read: Micros,
    link_free: Micros,
}

struct Simulation {
    random: Random,
    link: Link,
    now: Micros,
    sides: [Side; 2],
    /// Datagrams under way, by arrival and order.
    wire: BTreeMap<(Micros, u64), (usize, Vec<u8>)>,
    count: u64,
    steps: u64,
}

fn byte(at: usize) -> u8 {
    (at * 31 + at / 253) as u8
}

impl Simulation {
    fn new(seed: u64, link: Link, sizes: [usize; 2]) -> Self {
        let side = |side: usize| {
            let mut engine = Engine::new(0);
            engine.connect(0, [7, 9][side], false);
            Side {
                engine,
                to_send: sizes[side],
                written: 0,
                read: 0,
                expected: sizes[1 - side],
                read_rate: 0,
                next_read: 0,
                link_free: 0,
            }
        };
        Self {
            random: Random(seed),
            link,
            now: 0,
            sides: [side(0), side(1)],
            wire: BTreeMap::new(),
            count: 0,
            steps: 0,
        }
    }

    fn application(&mut self, index: usize) {
        let side = &mut self.sides[index];
        if side.engine.closed().is_none() {
            let mut room = side.engine.write_room().min(side.to_send - side.written);
            while room > 0 {
                let part = room.min(5000);
                let data: Vec<u8> = (side.written..side.written + part).map(byte).collect();
                side.engine.sender.write(&data);
                side.written += part;
                room -= part;
            }
            if side.written == side.to_send {
                side.engine.sender.finish();
            }
        }
        if side.next_read <= self.now {
            let max = if side.read_rate == 0 {
                usize::MAX
            } else {
                side.read_rate
            };
            let mut at = side.read;
            side.read += side.engine.receiver.read(max, |part| {
                for b in part {
                    assert_eq!(*b, byte(at), "byte {at}");
                    at += 1;
                }
            });
            side.engine.after_read();
            if side.read_rate > 0 {
                side.next_read = self.now + 1000;
            }
        }
    }

    fn transmit(&mut self, index: usize) {
        for round in 0.. {
            assert!(round < 100_000, "the engine never stops sending");
            let mut packet = Vec::new();
            if !self.sides[index]
                .engine
                .poll_transmit(self.now, &mut packet, true)
            {
                break;
            }
            assert!((20..=1472).contains(&packet.len()), "{} bytes", packet.len());
            self.carry(index, packet);
        }
    }

    fn carry(&mut self, from: usize, packet: Vec<u8>) {
        let link = self.link.clone();
        let size = packet.len() as u64 + 28;
        let free = self.sides[from].link_free.max(self.now);
        let queued = (free - self.now) * link.rate / 1000;
        let dropped = queued + size > link.queue
            || packet.len() + 28 > link.mtu
            || link.outage.contains(&self.now)
            || self.random.chance(link.loss);
        if dropped {
            return;
        }
        self.sides[from].link_free = free + size * 1000 / link.rate;
        let copies = if self.random.chance(link.repeat) { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = if link.jitter > 0 {
                self.random.below(link.jitter)
            } else {
                0
            };
            self.count += 1;
            let arrival = self.sides[from].link_free + link.delay + jitter;
            self.wire
                .insert((arrival, self.count), (1 - from, packet.clone()));
        }
    }

    fn next_event(&self) -> Option<Micros> {
        let packet = self.wire.keys().next().map(|(at, _)| *at);
        let reads = self.sides.iter().map(|side| {
            let waiting = side.read_rate > 0 && side.engine.receiver.has_data();
            waiting.then_some(side.next_read)
        });
        let live = |side: &&Side| !side.engine.is_forgotten(self.now);
        let timers = self
            .sides
            .iter()
            .filter(live)
            .map(|side| side.engine.next_timer());
        reads.chain(timers).flatten().chain(packet).min()
    }

    /// Runs until nothing is left to do, and gives the time when both sides had closed.
    fn run(&mut self) -> Micros {
        let mut closed_at = None;
        loop {
            self.steps += 1;
            assert!(self.steps < 3_000_000, "too many steps: something spins");
            for index in 0..2 {
                self.application(index);
                self.transmit(index);
            }
            if closed_at.is_none() && self.sides.iter().all(|side| side.engine.closed().is_some()) {
                closed_at = Some(self.now);
            }
            if self.sides.iter().all(|side| side.engine.is_forgotten(self.now)) && self.wire.is_empty() {
                return closed_at.unwrap_or(self.now);
            }
            let Some(at) = self.next_event() else {
                panic!("nothing will ever happen again")
            };
            assert!(at < 600_000_000, "not done after ten minutes");
            self.now = self.now.max(at);
            while let Some(entry) = self.wire.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (to, packet) = entry.remove();
                let (header, rest) = Header::decode(&packet).unwrap();
                assert_eq!(header.stream_id, [9, 7][to]);
                self.sides[to].engine.on_packet(self.now, &header, rest);
            }
            for side in &mut self.sides {
                if side.engine.next_timer().is_some_and(|at| at <= self.now) {
                    side.engine.on_timer(self.now);
                    let again = side.engine.next_timer();
                    let forgotten = side.engine.is_forgotten(self.now);
                    assert!(
                        forgotten || again.is_none_or(|at| at > self.now),
                        "a timer that stays due"
                    );
                }
            }
        }
    }

    fn assert_complete(&self) {
        for side in &self.sides {
            assert_eq!(side.read, side.expected);
            assert_eq!(side.engine.closed(), Some(CloseReason::Ended));
        }
    }
}

/// A transfer of `size` bytes from one side, and its rate in bytes per millisecond.
fn rate(seed: u64, link: Link, size: usize) -> u64 {
    let mut simulation = Simulation::new(seed, link, [size, 0]);
    let took = simulation.run();
    simulation.assert_complete();
    size as u64 * 1000 / took
}

#[test]
fn everything_arrives_in_order_over_any_network() {
    for seed in 0..200 {
        let mut random = Random(seed ^ 0xabcd);
        let link = Link {
            delay: [50, 1_000, 20_000, 100_000][random.below(4) as usize],
            jitter: [0, 0, 500, 30_000][random.below(4) as usize],
            loss: [0.0, 0.5, 2.0, 5.0, 15.0][random.below(5) as usize],
            repeat: [0.0, 1.0, 20.0][random.below(3) as usize],
            mtu: [1200, 1280, 1492, 1500][random.below(4) as usize],
            rate: [200, 2_000, 100_000][random.below(3) as usize],
            queue: [20_000, 200_000][random.below(2) as usize],
            outage: 0..0,
        };
        let sizes = [
            random.below(600_000) as usize,
            [0, 10, 200_000][random.below(3) as usize],
        ];
        let mut simulation = Simulation::new(seed, link.clone(), sizes);
        if random.below(4) == 0 {
            simulation.sides[1].read_rate = 500 + random.below(5_000) as usize;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            simulation.run();
            simulation.assert_complete();
        }));
        assert!(outcome.is_ok(), "seed {seed}: {link:?} {sizes:?}");
    }
}

#[test]
fn a_clean_path_is_filled() {
    let link = Link {
        rate: 10_000,
        queue: 400_000,
        delay: 20_000,
        ..Link::default()
    };
    let rate = rate(1, link, 30_000_000);
    assert!(rate > 8_000, "{rate} of 10000 bytes per ms");
}

#[test]
fn random_loss_does_not_stop_the_flow() {
    for (loss, least) in [(1.0, 7_000), (5.0, 5_000)] {
        let link = Link {
            rate: 10_000,
            loss,
            delay: 10_000,
            ..Link::default()
        };
        let rate = rate(2, link, 10_000_000);
        assert!(rate > least, "{rate} of 10000 bytes per ms at {loss} %");
    }
}

#[test]
fn a_short_queue_is_not_flooded() {
    let link = Link {
        rate: 2_000,
        queue: 20_000,
        delay: 20_000,
        ..Link::default()
    };
    let mut simulation = Simulation::new(12, link, [10_000_000, 0]);
    let took = simulation.run();
    simulation.assert_complete();
    let (rate, again) = (
        10_000_000_000 / took,
        simulation.sides[0].engine.sender.retransmits,
    );
    assert!(
        rate > 1_300 && again < 10_000_000 / 1400 / 5,
        "{rate} of 2000 bytes per ms, {again} packets again"
    );
}

#[test]
fn reordering_is_not_taken_for_loss() {
    let link = Link {
        jitter: 4_000,
        delay: 20_000,
        ..Link::default()
    };
    let mut simulation = Simulation::new(3, link, [3_000_000, 0]);
    simulation.run();
    simulation.assert_complete();
    let sent = 3_000_000 / 1200;
    let again = simulation.sides[0].engine.sender.retransmits;
    assert!(again < sent / 10, "{again} of about {sent}");
}

#[test]
fn the_largest_packet_of_the_path_is_found() {
    for (mtu, least) in [(1500, 1500), (1400, 1380), (1200, 1200)] {
        let mut simulation = Simulation::new(
            4,
            Link {
                mtu,
                ..Link::default()
            },
            [5_000_000, 0],
        );
        simulation.run();
        simulation.assert_complete();
        let found = usize::from(simulation.sides[0].engine.sender.mtu());
        assert!(found <= mtu && found >= least, "{found} of {mtu}");
    }
}

#[test]
fn a_reader_that_stops_and_goes_on_gets_everything() {
    let mut simulation = Simulation::new(
        5,
        Link {
            loss: 2.0,
            ..Link::default()
        },
        [20_000_000, 0],
    );
    simulation.sides[1].read_rate = 1;
    simulation.sides[1].next_read = 40_000_000;
    // One byte after forty seconds, then all.
    while simulation.now < 40_000_000 {
        for index in 0..2 {
            simulation.application(index);
            simulation.transmit(index);
        }
        let at = simulation.next_event().unwrap();
        simulation.now = simulation.now.max(at);
        while let Some(entry) = simulation.wire.first_entry() {
            if entry.key().0 > simulation.now {
                break;
            }
            let (to, packet) = entry.remove();
            let (header, rest) = Header::decode(&packet).unwrap();
            simulation.sides[to]
                .engine
                .on_packet(simulation.now, &header, rest);
        }
        for side in &mut simulation.sides {
            side.engine.on_timer(simulation.now);
        }
        simulation.steps += 1;
        assert!(simulation.steps < 100_000, "spinning while the window is closed");
    }
    simulation.sides[1].read_rate = 0;
    assert!(
        simulation.sides[0].written < 20_000_000,
        "the writer was held back"
    );
    simulation.run();
    simulation.assert_complete();
}

#[test]
fn a_short_outage_is_survived_and_a_long_one_is_noticed() {
    let link = Link {
        outage: 50_000..10_000_000,
        ..Link::default()
    };
    let mut simulation = Simulation::new(6, link, [10_000_000, 0]);
    let took = simulation.run();
    simulation.assert_complete();
    assert!(took < 20_000_000, "{took}");
    let link = Link {
        outage: 50_000..Micros::MAX,
        ..Link::default()
    };
    let mut simulation = Simulation::new(7, link, [10_000_000, 0]);
    for _ in 0..100_000 {
        simulation.application(0);
        simulation.transmit(0);
        let Some(at) = simulation.sides[0].engine.next_timer() else {
            break;
        };
        simulation.now = simulation.now.max(at);
        simulation.sides[0].engine.on_timer(simulation.now);
    }
    assert_eq!(simulation.sides[0].engine.closed(), Some(CloseReason::TimedOut));
    assert!(simulation.now < 60_000_000, "{}", simulation.now);
}

#[test]
fn a_destroyed_stream_answers_with_a_reset() {
    let mut simulation = Simulation::new(8, Link::default(), [1_000_000, 0]);
    simulation.application(0);
    simulation.transmit(0);
    simulation.sides[1].engine.destroy(0);
    // The reset itself is lost; packets of the other side bring it out again.
    let mut lost = Vec::new();
    assert!(simulation.sides[1].engine.poll_transmit(0, &mut lost, true));
    simulation.run();
    assert_eq!(simulation.sides[0].engine.closed(), Some(CloseReason::Reset));
    assert_eq!(simulation.sides[1].engine.closed(), Some(CloseReason::Destroyed));
}

#[test]
fn garbage_for_a_stream_never_panics_or_breaks_it() {
    let mut random = Random(9);
    let mut simulation = Simulation::new(9, Link::default(), [500_000, 100_000]);
    let mut engine = Engine::new(0);
    engine.connect(0, 1, false);
    engine.sender.write(&[0; 100_000]);
    for round in 0..20_000u64 {
        let mut packet: Vec<u8> = (0..20 + random.below(60)).map(|_| random.next() as u8).collect();
        packet[0] = 255;
        packet[1] = 1;
        // Neither a reset nor an end: those are believed.
        packet[2] &= !(16 | 2);
        // Mostly near the numbers in use.
        if round % 3 > 0 {
            packet[12..16].copy_from_slice(&(random.below(200) as u32).to_le_bytes());
            packet[16..20].copy_from_slice(&(random.below(200) as u32).to_le_bytes());
        }
        let (header, rest) = Header::decode(&packet).unwrap();
        engine.on_packet(round * 100, &header, rest);
        engine.on_timer(round * 100);
        let mut out = Vec::new();
        while engine.poll_transmit(round * 100, &mut out, true) {}
        assert!(engine.receiver.ranges().len() < 70_000);
    }
    simulation.run();
    simulation.assert_complete();
}
