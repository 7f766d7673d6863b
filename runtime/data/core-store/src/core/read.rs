//! Reading a core: local and awaited blocks, seeks, updates, downloads.

use std::time::Duration;

use bytes::Bytes;
use hypercore::merkle::{self, Batch, Cursor, Node, NodeSource, SeekResult};
use hypercore::proof::RequestSeek;
use hypercore::wants::WantId;
use tokio::sync::oneshot;

use super::shared::{Nodes, State};
use super::stall::Stall;
use super::{Core, DownloadRange, GetOptions, Shared};
use crate::CoreError;
use crate::storage::{self, Reading, lock};

/// Times a block is read again when what was read does not hash to its leaf: another process may have replaced both.
const READS: u32 = 3;
/// How long a peer's claim of a longer core is waited for.
const UPDATE_PATIENCE: Duration = Duration::from_secs(10);

/// Withdraws a waiting reader's want when the read ends or is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    index: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.shared.wants).remove_block(self.index);
        // The reader's own receiver is gone by now: so is its place in the list.
        let mut waiting = lock(&self.shared.waiting);
        if let Some(waiters) = waiting.get_mut(&self.index) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                waiting.remove(&self.index);
            }
        }
    }
}

impl Core {
    /// Block `index` if it is stored here. It is hashed on its way: one that the disk spoilt is dropped, so that it can be
    /// fetched again, and counts as not stored.
    ///
    /// # Errors
    /// If the store fails, or the block cannot be opened by this handle's cipher.
    pub fn get_local(&self, index: u64) -> Result<Option<Bytes>, CoreError> {
        let stored = self.get_stored(index)?;
        stored.map(|block| self.opened(index, block)).transpose()
    }

    /// As [`get_local`](Self::get_local), and the block as it is stored, whatever cipher this handle has.
    pub(super) fn get_stored(&self, index: u64) -> Result<Option<Bytes>, CoreError> {
        // A block that another process replaced meanwhile is read once more.
        for _ in 0..READS {
            // Not the state: that is held while megabytes of what peers sent are written.
            if let Some(block) = self.shared.waiting_block(index) {
                return Ok(Some(block));
            }
            if !self.has(index) {
                return Ok(None);
            }
            let id = self.shared.id;
            let (value, leaf) = self
                .shared
                .storage
                .snapshot(|db| Ok((storage::block(db, id, index)?, storage::node(db, id, 2 * index)?)))?;
            if let Some(value) = value
                && leaf == Some(Node::leaf(index, &value))
            {
                return Ok(Some(Bytes::from(value)));
            }
            self.check_block(index, true)?;
        }
        Ok(None)
    }

    /// As [`get_local`](Self::get_local), for each of several blocks: those that are on the disk are read in one go and hashed together,
    /// which takes half of the time.
    ///
    /// # Errors
    /// If the store fails, or a block cannot be opened by this handle's cipher.
    pub fn get_local_each(&self, indices: &[u64]) -> Result<Vec<Option<Bytes>>, CoreError> {
        let stored = self.get_stored_each(indices)?;
        let open =
            |(index, block): (&u64, Option<Bytes>)| block.map(|block| self.opened(*index, block)).transpose();
        indices.iter().zip(stored).map(open).collect()
    }

    fn get_stored_each(&self, indices: &[u64]) -> Result<Vec<Option<Bytes>>, CoreError> {
        let mut found: Vec<Option<Bytes>> = indices
            .iter()
            .map(|index| self.shared.waiting_block(*index))
            .collect();
        let on_disk: Vec<u64> = indices
            .iter()
            .zip(&found)
            .filter(|(index, found)| found.is_none() && self.has(**index))
            .map(|(index, _)| *index)
            .collect();
        if on_disk.is_empty() {
            return Ok(found);
        }
        let id = self.shared.id;
        let rows: Vec<(u64, Option<Vec<u8>>, Option<Node>)> = self.shared.storage.snapshot(|db| {
            let read = |&index| {
                Ok((
                    index,
                    storage::block(db, id, index)?,
                    storage::node(db, id, 2 * index)?,
                ))
            };
            on_disk.iter().map(read).collect()
        })?;
        let blocks: Vec<(u64, &[u8])> = rows
            .iter()
            .map(|(index, value, _)| (*index, value.as_deref().unwrap_or_default()))
            .collect();
        let hashed = Node::leaves(&blocks);
        let mut rows = rows.into_iter().zip(hashed).peekable();
        for (index, found) in indices.iter().zip(&mut found) {
            let Some(((_, value, leaf), hashed)) =
                rows.next_if(|((row, ..), _)| row == index && found.is_none())
            else {
                continue;
            };
            *found = match value {
                Some(value) if leaf == Some(hashed) => Some(value.into()),
                // Spoilt, or replaced by another process meanwhile.
                _ => self.get_stored(*index)?,
            };
        }
        Ok(found)
    }

    /// While the guard lives, reads of this store share transactions, which makes many small ones cheap. Hold it while blocks that
    /// are here are read one after the other, and not while anything is waited for.
    pub fn reading(&self) -> Reading {
        self.shared.storage.reading()
    }

    /// The tree's nodes, with those that are not written yet.
    pub(super) fn nodes<'a>(&'a self, state: &'a State) -> Nodes<'a> {
        Nodes {
            shared: &self.shared,
            state,
        }
    }

    /// Block `index`, waiting for a peer to send it if need be. Dropping the future withdraws the request.
    pub async fn get(&self, index: u64) -> Result<Bytes, CoreError> {
        let block = self.get_with(index, GetOptions::default()).await?;
        block.ok_or(CoreError::NotAvailable {
            key: self.key(),
            index,
        })
    }

    /// Block `index`, as `options` say; `None` if it is not there and the wait is over.
    pub async fn get_with(&self, index: u64, options: GetOptions) -> Result<Option<Bytes>, CoreError> {
        if let Some(block) = self.get_local(index)? {
            return Ok(Some(block));
        }
        if !options.wait {
            return Ok(None);
        }
        let wait = self.wait_for(index, options.patience);
        let stored = match options.timeout {
            None => Some(wait.await?),
            Some(timeout) => tokio::time::timeout(timeout, wait).await.ok().transpose()?,
        };
        stored.map(|block| self.opened(index, block)).transpose()
    }

    async fn wait_for(&self, index: u64, patience: Option<Duration>) -> Result<Bytes, CoreError> {
        lock(&self.shared.wants).add_block(index);
        let mut stall = Stall::new(self, index, patience)?;
        let _waiting = Waiting {
            shared: &self.shared,
            index,
        };
        loop {
            let (sender, receiver) = oneshot::channel();
            {
                let mut waiting = lock(&self.shared.waiting);
                let waiters = waiting.entry(index).or_default();
                waiters.retain(|waiter: &oneshot::Sender<Bytes>| !waiter.is_closed());
                waiters.push(sender);
            }
            if let Some(block) = self.get_stored(index)? {
                return Ok(block);
            }
            self.shared.wake();
            // Without a value somebody else stored it, or has to try anew.
            if let Ok(block) = stall.limit(receiver).await? {
                return Ok(block);
            }
            if let Some(block) = self.get_stored(index)? {
                return Ok(block);
            }
        }
    }

    /// The tree hash at `length`, what a verlink's hash and a multisig request state.
    ///
    /// # Errors
    /// If `length` exceeds the core's, or nodes of that tree are not stored.
    pub fn tree_hash(&self, length: u64) -> Result<[u8; 32], CoreError> {
        let state = self.shared.state();
        Ok(merkle::tree_hash(&self.shared.roots_at(&state, length)?))
    }

    /// [`tree_hash`](Self::tree_hash), after fetching what a partly stored core lacks for it: one block beneath each root of
    /// that tree. Waits for a peer that has them.
    pub async fn fetch_tree_hash(&self, length: u64) -> Result<[u8; 32], CoreError> {
        let mut last = None;
        loop {
            let index = match self.tree_hash(length) {
                Err(CoreError::MissingNode { index, .. }) if last != Some(index) => index,
                other => return other,
            };
            // With its last block comes every node above it.
            self.get(Cursor::new(index).right_span() / 2).await?;
            last = Some(index);
        }
    }

    /// The head as a tree: fork, length, roots.
    pub fn tree(&self) -> Batch {
        self.shared.state().tree.clone()
    }

    /// The block that holds byte `bytes` and the offset into it, asking peers for tree nodes if need be. With a cipher, bytes are those
    /// of the plain blocks.
    ///
    /// # Errors
    /// [`CoreError::OutOfBounds`] beyond the end.
    pub async fn seek(&self, bytes: u64) -> Result<(u64, u64), CoreError> {
        struct Want<'a>(&'a Shared, WantId);
        impl Drop for Want<'_> {
            fn drop(&mut self) {
                lock(&self.0.wants).remove_seek(self.1);
            }
        }
        let mut version = self.shared.version.subscribe();
        let mut want = None;
        let mut stall = Stall::new(self, 0, None)?;
        loop {
            version.borrow_and_update();
            match self.seek_local(bytes)? {
                SeekResult::Found { block, offset } => return Ok((block, offset)),
                SeekResult::Beyond => {
                    let length = self.length();
                    return Err(CoreError::OutOfBounds {
                        key: self.key(),
                        index: length,
                        length,
                    });
                }
                SeekResult::Within { .. } => {}
            }
            if want.is_none() {
                let seek = self.plain_seek(bytes);
                want = Some(Want(&self.shared, lock(&self.shared.wants).add_seek(seek)));
                self.shared.wake();
            }
            let _ = stall.limit(version.changed()).await?;
        }
    }

    /// The Merkle leaf of block `index` if the block is stored here: the hash of its content
    /// ([`hash_leaf`](merkle::hash_leaf)) and its size, without reading the content. It is as the disk has it: good to find a block
    /// that is likely the same, no proof of it.
    pub fn leaf(&self, index: u64) -> Result<Option<merkle::Node>, CoreError> {
        let state = self.shared.state();
        if !state.bitfield.get(index) {
            return Ok(None);
        }
        let nodes = self.nodes(&state);
        Ok(nodes.node(index.saturating_mul(2))?)
    }

    /// As [`seek`](Self::seek), with the nodes at hand.
    pub fn seek_local(&self, bytes: u64) -> Result<SeekResult, CoreError> {
        self.seek_stored(self.plain_seek(bytes))
    }

    fn plain_seek(&self, bytes: u64) -> RequestSeek {
        RequestSeek {
            bytes,
            padding: self.padding(),
        }
    }

    /// As [`seek_local`](Self::seek_local), whatever cipher this handle has.
    pub(crate) fn seek_stored(&self, seek: RequestSeek) -> Result<SeekResult, CoreError> {
        let mut state = self.shared.state();
        let RequestSeek { bytes, padding } = seek;
        let seek = |state: &State| merkle::seek(&self.nodes(state), &state.tree, bytes, padding);
        let found = seek(&state)?;
        let SeekResult::Within { start, end } = found else {
            return Ok(found);
        };
        // What the disk spoilt is mended, or dropped, so that peers are asked for it; what was never stored stays as it is.
        let mut cursor = Cursor::new(start + end - 1);
        let (left, right) = (cursor.left_child(), cursor.sibling());
        let nodes = self.nodes(&state);
        if nodes.node(left)?.is_none() || nodes.node(right)?.is_none() {
            return Ok(found);
        }
        self.shared.audit(&mut state, left, true)?;
        Ok(seek(&state)?)
    }

    /// How many tree levels above node `index` are not stored; goes into requests.
    pub fn missing_nodes(&self, index: u64) -> Result<u64, CoreError> {
        let state = self.shared.state();
        let nodes = self.nodes(&state);
        Ok(merkle::missing_nodes(&nodes, index, state.tree.length)?)
    }

    /// Waits until peers had a chance to tell of a longer core and to prove it; true if it grew meanwhile. A peer that claims a
    /// longer core and proves nothing is waited for no longer than 10 seconds. With `wait`, also waits while
    /// peers are still being found ([`Storage::finding_peers`](crate::Storage::finding_peers)).
    pub async fn update(&self, wait: bool) -> Result<bool, CoreError> {
        self.refresh()?;
        // Who asks again and again must not keep others from running, also when the answer is at hand.
        tokio::task::yield_now().await;
        let before = (self.fork(), self.length());
        let mut version = self.shared.version.subscribe();
        let mut stall = Stall::new(self, before.1, Some(UPDATE_PATIENCE))?;
        self.shared.wake();
        loop {
            version.borrow_and_update();
            let now = (self.fork(), self.length());
            if now != before {
                return Ok(true);
            }
            let (settled, searching) = {
                let peers = lock(&self.shared.peers);
                let behind = peers.values().any(|peer| {
                    !peer.synced || (peer.remote_fork, peer.remote_length) > (before.0, before.1)
                });
                let searching = wait && peers.is_empty() && self.shared.storage.is_finding_peers();
                (!behind && !searching, searching)
            };
            if settled {
                return Ok(false);
            }
            stall.set_patience(if searching {
                self.shared.storage.patience()
            } else {
                UPDATE_PATIENCE
            });
            match stall.limit(version.changed()).await {
                Ok(_) => {}
                // What peers claim and do not prove is not waited for any longer.
                Err(CoreError::Stalled { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Has downloads of this core begin at a place of their own within what is wanted, as a part of 2³² of it, for as long as the
    /// core is open. For one of many who fetch the same at once and from each other: it also asks a slow peer for less at a time.
    pub fn share_downloads(&self, part: u32) {
        lock(&self.shared.wants).begin_at(part);
    }

    /// Fetches a range of blocks and keeps them; the range is wanted until the [`Download`] is dropped.
    pub fn download(&self, range: DownloadRange) -> Download {
        let id = lock(&self.shared.wants).add_range(range.start, range.end);
        self.shared.wake();
        Download {
            core: self.clone(),
            range,
            id,
        }
    }
}

/// A range of blocks being fetched. Dropping it stops the fetching.
pub struct Download {
    core: Core,
    range: DownloadRange,
    id: WantId,
}

impl Download {
    /// Waits until the whole range is stored; for an open range, until everything up to the present length is. Dropping the
    /// future stops the wait, not the fetching.
    ///
    /// # Errors
    /// [`CoreError::Stalled`] if no peer brings anything for as long as [`Storage::set_patience`](crate::Storage::set_patience) says, and whatever the store fails with.
    pub async fn done(&self) -> Result<(), CoreError> {
        let mut version = self.core.shared.version.subscribe();
        let mut stall = Stall::new(&self.core, self.range.start, None)?;
        loop {
            version.borrow_and_update();
            let end = self.range.end.unwrap_or_else(|| self.core.length());
            if self.core.has_range(self.range.start, end) {
                return Ok(());
            }
            let _ = stall.limit(version.changed()).await?;
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        lock(&self.core.shared.wants).remove_range(self.id);
    }
}
