//! What the system core says, with what the present step adds to it (npm `autobase` lib/system.js): members, indexers, heads, views.
//!
//! The core is a bee that somebody else keeps. What it has of a member has to be [learned](System::learn) before it is needed; what a step
//! changes comes out as the puts that it writes.

use std::collections::BTreeMap;

use base::hash::{blake2b, namespace};

use crate::constants::{GENESIS_ENTROPY, MAX_INDEXERS};
use crate::messages::{Info, Member, info_key, member_key};
use crate::{Head, Key};

/// What is in the bee of a member is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what the system core has of writer {0} was not read yet")]
pub struct Unknown(pub Key);

/// Members whose value in the bee is remembered from step to step. More are read again.
const REMEMBERED: usize = 16_384;

/// A view as a step left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ViewAt {
    pub(crate) key: Key,
    pub(crate) length: u64,
    /// Its place among the system core's views; `None` before it had any block.
    pub(crate) mapped: Option<usize>,
}

/// A put into the system core's bee: the key, and the value.
pub type Put = (Vec<u8>, Vec<u8>);

/// The state of a base.
#[derive(Debug, Clone)]
pub struct System {
    info: Info,
    /// Length of the system core.
    length: u64,
    /// Members that the present step added, removed or acknowledged, in that order.
    changes: Vec<(Key, Member)>,
    /// Writers whose nodes the present step took in, in that order.
    clock: Vec<Head>,
    /// The present step changed the indexers.
    indexers_changed: bool,
    stored: BTreeMap<Key, Option<Member>>,
}

impl System {
    /// As the system core says at a length; 0 for a base that has just begun.
    pub fn new(info: Info, length: u64) -> Self {
        Self {
            info,
            length,
            changes: Vec::new(),
            clock: Vec::new(),
            indexers_changed: false,
            stored: BTreeMap::new(),
        }
    }

    /// The state, the present step included.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Length of the system core, the present step not included.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether nobody is a member yet.
    pub fn is_fresh(&self) -> bool {
        self.info.members == 0
    }

    /// Whether the present step changed the indexers.
    pub fn indexers_changed(&self) -> bool {
        self.indexers_changed
    }

    /// Tells what the bee has of a member.
    pub fn learn(&mut self, key: Key, stored: Option<Member>) {
        self.stored.insert(key, stored);
    }

    /// A member, the present step included, apart from how many of its nodes that took in.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn member(&self, key: &Key) -> Result<Option<Member>, Unknown> {
        let changed = self.changes.iter().rev().find(|(changed, _)| changed == key);
        if let Some((_, member)) = changed {
            return Ok(Some(*member));
        }
        if self.length == 0 {
            return Ok(None);
        }
        self.stored.get(key).copied().ok_or(Unknown(*key))
    }

    /// How many of a writer's nodes the present step took in up to; 0 for none.
    fn seen(&self, key: &Key) -> u64 {
        let seen = self.clock.iter().find(|head| head.key == *key);
        seen.map_or(0, |head| head.length)
    }

    /// Whether a node is newer than what is in the order of its writer.
    ///
    /// # Errors
    /// [`Unknown`].
    pub(crate) fn is_new(&self, at: &Head) -> Result<bool, Unknown> {
        let before = match self.seen(&at.key) {
            0 => self.member(&at.key)?.map_or(0, |member| member.length),
            seen => seen,
        };
        Ok(at.length > before)
    }

    /// Takes in a node, which links `heads`.
    pub(crate) fn add_head(&mut self, at: Head, heads: &[Head]) {
        let mut place = 0;
        while let Some(head) = self.info.heads.get(place) {
            if !heads.contains(head) {
                if head.key != at.key {
                    place += 1;
                    continue;
                }
                // A head of old that should not be there.
                if head.length > at.length {
                    return;
                }
            }
            self.info.heads.swap_remove(place);
        }
        self.info.heads.push(at);
        match self.clock.iter_mut().find(|head| head.key == at.key) {
            Some(seen) => seen.length = at.length,
            None => self.clock.push(at),
        }
        if self.info.pending_indexers.contains(&at.key) {
            self.set_indexer(at);
        } else if let Some(indexer) = self.info.indexers.iter_mut().find(|head| head.key == at.key) {
            indexer.length = at.length;
        }
    }

    /// A writer becomes an indexer, with its next node if it has none yet.
    fn set_indexer(&mut self, at: Head) {
        let pending = self.info.pending_indexers.iter().position(|key| *key == at.key);
        if at.length == 0 {
            if pending.is_none() && self.info.pending_indexers.len() < MAX_INDEXERS {
                self.info.pending_indexers.push(at.key);
            }
            return;
        }
        if let Some(pending) = pending {
            self.info.pending_indexers.swap_remove(pending);
        }
        if let Some(indexer) = self.info.indexers.iter_mut().find(|head| head.key == at.key) {
            indexer.length = at.length;
        } else if self.info.indexers.len() < MAX_INDEXERS {
            self.info.indexers.push(at);
            self.indexers_changed |= !self.is_fresh();
        }
    }

    fn unset_indexer(&mut self, key: &Key) {
        let before = self.info.indexers.len();
        self.info.indexers.retain(|head| head.key != *key);
        self.indexers_changed |= self.info.indexers.len() < before;
    }

    /// Lets a writer in, or changes whether it indexes. Returns how many of its nodes are in the order.
    ///
    /// # Errors
    /// [`Unknown`].
    pub(crate) fn add(&mut self, key: Key, is_indexer: bool) -> Result<u64, Unknown> {
        let found = self.member(&key)?;
        let known = found.unwrap_or_default();
        let length = self.seen(&key).max(known.length);
        let member = Member {
            is_indexer,
            is_removed: false,
            length,
        };
        if found != Some(member) {
            self.changes.push((key, member));
        }
        if found.is_none_or(|member| member.is_removed) {
            self.info.members += 1;
        }
        if is_indexer {
            self.set_indexer(Head { key, length });
        } else if known.is_indexer {
            self.unset_indexer(&key);
        }
        Ok(length)
    }

    /// Whether a writer may be removed: not the last indexer.
    pub fn is_removable(&self, key: &Key) -> bool {
        !matches!(self.info.indexers.as_slice(), [only] if only.key == *key)
    }

    /// Takes a writer's right to write. What it wrote stays.
    ///
    /// # Errors
    /// [`Unknown`].
    pub(crate) fn remove(&mut self, key: Key) -> Result<(), Unknown> {
        let found = self.member(&key)?;
        self.unset_indexer(&key);
        if found.is_none_or(|member| !member.is_removed) {
            let member = Member {
                is_indexer: false,
                is_removed: true,
                length: found.map_or(0, |member| member.length),
            };
            self.changes.push((key, member));
        }
        if found.is_some_and(|member| !member.is_removed) {
            self.info.members = self.info.members.saturating_sub(1);
        }
        Ok(())
    }

    /// Takes note of how much a writer wrote, without letting it in.
    ///
    /// # Errors
    /// [`Unknown`].
    pub(crate) fn acknowledge(&mut self, key: Key) -> Result<(), Unknown> {
        let found = self.member(&key)?;
        let length = self.seen(&key);
        if found.is_some_and(|member| member.length == length) {
            return Ok(());
        }
        let member = Member {
            is_indexer: found.is_some_and(|member| member.is_indexer),
            is_removed: found.is_none_or(|member| member.is_removed),
            length,
        };
        self.changes.push((key, member));
        Ok(())
    }

    /// Members of which [`flush`](Self::flush) has to know what the bee has.
    pub(crate) fn unknown(&self) -> Vec<Key> {
        let seen = self.clock.iter().map(|head| head.key);
        seen.filter(|key| self.member(key).is_err()).collect()
    }

    /// How long the system core will be after the present step.
    fn length_after(&self) -> u64 {
        let header = u64::from(self.length == 0);
        let seen = |key: &Key| self.clock.iter().any(|head| head.key == *key);
        let changes = self.changes.iter().filter(|(key, _)| !seen(key)).count();
        header + self.length + (changes + self.clock.len()) as u64 + 1
    }

    /// What the next views are made from, if they are made from anything but the first indexer.
    pub(crate) fn next_entropy(&self) -> Option<[u8; 32]> {
        if self.info.version < 2 {
            return None;
        }
        let before = self.info.entropy.unwrap_or(*GENESIS_ENTROPY);
        let mut parts = Vec::with_capacity(40 + 32 * self.info.indexers.len());
        parts.extend_from_slice(&self.length_after().to_le_bytes());
        parts.extend_from_slice(&before);
        for indexer in &self.info.indexers {
            parts.extend_from_slice(&indexer.key.0);
        }
        Some(blake2b(&[&namespace("autobase/entropy", 1), &parts]))
    }

    /// Ends the step: what it puts into the bee, in this order, each a block. The state itself is the last.
    ///
    /// # Errors
    /// [`Unknown`]; nothing has changed then.
    pub(crate) fn flush(&mut self, views: &mut [ViewAt]) -> Result<Vec<Put>, Unknown> {
        let mut puts = Vec::with_capacity(self.changes.len() + self.clock.len() + 1);
        let mut put = |key: &Key, member: Member| {
            puts.push((member_key(key), member.encode()));
            (*key, Some(member))
        };
        let mut written = Vec::new();
        for (key, member) in &self.changes {
            if self.seen(key) == 0 {
                written.push(put(key, *member));
            }
        }
        for Head { key, length } in &self.clock {
            let member = Member {
                is_indexer: self.info.indexers.iter().any(|head| head.key == *key),
                is_removed: self.member(key)?.is_none_or(|member| member.is_removed),
                length: *length,
            };
            written.push(put(key, member));
        }
        let length = self.length_after();
        if self.indexers_changed && self.info.version >= 2 {
            self.info.entropy = self.next_entropy();
        }
        let mapped = views.iter().filter_map(|view| view.mapped).max();
        self.info.views.truncate(mapped.map_or(0, |last| last + 1));
        for view in views.iter_mut().filter(|view| view.length > 0) {
            let head = Head {
                key: view.key,
                length: view.length,
            };
            match view.mapped.and_then(|place| self.info.views.get_mut(place)) {
                Some(place) => *place = head,
                None => {
                    view.mapped = Some(self.info.views.len());
                    self.info.views.push(head);
                }
            }
        }
        puts.push((info_key(), self.info.encode()));
        self.length = length;
        self.changes.clear();
        self.clock.clear();
        self.indexers_changed = false;
        if self.stored.len() > REMEMBERED {
            self.stored.clear();
        }
        for (key, member) in written {
            self.learn(key, member);
        }
        Ok(puts)
    }
}
