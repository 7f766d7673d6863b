//! Path MTU discovery: some full packets are padded to a larger size, and its acknowledgement proves the size.
//! Sizes count the IP and UDP headers, as in libudx.

/// The size every path is taken to carry.
pub(crate) const BASE: u16 = 1200;
/// The largest size tried: libudx receives into buffers of 2048 bytes and probes up to this.
pub(crate) const MAX: u16 = 1500;
/// Padding is described by one byte.
const MAX_PADDING: u16 = 255;
const MAX_TRIES: u8 = 3;
/// A gain below this is not worth a probe.
const PRECISION: u16 = 12;

#[derive(Debug)]
pub(crate) struct Mtu {
    current: u16,
    /// The largest size not known to fail.
    ceiling: u16,
    tries: u8,
    in_flight: bool,
    started: bool,
}

impl Mtu {
    pub(crate) fn new() -> Self {
        Self {
            current: BASE,
            ceiling: MAX,
            tries: 0,
            in_flight: false,
            started: false,
        }
    }

    pub(crate) fn current(&self) -> u16 {
        self.current
    }

    /// Something of the base size arrived: larger ones may be tried.
    pub(crate) fn start(&mut self) {
        self.started = true;
    }

    /// The padding that makes the next full packet a probe, if one is due.
    pub(crate) fn probe(&mut self) -> Option<u8> {
        let gap = self.ceiling - self.current;
        if !self.started || self.in_flight || gap == 0 || (gap < PRECISION && self.ceiling != MAX) {
            return None;
        }
        // All the way if nothing failed yet, else halfway.
        let padding = if self.ceiling == MAX { gap } else { gap.div_ceil(2) };
        self.in_flight = true;
        Some(padding.min(MAX_PADDING) as u8)
    }

    pub(crate) fn on_acked(&mut self, padding: u8, size: u16) {
        self.in_flight = false;
        self.tries = 0;
        self.current = self.current.max(size + u16::from(padding)).min(self.ceiling);
    }

    pub(crate) fn on_lost(&mut self, padding: u8, size: u16) {
        self.in_flight = false;
        self.tries += 1;
        if self.tries >= MAX_TRIES {
            self.tries = 0;
            self.ceiling = (size + u16::from(padding) - 1).max(self.current);
        }
    }

    /// Large packets seem to vanish: go back to the base.
    pub(crate) fn on_black_hole(&mut self) {
        if self.current > BASE {
            self.ceiling = self.current - 1;
            self.current = BASE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(limit: u16) -> u16 {
        let mut mtu = Mtu::new();
        assert_eq!(mtu.probe(), None);
        mtu.start();
        while let Some(padding) = mtu.probe() {
            let size = mtu.current();
            if size + u16::from(padding) <= limit {
                mtu.on_acked(padding, size)
            } else {
                mtu.on_lost(padding, size)
            }
        }
        mtu.current()
    }

    #[test]
    fn it_finds_the_size_of_the_path() {
        assert_eq!(settle(9000), 1500);
        assert_eq!(settle(1200), 1200);
        for limit in [1280, 1400, 1454, 1492] {
            let found = settle(limit);
            assert!(
                found <= limit && found + 2 * PRECISION > limit,
                "{found} of {limit}"
            );
        }
    }
}
