//! Several streams that share one bottleneck, in virtual time: who gets how much, and how long its queue is.

use std::collections::BTreeMap;

use crate::congestion::Micros;
use crate::engine::Engine;
use crate::packet::Header;
use crate::simulator::Random;

const SECOND: Micros = 1_000_000;

/// What all streams go through.
#[derive(Debug, Clone, Copy)]
struct Bottleneck {
    /// Bytes per millisecond, and how many may queue.
    rate: u64,
    queue: u64,
    /// One way.
    delay: Micros,
    /// Percent of packets that get lost, both ways.
    loss: f64,
}

struct Stream {
    starts: Micros,
    /// The sender, then the receiver.
    ends: [Engine; 2],
    /// What was received by the end of each second.
    received: Vec<u64>,
}

struct Shared {
    link: Bottleneck,
    now: Micros,
    free: Micros,
    wire: BTreeMap<(Micros, u64), (usize, usize, Vec<u8>)>,
    count: u64,
    random: Random,
    streams: Vec<Stream>,
    /// The longest that the queue was in each second.
    queued: Vec<Micros>,
}

/// The value of this second, made if there is none yet.
fn slot(values: &mut Vec<u64>, now: Micros) -> &mut u64 {
    let second = (now / SECOND) as usize;
    if values.len() <= second {
        let last = values.last().copied().unwrap_or(0);
        values.resize(second + 1, last);
    }
    &mut values[second]
}

impl Shared {
    fn new(link: Bottleneck, starts: &[Micros]) -> Self {
        let stream = |starts: &Micros| Stream {
            starts: *starts,
            ends: [1, 2].map(|id| {
                let mut engine = Engine::new(*starts);
                engine.connect(*starts, id, false);
                engine
            }),
            received: Vec::new(),
        };
        Self {
            link,
            now: 0,
            free: 0,
            wire: BTreeMap::new(),
            count: 0,
            random: Random(5),
            streams: starts.iter().map(stream).collect(),
            queued: Vec::new(),
        }
    }

    fn transmit(&mut self, index: usize, end: usize) {
        let now = self.now;
        let mut packet = Vec::new();
        while self.streams[index].ends[end].poll_transmit(now, &mut packet, true) {
            let mut leaves = now;
            if end == 0 {
                let size = packet.len() as u64 + 28;
                let waits = self.free.saturating_sub(now);
                if waits * self.link.rate / 1000 + size > self.link.queue {
                    packet.clear();
                    continue;
                }
                leaves = now + waits + size * 1000 / self.link.rate;
                self.free = leaves;
                let second = (now / SECOND) as usize;
                self.queued.resize(self.queued.len().max(second + 1), 0);
                self.queued[second] = self.queued[second].max(waits);
            }
            if self.random.chance(self.link.loss) {
                packet.clear();
                continue;
            }
            self.count += 1;
            let arrival = (leaves + self.link.delay, self.count);
            self.wire
                .insert(arrival, (index, 1 - end, std::mem::take(&mut packet)));
        }
    }

    fn run(&mut self, until: Micros) {
        let chunk = vec![7; 65_536];
        while self.now < until {
            for index in 0..self.streams.len() {
                if self.streams[index].starts > self.now {
                    continue;
                }
                let [sender, receiver] = &mut self.streams[index].ends;
                while sender.write_room() >= chunk.len() {
                    sender.sender.write(&chunk);
                }
                let read = receiver.receiver.read(usize::MAX, |_| {});
                receiver.after_read();
                *slot(&mut self.streams[index].received, self.now) += read as u64;
                self.transmit(index, 0);
                self.transmit(index, 1);
            }
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let timers = self.streams.iter().flat_map(|stream| {
                let engines = stream.ends.iter().filter_map(Engine::next_timer);
                engines.map(|at| at.max(stream.starts))
            });
            let starts = self
                .streams
                .iter()
                .map(|stream| stream.starts)
                .filter(|at| *at > self.now);
            let next = timers.chain(arrival).chain(starts).min().unwrap();
            self.now = self.now.max(next);
            while let Some(entry) = self.wire.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (index, end, packet) = entry.remove();
                let (header, rest) = Header::decode(&packet).unwrap();
                self.streams[index].ends[end].on_packet(self.now, &header, rest);
            }
            for stream in &mut self.streams {
                for engine in &mut stream.ends {
                    if engine.next_timer().is_some_and(|at| at <= self.now) && stream.starts <= self.now {
                        engine.on_timer(self.now);
                    }
                }
            }
        }
    }

    /// Bytes in a millisecond of each stream between two seconds.
    fn rates(&self, from: usize, to: usize) -> Vec<u64> {
        let between = |stream: &Stream| {
            (stream.received[to - 1] - stream.received[from - 1]) / (to - from) as u64 / 1000
        };
        self.streams.iter().map(between).collect()
    }
}

/// A lone stream over a round trip of 200 ms with a queue of half of that, for ten seconds.
fn far(loss: f64) -> Shared {
    let link = Bottleneck {
        rate: 12_500,
        queue: 1_250_000,
        delay: 100_000,
        loss,
    };
    let mut shared = Shared::new(link, &[0]);
    shared.run(11 * SECOND);
    shared
}

#[test]
fn two_streams_share_a_link_within_some_seconds() {
    for (rate, queue) in [(1_250, 125_000), (12_500, 1_250_000)] {
        let link = Bottleneck {
            rate,
            queue,
            delay: 25_000,
            loss: 0.0,
        };
        // What they find depends on where in its cycle the first one is when the second starts.
        let ratios: Vec<f64> = (8..16)
            .map(|start| {
                let mut shared = Shared::new(link, &[0, start * SECOND / 4]);
                shared.run(19 * SECOND);
                let rates = shared.rates(8, 18);
                let (least, most) = (rates[0].min(rates[1]), rates[0].max(rates[1]));
                assert!(least + most > rate * 9 / 10, "{rates:?} of {rate} bytes per ms");
                least as f64 / most as f64
            })
            .collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        assert!(
            mean > 0.8 && ratios.iter().all(|ratio| *ratio > 0.7),
            "{ratios:.2?} at {rate} bytes per ms"
        );
    }
}

#[test]
fn a_long_queue_is_left_to_others() {
    let link = Bottleneck {
        rate: 1_250,
        queue: 1_000_000,
        delay: 25_000,
        loss: 0.0,
    };
    let mut shared = Shared::new(link, &[0]);
    shared.run(8 * SECOND);
    // It fills the queue while it looks for the rate, then by what it probes with.
    assert!(shared.queued[0] < 75_000, "{:?}", shared.queued);
    assert!(
        shared.queued[1..8].iter().all(|waits| *waits < 20_000),
        "{:?}",
        shared.queued
    );
    assert!(shared.rates(1, 8)[0] > 1_100, "{:?}", shared.rates(1, 8));
}

#[test]
fn a_queue_that_overflowed_at_the_start_costs_no_seconds() {
    let rates = far(0.0).rates(2, 5);
    assert!(rates[0] > 10_500, "{rates:?} of 12500 bytes per ms");
}

#[test]
fn many_gaps_at_once_do_not_stop_the_flow() {
    for (loss, least) in [(1.0, 9_000), (5.0, 6_500)] {
        let rates = far(loss).rates(3, 10);
        assert!(rates[0] > least, "{rates:?} of 12500 bytes per ms at {loss} %");
    }
}
