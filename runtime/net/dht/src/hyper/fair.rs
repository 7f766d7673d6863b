//! A bounded map in which everybody's entries count for the address they came from: whoever fills it pushes out its own.
//!
//! Each step takes logarithmic time, however full it is. No I/O: time is passed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Slot<V> {
    value: V,
    owner: Ipv4Addr,
    serial: u64,
    at: Instant,
}

/// The map.
#[derive(Debug)]
pub(super) struct Fair<K, V> {
    slots: HashMap<K, Slot<V>>,
    /// All keys, oldest first.
    order: BTreeMap<u64, K>,
    /// The same by owner, and owners by how much they hold.
    owners: HashMap<Ipv4Addr, BTreeMap<u64, K>>,
    weights: BTreeSet<(usize, Ipv4Addr)>,
    serial: u64,
    max: usize,
    max_per_owner: usize,
    age: Duration,
}

impl<K: Eq + Hash + Clone, V> Fair<K, V> {
    /// Holds up to `max` entries, of which one address may own `max_per_owner`, each for `age` after it was set last.
    pub(super) fn new(max: usize, max_per_owner: usize, age: Duration) -> Self {
        Self {
            slots: HashMap::new(),
            order: BTreeMap::new(),
            owners: HashMap::new(),
            weights: BTreeSet::new(),
            serial: 0,
            max,
            max_per_owner,
            age,
        }
    }

    /// The value, unless it is too old.
    pub(super) fn get(&self, now: Instant, key: &K) -> Option<&V> {
        let slot = self.slots.get(key)?;
        (now.saturating_duration_since(slot.at) < self.age).then_some(&slot.value)
    }

    /// Sets it, on behalf of `owner`. Returns the keys that had to go: the old ones, and the oldest of the owner or, if all
    /// is full, of whoever holds most.
    pub(super) fn set(&mut self, now: Instant, key: K, value: V, owner: Ipv4Addr) -> Vec<K> {
        let mut gone = self.expire(now);
        self.remove(&key);
        if self
            .owners
            .get(&owner)
            .is_some_and(|keys| keys.len() >= self.max_per_owner)
        {
            gone.extend(self.drop_oldest_of(owner));
        }
        if self.slots.len() >= self.max
            && let Some((_, heaviest)) = self.weights.last().copied()
        {
            gone.extend(self.drop_oldest_of(heaviest));
        }
        self.serial += 1;
        let serial = self.serial;
        self.order.insert(serial, key.clone());
        let keys = self.owners.entry(owner).or_default();
        self.weights.remove(&(keys.len(), owner));
        keys.insert(serial, key.clone());
        self.weights.insert((keys.len(), owner));
        let slot = Slot {
            value,
            owner,
            serial,
            at: now,
        };
        self.slots.insert(key, slot);
        gone
    }

    /// Takes it out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.slots.remove(key)?;
        self.order.remove(&slot.serial);
        if let Some(keys) = self.owners.get_mut(&slot.owner) {
            self.weights.remove(&(keys.len(), slot.owner));
            keys.remove(&slot.serial);
            if keys.is_empty() {
                self.owners.remove(&slot.owner);
            } else {
                self.weights.insert((keys.len(), slot.owner));
            }
        }
        Some(slot.value)
    }

    /// Drops what is too old. Each entry is looked at once in its life, and the oldest one once for each call.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<K> {
        let mut gone = Vec::new();
        while let Some(key) = self.order.first_key_value().map(|(_, key)| key.clone()) {
            if self.get(now, &key).is_some() {
                break;
            }
            self.remove(&key);
            gone.push(key);
        }
        gone
    }

    fn drop_oldest_of(&mut self, owner: Ipv4Addr) -> Option<K> {
        let (_, key) = self.owners.get(&owner)?.first_key_value()?;
        let key = key.clone();
        self.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    fn ip(n: u32) -> Ipv4Addr {
        Ipv4Addr::from(n)
    }

    #[test]
    fn a_flood_pushes_out_its_own() {
        let now = Instant::now();
        let mut map = Fair::new(100, 80, AGE);
        for n in 0..30 {
            assert!(map.set(now, n, (), ip(n)).is_empty(), "room for all");
        }
        for n in 1000..100_000 {
            map.set(now, n, (), ip(7777));
        }
        assert!((0..30).all(|n| map.get(now, &n).is_some()));
        assert_eq!(map.slots.len(), 100);
        // From many addresses: whoever holds most goes first.
        for n in 200_000..200_060 {
            map.set(now, n, (), ip(n));
        }
        assert!((0..30).all(|n| map.get(now, &n).is_some()));
    }

    #[test]
    fn entries_age_unless_they_are_set_again() {
        let now = Instant::now();
        let mut map = Fair::new(100, 100, AGE);
        map.set(now, 1, (), ip(1));
        map.set(now, 2, (), ip(1));
        map.set(now + AGE / 2, 1, (), ip(2));
        assert_eq!(map.get(now + AGE, &2), None);
        assert_eq!(map.get(now + AGE, &1), Some(&()));
        assert_eq!(map.set(now + AGE, 3, (), ip(1)), [2]);
        assert_eq!(map.expire(now + AGE * 3), [1, 3]);
        assert!(map.order.is_empty() && map.owners.is_empty() && map.weights.is_empty());
    }

    proptest! {
        #[test]
        fn its_parts_agree(steps in proptest::collection::vec((0u8..20, 0u32..4, 0u64..30, any::<bool>()), 0..300)) {
            let mut now = Instant::now();
            let mut map = Fair::new(10, 6, AGE);
            for (key, owner, seconds, set) in steps {
                now += Duration::from_secs(seconds);
                if set {
                    map.set(now, key, seconds, ip(owner));
                    prop_assert_eq!(map.get(now, &key), Some(&seconds));
                } else {
                    map.remove(&key);
                    prop_assert_eq!(map.get(now, &key), None);
                }
                prop_assert!(map.slots.len() <= 10);
                prop_assert_eq!(map.slots.len(), map.order.len());
                let held: usize = map.owners.values().map(BTreeMap::len).sum();
                prop_assert_eq!(held, map.slots.len());
                prop_assert_eq!(map.weights.len(), map.owners.len());
                for (owner, keys) in &map.owners {
                    prop_assert!(keys.len() <= 6);
                    prop_assert!(map.weights.contains(&(keys.len(), *owner)));
                }
            }
        }
    }
}
