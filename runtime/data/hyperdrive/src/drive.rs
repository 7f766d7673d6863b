//! The drive itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use core_store::{Core, DownloadRange};
use corestore::{Corestore, GetOptions};
use futures::{StreamExt, TryStreamExt, stream};
use hyperbee::{Bee, BeeEntry, Metadata, Range, SubKey};
use hyperblobs::Blobs;
use hypercore::{DiscoveryKey, Key, KeyPair};
use tokio::sync::OnceCell;

use crate::batch::Batch;
use crate::content;
use crate::entry::{Entry, PutOptions};
use crate::error::DriveError;
use crate::filter::PathFilter;
use crate::path;
use crate::traits::{ByteStream, Drive};

/// Links followed one after the other, at most.
const MAX_LINKS: usize = 16;

/// A drive, or a checkout of one. Cheap to clone.
#[derive(Clone)]
pub struct Hyperdrive {
    inner: Arc<Inner>,
    bee: Bee,
}

struct Inner {
    store: Corestore,
    head: Bee,
    blobs: OnceCell<Blobs>,
}

/// One path that differs between two versions.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffEntry {
    /// The entry in the drive that was asked; `None` when it is not there.
    pub left: Option<Entry>,
    /// The entry at the other version; `None` when it is not there.
    pub right: Option<Entry>,
}

/// The keyspace of a drive's entries.
pub(crate) fn files() -> SubKey {
    SubKey::new("files")
}

impl Hyperdrive {
    /// Opens the drive with a known key: writable where it was made, else filled from peers.
    pub async fn open(store: &Corestore, key: Key) -> Result<Self, DriveError> {
        let core = store.get(GetOptions {
            key: Some(key),
            ..GetOptions::default()
        })?;
        Self::from_core(store, core).await
    }

    /// Opens or makes the drive that this store calls `name`.
    pub async fn create(store: &Corestore, name: &str) -> Result<Self, DriveError> {
        let key_pair = store.create_key_pair(name)?;
        Self::create_with(store, key_pair).await
    }

    /// Opens or makes the drive of a key pair.
    pub async fn create_with(store: &Corestore, key_pair: KeyPair) -> Result<Self, DriveError> {
        let core = store.get(GetOptions {
            key_pair: Some(key_pair),
            ..GetOptions::default()
        })?;
        Self::from_core(store, core).await
    }

    /// The drive on a core of `store`, for example one opened with a multisig manifest.
    pub async fn from_core(store: &Corestore, core: Core) -> Result<Self, DriveError> {
        let bee = Bee::new(core, Metadata::default());
        let inner = Inner {
            store: store.clone(),
            head: bee.clone(),
            blobs: OnceCell::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            bee,
        })
    }

    /// The drive's key: what a link names.
    pub fn key(&self) -> Key {
        self.core().key()
    }

    /// The topic under which peers of this drive meet.
    pub fn discovery_key(&self) -> DiscoveryKey {
        self.core().discovery_key()
    }

    /// Length of the list of entries; at least 1, also when nothing is there yet.
    pub fn version(&self) -> u64 {
        self.bee.version()
    }

    /// How many times the drive was truncated.
    pub fn fork(&self) -> u64 {
        self.core().fork()
    }

    /// Whether this machine may write to the drive.
    pub fn writable(&self) -> bool {
        self.core().writable() && !self.bee.is_checkout()
    }

    /// The core of entries.
    pub fn core(&self) -> &Core {
        self.bee.core()
    }

    /// The list of entries as a bee, for keys outside of `files`.
    pub fn bee(&self) -> &Bee {
        &self.bee
    }

    /// The store that holds the drive.
    pub fn store(&self) -> &Corestore {
        &self.inner.store
    }

    /// The core of contents. Waits for the drive's first block when it is not here yet.
    pub async fn blobs(&self) -> Result<Core, DriveError> {
        Ok(self.open_blobs().await?.core().clone())
    }

    /// The contents. Waits for the drive's first block when it is not here yet.
    pub(crate) async fn open_blobs(&self) -> Result<Blobs, DriveError> {
        let open = || async {
            let core = self.core();
            // A core of ours, or one that nobody wrote to yet, has no header to wait for if we know its signers.
            let known = core.writable() || (core.length() == 0 && core.manifest().is_some());
            let header = self.inner.head.header(!known).await?;
            let feed = header
                .and_then(|header| header.metadata)
                .and_then(|metadata| metadata.content_feed);
            let feed = feed.map(|feed| feed.get(..32).and_then(|key| <[u8; 32]>::try_from(key).ok()));
            let options = match feed {
                Some(Some(key)) => GetOptions {
                    key: Some(Key(key)),
                    ..GetOptions::default()
                },
                Some(None) => {
                    let reason = "the key of its contents is too short";
                    return Err(DriveError::NotADrive {
                        key: core.key(),
                        reason,
                    });
                }
                None => GetOptions {
                    manifest: Some(content::require(core.manifest().as_ref(), &core.key())?),
                    key_pair: core.key_pair(),
                    ..GetOptions::default()
                },
            };
            Ok(Blobs::new(self.inner.store.get(options)?))
        };
        self.inner.blobs.get_or_try_init(open).await.cloned()
    }

    /// The file or link at a path. Links are not followed.
    pub async fn entry(&self, path: &str) -> Result<Option<Entry>, DriveError> {
        let key = path::normalize(path)?;
        self.bee
            .get(&files().encode(key.as_bytes()))
            .await?
            .map(decode)
            .transpose()
    }

    /// The file at a path, after following links.
    pub async fn entry_follow(&self, path: &str) -> Result<Option<Entry>, DriveError> {
        let mut at = path::normalize(path)?;
        for _ in 0..MAX_LINKS {
            match self.entry(&at).await? {
                Some(Entry {
                    linkname: Some(link), ..
                }) => at = path::resolve_link(&at, &link)?,
                other => return Ok(other),
            }
        }
        Err(DriveError::LinkLoop { path: path.into() })
    }

    /// Whether there is a file or link at a path.
    pub async fn exists(&self, path: &str) -> Result<bool, DriveError> {
        Ok(self.entry(path).await?.is_some())
    }

    /// The content of a file in one piece; `None` when there is no file.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, DriveError> {
        match self.entry(path).await? {
            Some(Entry { blob: Some(blob), .. }) => Ok(Some(self.open_blobs().await?.get(&blob).await?)),
            _ => Ok(None),
        }
    }

    /// The content of a file that has no more than `most` bytes; `None` when there is no file.
    ///
    /// # Errors
    /// [`DriveError::TooLarge`], after at most so many bytes were fetched and held, and one block.
    pub async fn get_at_most(&self, path: &str, most: u64) -> Result<Option<Bytes>, DriveError> {
        let Some(entry) = self.entry(path).await?.filter(|entry| entry.blob.is_some()) else {
            return Ok(None);
        };
        let mut content = self.read_entry(&entry, 0, most.saturating_add(1)).await?;
        let mut all = BytesMut::new();
        while let Some(part) = content.try_next().await? {
            all.extend_from_slice(&part);
        }
        if all.len() as u64 > most {
            return Err(DriveError::TooLarge {
                path: path.to_owned(),
                most,
            });
        }
        Ok(Some(all.freeze()))
    }

    /// Streams the content of a file.
    pub(crate) async fn read_stream(&self, path: &str) -> Result<ByteStream, DriveError> {
        match self.entry(path).await? {
            Some(entry) => self.read_entry(&entry, 0, u64::MAX).await,
            None => Err(DriveError::NotFound { path: path.into() }),
        }
    }

    /// Streams `length` bytes of an entry's content from byte `start`, or as many as there are.
    pub async fn read_entry(&self, entry: &Entry, start: u64, length: u64) -> Result<ByteStream, DriveError> {
        let blob = entry.blob.ok_or_else(|| DriveError::NotFound {
            path: entry.key.clone(),
        })?;
        let stream = self.open_blobs().await?.read_range(&blob, start, length).await?;
        Ok(stream.map_err(DriveError::from).boxed())
    }

    /// All files and links beneath a folder (`/` for all), at any depth, by path.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Entry>, DriveError> {
        self.list_where(prefix, |_| true).await
    }

    /// As [`list`](Self::list), what is wanted of it.
    async fn list_where(
        &self,
        prefix: &str,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> Result<Vec<Entry>, DriveError> {
        let range = folder_range(&path::normalize_folder(prefix)?, "/");
        let mut entries = Vec::new();
        // An entry takes less than its block, which lives as long as the bee's.
        let each = |entry| {
            let entry = decode(entry)?;
            if wanted(&entry) {
                entries.push(entry);
            }
            Ok::<_, DriveError>(())
        };
        self.bee.each(range, each).await?;
        Ok(entries)
    }

    /// Names of the files and folders directly in a folder, in order.
    pub async fn readdir(&self, folder: &str) -> Result<Vec<String>, DriveError> {
        let folder = path::normalize_folder(folder)?;
        let (mut names, mut after): (Vec<String>, String) = (Vec::new(), "/".into());
        loop {
            let found = self.bee.entries(folder_range(&folder, &after).limit(1)).await?;
            let Some(entry) = found.into_iter().next() else {
                return Ok(names);
            };
            let key = decode(entry)?.key;
            let rest = key.get(folder.len() + 1..).unwrap_or_default();
            let (name, is_folder) = match rest.split_once('/') {
                Some((name, _)) => (name, true),
                None => (rest, false),
            };
            // '0' follows '/': everything beneath the folder is passed at once.
            after = format!("/{name}{}", if is_folder { "0" } else { "" });
            if names.last().map(String::as_str) != Some(name) {
                names.push(name.to_owned());
            }
        }
    }

    /// The drive at an earlier version, for reading.
    pub fn checkout(&self, version: u64) -> Self {
        Self {
            inner: self.inner.clone(),
            bee: self.bee.checkout(version),
        }
    }

    /// What differs between this drive and its version `other`, beneath a folder.
    pub async fn diff(&self, other: u64, folder: &str) -> Result<Vec<DiffEntry>, DriveError> {
        let range = folder_range(&path::normalize_folder(folder)?, "/");
        let items = self.bee.differences(&self.bee.checkout(other), range).await?;
        let side = |entry: Option<BeeEntry>| entry.map(decode).transpose();
        items
            .into_iter()
            .map(|item| {
                Ok(DiffEntry {
                    left: side(item.left)?,
                    right: side(item.right)?,
                })
            })
            .collect()
    }

    /// The keys of the list of entries that are no files, with their values, by name: what a release carries besides files.
    pub async fn fields(&self) -> Result<BTreeMap<String, Bytes>, DriveError> {
        let mut fields = BTreeMap::new();
        for range in [Range::all().lt("files\0"), Range::all().gte("files\u{1}")] {
            for entry in self.bee.entries(range).await? {
                let name = String::from_utf8_lossy(&entry.key).into_owned();
                fields.insert(name, entry.value.unwrap_or_default());
            }
        }
        Ok(fields)
    }

    /// Writes a file.
    pub async fn put(
        &self,
        path: &str,
        content: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<(), DriveError> {
        let content = stream::iter([Ok(content.into())]).boxed();
        self.put_stream(path, content, options).await
    }

    /// Writes a file from a stream.
    pub(crate) async fn put_stream(
        &self,
        path: &str,
        content: ByteStream,
        options: PutOptions,
    ) -> Result<(), DriveError> {
        let mut batch = self.batch().await?;
        batch.put_stream(path, content, options).await?;
        batch.flush().await
    }

    /// Deletes a file or link. Nothing happens when there is none.
    pub async fn del(&self, path: &str) -> Result<(), DriveError> {
        let mut batch = self.batch().await?;
        batch.del(path).await?;
        batch.flush().await
    }

    /// Writes a link.
    pub async fn symlink(&self, path: &str, target: &str) -> Result<(), DriveError> {
        let mut batch = self.batch().await?;
        batch.symlink(path, target).await?;
        batch.flush().await
    }

    /// Collects writes; [`Batch::flush`] makes them visible at once. Other writers wait until then.
    pub async fn batch(&self) -> Result<Batch, DriveError> {
        if self.bee.is_checkout() {
            return Err(DriveError::Checkout);
        }
        if !self.core().writable() {
            return Err(DriveError::NotWritable { key: self.key() });
        }
        Ok(Batch::new(self.clone(), self.bee.batch().await?))
    }

    /// Length of the contents that the entries of a version need: the last block that any of them names. Reads the
    /// whole list of entries.
    pub async fn blobs_length(&self, version: u64) -> Result<u64, DriveError> {
        let entries = self.bee.checkout(version).entries(Range::all()).await?;
        let mut length = 0;
        for entry in entries {
            if files().decode(&entry.key).is_none() {
                continue;
            }
            if let Some(end) = decode(entry)?.blob.and_then(|blob| blob.block_end()) {
                length = length.max(end);
            }
        }
        Ok(length)
    }

    /// Cuts the drive back to an earlier version, and its contents to `blobs` (by default what that version needs).
    /// Peers see a new fork.
    pub async fn truncate(&self, version: u64, blobs: Option<u64>) -> Result<(), DriveError> {
        if !self.writable() {
            return Err(DriveError::NotWritable { key: self.key() });
        }
        let beyond = |wanted, length| DriveError::Truncation { wanted, length };
        if version > self.core().length() {
            return Err(beyond(version, self.core().length()));
        }
        let contents = self.blobs().await?;
        let wanted = match blobs {
            Some(length) => length,
            None => self.blobs_length(version).await?,
        };
        if wanted > contents.length() {
            return Err(beyond(wanted, contents.length()));
        }
        self.core().truncate(version, None)?;
        contents.truncate(wanted, None)?;
        Ok(())
    }

    /// The file at a path; `None` when the path says with its last slash that it means a folder.
    pub(crate) async fn file_at(&self, path: &str) -> Result<Option<Entry>, DriveError> {
        if path.ends_with('/') {
            Ok(None)
        } else {
            self.entry(path).await
        }
    }

    /// Whether all contents of a file, or of everything beneath a folder, are on this machine. False when there is nothing.
    pub async fn has(&self, prefix: &str) -> Result<bool, DriveError> {
        let blobs = self.open_blobs().await?;
        let entries = match self.file_at(prefix).await? {
            Some(entry) => vec![entry],
            None => self.list(prefix).await?,
        };
        for blob in entries.iter().filter_map(|entry| entry.blob) {
            if !blobs.has(&blob).await? {
                return Ok(false);
            }
        }
        Ok(!entries.is_empty())
    }

    /// Asks peers for a newer version; with `wait`, waits until a peer answered. True when the drive grew.
    pub async fn update(&self, wait: bool) -> Result<bool, DriveError> {
        Ok(self.bee.update(wait).await?)
    }

    /// Asks for all blocks of the list of entries, in one request.
    pub(crate) fn download_entries(&self) -> Option<core_store::Download> {
        let (core, end) = (self.core(), self.version());
        let range = DownloadRange {
            start: 0,
            end: Some(end),
        };
        (core.contiguous_length() < end && core.length() > 0).then(|| core.download(range))
    }
}

/// Keys beneath a folder, after `after` (`/` for all of them).
fn folder_range(folder: &str, after: &str) -> Range {
    let (start, end) = (format!("{folder}{after}"), format!("{folder}0"));
    files().encode_range(Range::all().gt(start).lt(end))
}

pub(crate) fn decode(entry: BeeEntry) -> Result<Entry, DriveError> {
    let key = files().decode(&entry.key).unwrap_or(&entry.key).to_vec();
    Entry::decode(entry.seq, &key, &entry.value.unwrap_or_default())
}

#[async_trait]
impl Drive for Hyperdrive {
    async fn entry(&self, path: &str) -> Result<Option<Entry>, DriveError> {
        Self::entry(self, path).await
    }

    async fn read_stream(&self, path: &str) -> Result<ByteStream, DriveError> {
        Self::read_stream(self, path).await
    }

    async fn read_entry(&self, entry: &Entry) -> Result<ByteStream, DriveError> {
        Self::read_entry(self, entry, 0, u64::MAX).await
    }

    async fn list_filtered(&self, prefix: &str, filter: &PathFilter) -> Result<Vec<Entry>, DriveError> {
        self.list_where(prefix, |entry| !filter.ignores(&entry.key)).await
    }

    async fn put(&self, path: &str, content: ByteStream, options: PutOptions) -> Result<(), DriveError> {
        self.put_stream(path, content, options).await
    }

    async fn del(&self, path: &str) -> Result<(), DriveError> {
        Self::del(self, path).await
    }

    async fn symlink(&self, path: &str, target: &str) -> Result<(), DriveError> {
        Self::symlink(self, path, target).await
    }

    async fn set_attributes(&self, entry: &Entry, options: PutOptions) -> Result<(), DriveError> {
        let mut batch = self.batch().await?;
        batch.set_attributes(entry, options).await?;
        batch.flush().await
    }

    async fn size(&self, entry: &Entry) -> Result<u64, DriveError> {
        match entry.blob {
            Some(blob) => Ok(self.open_blobs().await?.byte_length(&blob).await?),
            None => Ok(0),
        }
    }

    fn as_hyperdrive(&self) -> Option<&Hyperdrive> {
        Some(self)
    }
}
