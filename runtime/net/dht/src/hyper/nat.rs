//! What kind of NAT one socket is behind, from how others see it (npm hyperdht lib/nat.js).

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::Firewall;

/// Samples that suffice for a conclusion.
pub(crate) const MIN_SAMPLES: usize = 4;
const MAX_SAMPLES: usize = 64;

/// Samples of one socket's address.
#[derive(Debug, Clone)]
pub(crate) struct Nat {
    node_firewalled: bool,
    hosts: Vec<(Ipv4Addr, usize)>,
    addresses: Vec<(SocketAddrV4, usize)>,
    visited: HashSet<SocketAddrV4>,
    firewall: Firewall,
    frozen: bool,
}

fn bump<T: PartialEq>(list: &mut Vec<(T, usize)>, item: T) {
    match list.iter_mut().find(|(known, _)| *known == item) {
        Some((_, hits)) => *hits += 1,
        None => list.push((item, 1)),
    }
    list.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
}

impl Nat {
    /// For a socket of a node that is firewalled or not.
    pub(crate) fn new(node_firewalled: bool) -> Self {
        Self {
            node_firewalled,
            hosts: Vec::new(),
            addresses: Vec::new(),
            visited: HashSet::new(),
            firewall: if node_firewalled {
                Firewall::Unknown
            } else {
                Firewall::Open
            },
            frozen: false,
        }
    }

    /// The conclusion so far.
    pub(crate) fn firewall(&self) -> Firewall {
        self.firewall
    }

    /// Keeps the conclusion, because the peer was told.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Whether more samples are of no use.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.firewall, Firewall::Open | Firewall::Consistent) || self.visited.len() >= MIN_SAMPLES
    }

    /// Whether there is no sample yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.visited.is_empty()
    }

    /// Whether the node `from` was asked already.
    pub(crate) fn has_sample_of(&self, from: &SocketAddrV4) -> bool {
        self.visited.contains(from)
    }

    /// Adds how `from` sees the socket; each node counts once.
    pub(crate) fn add(&mut self, seen: SocketAddrV4, from: SocketAddrV4) {
        if self.visited.len() >= MAX_SAMPLES || !self.visited.insert(from) {
            return;
        }
        bump(&mut self.hosts, *seen.ip());
        bump(&mut self.addresses, seen);
        if self.frozen || !self.node_firewalled || self.visited.len() < 3 {
            return;
        }
        let sampled = self.visited.len();
        let hits = |i: usize| self.addresses.get(i).map_or(0, |(_, hits)| *hits);
        self.firewall = match hits(0) {
            0 => self.firewall,
            1 => Firewall::Random,
            2 if self.hosts.len() == 1 && sampled > 3 => Firewall::Random,
            2 if self.hosts.len() > 1 && hits(1) > 1 => Firewall::Consistent,
            2 if sampled > 4 => Firewall::Random,
            2 => self.firewall,
            _ => Firewall::Consistent,
        };
    }

    /// Where the peer should punch to; none while unknown.
    pub(crate) fn addresses(&self) -> Option<Vec<SocketAddrV4>> {
        match self.firewall {
            Firewall::Unknown => None,
            Firewall::Random => Some(self.addresses.iter().take(1).map(|(a, _)| *a).collect()),
            Firewall::Open | Firewall::Consistent => {
                let good = self
                    .addresses
                    .iter()
                    .enumerate()
                    .filter(|(i, (_, hits))| *hits >= 2 || *i < 2);
                Some(good.map(|(_, (a, _))| *a).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(samples: &[&str]) -> Nat {
        let mut nat = Nat::new(true);
        for (i, seen) in (1u16..).zip(samples) {
            nat.add(
                seen.parse().unwrap(),
                SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, 9), i),
            );
        }
        nat
    }

    #[test]
    fn conclusions() {
        assert_eq!(run(&["1.1.1.1:1", "1.1.1.1:1"]).firewall(), Firewall::Unknown);
        assert_eq!(run(&["1.1.1.1:1"; 3]).firewall(), Firewall::Consistent);
        assert_eq!(
            run(&["1.1.1.1:1", "1.1.1.1:2", "1.1.1.1:3"]).firewall(),
            Firewall::Random
        );
        let two = ["1.1.1.1:1", "1.1.1.1:1", "1.1.1.1:2"];
        assert_eq!(run(&two).firewall(), Firewall::Unknown);
        assert_eq!(
            run(&[&two[..], &["1.1.1.1:3"]].concat()).firewall(),
            Firewall::Random
        );
        let pairs = ["1.1.1.1:1", "1.1.1.1:1", "2.2.2.2:1", "2.2.2.2:1"];
        assert_eq!(run(&pairs).firewall(), Firewall::Consistent);
        assert_eq!(run(&pairs).addresses().unwrap().len(), 2);
        assert_eq!(Nat::new(false).firewall(), Firewall::Open);
    }

    #[test]
    fn each_node_counts_once_and_a_frozen_conclusion_stays() {
        let mut nat = Nat::new(true);
        let from = "9.9.9.9:9".parse().unwrap();
        for _ in 0..5 {
            nat.add("1.1.1.1:1".parse().unwrap(), from);
        }
        assert!(nat.has_sample_of(&from) && nat.firewall() == Firewall::Unknown);
        let mut nat = run(&["1.1.1.1:1"; 3]);
        nat.freeze();
        for port in 10..20 {
            nat.add(
                SocketAddrV4::new(Ipv4Addr::new(1, 1, 1, 1), port),
                SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            );
        }
        assert_eq!(nat.firewall(), Firewall::Consistent);
    }
}
