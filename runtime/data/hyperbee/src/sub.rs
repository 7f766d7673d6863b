//! Keyspaces inside a bee: npm `sub-encoder`'s prefix, a name and a zero byte before every key.

use std::ops::Bound;

use bytes::Bytes;

use crate::range::Range;

/// A named keyspace; drives keep their entries in `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubKey {
    prefix: Vec<u8>,
}

impl SubKey {
    /// The keyspace of that name.
    pub fn new(name: &str) -> Self {
        let mut prefix = name.as_bytes().to_vec();
        prefix.push(0);
        Self { prefix }
    }

    /// The key as stored in the bee.
    pub fn encode(&self, key: &[u8]) -> Bytes {
        [&self.prefix, key].concat().into()
    }

    /// The key without the keyspace's prefix; `None` when it lies in another keyspace.
    pub fn decode<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        stored.strip_prefix(&self.prefix[..])
    }

    /// A range of keys of this keyspace as a range of the bee; an open end stops at the end of the keyspace.
    pub fn encode_range(&self, range: Range) -> Range {
        let mut after = self.prefix.clone();
        if let Some(last) = after.last_mut() {
            *last = 1;
        }
        Range {
            start: match range.start {
                Bound::Included(key) => Bound::Included(self.encode(&key)),
                Bound::Excluded(key) => Bound::Excluded(self.encode(&key)),
                Bound::Unbounded => Bound::Included(self.prefix.clone().into()),
            },
            end: match range.end {
                Bound::Included(key) => Bound::Included(self.encode(&key)),
                Bound::Excluded(key) => Bound::Excluded(self.encode(&key)),
                Bound::Unbounded => Bound::Excluded(after.into()),
            },
            ..range
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_range_stays_inside_the_keyspace() {
        let files = SubKey::new("files");
        assert_eq!(files.encode(b"/a").as_ref(), b"files\0/a");
        assert_eq!(files.decode(b"files\0/a"), Some(&b"/a"[..]));
        assert_eq!(files.decode(b"other\0/a"), None);
        let range = files.encode_range(Range::all());
        assert!(range.after_start(b"files\0") && range.before_end(b"files\0\xff"));
        assert!(!range.after_start(b"filer") && !range.before_end(b"files\x01"));
    }
}
