//! Who may stay at a relay: without IO, time is passed in. Everybody who knows the relay's key may come, as often as he likes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::pairings::SessionId;

/// A client that has no pair and waits for none is sent away after that: peers come when they want one.
pub(super) const IDLE_CLIENT: Duration = Duration::from_secs(60);
/// So long it has its place for sure, to say what it wants.
const GRACE: Duration = Duration::from_secs(5);
/// One address may take a quarter of the places when others want them; many people may be behind one.
const SHARE: usize = 4;
/// Messages that a client may send at once, and in a second: two for each pair, and its keep-alives, are far less.
const BURST: u32 = 512;
const MESSAGES: u32 = 64;

/// One that has a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    pub(super) session: SessionId,
    pub(super) address: Option<IpAddr>,
    /// It has a pair, or waits for one.
    pub(super) busy: bool,
    /// When it was last busy.
    pub(super) used: Instant,
}

/// Whose place a newcomer from `address` gets when all are taken: that of the one who has used it for nothing for longest; else
/// of one from an address that has more than its share, if the newcomer's has not. None: they all stay.
pub(super) fn who_leaves(
    now: Instant,
    guests: &[Guest],
    address: Option<IpAddr>,
    places: usize,
) -> Option<SessionId> {
    let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
    for guest in guests {
        *counts.entry(guest.address).or_default() += 1;
    }
    let of = |address: &Option<IpAddr>| counts.get(address).copied().unwrap_or(0);
    let settled = guests
        .iter()
        .filter(|guest| now.saturating_duration_since(guest.used) >= GRACE);
    let idle = settled.filter(|guest| !guest.busy);
    let idlest = idle.max_by_key(|guest| (of(&guest.address), now.saturating_duration_since(guest.used)));
    let crowded = || {
        let share = (places / SHARE).max(1);
        let most = guests
            .iter()
            .max_by_key(|guest| (of(&guest.address), !guest.busy, guest.session.0))?;
        (of(&most.address) > share && of(&address) < share).then_some(most)
    };
    idlest.or_else(crowded).map(|guest| guest.session)
}

/// What a client may still say.
#[derive(Debug)]
pub(super) struct MessageBudget {
    left: u32,
    at: Instant,
}

impl MessageBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Takes one message; false if it is one too many.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.at).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds)
                .unwrap_or(u32::MAX)
                .saturating_mul(MESSAGES);
            self.left = self.left.saturating_add(more).min(BURST);
            self.at += Duration::from_secs(seconds);
        }
        let enough = self.left > 0;
        self.left = self.left.saturating_sub(1);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests(now: Instant, list: &[(u64, [u8; 4], bool, u64)]) -> Vec<Guest> {
        let guest = |(id, address, busy, used): &(u64, [u8; 4], bool, u64)| Guest {
            session: SessionId(*id),
            address: Some(IpAddr::from(*address)),
            busy: *busy,
            used: now - Duration::from_secs(*used),
        };
        list.iter().map(guest).collect()
    }

    #[test]
    fn who_uses_a_place_for_nothing_makes_room_and_the_busy_and_the_new_stay() {
        let now = Instant::now() + Duration::from_secs(3600);
        let (a, b, c) = ([1, 1, 1, 1], [2, 2, 2, 2], Some(IpAddr::from([3, 3, 3, 3])));
        let list = guests(
            now,
            &[
                (1, a, true, 0),
                (2, b, false, 9),
                (3, b, false, 20),
                (4, a, false, 1),
            ],
        );
        assert_eq!(who_leaves(now, &list, c, 16), Some(SessionId(3)));
        assert_eq!(
            who_leaves(now, &guests(now, &[(1, a, true, 0), (4, a, false, 1)]), c, 16),
            None
        );
        // Of the idle those of the address with the most go first.
        let list = guests(now, &[(1, a, false, 50), (2, b, false, 9), (3, b, true, 0)]);
        assert_eq!(who_leaves(now, &list, c, 16), Some(SessionId(2)));
    }

    #[test]
    fn an_address_that_has_more_than_its_share_makes_room_for_others_though_it_is_busy() {
        let now = Instant::now() + Duration::from_secs(3600);
        let (a, b) = ([1, 1, 1, 1], [2, 2, 2, 2]);
        let list = guests(
            now,
            &[(1, a, true, 0), (2, a, true, 0), (3, a, true, 0), (4, b, true, 0)],
        );
        assert_eq!(
            who_leaves(now, &list, Some(IpAddr::from([3; 4])), 8),
            Some(SessionId(3))
        );
        assert_eq!(
            who_leaves(now, &list, Some(IpAddr::from(a)), 8),
            None,
            "not for more of the same"
        );
        assert_eq!(
            who_leaves(now, &list, Some(IpAddr::from([3; 4])), 12),
            None,
            "three are its share"
        );
    }

    #[test]
    fn a_client_may_say_little_in_a_second() {
        let mut now = Instant::now();
        let mut budget = MessageBudget::new(now);
        assert!((0..BURST).all(|_| budget.take(now)) && !budget.take(now));
        now += Duration::from_millis(1500);
        assert!((0..MESSAGES).all(|_| budget.take(now)) && !budget.take(now));
        now += Duration::from_millis(500);
        assert!(budget.take(now), "halves of a second add up");
        now += Duration::from_secs(3600);
        assert!((0..BURST).all(|_| budget.take(now)) && !budget.take(now));
    }
}
