//! What a node has seen of each indexer.

use super::WriterId;

/// Lengths of indexers' logs, by writer. Has no more entries than there are indexers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    /// In the order of the writers' ids.
    seen: Vec<(WriterId, u64)>,
}

impl Clock {
    fn find(&self, writer: WriterId) -> Result<usize, usize> {
        self.seen.binary_search_by_key(&writer, |(id, _)| *id)
    }

    /// How much of a writer's log was seen.
    pub(crate) fn get(&self, writer: WriterId) -> u64 {
        let found = self.find(writer).ok().and_then(|at| self.seen.get(at));
        found.map_or(0, |(_, length)| *length)
    }

    /// Whether node `length` of a writer was seen.
    pub(crate) fn includes(&self, writer: WriterId, length: u64) -> bool {
        self.find(writer).is_ok() && self.get(writer) >= length
    }

    pub(crate) fn set(&mut self, writer: WriterId, length: u64) {
        match self.find(writer) {
            Ok(at) => {
                if let Some(entry) = self.seen.get_mut(at) {
                    entry.1 = length;
                }
            }
            Err(at) => self.seen.insert(at, (writer, length)),
        }
    }

    /// Takes over what another has seen more of.
    pub(crate) fn add(&mut self, other: &Self) {
        for (writer, length) in other.iter() {
            if self.get(writer) < length {
                self.set(writer, length);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (WriterId, u64)> + '_ {
        self.seen.iter().copied()
    }
}
