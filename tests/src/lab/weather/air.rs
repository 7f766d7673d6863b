//! Packets on their way between hosts, in the order of their arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::link::{Fate, Instant, Link, Weather};

/// Bytes on their way between all hosts; what is more is dropped. A gigabit over two seconds.
const MOST_BYTES: usize = 256 << 20;

/// What became of packets so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Arrived.
    pub arrived: u64,
    /// Lost on their way.
    pub lost: u64,
    /// Dropped as a queue was full.
    pub overflowed: u64,
    /// Processor time of the thread that forwards them.
    pub busy: Duration,
}

/// Hosts that each have one link to all others, and what is on its way between them.
#[derive(Debug)]
pub(super) struct Air {
    /// What leaves each host goes through its link.
    links: Vec<Link>,
    /// By arrival, then by the order in which they came.
    on_the_way: BinaryHeap<Reverse<(Instant, u64, usize, usize)>>,
    /// The packets, by the place that the heap has.
    packets: Vec<Vec<u8>>,
    free: Vec<usize>,
    count: u64,
    bytes: usize,
    counts: Counts,
}

impl Air {
    /// One host for each of `weathers`. Its chances follow from `seed`.
    pub(super) fn new(weathers: &[Weather], seed: u64) -> Self {
        let link = |(i, weather): (usize, &Weather)| Link::new(weather.clone(), seed.wrapping_add(i as u64));
        Self {
            links: weathers.iter().enumerate().map(link).collect(),
            on_the_way: BinaryHeap::new(),
            packets: Vec::new(),
            free: Vec::new(),
            count: 0,
            bytes: 0,
            counts: Counts::default(),
        }
    }

    /// Changes what leaves a host from now on.
    pub(super) fn change(&mut self, host: usize, weather: Weather) {
        if let Some(link) = self.links.get_mut(host) {
            *link = Link::new(weather, self.count);
        }
    }

    /// Takes a packet from one host to another.
    pub(super) fn send(&mut self, now: Instant, from: usize, to: usize, packet: &[u8]) {
        let Some(link) = self.links.get_mut(from) else {
            return;
        };
        let fate = match link.offer(now, packet.len()) {
            Fate::Arrives(_) if self.bytes + packet.len() > MOST_BYTES => Fate::Overflows,
            fate => fate,
        };
        match fate {
            Fate::Lost => self.counts.lost += 1,
            Fate::Overflows => self.counts.overflowed += 1,
            Fate::Arrives(at) => {
                self.bytes += packet.len();
                self.count += 1;
                let place = self.keep(packet);
                self.on_the_way.push(Reverse((at, self.count, to, place)));
            }
        }
    }

    fn keep(&mut self, packet: &[u8]) -> usize {
        let place = self.free.pop().unwrap_or(self.packets.len());
        match self.packets.get_mut(place) {
            Some(kept) => kept.extend_from_slice(packet),
            None => self.packets.push(packet.to_vec()),
        }
        place
    }

    /// When the next packet arrives.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.on_the_way.peek().map(|Reverse((at, ..))| *at)
    }

    /// Hands over one packet that has arrived, with the host it is for. False if there is none.
    pub(super) fn arrive(&mut self, now: Instant, hand_over: impl FnOnce(usize, &[u8])) -> bool {
        if self.next_arrival().is_none_or(|at| at > now) {
            return false;
        }
        let Some(Reverse((_, _, to, place))) = self.on_the_way.pop() else {
            return false;
        };
        if let Some(packet) = self.packets.get_mut(place) {
            hand_over(to, packet);
            self.bytes -= packet.len();
            packet.clear();
            self.free.push(place);
        }
        self.counts.arrived += 1;
        true
    }

    /// What became of packets so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn arrived(air: &mut Air, now: Instant) -> Vec<(usize, Vec<u8>)> {
        let mut all = Vec::new();
        while air.arrive(now, |to, packet| all.push((to, packet.to_vec()))) {}
        all
    }

    #[test]
    fn each_host_has_its_own_link_and_packets_come_in_order_of_arrival() {
        let mut air = Air::new(&[Weather::round_trip(20 * MS), Weather::round_trip(4 * MS)], 1);
        air.send(Duration::ZERO, 0, 1, b"far");
        air.send(Duration::ZERO, 1, 0, b"near");
        air.send(MS, 1, 0, b"nearer");
        assert_eq!(air.next_arrival(), Some(2 * MS));
        assert_eq!(arrived(&mut air, MS), []);
        assert_eq!(
            arrived(&mut air, 3 * MS),
            [(0, b"near".to_vec()), (0, b"nearer".to_vec())]
        );
        assert_eq!(arrived(&mut air, 10 * MS), [(1, b"far".to_vec())]);
        assert_eq!((air.bytes, air.counts().arrived), (0, 3));
    }

    #[test]
    fn what_is_on_its_way_is_bounded() {
        let mut air = Air::new(&[Weather::round_trip(20 * MS)], 1);
        let packet = vec![0; 1 << 20];
        for _ in 0..300 {
            air.send(Duration::ZERO, 0, 0, &packet);
        }
        assert_eq!(air.bytes, MOST_BYTES);
        assert_eq!(air.counts().overflowed, 300 - 256);
        assert_eq!(arrived(&mut air, 10 * MS).len(), 256);
    }

    #[test]
    fn weather_changes_for_what_comes_later() {
        let mut air = Air::new(&[Weather::round_trip(20 * MS)], 1);
        air.send(Duration::ZERO, 0, 0, b"before");
        let gone = Weather {
            loss: 1.0,
            ..Weather::fine()
        };
        air.change(0, gone);
        air.send(MS, 0, 0, b"after");
        assert_eq!(arrived(&mut air, 10 * MS), [(0, b"before".to_vec())]);
        assert_eq!(air.counts().lost, 1);
    }
}
