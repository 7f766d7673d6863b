//! Requests in flight: transaction ids, retries, the congestion window and address tokens (npm dht-rpc lib/io.js).

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use base::hash::blake2b_keyed;
use rand::{Rng, RngExt};

use super::SocketId;
use crate::id::{NodeId, Token};

/// Requests per 750 ms window; twice as many over the last four windows.
const MAX_WINDOW: usize = 80;
const WINDOW: Duration = Duration::from_millis(750);
const TOKEN_LIFETIME_WINDOWS: u32 = 10;
/// Requests that may wait for an answer or a window at once.
const MAX_IN_FLIGHT: usize = 16 * 1024;

/// Waiting times before each retry: a lost datagram on a fast path is noticed early, a slow path is left alone.
const TIMEOUTS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(1500),
];

/// Names a request until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request waiting for its answer.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Its name.
    pub id: RequestId,
    /// Transaction id.
    pub tid: u16,
    /// The socket it goes out from.
    pub socket: SocketId,
    /// Where it goes.
    pub to: SocketAddrV4,
    /// Id of the receiver, if known.
    pub to_id: Option<NodeId>,
    /// The datagram.
    pub bytes: Vec<u8>,
    /// Times to live of the packet; 0 = the system's.
    pub ttl: u32,
    /// How often it may be sent again.
    pub retries: u32,
    /// How often it was sent.
    pub sent: u32,
    /// When it was last sent.
    pub sent_at: Instant,
    deadline: Option<Instant>,
}

/// What a timer did to a request.
#[derive(Debug)]
pub(super) enum Expired {
    /// To be sent again; this was the first answer missed if `first`.
    Retry {
        /// Which.
        id: RequestId,
        /// Whether it was the first time.
        first: bool,
    },
    /// Given up.
    TimedOut(InFlight),
}

/// The table of requests in flight.
#[derive(Debug)]
pub(super) struct Io {
    in_flight: HashMap<RequestId, InFlight>,
    by_tid: HashMap<u16, RequestId>,
    pending: VecDeque<RequestId>,
    next_id: u64,
    /// Requests sent in the last four spans of [`WINDOW`], the current one first.
    window: [usize; 4],
    next_window: Instant,
    token_age: u32,
    secrets: [[u8; 32]; 2],
}

impl Io {
    /// Starts the clock.
    pub(super) fn new(now: Instant, rng: &mut impl Rng) -> Self {
        Self {
            in_flight: HashMap::new(),
            by_tid: HashMap::new(),
            pending: VecDeque::new(),
            next_id: 1,
            window: [0; 4],
            next_window: now + WINDOW,
            token_age: 0,
            secrets: [rng.random(), rng.random()],
        }
    }

    /// Requests waiting for answers.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// A request by its name.
    pub(super) fn get(&self, id: RequestId) -> Option<&InFlight> {
        self.in_flight.get(&id)
    }

    /// A transaction id no request in flight has.
    pub(super) fn free_tid(&self, rng: &mut impl Rng) -> Option<u16> {
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        loop {
            let tid: u16 = rng.random();
            if !self.by_tid.contains_key(&tid) {
                return Some(tid);
            }
        }
    }

    /// Files a request; it goes out by [`Io::send`].
    #[allow(clippy::too_many_arguments)]
    pub(super) fn insert(
        &mut self,
        now: Instant,
        tid: u16,
        socket: SocketId,
        to: SocketAddrV4,
        to_id: Option<NodeId>,
        bytes: Vec<u8>,
        retries: u32,
        ttl: u32,
    ) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.by_tid.insert(tid, id);
        let request = InFlight {
            id,
            tid,
            socket,
            to,
            to_id,
            bytes,
            ttl,
            retries,
            sent: 0,
            sent_at: now,
            deadline: None,
        };
        self.in_flight.insert(id, request);
        id
    }

    /// Marks the request as sent now, unless the window is full: then it is sent by a later [`Io::drain`].
    pub(super) fn send(&mut self, now: Instant, id: RequestId) -> Option<&InFlight> {
        if self.is_full() {
            if self.in_flight.contains_key(&id) {
                self.pending.push_back(id);
            }
            return None;
        }
        self.send_now(now, id)
    }

    fn send_now(&mut self, now: Instant, id: RequestId) -> Option<&InFlight> {
        let request = self.in_flight.get_mut(&id)?;
        self.window[0] += 1;
        let wait = TIMEOUTS
            .get(request.sent as usize)
            .or(TIMEOUTS.last())
            .copied()
            .unwrap_or(WINDOW);
        request.sent += 1;
        request.sent_at = now;
        request.deadline = Some(now + wait);
        Some(request)
    }

    fn is_full(&self) -> bool {
        self.window.iter().sum::<usize>() >= 2 * MAX_WINDOW || self.window[0] >= MAX_WINDOW
    }

    /// Takes the request that a reply from `from` answers.
    pub(super) fn answer(&mut self, tid: u16, from: SocketAddrV4) -> Option<InFlight> {
        let id = *self.by_tid.get(&tid)?;
        if self.in_flight.get(&id)?.to != from {
            return None;
        }
        self.remove(id)
    }

    /// Takes a request off, answered or not.
    pub(super) fn remove(&mut self, id: RequestId) -> Option<InFlight> {
        let request = self.in_flight.remove(&id)?;
        self.by_tid.remove(&request.tid);
        let slot = &mut self.window[0];
        *slot = slot.saturating_sub(1);
        Some(request)
    }

    /// Requests whose answer is overdue.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Expired> {
        let mut due: Vec<RequestId> = self
            .in_flight
            .values()
            .filter(|r| r.deadline.is_some_and(|d| d <= now))
            .map(|r| r.id)
            .collect();
        due.sort();
        due.into_iter()
            .filter_map(|id| {
                let request = self.in_flight.get_mut(&id)?;
                request.deadline = None;
                if request.sent > request.retries {
                    return self.remove(id).map(Expired::TimedOut);
                }
                Some(Expired::Retry {
                    id,
                    first: request.sent == 1,
                })
            })
            .collect()
    }

    /// Turns the window if it is time and returns the waiting requests that may go out now.
    pub(super) fn drain(&mut self, now: Instant, rng: &mut impl Rng) -> Vec<RequestId> {
        let mut out = Vec::new();
        while self.next_window <= now {
            // After a long sleep, catch up on what still matters: the windows and the tokens.
            if now.duration_since(self.next_window) > 32 * WINDOW {
                self.next_window = now - 32 * WINDOW;
            }
            self.next_window += WINDOW;
            self.window.rotate_right(1);
            self.window[0] = 0;
            self.token_age += 1;
            if self.token_age >= TOKEN_LIFETIME_WINDOWS {
                self.token_age = 0;
                self.secrets = [self.secrets[1], rng.random()];
            }
        }
        while !self.is_full()
            && let Some(id) = self.pending.pop_front()
        {
            if self.send_now(now, id).is_some() {
                out.push(id);
            }
        }
        out
    }

    /// When [`Io::expire`] or [`Io::drain`] has something to do next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let due = self.in_flight.values().filter_map(|r| r.deadline).min();
        let window = (!self.pending.is_empty()).then_some(self.next_window);
        [due, window].into_iter().flatten().min()
    }

    /// The token that shows we answered `ip` lately.
    pub(super) fn token(&self, ip: &Ipv4Addr) -> Token {
        token(&self.secrets[1], ip)
    }

    /// Whether `token` was given to `ip` within the last 7.5 to 15 seconds.
    pub(super) fn is_valid_token(&self, value: &Token, ip: &Ipv4Addr) -> bool {
        self.secrets.iter().any(|secret| token(secret, ip) == *value)
    }
}

fn token(secret: &[u8; 32], ip: &Ipv4Addr) -> Token {
    Token(blake2b_keyed(secret, &[&ip.octets()]))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn add(io: &mut Io, now: Instant, tid: u16, retries: u32) -> RequestId {
        io.insert(
            now,
            tid,
            SocketId::CLIENT,
            "1.1.1.1:1".parse().unwrap(),
            None,
            vec![],
            retries,
            0,
        )
    }

    #[test]
    fn a_request_is_retried_then_given_up() {
        let mut rng = StdRng::seed_from_u64(1);
        let start = Instant::now();
        let mut io = Io::new(start, &mut rng);
        let id = add(&mut io, start, 7, 1);
        assert!(io.send(start, id).is_some());
        assert!(io.expire(start).is_empty());
        let later = io.next_timeout().unwrap();
        assert!(matches!(
            io.expire(later)[..],
            [Expired::Retry { first: true, .. }]
        ));
        io.send(later, id).unwrap();
        let end = io.next_timeout().unwrap();
        assert!(matches!(io.expire(end)[..], [Expired::TimedOut(_)]));
        assert_eq!((io.len(), io.next_timeout()), (0, None));
    }

    #[test]
    fn answers_from_elsewhere_are_ignored() {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let mut io = Io::new(now, &mut rng);
        add(&mut io, now, 7, 1);
        assert!(io.answer(7, "1.1.1.2:1".parse().unwrap()).is_none());
        assert!(io.answer(8, "1.1.1.1:1".parse().unwrap()).is_none());
        assert!(io.answer(7, "1.1.1.1:1".parse().unwrap()).is_some());
    }

    #[test]
    fn the_window_holds_requests_back() {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let mut io = Io::new(now, &mut rng);
        let ids: Vec<_> = (0..100).map(|tid| add(&mut io, now, tid, 0)).collect();
        let sent = ids.iter().filter(|id| io.send(now, **id).is_some()).count();
        assert_eq!(sent, MAX_WINDOW);
        assert!(io.drain(now, &mut rng).is_empty());
        assert_eq!(io.drain(now + WINDOW, &mut rng).len(), 20);
    }

    #[test]
    fn tokens_expire() {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let mut io = Io::new(now, &mut rng);
        let (ip, other) = (Ipv4Addr::new(1, 2, 3, 4), Ipv4Addr::new(1, 2, 3, 5));
        let token = io.token(&ip);
        assert!(io.is_valid_token(&token, &ip) && !io.is_valid_token(&token, &other));
        io.drain(now + WINDOW * 10, &mut rng);
        assert!(io.is_valid_token(&token, &ip));
        for i in 11..21 {
            io.drain(now + WINDOW * i, &mut rng);
        }
        assert!(!io.is_valid_token(&token, &ip));
    }
}
