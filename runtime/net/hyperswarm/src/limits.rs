//! Who gets a place, and who is kept out. No I/O: time is passed in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use base::PublicKey;

/// Nobody is sent away earlier: whoever came has to ask for something first.
const GRACE: Duration = Duration::from_secs(3);
/// A peer that was sent nothing for so long has nothing to do here.
const UNSERVED: Duration = Duration::from_secs(5);
/// How long a ban lasts. A peer that was made to lie by a broken disk is back after that.
pub(crate) const BAN: Duration = Duration::from_secs(10 * 60);
/// Bans kept; the one that ends first makes room.
const MAX_BANS: usize = 4096;
/// Different liars at one address before the address is banned: keys cost nothing, addresses do.
const LIARS_OF_ADDRESS: u32 = 4;

/// What counts as one address: an IPv4 address or an IPv6 network of 64 bits, which is what one user gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place(IpAddr);

impl Place {
    /// The one of an address.
    pub fn of(address: SocketAddr) -> Self {
        Self(match address.ip() {
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => v4.into(),
                None => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
            },
            v4 => v4,
        })
    }

    /// Whether many machines or programs of one owner share it by their nature.
    fn is_local(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        }
    }
}

/// A connection that somebody else made.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Who it is.
    pub key: PublicKey,
    /// Where it is, if that is known.
    pub place: Option<Place>,
    /// How long it is connected.
    pub connected_for: Duration,
    /// How long nothing was sent to it.
    pub unserved_for: Duration,
}

/// Who has to go for a newcomer when all places are taken: of the address that holds most, if that is more than its share
/// and the newcomer's holds fewer; else whoever has been idle longest. An address of many, a school say, thus keeps all its
/// places while there are enough, and all that are used while nobody else comes.
pub fn who_leaves(guests: &[Guest], newcomer: Option<Place>, places: usize) -> Option<PublicKey> {
    let mut counts: HashMap<Place, usize> = HashMap::new();
    for place in guests.iter().filter_map(|guest| guest.place) {
        *counts.entry(place).or_default() += 1;
    }
    let own = newcomer
        .and_then(|place| counts.get(&place))
        .copied()
        .unwrap_or(0);
    let share = (places / 8).max(own + 1);
    let crowded = counts
        .into_iter()
        .filter(|(place, count)| !place.is_local() && *count > share)
        .max_by_key(|(_, count)| *count)
        .map(|(place, _)| place);
    let longest_unserved = |of: &dyn Fn(&Guest) -> bool| {
        let settled = guests
            .iter()
            .filter(|guest| guest.connected_for >= GRACE && of(guest));
        settled
            .max_by_key(|guest| guest.unserved_for)
            .map(|guest| guest.key)
    };
    crowded
        .and_then(|place| longest_unserved(&|guest| guest.place == Some(place)))
        .or_else(|| longest_unserved(&|guest| guest.unserved_for >= UNSERVED))
}

/// Peers that are kept out for a while.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    keys: HashMap<PublicKey, Instant>,
    places: HashMap<Place, (u32, Instant)>,
}

impl Bans {
    /// Keeps a peer out, and its address once enough liars came from there.
    pub(crate) fn add(&mut self, now: Instant, key: PublicKey, place: Option<Place>) {
        let until = now + BAN;
        make_room(&mut self.keys, now, |until| *until);
        let is_new = self.keys.insert(key, until).is_none_or(|old| old <= now);
        if let Some(place) = place.filter(|place| !place.is_local() && is_new) {
            make_room(&mut self.places, now, |(_, until)| *until);
            let entry = self.places.entry(place).or_insert((0, until));
            *entry = (entry.0 + 1, until);
        }
    }

    /// Whether a peer is kept out.
    pub(crate) fn has(&self, now: Instant, key: &PublicKey) -> bool {
        self.until(now, key).is_some()
    }

    /// Until when it is, if it is.
    pub(crate) fn until(&self, now: Instant, key: &PublicKey) -> Option<Instant> {
        self.keys.get(key).copied().filter(|until| *until > now)
    }

    /// Whether an address is.
    pub(crate) fn has_place(&self, now: Instant, place: Option<Place>) -> bool {
        place
            .and_then(|place| self.places.get(&place))
            .is_some_and(|(liars, until)| *liars >= LIARS_OF_ADDRESS && *until > now)
    }
}

fn make_room<K: Copy + Eq + std::hash::Hash, V>(
    map: &mut HashMap<K, V>,
    now: Instant,
    until: impl Fn(&V) -> Instant,
) {
    if map.len() < MAX_BANS {
        return;
    }
    map.retain(|_, value| until(value) > now);
    let first = map
        .iter()
        .min_by_key(|(_, value)| until(value))
        .map(|(key, _)| *key);
    if let Some(first) = first.filter(|_| map.len() >= MAX_BANS) {
        map.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(number: u8, address: &str, connected: u64, unserved: u64) -> Guest {
        Guest {
            key: PublicKey([number; 32]),
            place: Some(Place::of(address.parse().unwrap())),
            connected_for: Duration::from_secs(connected),
            unserved_for: Duration::from_secs(unserved),
        }
    }

    fn place(address: &str) -> Option<Place> {
        Some(Place::of(address.parse().unwrap()))
    }

    #[test]
    fn the_idle_make_room_and_the_served_and_the_new_do_not() {
        let guests = [
            guest(1, "9.0.0.1:1", 60, 1),
            guest(2, "9.0.0.2:1", 60, 20),
            guest(3, "9.0.0.3:1", 60, 50),
            guest(4, "9.0.0.4:1", 2, 2),
        ];
        assert_eq!(
            who_leaves(&guests, place("9.9.9.9:1"), 4),
            Some(PublicKey([3; 32]))
        );
        assert_eq!(who_leaves(&guests[..1], place("9.9.9.9:1"), 1), None);
        assert_eq!(who_leaves(&guests[3..], place("9.9.9.9:1"), 1), None);
    }

    #[test]
    fn an_address_that_holds_more_than_its_share_makes_room_even_if_served() {
        let mut guests: Vec<Guest> = (0..20)
            .map(|n| guest(n, "9.0.0.1:1", 60, u64::from(n % 3)))
            .collect();
        guests.extend((20..32).map(|n| guest(n, &format!("9.0.1.{n}:1"), 60, 4)));
        let gone = who_leaves(&guests, place("9.9.9.9:1"), 32).unwrap();
        assert!(gone.0[0] < 20 && gone.0[0] % 3 == 2, "{gone:?}");
        // Not for one more of its own, and not if it is a local network.
        assert_eq!(who_leaves(&guests, place("9.0.0.1:7"), 32), None);
        let local: Vec<Guest> = (0..32).map(|n| guest(n, "192.168.1.1:1", 60, 1)).collect();
        assert_eq!(who_leaves(&local, place("9.9.9.9:1"), 32), None);
        // One network of IPv6 is one address.
        assert_eq!(place("[2001:db8::1]:1"), place("[2001:db8::ffff:0:1]:2"));
        assert_ne!(place("[2001:db8:0:1::1]:1"), place("[2001:db8::1]:1"));
    }

    #[test]
    fn liars_are_kept_out_for_a_while_and_their_address_after_some() {
        let (now, mut bans) = (Instant::now(), Bans::default());
        let (home, local) = (place("9.0.0.1:1"), place("127.0.0.1:1"));
        for number in 0..4 {
            assert!(!bans.has_place(now, home), "{number}");
            bans.add(now, PublicKey([number; 32]), home);
            bans.add(now, PublicKey([number; 32]), home);
            bans.add(now, PublicKey([100 + number; 32]), local);
            assert!(bans.has(now, &PublicKey([number; 32])) && !bans.has(now, &PublicKey([50; 32])));
        }
        assert!(bans.has_place(now, home) && !bans.has_place(now, local) && !bans.has_place(now, None));
        let later = now + BAN;
        assert!(!bans.has(later, &PublicKey([1; 32])) && !bans.has_place(later, home));
        for number in 0..10_000u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_le_bytes());
            bans.add(
                later,
                PublicKey(key),
                place(&format!("8.{}.{}.1:1", number / 256, number % 256)),
            );
        }
        assert!(bans.keys.len() <= MAX_BANS && bans.places.len() <= MAX_BANS);
    }
}
