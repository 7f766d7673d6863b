//! Keys and values of the system core, which is a bee: who is a member, and what the base was at each step.

use base::wire::{DecodeError, Reader, Writer};

use super::{HEAD_SIZE, Head, Key, flags, put_head, read_heads, read_if, read_list};
use crate::constants::{DEFAULT_SYSTEM_VERSION, MAX_INDEXERS, MAX_SYSTEM_VERSION, MAX_VIEWS};

/// The bee's key of [`Info`] (sub `00`, npm `sub-encoder`).
pub fn info_key() -> Vec<u8> {
    b"\x00\x00info".to_vec()
}

/// The bee's key of a [`Member`] (sub `01`).
pub fn member_key(writer: &Key) -> Vec<u8> {
    [&[1, 0], &writer.0[..]].concat()
}

/// Which writer a key of the bee is about; `None` for other keys.
pub fn member_of(key: &[u8]) -> Option<Key> {
    let rest = key.strip_prefix(&[1, 0])?;
    rest.try_into().ok().map(Key)
}

/// A writer that was ever added, removed or acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Member {
    /// Whether it takes part in the quorum.
    pub is_indexer: bool,
    /// Whether it was removed, or was never added.
    pub is_removed: bool,
    /// How many of its nodes are in the order so far.
    pub length: u64,
}

impl Member {
    /// The value in the bee.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(10);
        w.uint(flags(&[self.is_indexer, self.is_removed]))
            .uint(self.length);
        w.finish()
    }

    /// Reads a value of the bee.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(value);
        let set = r.uint()?;
        Ok(Self {
            is_indexer: set & 1 != 0,
            is_removed: set & 2 != 0,
            length: r.uint()?,
        })
    }
}

/// The state of the base after one step: the last thing that a step writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Version of this value, 0 to 2; what is written is of the version that was read.
    pub version: u64,
    /// How many writers there are, the removed ones not counted.
    pub members: u64,
    /// Writers that become indexers with their next node.
    pub pending_indexers: Vec<Key>,
    /// The indexers, with how many of their nodes are in the order.
    pub indexers: Vec<Head>,
    /// The heads of what is in the order.
    pub heads: Vec<Head>,
    /// The app's views.
    pub views: Vec<Head>,
    /// Length of the core of encryption keys (version 2).
    pub encryption_length: u64,
    /// What the keys of the next views are made from (version 2).
    pub entropy: Option<[u8; 32]>,
}

impl Default for Info {
    fn default() -> Self {
        Self {
            version: DEFAULT_SYSTEM_VERSION,
            members: 0,
            pending_indexers: Vec::new(),
            indexers: Vec::new(),
            heads: Vec::new(),
            views: Vec::new(),
            encryption_length: 0,
            entropy: None,
        }
    }
}

impl Info {
    /// The value in the bee.
    pub fn encode(&self) -> Vec<u8> {
        let heads = self.indexers.len() + self.heads.len() + self.views.len();
        let mut w = Writer::with_capacity(64 + HEAD_SIZE * (self.pending_indexers.len() + heads));
        w.uint(self.version)
            .uint(self.members)
            .list(&self.pending_indexers, |w, key| w.raw(&key.0))
            .list(&self.indexers, put_head)
            .list(&self.heads, put_head)
            .list(&self.views, put_head);
        if self.version >= 2 {
            w.uint(self.encryption_length)
                .uint(flags(&[self.entropy.is_some()]));
            if let Some(entropy) = &self.entropy {
                w.raw(entropy);
            }
        }
        w.finish()
    }

    /// Reads a value of the bee.
    ///
    /// # Errors
    /// If it is none, is of a later version, or exceeds a bound of [`constants`](crate::constants).
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(value);
        let version = r.uint()?;
        if version > MAX_SYSTEM_VERSION {
            return Err(DecodeError);
        }
        let members = r.uint()?;
        let pending_indexers = read_list(r, 32, MAX_INDEXERS, |r| r.fixed().map(Key))?;
        let mut info = Self {
            version,
            members,
            pending_indexers,
            indexers: read_heads(r)?,
            heads: read_heads(r)?,
            views: read_heads(r)?,
            encryption_length: 0,
            entropy: None,
        };
        if info.indexers.len() > MAX_INDEXERS || info.views.len() > MAX_VIEWS {
            return Err(DecodeError);
        }
        if version >= 2 {
            info.encryption_length = r.uint()?;
            let set = r.uint()?;
            info.entropy = read_if(set & 1 != 0, r, Reader::fixed)?;
        }
        Ok(info)
    }
}
