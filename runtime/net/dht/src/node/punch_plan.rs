//! What a hole punch sends, when, and from which of its sockets: a schedule without sockets and clock (npm hyperdht
//! lib/holepuncher.js).

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use crate::hyper::Firewall;

/// Hops of a packet that is to open our NAT but not to reach the other one's.
pub(super) const LOW_TTL: u32 = 5;
/// Between two NATs that keep their ports: rounds, their distance, and how often addresses that no echo proved have their turn.
const ROUNDS: u32 = 10;
const ROUND: Duration = Duration::from_secs(1);
const UNPROVEN_EVERY: u32 = 4;
/// Sockets opened behind a NAT that gives each remote another port. Together with [`PROBES`] they leave one punch in a thousand
/// without a hit.
const SOCKETS: usize = 256;
/// Probes to random ports of such a NAT. Each takes a place in our own router's table for half a minute.
const PROBES: u32 = 1750;
/// Between two of them: 6 kB/s. npm's 20 ms let a hit wait for five seconds on average.
const PROBE: Duration = Duration::from_millis(5);
/// The lowest port that a NAT is expected to give.
const LOWEST_PORT: u16 = 1000;
/// Keeping those sockets' ports open: how long, as the other side may probe for so long, and the distance of the packets.
pub(super) const HOLD: Duration = Duration::from_secs(35);
const HOLD_STEP: Duration = Duration::from_millis(20);
/// After the burst that opens the ports.
const HOLD_DELAY: Duration = Duration::from_millis(100);

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Send a probe from that socket; it is the next number if that one is to be opened first. `ttl` 0 is the usual one.
    Probe {
        socket: usize,
        to: SocketAddrV4,
        ttl: u32,
    },
    /// Nothing until then.
    Wait(Instant),
    /// It did not get through.
    Done,
}

/// One punch, from its beginning on.
#[derive(Debug)]
pub(super) struct Plan {
    way: Way,
    next: Instant,
    end: Instant,
}

#[derive(Debug)]
enum Way {
    /// Both NATs keep their ports.
    Plain {
        addresses: Vec<(SocketAddrV4, bool)>,
        round: u32,
        index: usize,
    },
    /// The other one's does not: its ports are guessed.
    Guess { host: SocketAddrV4, left: u32 },
    /// Ours does not: it is given many.
    Many {
        to: SocketAddrV4,
        sockets: usize,
        sent: usize,
    },
}

impl Plan {
    /// For two NATs of these kinds. `addresses` are the other side's, each with whether an echo proved it. None if nothing can
    /// get through.
    pub(super) fn new(
        ours: Firewall,
        theirs: Firewall,
        addresses: &[(SocketAddrV4, bool)],
        now: Instant,
    ) -> Option<Self> {
        let keeps = |firewall| matches!(firewall, Firewall::Open | Firewall::Consistent);
        let proven = || addresses.iter().find(|(_, proven)| *proven).map(|(to, _)| *to);
        let (way, lasts) = if keeps(ours) && keeps(theirs) {
            let way = Way::Plain {
                addresses: addresses.to_vec(),
                round: 1,
                index: 0,
            };
            (way, ROUND * ROUNDS)
        } else if keeps(ours) && theirs == Firewall::Random {
            let way = Way::Guess {
                host: proven()?,
                left: PROBES,
            };
            (way, PROBE * PROBES)
        } else if ours == Firewall::Random && keeps(theirs) {
            let way = Way::Many {
                to: proven()?,
                sockets: SOCKETS,
                sent: 0,
            };
            (way, HOLD)
        } else {
            return None;
        };
        Some(Self {
            way,
            next: now,
            end: now + lasts,
        })
    }

    /// When it gives up.
    pub(super) fn end(&self) -> Instant {
        self.end
    }

    /// No more than so many sockets can be had.
    pub(super) fn limit_sockets(&mut self, limit: usize) {
        if let Way::Many { sockets, .. } = &mut self.way {
            *sockets = limit.max(1);
        }
    }

    /// What to do now. Steps that are not carried out are lost, as datagrams are.
    pub(super) fn step(&mut self, now: Instant, rng: &mut impl Rng) -> Step {
        if now >= self.end {
            return Step::Done;
        }
        if now < self.next {
            return Step::Wait(self.next);
        }
        match &mut self.way {
            Way::Plain {
                addresses,
                round,
                index,
            } => {
                while let Some((to, proven)) = addresses.get(*index).copied() {
                    *index += 1;
                    if proven || *round == 1 || *round % UNPROVEN_EVERY == 0 {
                        return Step::Probe {
                            socket: 0,
                            to,
                            ttl: 0,
                        };
                    }
                }
                (*round, *index) = (*round + 1, 0);
                self.next = now + ROUND;
                Step::Wait(self.next)
            }
            Way::Guess { left: 0, .. } => Step::Wait(self.end),
            Way::Guess { host, left } => {
                *left -= 1;
                self.next = now + PROBE;
                let port = rng.random_range(LOWEST_PORT..=u16::MAX);
                Step::Probe {
                    socket: 0,
                    to: SocketAddrV4::new(*host.ip(), port),
                    ttl: 0,
                }
            }
            Way::Many { to, sockets, sent } => {
                let socket = *sent % *sockets;
                // Twice around: the burst that opens the ports, and the round after it.
                let ttl = if *sent < 2 * *sockets { LOW_TTL } else { 0 };
                *sent += 1;
                self.next = match *sent {
                    burst if burst < *sockets => now,
                    burst if burst == *sockets => now + HOLD_DELAY,
                    _ => now + HOLD_STEP,
                };
                Step::Probe { socket, to: *to, ttl }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(1, 2, 3, 4), 5678);

    /// All that a plan does, with the milliseconds since its beginning.
    fn run(ours: Firewall, theirs: Firewall, addresses: &[(SocketAddrV4, bool)]) -> Vec<(u128, Step)> {
        let (began, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
        let mut plan = Plan::new(ours, theirs, addresses, began).expect("a way");
        let (mut now, mut out) = (began, Vec::new());
        loop {
            match plan.step(now, &mut rng) {
                Step::Done => return out,
                Step::Wait(until) => {
                    assert!(until > now, "waits for the past");
                    now = until;
                }
                probe => out.push(((now - began).as_millis(), probe)),
            }
            assert!(out.len() < 10_000, "without end");
        }
    }

    #[test]
    fn two_nats_that_keep_their_ports_are_probed_at_once_and_then_every_second() {
        let other = SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, 9), 9);
        let steps = run(
            Firewall::Consistent,
            Firewall::Open,
            &[(PEER, true), (other, false)],
        );
        let of = |address| {
            let mut at = Vec::new();
            for (ms, step) in &steps {
                if matches!(step, Step::Probe { to, ttl: 0, socket: 0 } if *to == address) {
                    at.push(ms / 1000);
                }
            }
            at
        };
        assert_eq!(of(PEER), (0..10).collect::<Vec<u128>>());
        assert_eq!(of(other), [0, 3, 7], "no echo proved that one");
    }

    #[test]
    fn ports_of_a_nat_that_changes_them_are_guessed_for_so_long_that_one_hits() {
        let steps = run(Firewall::Consistent, Firewall::Random, &[(PEER, true)]);
        let ports: HashSet<u16> = steps
            .iter()
            .map(|(_, step)| match step {
                Step::Probe {
                    socket: 0,
                    to,
                    ttl: 0,
                } if to.ip() == PEER.ip() => to.port(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(steps.len(), 1750);
        assert!(ports.iter().all(|port| *port >= 1000));
        let missed = (1.0 - SOCKETS as f64 / 64_536.0_f64).powi(ports.len() as i32);
        assert!(missed < 0.002, "{missed} of punches get nowhere");
        assert!(steps.last().is_some_and(|(ms, _)| (8_700..8_750).contains(ms)));
    }

    #[test]
    fn many_sockets_open_at_once_and_stay_open_while_the_other_side_guesses() {
        let steps = run(Firewall::Random, Firewall::Consistent, &[(PEER, true)]);
        let opened: Vec<usize> = steps
            .iter()
            .take(SOCKETS)
            .map(|(ms, step)| match step {
                Step::Probe { socket, to, ttl } if *ms == 0 && *to == PEER && *ttl == LOW_TTL => *socket,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(opened, (0..SOCKETS).collect::<Vec<_>>());
        // A NAT forgets after half a minute; each socket is heard of every five seconds.
        for socket in [0, 100, SOCKETS - 1] {
            let mut last = 0;
            for (ms, step) in &steps {
                if matches!(step, Step::Probe { socket: s, .. } if *s == socket) {
                    assert!(ms - last < 6000, "socket {socket} was silent from {last} to {ms}");
                    last = *ms;
                }
            }
            assert!(last > 29_000, "socket {socket} ends at {last}");
        }
    }

    #[test]
    fn fewer_sockets_are_used_more_often() {
        let (began, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
        let mut plan = Plan::new(Firewall::Random, Firewall::Consistent, &[(PEER, true)], began).unwrap();
        assert!(matches!(
            plan.step(began, &mut rng),
            Step::Probe { socket: 0, .. }
        ));
        plan.limit_sockets(1);
        assert!(matches!(
            plan.step(began, &mut rng),
            Step::Probe { socket: 0, .. }
        ));
        assert_eq!(plan.step(began, &mut rng), Step::Wait(began + HOLD_STEP));
        assert_eq!(plan.step(began + HOLD, &mut rng), Step::Done);
    }

    #[test]
    fn without_a_proven_address_or_with_two_random_nats_there_is_no_way() {
        let now = Instant::now();
        let none = |ours, theirs, proven| Plan::new(ours, theirs, &[(PEER, proven)], now).is_none();
        assert!(none(Firewall::Consistent, Firewall::Random, false));
        assert!(none(Firewall::Random, Firewall::Consistent, false));
        assert!(none(Firewall::Random, Firewall::Random, true));
        assert!(none(Firewall::Unknown, Firewall::Consistent, true));
        assert!(!none(Firewall::Open, Firewall::Consistent, false));
    }
}
