//! Ranges of keys.

use std::cmp::Ordering;
use std::ops::Bound;

use bytes::Bytes;

/// Which keys to walk over, and how. The default is all of them, ascending.
#[derive(Debug, Clone)]
pub struct Range {
    /// Where the smallest key may be.
    pub start: Bound<Bytes>,
    /// Where the largest key may be.
    pub end: Bound<Bytes>,
    /// Walk from the largest key to the smallest.
    pub reverse: bool,
    /// Stop after that many entries.
    pub limit: Option<usize>,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
            reverse: false,
            limit: None,
        }
    }
}

impl Range {
    /// All keys.
    pub fn all() -> Self {
        Self::default()
    }

    /// Keys greater than `key`.
    pub fn gt(mut self, key: impl Into<Bytes>) -> Self {
        self.start = Bound::Excluded(key.into());
        self
    }

    /// Keys greater than or equal to `key`.
    pub fn gte(mut self, key: impl Into<Bytes>) -> Self {
        self.start = Bound::Included(key.into());
        self
    }

    /// Keys less than `key`.
    pub fn lt(mut self, key: impl Into<Bytes>) -> Self {
        self.end = Bound::Excluded(key.into());
        self
    }

    /// Keys less than or equal to `key`.
    pub fn lte(mut self, key: impl Into<Bytes>) -> Self {
        self.end = Bound::Included(key.into());
        self
    }

    /// Descending order.
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// At most `limit` entries.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// True when `key` is at or after the start.
    pub(crate) fn after_start(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Unbounded => true,
            Bound::Included(start) => key.cmp(start) != Ordering::Less,
            Bound::Excluded(start) => key.cmp(start) == Ordering::Greater,
        }
    }

    /// True when `key` is at or before the end.
    pub(crate) fn before_end(&self, key: &[u8]) -> bool {
        match &self.end {
            Bound::Unbounded => true,
            Bound::Included(end) => key.cmp(end) != Ordering::Greater,
            Bound::Excluded(end) => key.cmp(end) == Ordering::Less,
        }
    }

    /// True when a subtree whose keys lie strictly between the two may hold a key of this range.
    pub(crate) fn may_meet(&self, lower: Option<&[u8]>, upper: Option<&[u8]>) -> bool {
        let before = match (&self.start, upper) {
            (Bound::Included(start) | Bound::Excluded(start), Some(upper)) => upper <= start.as_ref(),
            _ => false,
        };
        let after = match (&self.end, lower) {
            (Bound::Included(end) | Bound::Excluded(end), Some(lower)) => lower >= end.as_ref(),
            _ => false,
        };
        !before && !after
    }
}
