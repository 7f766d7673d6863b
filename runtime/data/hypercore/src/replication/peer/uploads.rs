//! The peer's requests, in order, and how many of them are worked on.

use std::collections::{BTreeMap, HashMap};

use super::super::action::{Action, InvalidRequest};
use super::PeerError;
use crate::messages::{self, INVALID_REQUEST, NOT_AVAILABLE, kind};
use crate::proof::{Data, Request};

/// Requests of the peer that wait for their turn; more is a flood. npm asks for at most 512 at a time from one peer.
const MAX_WAITING: usize = 16_384;
/// Requests given to the store at a time: what a batch of 1 MiB of small blocks amounts to.
const MAX_WORKING: usize = 64;
/// What an answer counts before it is made. Most blocks are chunks of 64 KiB, or entries of a few hundred bytes.
const EXPECTED: usize = 16 * 1024;
/// Invalid requests before the peer counts as broken (as upstream).
const MAX_INVALID: u32 = 64;

/// Requests that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    waiting: BTreeMap<u64, (u64, Request)>,
    /// The place of each by the peer's number for it. Number 0 is shared by those that cannot be cancelled.
    places: HashMap<u64, u64>,
    next: u64,
    /// Those that were put back go before all others.
    first: u64,
    working: usize,
    invalid: u32,
}

/// Places below this are for requests that were put back.
const MIDDLE: u64 = 1 << 62;

impl Uploads {
    /// Adds a request; one of the same number is replaced. False if there are too many.
    pub(super) fn push(&mut self, id: u64, request: Request) -> bool {
        self.cancel(id);
        let place = MIDDLE + self.next;
        self.next += 1;
        self.insert(place, id, request);
        self.waiting.len() <= MAX_WAITING
    }

    fn insert(&mut self, place: u64, id: u64, request: Request) {
        if id != 0 {
            self.places.insert(id, place);
        }
        self.waiting.insert(place, (id, request));
    }

    /// Withdraws the request of this number, if it still waits.
    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(place) = self.places.remove(&id) {
            self.waiting.remove(&place);
        }
    }

    /// Requests to answer now, for about `budget` bytes.
    pub(super) fn take(&mut self, budget: usize) -> Vec<(u64, Request)> {
        let room = budget
            .div_ceil(EXPECTED)
            .min(MAX_WORKING)
            .saturating_sub(self.working);
        let mut taken = Vec::new();
        while taken.len() < room {
            let Some((_, (id, request))) = self.waiting.pop_first() else {
                break;
            };
            self.places.remove(&id);
            taken.push((id, request));
        }
        self.working += taken.len();
        taken
    }

    /// A request that was taken could not be worked on yet.
    pub(super) fn put_back(&mut self, id: u64, request: Request) {
        self.working = self.working.saturating_sub(1);
        self.first += 1;
        // In the order in which they come back, before all that were never taken.
        let place = self.first;
        self.insert(place, id, request);
    }

    /// The message for an answer.
    pub(super) fn answered(
        &mut self,
        id: u64,
        answer: Result<Option<Box<Data>>, InvalidRequest>,
    ) -> Result<(u64, Vec<u8>), PeerError> {
        self.working = self.working.saturating_sub(1);
        Ok(match answer {
            Ok(Some(data)) => (kind::DATA, messages::encode_data(id, &data)),
            Ok(None) => (kind::NO_DATA, messages::encode_no_data(id, NOT_AVAILABLE)),
            Err(InvalidRequest) => {
                self.invalid += 1;
                if self.invalid >= MAX_INVALID {
                    return Err(PeerError::Misbehaves("its requests make no sense"));
                }
                (kind::NO_DATA, messages::encode_no_data(id, INVALID_REQUEST))
            }
        })
    }

    /// The message for a request that was taken and is not answered.
    pub(super) fn declined(&mut self, id: u64) -> Action {
        self.working = self.working.saturating_sub(1);
        Action::Send(kind::NO_DATA, messages::encode_no_data(id, NOT_AVAILABLE))
    }

    /// Whether any waits for its turn.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fork: u64) -> Request {
        Request {
            fork,
            ..Request::default()
        }
    }

    fn forks(taken: &[(u64, Request)]) -> Vec<u64> {
        taken.iter().map(|(_, request)| request.fork).collect()
    }

    #[test]
    fn in_order_replaced_cancelled_and_put_back() {
        let mut uploads = Uploads::default();
        for id in 1..=5 {
            assert!(uploads.push(id, request(id)));
        }
        uploads.cancel(2);
        assert!(uploads.push(1, request(10)));
        assert_eq!(forks(&uploads.take(2 * EXPECTED)), [3, 4]);
        assert!(uploads.take(2 * EXPECTED).is_empty(), "two are worked on");
        uploads.put_back(3, request(3));
        uploads.put_back(4, request(4));
        uploads.cancel(4);
        assert_eq!(forks(&uploads.take(usize::MAX)), [3, 5, 10]);
        assert!(!uploads.is_waiting());
    }

    #[test]
    fn a_flood_is_noticed_and_costs_no_search() {
        let mut uploads = Uploads::default();
        let all = (1..=MAX_WAITING as u64 + 1).all(|id| uploads.push(id, request(id)));
        assert!(!all);
        let start = std::time::Instant::now();
        for id in (1..=MAX_WAITING as u64 + 1).rev() {
            uploads.cancel(id);
        }
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
        assert!(!uploads.is_waiting());
    }
}
