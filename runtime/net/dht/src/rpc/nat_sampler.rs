//! Our own address as most others see it (npm nat-sampler).

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

const MAX_SAMPLES: usize = 16;

/// Keeps the latest samples of our address and says whether they agree.
#[derive(Debug, Default, Clone)]
pub struct NatSampler {
    samples: VecDeque<SocketAddrV4>,
    host: Option<Ipv4Addr>,
    port: u16,
}

impl NatSampler {
    /// The address that enough samples agree on.
    pub fn host(&self) -> Option<Ipv4Addr> {
        self.host
    }

    /// The port that enough samples agree on; 0 = they differ (or too few samples).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port if both are agreed on.
    pub fn address(&self) -> Option<SocketAddrV4> {
        Some(SocketAddrV4::new(
            self.host?,
            (self.port != 0).then_some(self.port)?,
        ))
    }

    /// Samples taken into account.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether nobody has told us our address yet.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Adds what one other node sees. One dissenting sample is forgiven from 4 on, two from 8, three from 12.
    pub fn add(&mut self, seen: SocketAddrV4) {
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(seen);
        let size = self.samples.len();
        let threshold = size - [0, 1, 2, 3].get(size / 4).copied().unwrap_or(3).min(size - 1);
        let most = |same: &dyn Fn(&SocketAddrV4, &SocketAddrV4) -> bool| {
            self.samples
                .iter()
                .map(|a| (self.samples.iter().filter(|b| same(a, b)).count(), *a))
                .max_by_key(|(hits, _)| *hits)
        };
        let full = most(&|a, b| a == b).filter(|(hits, _)| *hits >= threshold);
        let host = most(&|a, b| a.ip() == b.ip()).filter(|(hits, _)| *hits >= threshold);
        (self.host, self.port) = match (full, host) {
            (Some((_, a)), _) => (Some(*a.ip()), a.port()),
            (None, Some((_, a))) => (Some(*a.ip()), 0),
            (None, None) => (None, 0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_needs_all_of_few_and_most_of_many() {
        let a = "1.2.3.4:10".parse().unwrap();
        let other_port = "1.2.3.4:11".parse().unwrap();
        let other_host = "4.3.2.1:10".parse().unwrap();
        let mut nat = NatSampler::default();
        assert_eq!(nat.address(), None);
        nat.add(a);
        assert_eq!(nat.address(), Some(a));
        nat.add(other_port);
        assert_eq!((nat.host(), nat.port()), (Some("1.2.3.4".parse().unwrap()), 0));
        nat.add(a);
        nat.add(a);
        assert_eq!(nat.address(), Some(a), "three of four agree");
        nat.add(other_host);
        assert_eq!((nat.host(), nat.port()), (Some("1.2.3.4".parse().unwrap()), 0));
        for _ in 0..12 {
            nat.add(a);
        }
        assert_eq!(nat.address(), Some(a));
        assert_eq!(nat.len(), MAX_SAMPLES);
    }
}
