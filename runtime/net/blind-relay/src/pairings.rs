//! Who waits for whom at a relay: a state machine without IO, time is passed in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::messages::{Pair, Token};

/// How long one of two waits for the other; npm's clients give up after 15 s.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
/// Pairs that wait at once: some megabytes.
const MAX_WAITING: usize = 16 * 1024;

/// A client's connection to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// One of two: whose session, and its id of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) session: SessionId,
    pub(crate) stream_id: u32,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The other one is awaited, or the request says nothing new.
    Waits,
    /// Both are there: the one that is not the initiator, and the one that is.
    Matched([Side; 2]),
    /// The session, or the relay, has as many as it may.
    Refused,
}

#[derive(Debug)]
struct Waiting {
    sides: [Option<Side>; 2],
    until: Instant,
}

/// All that wait.
#[derive(Debug)]
pub(crate) struct Pairings {
    waiting: HashMap<Token, Waiting>,
    /// How many each session has waiting; none is not in it.
    counts: HashMap<SessionId, usize>,
    per_session: usize,
}

impl Pairings {
    pub(crate) fn new(per_session: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            counts: HashMap::new(),
            per_session,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the session waits for anybody.
    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.counts.contains_key(&session)
    }

    /// A session asks to be paired.
    pub(crate) fn request(&mut self, now: Instant, session: SessionId, pair: &Pair) -> Outcome {
        // A stream id has 32 bits; no other can be sent to.
        let Ok(stream_id) = u32::try_from(pair.id) else {
            return Outcome::Refused;
        };
        let (at, other) = if pair.is_initiator { (1, 0) } else { (0, 1) };
        let side = Side { session, stream_id };
        if let Some(waiting) = self.waiting.get(&pair.token) {
            // Whoever repeats itself, or somebody else's place, changes nothing.
            if waiting.sides.get(at).is_some_and(Option::is_some) {
                return Outcome::Waits;
            }
            let Some(there) = waiting.sides.get(other).copied().flatten() else {
                return Outcome::Waits;
            };
            self.forget(&pair.token);
            return Outcome::Matched(if pair.is_initiator {
                [there, side]
            } else {
                [side, there]
            });
        }
        let count = self.counts.get(&session).copied().unwrap_or(0);
        if count >= self.per_session || self.waiting.len() >= MAX_WAITING {
            return Outcome::Refused;
        }
        self.counts.insert(session, count + 1);
        let sides = if pair.is_initiator {
            [None, Some(side)]
        } else {
            [Some(side), None]
        };
        let until = now + WAIT;
        self.waiting.insert(pair.token, Waiting { sides, until });
        Outcome::Waits
    }

    /// A session does not want that pair any more. Others' pairs are not its to end.
    pub(crate) fn cancel(&mut self, session: SessionId, token: &Token) {
        let waiting = self.waiting.get(token);
        if waiting.is_some_and(|waiting| waiting.is_of(session)) {
            self.forget(token);
        }
    }

    /// A session has ended.
    pub(crate) fn gone(&mut self, session: SessionId) {
        self.waiting.retain(|_, waiting| !waiting.is_of(session));
        self.counts.remove(&session);
    }

    /// Drops those that waited in vain.
    pub(crate) fn expire(&mut self, now: Instant) {
        let old: Vec<Token> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.until <= now)
            .map(|(token, _)| *token)
            .collect();
        old.iter().for_each(|token| self.forget(token));
    }

    fn forget(&mut self, token: &Token) {
        let Some(waiting) = self.waiting.remove(token) else {
            return;
        };
        for side in waiting.sides.iter().flatten() {
            if let Some(count) = self.counts.get_mut(&side.session) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&side.session);
                }
            }
        }
    }
}

impl Waiting {
    fn is_of(&self, session: SessionId) -> bool {
        self.sides.iter().flatten().any(|side| side.session == session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);
    const EVE: SessionId = SessionId(3);

    fn ask(is_initiator: bool, token: u8, id: u64) -> Pair {
        Pair {
            is_initiator,
            token: Token([token; 32]),
            id,
            seq: 0,
        }
    }

    fn side(session: SessionId, stream_id: u32) -> Side {
        Side { session, stream_id }
    }

    #[test]
    fn two_that_name_the_same_token_are_paired_whoever_comes_first() {
        for first in [true, false] {
            let (now, mut all) = (Instant::now(), Pairings::new(4));
            assert_eq!(all.request(now, A, &ask(first, 7, 10)), Outcome::Waits);
            assert_eq!(
                all.request(now, A, &ask(first, 7, 11)),
                Outcome::Waits,
                "said twice"
            );
            assert_eq!(all.request(now, B, &ask(!first, 8, 20)), Outcome::Waits);
            let matched = if first {
                [side(B, 20), side(A, 10)]
            } else {
                [side(A, 10), side(B, 20)]
            };
            assert_eq!(
                all.request(now, B, &ask(!first, 7, 20)),
                Outcome::Matched(matched)
            );
            assert_eq!((all.len(), all.counts.len()), (1, 1));
        }
    }

    #[test]
    fn nobody_ends_or_takes_the_place_of_others() {
        let (now, mut all) = (Instant::now(), Pairings::new(4));
        all.request(now, A, &ask(true, 7, 10));
        all.cancel(EVE, &Token([7; 32]));
        assert_eq!(all.request(now, EVE, &ask(true, 7, 30)), Outcome::Waits);
        all.gone(EVE);
        let matched = Outcome::Matched([side(B, 20), side(A, 10)]);
        assert_eq!(all.request(now, B, &ask(false, 7, 20)), matched);
    }

    #[test]
    fn a_session_has_a_share_and_gets_it_back() {
        let (now, mut all) = (Instant::now(), Pairings::new(4));
        for token in 0..4 {
            assert_eq!(all.request(now, A, &ask(true, token, 1)), Outcome::Waits);
        }
        assert_eq!(all.request(now, A, &ask(true, 9, 1)), Outcome::Refused);
        assert_eq!(all.request(now, B, &ask(true, 10, 1)), Outcome::Waits);
        all.cancel(A, &Token([0; 32]));
        assert_eq!(all.request(now, A, &ask(true, 9, 1)), Outcome::Waits);
        all.expire(now + WAIT);
        assert_eq!((all.len(), all.counts.len()), (0, 0));
        all.request(now, A, &ask(true, 0, 1));
        all.gone(A);
        assert_eq!((all.len(), all.counts.len()), (0, 0));
        assert_eq!(all.request(now, A, &ask(true, 0, 1 << 32)), Outcome::Refused);
    }

    #[test]
    fn many_sessions_do_not_fill_the_memory() {
        let (now, mut all) = (Instant::now(), Pairings::new(1));
        for n in 0..2 * MAX_WAITING as u64 {
            let mut token = [0; 32];
            token[..8].copy_from_slice(&n.to_le_bytes());
            let pair = Pair {
                token: Token(token),
                ..ask(true, 0, 1)
            };
            all.request(now, SessionId(n), &pair);
        }
        assert_eq!(all.len(), MAX_WAITING);
        assert_eq!(all.counts.len(), MAX_WAITING);
    }
}
