//! A set of packet numbers as ranges.

use std::collections::BTreeMap;

/// Ranges by their first number, each to just after its last; they neither overlap nor touch.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a range, and gives the parts of it that were not in the set. What is replaced was added before, so all calls
    /// together cost no more than the ranges added.
    pub(super) fn insert(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let (mut first, mut last, mut at) = (start, end, start);
        let mut fresh = Vec::new();
        if let Some((&known_start, &known_end)) = self.0.range(..start).next_back()
            && known_end >= start
        {
            if known_end >= end {
                return fresh;
            }
            (first, at) = (known_start, known_end);
        }
        while let Some((&known_start, &known_end)) = self.0.range(start..=end).next() {
            if known_start > at {
                fresh.push((at, known_start));
            }
            at = at.max(known_end);
            last = last.max(known_end);
            self.0.remove(&known_start);
        }
        if at < end {
            fresh.push((at, end));
        }
        self.0.insert(first, last);
        fresh
    }

    /// Forgets numbers below `least`.
    pub(super) fn forget_before(&mut self, least: u64) {
        while let Some(entry) = self.0.first_entry() {
            if *entry.key() >= least {
                break;
            }
            let end = entry.remove();
            if end > least {
                self.0.insert(least, end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set(steps in proptest::collection::vec((0u64..60, 1u64..20, any::<bool>()), 0..60)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (start, length, forget) in steps {
                if forget {
                    ranges.forget_before(start);
                    model.retain(|number| *number >= start);
                    continue;
                }
                let fresh: Vec<u64> = ranges.insert(start, start + length).into_iter().flat_map(|(a, b)| a..b).collect();
                let expected: Vec<u64> = (start..start + length).filter(|number| model.insert(*number)).collect();
                prop_assert_eq!(fresh, expected);
                let held: Vec<u64> = ranges.0.iter().flat_map(|(a, b)| *a..*b).collect();
                prop_assert_eq!(held, model.iter().copied().collect::<Vec<_>>());
                let apart = ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|((_, end), (next, _))| end < next);
                prop_assert!(apart);
            }
        }
    }
}
