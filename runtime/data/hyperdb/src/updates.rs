//! What was written and not flushed yet, and how it is seen meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use hyperbee::Range;

/// One entry of the bee to come: its key, and its value, or none where it goes.
pub(crate) type Write = (Vec<u8>, Option<Vec<u8>>);

/// What becomes of one record.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    /// Later ones have larger numbers.
    tick: u64,
    pub(crate) collection: usize,
    /// The record without its key; none where it goes.
    pub(crate) value: Option<Vec<u8>>,
    /// Entries of indexes that come and go with it, by the index's place in the definition.
    pub(crate) indexes: Vec<(usize, Vec<Write>)>,
}

/// Records that change, by their key in the bee.
#[derive(Debug, Clone, Default)]
pub(crate) struct Updates {
    next: u64,
    records: BTreeMap<Vec<u8>, Update>,
}

/// An entry of a range as it will be: its key in the bee, and the record's key and value, or none where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Overlaid {
    pub(crate) key: Vec<u8>,
    pub(crate) record: Option<Write>,
}

impl Updates {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Update> {
        self.records.get(key)
    }

    pub(crate) fn set(
        &mut self,
        collection: usize,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        indexes: Vec<(usize, Vec<Write>)>,
    ) {
        let tick = self.next;
        self.next += 1;
        let update = Update {
            tick,
            collection,
            value,
            indexes,
        };
        self.records.insert(key, update);
    }

    /// The record stays as it is stored.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.records.remove(key);
    }

    /// All entries of the bee, in the order in which npm's package writes them: the newest record first, its indexes before it. Of two that
    /// write one entry of an index, the newest does.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let mut newest: Vec<_> = self.records.iter().collect();
        newest.sort_by_key(|(_, update)| std::cmp::Reverse(update.tick));
        let mut seen = HashSet::new();
        let mut writes = Vec::new();
        for (key, update) in &newest {
            for write in update.indexes.iter().flat_map(|(_, writes)| writes) {
                if newest.len() > 1 && !seen.insert(&write.0) {
                    continue;
                }
                writes.push(write.clone());
            }
            writes.push(((*key).clone(), update.value.clone()));
        }
        writes
    }

    /// What changes of a range of a collection, in the range's order.
    pub(crate) fn of_collection(&self, collection: usize, range: &Range) -> Vec<Overlaid> {
        let changed = self
            .records
            .iter()
            .filter(|(_, update)| update.collection == collection);
        let changed = changed.filter(|(key, _)| within(range, key));
        let mut overlay: Vec<_> = changed
            .map(|(key, update)| Overlaid {
                key: key.clone(),
                record: update
                    .value
                    .is_some()
                    .then(|| (key.clone(), update.value.clone())),
            })
            .collect();
        if range.reverse {
            overlay.reverse();
        }
        overlay
    }

    /// What changes of a range of an index, in the range's order. Where several write one entry, the newest does.
    pub(crate) fn of_index(&self, index: usize, range: &Range) -> Vec<Overlaid> {
        let mut newest: BTreeMap<&[u8], (u64, Overlaid)> = BTreeMap::new();
        for (record, update) in &self.records {
            let writes = update.indexes.iter().filter(|(at, _)| *at == index);
            for (key, value) in writes.flat_map(|(_, writes)| writes) {
                if !within(range, key) || newest.get(&key[..]).is_some_and(|(tick, _)| *tick > update.tick) {
                    continue;
                }
                let found = value.as_ref().map(|_| (record.clone(), update.value.clone()));
                let overlaid = Overlaid {
                    key: key.clone(),
                    record: found,
                };
                newest.insert(key, (update.tick, overlaid));
            }
        }
        let mut overlay: Vec<_> = newest.into_values().map(|(_, overlaid)| overlaid).collect();
        if range.reverse {
            overlay.reverse();
        }
        overlay
    }

    /// What becomes of one entry of an index.
    pub(crate) fn index_entry(&self, index: usize, key: &[u8]) -> Option<Overlaid> {
        let range = Range::all().gte(key.to_vec()).lte(key.to_vec());
        self.of_index(index, &range).pop()
    }
}

fn within(range: &Range, key: &[u8]) -> bool {
    let after = match &range.start {
        Bound::Unbounded => true,
        Bound::Included(start) => key >= &start[..],
        Bound::Excluded(start) => key > &start[..],
    };
    let before = match &range.end {
        Bound::Unbounded => true,
        Bound::Included(end) => key <= &end[..],
        Bound::Excluded(end) => key < &end[..],
    };
    after && before
}

/// Which keys an index loses and which it gets, in the order in which npm's package writes them.
pub(crate) fn difference(mut old: Vec<Vec<u8>>, mut new: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    if old.is_empty() || new.is_empty() {
        return (old, new);
    }
    if old.len() > 1 || new.len() > 1 {
        old.sort();
        new.sort();
    }
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return (gone, come),
            (Some(a), Some(b)) if a == b => drop((old.next(), new.next())),
            (Some(a), Some(b)) if a < b => gone.extend(old.next()),
            (Some(_), None) => gone.extend(old.next()),
            _ => come.extend(new.next()),
        }
    }
}
