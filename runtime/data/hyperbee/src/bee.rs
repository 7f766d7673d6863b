//! The bee itself: shared state, versions and look-ups.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base::lock;
use bytes::Bytes;
use core_store::{Core, Download, DownloadRange};

use crate::batch::Batch;
use crate::cursor::RangeStream;
use crate::diff::{DiffItem, DiffStream};
use crate::error::BeeError;
use crate::history::History;
use crate::messages::{Header, Level, Metadata, Node};
use crate::range::Range;

/// Decoded blocks kept in memory, at most. A block of a drive takes up to a kilobyte then.
const CACHED_NODES: usize = 1 << 14;
/// Levels of a tree at most: with 5 children per node at least, 27 levels hold 2^64 keys.
pub(crate) const MAX_DEPTH: usize = 32;

/// A key and its value, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeeEntry {
    /// Block that wrote the entry.
    pub seq: u64,
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Option<Bytes>,
}

/// A bee on a core. Cheap to clone; clones and checkouts share one cache.
#[derive(Clone)]
pub struct Bee {
    pub(crate) shared: Arc<Shared>,
    checkout: Option<u64>,
}

pub(crate) struct Shared {
    pub(crate) core: Core,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) writing: Arc<tokio::sync::Mutex<()>>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    fork: u64,
    nodes: HashMap<u64, Arc<Node>>,
}

impl Bee {
    /// A bee on `core`. `metadata` goes into the header if this bee writes the first block; drives write it even when it is empty,
    /// databases never.
    pub fn new(core: Core, metadata: impl Into<Option<Metadata>>) -> Self {
        let shared = Shared {
            core,
            metadata: metadata.into(),
            writing: Arc::default(),
            cache: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            checkout: None,
        }
    }

    /// The core below.
    pub fn core(&self) -> &Core {
        &self.shared.core
    }

    /// The length of the core that this bee shows: its own, or that of the checkout. At least 1, as in JavaScript.
    pub fn version(&self) -> u64 {
        self.checkout.unwrap_or_else(|| self.core().length()).max(1)
    }

    /// True for a bee made by [`Bee::checkout`].
    pub fn is_checkout(&self) -> bool {
        self.checkout.is_some()
    }

    /// The same bee at an earlier length, for reading. Lengths inside a batch are no versions: their tree is incomplete.
    pub fn checkout(&self, version: u64) -> Self {
        Self {
            shared: self.shared.clone(),
            checkout: Some(version.max(1)),
        }
    }

    /// This bee as it is now, which later writes do not change.
    pub fn snapshot(&self) -> Self {
        self.checkout(self.version())
    }

    /// Block 0; `None` when it is not here and `wait` is false, or when the core is empty and ours.
    pub async fn header(&self, wait: bool) -> Result<Option<Header>, BeeError> {
        let core = self.core();
        if core.writable() && core.length() == 0 {
            return Ok(None);
        }
        let block = if wait {
            Some(core.get(0).await?)
        } else {
            core.get_local(0)?
        };
        let Some(block) = block else { return Ok(None) };
        let header = Header::decode(&block).map_err(|source| BeeError::Decode { seq: 0, source })?;
        match header.protocol.as_str() {
            "hyperbee" => Ok(Some(header)),
            _ => Err(BeeError::NotABee(header.protocol)),
        }
    }

    /// The entry at `key`. Waits for peers when blocks are missing here.
    pub async fn get(&self, key: &[u8]) -> Result<Option<BeeEntry>, BeeError> {
        let Some((mut block, mut seq)) = self.root().await? else {
            return Ok(None);
        };
        let mut offset = 0;
        for _ in 0..MAX_DEPTH {
            let level = level(&block, seq, offset)?;
            let _ahead = self.ahead(level);
            let (mut start, mut end) = (0, level.keys.len());
            while start < end {
                let middle = (start + end) / 2;
                let Some(&at) = level.keys.get(middle) else { break };
                let node = self.node(at, seq).await?;
                match key.cmp(&node.key) {
                    std::cmp::Ordering::Equal => {
                        return Ok(Some(entry(at, &node)));
                    }
                    std::cmp::Ordering::Less => end = middle,
                    std::cmp::Ordering::Greater => start = middle + 1,
                }
            }
            if level.children.is_empty() {
                return Ok(None);
            }
            let child = *level
                .children
                .get(start)
                .ok_or(corrupt(seq, "a node has too few children"))?;
            block = self.node(child.seq, seq).await?;
            (seq, offset) = (child.seq, child.offset);
        }
        Err(corrupt(seq, "the tree is too deep"))
    }

    /// Walks over a range, entry by entry, fetching only what it passes.
    pub fn range(&self, range: Range) -> RangeStream {
        RangeStream::new(self.snapshot_or_self(), range)
    }

    /// All entries of a range. Blocks missing here are fetched many at a time, level by level.
    pub async fn entries(&self, range: Range) -> Result<Vec<BeeEntry>, BeeError> {
        let mut entries = Vec::new();
        let each = |entry| {
            entries.push(entry);
            Ok::<_, BeeError>(())
        };
        self.each(range, each).await?;
        Ok(entries)
    }

    /// As [`entries`](Self::entries), one after the other, so that not all of them are in memory. Ends with the first error.
    pub async fn each<E: From<BeeError>>(
        &self,
        range: Range,
        mut each: impl FnMut(BeeEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        let bee = self.snapshot_or_self();
        // What was fetched ahead is read without waiting for anybody.
        let _reading = if range.limit.is_none() {
            bee.prefetch(&range).await?;
            Some(self.core().reading())
        } else {
            None
        };
        let mut stream = RangeStream::new(bee, range);
        while let Some(entry) = stream.next().await? {
            each(entry)?;
        }
        Ok(())
    }

    /// Walks over what differs between this bee and `other` (usually an earlier checkout), in key order. Subtrees that
    /// both share are not read.
    pub fn diff(&self, other: &Bee, range: Range) -> DiffStream {
        DiffStream::new(self.snapshot_or_self(), other.snapshot_or_self(), range)
    }

    /// All of [`Bee::diff`].
    pub async fn differences(&self, other: &Bee, range: Range) -> Result<Vec<DiffItem>, BeeError> {
        let mut stream = self.diff(other, range);
        let mut items = Vec::new();
        while let Some(item) = stream.next().await? {
            items.push(item);
        }
        Ok(items)
    }

    /// The writes from block `start` (at least 1) up to block `end`, not included, or up to this bee's version.
    pub fn history(&self, start: u64, end: Option<u64>) -> History {
        let end = end.unwrap_or(u64::MAX).min(self.version());
        History::new(self.snapshot(), start.max(1), end)
    }

    /// Writes one entry: one block.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), BeeError> {
        let mut batch = self.batch().await?;
        batch.put(key, value).await?;
        batch.flush()
    }

    /// Deletes one entry: one block, or none when there is nothing at `key`.
    pub async fn del(&self, key: &[u8]) -> Result<(), BeeError> {
        let mut batch = self.batch().await?;
        batch.del(key).await?;
        batch.flush()
    }

    /// Collects writes; [`Batch::flush`] appends them at once. Other writers wait until the batch is flushed or dropped.
    pub async fn batch(&self) -> Result<Batch, BeeError> {
        if self.is_checkout() {
            return Err(BeeError::Checkout);
        }
        let guard = self.shared.writing.clone().lock_owned().await;
        self.core().refresh()?; // another process may have written since
        Ok(Batch::new(self.clone(), guard))
    }

    /// Waits for a newer length, see [`Core::update`].
    pub async fn update(&self, wait: bool) -> Result<bool, BeeError> {
        Ok(self.core().update(wait).await?)
    }

    fn snapshot_or_self(&self) -> Self {
        self.snapshot()
    }

    /// The block of the newest write, whose first level is the root; `None` for an empty bee.
    pub(crate) async fn root(&self) -> Result<Option<(Arc<Node>, u64)>, BeeError> {
        let version = self.version();
        if version < 2 {
            return Ok(None);
        }
        let block = self.node(version - 1, version).await?;
        if block.index.is_empty() {
            return Err(BeeError::InsideBatch { length: version });
        }
        Ok(Some((block, version - 1)))
    }

    /// The block `seq`, pointed to from block `from`.
    pub(crate) async fn node(&self, seq: u64, from: u64) -> Result<Arc<Node>, BeeError> {
        if seq == 0 || seq > from {
            return Err(corrupt(from, "it points to a block that cannot be part of it"));
        }
        if let Some(node) = self.cached(seq) {
            return Ok(node);
        }
        let fork = self.core().fork();
        let block = self.core().get(seq).await?;
        let node = Arc::new(Node::decode(&block).map_err(|source| BeeError::Decode { seq, source })?);
        let mut cache = self.cache();
        if cache.fork == fork && self.core().fork() == fork {
            if cache.nodes.len() >= CACHED_NODES {
                cache.nodes.clear();
            }
            cache.nodes.insert(seq, node.clone());
        }
        Ok(node)
    }

    /// A block that is decoded already.
    pub(crate) fn cached(&self, seq: u64) -> Option<Arc<Node>> {
        self.cache().nodes.get(&seq).cloned()
    }

    /// Asks peers for the keys and children of a node before they are needed; dropping the result takes that back.
    pub(crate) fn ahead(&self, level: &Level) -> Vec<Download> {
        let children = level.children.iter().map(|child| child.seq);
        let missing = level
            .keys
            .iter()
            .copied()
            .chain(children)
            .filter(|&seq| seq < self.version() && self.cached(seq).is_none() && !self.core().has(seq));
        let range = |seq| DownloadRange {
            start: seq,
            end: Some(seq + 1),
        };
        missing.map(|seq| self.core().download(range(seq))).collect()
    }

    /// The cache of this fork of the core.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        let mut cache = lock(&self.shared.cache);
        let fork = self.core().fork();
        if cache.fork != fork {
            *cache = Cache {
                fork,
                nodes: HashMap::new(),
            };
        }
        cache
    }
}

pub(crate) fn entry(seq: u64, node: &Node) -> BeeEntry {
    BeeEntry {
        seq,
        key: node.key.clone(),
        value: node.value.clone(),
    }
}

pub(crate) fn corrupt(seq: u64, what: &'static str) -> BeeError {
    BeeError::Corrupt { seq, what }
}

/// The tree node at level `offset` of a block. A node has one child more than keys, or none: walks rely on it to end.
pub(crate) fn level(block: &Node, seq: u64, offset: u64) -> Result<&Level, BeeError> {
    let found = usize::try_from(offset)
        .ok()
        .and_then(|offset| block.index.get(offset));
    let level = found.ok_or(corrupt(seq, "a pointer names a node that is not there"))?;
    if level.children.is_empty() || level.children.len() == level.keys.len() + 1 {
        Ok(level)
    } else {
        Err(corrupt(seq, "the children of a node do not fit its keys"))
    }
}
