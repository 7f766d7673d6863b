//! The receiving half of a stream: puts packets in order and says what to acknowledge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::packet::MAX_SACKS;

/// The first packet number, as libudx's 0 in the 64 bits used here: room below for old packets.
pub(crate) const FIRST: u64 = 1 << 32;
/// How far ahead of the next expected packet another one may be.
pub(crate) const MAX_AHEAD: u64 = 65536;
/// What a sender may send over the window: one that does not count what is on its way.
const SLACK: usize = 512 * 1024;
/// Less room than this is none.
const LEAST_WINDOW: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Receiver {
    /// The packet expected next.
    next: u64,
    buffer: VecDeque<u8>,
    early: BTreeMap<u64, Box<[u8]>>,
    early_bytes: usize,
    /// The numbers in `early`, as ranges.
    ranges: Vec<(u64, u64)>,
    /// Numbers that came early, the latest first, one for each range that was added to.
    latest: VecDeque<u64>,
    /// Number of the packet that ends the stream.
    end: Option<u64>,
    max_window: usize,
    advertised: u32,
    discard: bool,
}

impl Receiver {
    pub(crate) fn new(max_window: usize) -> Self {
        Self {
            next: FIRST,
            buffer: VecDeque::new(),
            early: BTreeMap::new(),
            early_bytes: 0,
            ranges: Vec::new(),
            latest: VecDeque::new(),
            end: None,
            max_window,
            advertised: max_window as u32,
            discard: false,
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Takes a DATA or END packet. Old, impossible and window-breaking packets are ignored.
    pub(crate) fn on_packet(&mut self, seq: u64, payload: &[u8], is_end: bool) {
        let beyond_end = self.end.is_some_and(|end| seq > end || (is_end && seq != end));
        if seq < self.next || seq - self.next >= MAX_AHEAD || beyond_end {
            return;
        }
        // What nobody reads is counted, to know when all of it came, and not kept.
        let payload = if self.discard { &[] } else { payload };
        if self.buffer.len() + self.early_bytes + payload.len() > self.max_window + SLACK {
            return;
        }
        if is_end {
            if self.early.last_key_value().is_some_and(|(last, _)| *last > seq) {
                return;
            }
            self.end = Some(seq);
        }
        if seq == self.next {
            self.append(payload);
            self.next += 1;
            self.take_early();
        } else if !self.early.contains_key(&seq) {
            self.early_bytes += payload.len();
            self.early.insert(seq, payload.into());
            self.add_range(seq);
        }
    }

    fn append(&mut self, payload: &[u8]) {
        self.buffer.extend(payload);
    }

    fn take_early(&mut self) {
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() != self.next {
                break;
            }
            let payload = entry.remove();
            self.early_bytes -= payload.len();
            self.append(&payload);
            self.next += 1;
        }
        self.ranges.retain(|(_, end)| *end > self.next);
    }

    fn add_range(&mut self, seq: u64) {
        self.extend_ranges(seq);
        let latest = self.latest.front().and_then(|latest| self.range_with(*latest));
        if latest.is_some() && latest == self.range_with(seq) {
            self.latest.pop_front();
        }
        self.latest.push_front(seq);
        self.latest.truncate(MAX_SACKS);
    }

    /// Which range has this number.
    fn range_with(&self, seq: u64) -> Option<usize> {
        let at = self.ranges.partition_point(|(_, end)| *end <= seq);
        self.ranges.get(at).filter(|(start, _)| *start <= seq).map(|_| at)
    }

    fn extend_ranges(&mut self, seq: u64) {
        let at = self.ranges.partition_point(|(_, end)| *end < seq);
        match self.ranges.get_mut(at) {
            Some(range) if range.1 == seq => range.1 += 1,
            Some(range) if range.0 == seq + 1 => range.0 = seq,
            _ => self.ranges.insert(at, (seq, seq + 1)),
        }
        if let Some([left, right]) = self.ranges.get(at..at + 2)
            && left.1 == right.0
        {
            let merged = (left.0, right.1);
            self.ranges.splice(at..at + 2, [merged]);
        }
    }

    /// The ranges that arrived ahead of the next expected packet.
    pub(crate) fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// As many of them as an acknowledgement carries, ascending: those that were added to last. The sender remembers what it was told
    /// before, and would take for lost what it is not told in time.
    pub(crate) fn news(&self) -> Vec<(u64, u64)> {
        if self.ranges.len() <= MAX_SACKS {
            return self.ranges.clone();
        }
        let changed = self.latest.iter().filter_map(|seq| self.range_with(*seq));
        let mut chosen = BTreeSet::from_iter(changed);
        // Some of the latest have become one range, or are in order by now.
        let others = (0..self.ranges.len()).filter(|at| !chosen.contains(at));
        let others: Vec<usize> = others.take(MAX_SACKS - chosen.len()).collect();
        chosen.extend(others);
        chosen
            .into_iter()
            .filter_map(|at| self.ranges.get(at).copied())
            .collect()
    }

    fn window(&self) -> u32 {
        let free = self
            .max_window
            .saturating_sub(self.buffer.len() + self.early_bytes);
        // Crumbs would only invite tiny packets.
        if free < LEAST_WINDOW.min(self.max_window) {
            0
        } else {
            free as u32
        }
    }

    /// The window to put into a packet that is about to be sent.
    pub(crate) fn advertise(&mut self) -> u32 {
        self.advertised = self.window();
        self.advertised
    }

    /// Whether reading has opened the window so much that the sender should hear of it.
    pub(crate) fn wants_window_update(&self) -> bool {
        let quarter = (self.max_window / 4) as u32;
        self.advertised < 2 * quarter && self.window() >= self.advertised + quarter
    }

    /// Whether everything up to the end has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.next > end)
    }

    pub(crate) fn has_data(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Moves what is there, up to the length of `out`.
    pub(crate) fn read(&mut self, max: usize, mut out: impl FnMut(&[u8])) -> usize {
        let mut left = max.min(self.buffer.len());
        let total = left;
        let (first, second) = self.buffer.as_slices();
        for part in [first, second] {
            let take = part.len().min(left);
            out(part.get(..take).unwrap_or_default());
            left -= take;
        }
        self.buffer.drain(..total);
        if self.buffer.is_empty() && self.buffer.capacity() > 1 << 20 {
            self.buffer.shrink_to(1 << 16);
        }
        total
    }

    /// From now on, forgets what arrives: nobody will read it.
    pub(crate) fn discard(&mut self) {
        self.discard = true;
        self.buffer = VecDeque::new();
        self.early_bytes = 0;
        for payload in self.early.values_mut() {
            *payload = Box::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(receiver: &mut Receiver) -> Vec<u8> {
        let mut out = Vec::new();
        receiver.read(usize::MAX, |part| out.extend_from_slice(part));
        out
    }

    #[test]
    fn early_packets_wait_and_are_reported() {
        let mut receiver = Receiver::new(1000);
        for (seq, end) in [(2, false), (4, true), (3, false), (1, false)] {
            receiver.on_packet(FIRST + seq, &[seq as u8], end);
        }
        assert_eq!(receiver.ranges(), [(FIRST + 1, FIRST + 5)]);
        assert!(!receiver.is_complete());
        receiver.on_packet(FIRST + 5, &[5], false);
        receiver.on_packet(FIRST, &[0], false);
        assert_eq!(drain(&mut receiver), [0, 1, 2, 3, 4]);
        assert!(receiver.is_complete() && receiver.ranges().is_empty());
    }

    #[test]
    fn of_many_ranges_those_that_changed_are_told() {
        let mut receiver = Receiver::new(1_000_000);
        let early = |receiver: &mut Receiver, number: u64| receiver.on_packet(FIRST + number, b"x", false);
        // Each second one is missing.
        for number in 1..=100 {
            early(&mut receiver, 2 * number);
        }
        let starts = |receiver: &Receiver| {
            receiver
                .news()
                .iter()
                .map(|(start, _)| start - FIRST)
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(&receiver), (51..=100).map(|n| 2 * n).collect::<Vec<_>>());
        // One from far below is filled in, and the range at the end grows.
        early(&mut receiver, 9);
        early(&mut receiver, 201);
        early(&mut receiver, 202);
        let told = starts(&receiver);
        // The lowest fills the place that two arrivals in one range left.
        assert_eq!((told.len(), &told[..3], told[49]), (50, &[2, 8, 106][..], 200));
        assert_eq!(receiver.news()[1], (FIRST + 8, FIRST + 11));
        // As soon as all fit, all are told.
        for number in 0..51 {
            early(&mut receiver, 2 * number + 1);
        }
        early(&mut receiver, 0);
        assert_eq!(receiver.news(), receiver.ranges());
        assert_eq!(receiver.ranges().len(), 49);
    }

    #[test]
    fn memory_is_bounded_and_the_window_reopens() {
        let mut receiver = Receiver::new(1000);
        for seq in 0..2000 {
            receiver.on_packet(FIRST + seq, &[0; 1000], false);
        }
        assert!(receiver.buffer.len() <= 1000 + SLACK);
        assert_eq!(receiver.advertise(), 0);
        assert!(!receiver.wants_window_update());
        drain(&mut receiver);
        assert!(receiver.wants_window_update());
        receiver.on_packet(FIRST + (1 << 20), b"far", false);
        assert!(receiver.ranges().is_empty());
    }

    #[test]
    fn who_reads_no_more_keeps_nothing_that_comes_early() {
        let mut receiver = Receiver::new(1000);
        receiver.on_packet(FIRST + 1, &[0; 900], false);
        receiver.discard();
        assert_eq!(receiver.early_bytes, 0);
        for seq in 1..2000 {
            receiver.on_packet(FIRST + seq, &[0; 1000], seq == 1999);
        }
        let kept: usize = receiver.early.values().map(|payload| payload.len()).sum();
        assert_eq!((kept, receiver.early_bytes), (0, 0));
        receiver.on_packet(FIRST, b"the one that was missing", false);
        assert!(receiver.is_complete() && !receiver.has_data());
    }

    proptest! {
        #[test]
        fn any_order_with_repeats_gives_the_bytes(order in proptest::collection::vec(0u64..40, 0..400)) {
            let mut receiver = Receiver::new(1 << 20);
            for seq in order.into_iter().chain((0..40).rev()) {
                receiver.on_packet(FIRST + seq, &[seq as u8; 3], seq == 39);
                let listed: Vec<u64> = receiver.ranges().iter().flat_map(|(s, e)| *s..*e).collect();
                let held: Vec<u64> = receiver.early.keys().copied().collect();
                prop_assert_eq!(listed, held);
            }
            let expected: Vec<u8> = (0..40).flat_map(|n| [n; 3]).collect();
            prop_assert_eq!(drain(&mut receiver), expected);
            prop_assert!(receiver.is_complete());
        }
    }
}
