//! Making one drive equal to another (npm `mirror-drive`).

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base::lock;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use hyperblobs::BlobId;
use tokio::sync::mpsc;

use crate::batch::Batch;
use crate::compare::{Difference, compare};
use crate::entry::Entry;
use crate::error::DriveError;
use crate::filter::PathFilter;
use crate::known::Known;
use crate::memory::Memory;
use crate::path;
use crate::stamp::Stamp;
use crate::target;
use crate::traits::Drive;

/// Files written at the same time to a folder.
const FILES: usize = 16;
/// Sizes asked for at the same time.
const SIZES: usize = 64;

/// Says of a path whether it takes part.
pub type KeyFilter = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What to mirror, and how.
#[derive(Clone)]
pub struct MirrorOptions {
    /// Only these folders or files; none means everything.
    pub prefix: Vec<String>,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Delete what the source does not have. On by default; never touches what `ignore`, `only` or `filter` leave out.
    pub prune: bool,
    /// Paths to leave out, see [`PathFilter`].
    pub ignore: Vec<String>,
    /// The only paths to keep, see [`PathFilter`].
    pub only: Vec<String>,
    /// A last word on each path: false leaves it out.
    pub filter: Option<KeyFilter>,
    /// Into a drive: make all entries visible together, at the end.
    pub batch: bool,
    /// Into a drive: cut files into chunks and reuse those that the drive holds.
    pub dedup: bool,
    /// From a folder into a drive: what is known of the files, so that those that were not touched since are not read.
    pub memory: Option<Arc<Memory>>,
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            dry_run: false,
            prune: true,
            ignore: Vec::new(),
            only: Vec::new(),
            filter: None,
            batch: false,
            dedup: false,
            memory: None,
        }
    }
}

/// What happens to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiffOp {
    /// It is new.
    Add,
    /// Its content, flags or metadata change.
    Change,
    /// It is deleted.
    Remove,
}

/// One path that a mirror changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// What happens.
    pub op: DiffOp,
    /// The path.
    pub key: String,
    /// Bytes that come; 0 when the content stays.
    pub bytes_added: u64,
    /// Bytes that go; 0 when the content stays.
    pub bytes_removed: u64,
}

/// Counts of a mirror so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries of the source.
    pub files: u64,
    /// Entries added.
    pub add: u64,
    /// Entries changed.
    pub change: u64,
    /// Entries deleted.
    pub remove: u64,
    /// Bytes that came.
    pub bytes_added: u64,
    /// Bytes that went.
    pub bytes_removed: u64,
}

/// A running mirror: a stream of what it changes, deletions first, then paths in order (links last into a folder).
/// Nothing happens unless it is polled; dropping it stops it between two files.
pub struct Mirror<'a> {
    work: Option<BoxFuture<'a, Result<(), DriveError>>>,
    diffs: mpsc::UnboundedReceiver<Diff>,
    totals: Arc<Mutex<Totals>>,
}

/// Makes `dst` equal to `src`.
///
/// # Errors
/// The stream ends with the first error. A source with an entry that cannot be written safely is refused before
/// anything is written, and the error names the entry.
pub fn mirror<'a>(src: &'a dyn Drive, dst: &'a dyn Drive, options: MirrorOptions) -> Mirror<'a> {
    let (sender, diffs) = mpsc::unbounded_channel();
    let totals = Arc::<Mutex<Totals>>::default();
    let run = Run {
        src,
        dst,
        filter: PathFilter::new(&options.ignore, &options.only),
        options,
        sender,
        totals: totals.clone(),
    };
    Mirror {
        work: Some(run.run().boxed()),
        diffs,
        totals,
    }
}

impl Mirror<'_> {
    /// Counts so far.
    pub fn totals(&self) -> Totals {
        *lock(&self.totals)
    }

    /// Runs to the end without looking at the changes.
    pub async fn finish(mut self) -> Result<Totals, DriveError> {
        while self.try_next().await?.is_some() {}
        Ok(self.totals())
    }
}

impl Stream for Mirror<'_> {
    type Item = Result<Diff, DriveError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Poll::Ready(Some(diff)) = self.diffs.poll_recv(context) {
                return Poll::Ready(Some(Ok(diff)));
            }
            let Some(work) = &mut self.work else {
                return Poll::Ready(None);
            };
            match work.poll_unpin(context) {
                Poll::Ready(result) => {
                    self.work = None;
                    if let Err(error) = result {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Poll::Pending => match self.diffs.try_recv() {
                    Ok(diff) => return Poll::Ready(Some(Ok(diff))),
                    Err(_) => return Poll::Pending,
                },
            }
        }
    }
}

struct Run<'a> {
    src: &'a dyn Drive,
    dst: &'a dyn Drive,
    filter: PathFilter,
    options: MirrorOptions,
    sender: mpsc::UnboundedSender<Diff>,
    totals: Arc<Mutex<Totals>>,
}

/// One entry of the source with its counterpart, and both real sizes.
struct Pair {
    src: Entry,
    src_size: u64,
    dst: Option<(Entry, u64)>,
    /// The file of the source as it was when it was listed.
    stamp: Option<Stamp>,
    /// The contents are the same, and need not be read to know it.
    unchanged: bool,
}

impl Pair {
    fn is_to_be_learned(&self) -> bool {
        self.stamp.is_some() && !self.unchanged
    }
}

type Entries = BTreeMap<String, Entry>;
type Stamps = HashMap<String, Stamp>;

impl Run<'_> {
    async fn run(self) -> Result<(), DriveError> {
        let drive = self.dst.as_hyperdrive();
        if let Some(drive) = drive.filter(|drive| !self.options.dry_run && !drive.writable()) {
            return Err(DriveError::NotWritable { key: drive.key() });
        }
        if let Some(local) = self.dst.as_local().filter(|_| !self.options.dry_run) {
            local.sweep().await?;
        }
        let ((src, stamps), (dst, _)) = futures::try_join!(self.gather(self.src), self.gather(self.dst))?;
        target::check(&src, self.dst.as_local().is_some(), &self.options.prefix)?;
        lock(&self.totals).files = src.len() as u64;

        let mut batch = match drive {
            Some(drive) if !self.options.dry_run => Some(drive.batch().await?),
            _ => None,
        };
        if self.options.prune {
            for (key, entry) in dst.iter().filter(|(key, _)| !src.contains_key(*key)) {
                let bytes_removed = self.dst.size(entry).await?;
                self.emit(DiffOp::Remove, key, 0, bytes_removed);
                match &mut batch {
                    Some(_) if self.options.dry_run => {}
                    Some(batch) => drop(batch.del(key).await?),
                    None if self.options.dry_run => {}
                    None => self.dst.del(key).await?,
                }
            }
        }
        let known = Known::of(self.options.memory.as_ref(), self.src, self.dst).await?;
        let pairs = self.pair(src, dst, (&stamps, known.as_ref())).await?;
        if let Some(known) = known
            .as_ref()
            .filter(|_| pairs.iter().any(Pair::is_to_be_learned))
        {
            known.settle().await;
        }
        let _downloads = self.download(&pairs).await?;
        match batch.take() {
            Some(batch) => self.fill_drive(pairs, batch, known.as_ref()).await,
            None => self.fill_folder(pairs).await,
        }
    }

    /// All entries of one side that take part, and the stamps of its files.
    async fn gather(&self, drive: &dyn Drive) -> Result<(Entries, Stamps), DriveError> {
        let everything = [String::from("/")];
        let prefixes = if self.options.prefix.is_empty() {
            &everything[..]
        } else {
            &self.options.prefix
        };
        let (mut entries, mut stamps) = (Entries::new(), Stamps::new());
        for prefix in prefixes {
            let folder = path::normalize_folder(prefix)?;
            let mut found = match (&self.options.memory, drive.as_local()) {
                (Some(memory), Some(local)) => {
                    let listed = local.list_stamped(&folder, &self.filter, memory).await?;
                    let stamped = listed
                        .iter()
                        .filter_map(|(entry, stamp)| Some((entry.key.clone(), (*stamp)?)));
                    stamps.extend(stamped);
                    listed.into_iter().map(|(entry, _)| entry).collect()
                }
                _ => drive.list_filtered(&folder, &self.filter).await?,
            };
            if !folder.is_empty() && !self.filter.ignores(&folder) {
                found.extend(drive.entry(&folder).await?);
            }
            let wanted = |entry: &Entry| {
                self.options
                    .filter
                    .as_ref()
                    .is_none_or(|filter| filter(&entry.key))
            };
            entries.extend(
                found
                    .into_iter()
                    .filter(wanted)
                    .map(|entry| (entry.key.clone(), entry)),
            );
        }
        Ok((entries, stamps))
    }

    /// Brings both sides together, with sizes. The block maps of a drive are asked for together.
    async fn pair(
        &self,
        src: Entries,
        mut dst: Entries,
        (stamps, known): (&Stamps, Option<&Known<'_>>),
    ) -> Result<Vec<Pair>, DriveError> {
        let _maps = match self.src.as_hyperdrive() {
            Some(drive) if src.values().any(|entry| entry.blob.is_some()) => {
                let ids: Vec<_> = src.values().filter_map(|entry| entry.blob).collect();
                drive.download_maps(&ids).await?
            }
            _ => Vec::new(),
        };
        let pairs = src.into_values().map(|src| {
            let dst = dst.remove(&src.key);
            let stamp = stamps.get(&src.key).copied();
            let unchanged = matches!((known, &stamp, &dst), (Some(known), Some(stamp), Some(dst)) if known.holds(stamp, dst));
            async move {
                let src_size = self.src.size(&src).await?;
                let dst = match dst {
                    Some(entry) if unchanged => Some((entry, src_size)),
                    Some(entry) => {
                        let size = self.dst.size(&entry).await?;
                        Some((entry, size))
                    }
                    None => None,
                };
                Ok::<_, DriveError>(Pair {
                    src,
                    src_size,
                    dst,
                    stamp,
                    unchanged,
                })
            }
        });
        let pairs: Vec<_> = pairs.collect();
        stream::iter(pairs).buffered(SIZES).try_collect().await
    }

    /// Asks a remote source for all contents that will be read, so that many small files cost no round trip each.
    async fn download(&self, pairs: &[Pair]) -> Result<Option<crate::DriveDownload>, DriveError> {
        let Some(drive) = self.src.as_hyperdrive() else {
            return Ok(None);
        };
        let read = |pair: &&Pair| match &pair.dst {
            Some((_, size)) => !self.options.dry_run || *size == pair.src_size,
            None => !self.options.dry_run,
        };
        let entries: Vec<Entry> = pairs.iter().filter(read).map(|pair| pair.src.clone()).collect();
        if entries.iter().any(|entry| entry.blob.is_some()) {
            Ok(Some(drive.download_contents(&entries).await?))
        } else {
            Ok(None)
        }
    }

    /// A drive takes one write at a time; contents are appended in large groups.
    async fn fill_drive(
        &self,
        pairs: Vec<Pair>,
        mut batch: Batch,
        known: Option<&Known<'_>>,
    ) -> Result<(), DriveError> {
        for pair in pairs {
            let difference = self.difference(&pair).await?;
            let kept = pair.dst.as_ref().and_then(|(entry, _)| entry.blob);
            let Some(diff) = self.diff(&pair, difference) else {
                self.learn(known, &pair, kept);
                continue;
            };
            self.send(diff);
            let key = &pair.src.key;
            let options = pair.src.put_options(self.options.dedup);
            match (&pair.src.linkname, difference, &pair.dst) {
                (Some(target), ..) => batch.symlink(key, target).await?,
                (None, Difference::Attributes, Some((entry, _))) => {
                    batch.set_attributes(entry, options).await?;
                    self.learn(known, &pair, kept);
                }
                _ => {
                    let content = self.src.read_entry(&pair.src).await?;
                    let blob = batch.put_stream(key, content, options).await?;
                    self.learn(known, &pair, Some(blob));
                }
            }
            if !self.options.batch {
                batch = batch.checkpoint().await?;
            }
        }
        // Whoever looks on hears of every change before they become visible together, and may still drop the mirror.
        tokio::task::yield_now().await;
        batch.flush().await
    }

    /// A folder takes many files at once; links follow, so that no file is ever written through one of them.
    async fn fill_folder(&self, pairs: Vec<Pair>) -> Result<(), DriveError> {
        let (links, files): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|pair| pair.src.linkname.is_some());
        let futures: Vec<_> = files.into_iter().map(|pair| self.copy(pair)).collect();
        let mut copies = stream::iter(futures).buffered(FILES);
        while let Some(diff) = copies.try_next().await? {
            diff.into_iter().for_each(|diff| self.send(diff));
        }
        for pair in links {
            let diff = self.copy(pair).await?;
            diff.into_iter().for_each(|diff| self.send(diff));
        }
        Ok(())
    }

    async fn copy(&self, pair: Pair) -> Result<Option<Diff>, DriveError> {
        let difference = self.difference(&pair).await?;
        let diff = self.diff(&pair, difference);
        if self.options.dry_run || diff.is_none() {
            return Ok(diff);
        }
        let key = &pair.src.key;
        let options = pair.src.put_options(self.options.dedup);
        match (&pair.src.linkname, difference) {
            (Some(target), _) => self.dst.symlink(key, target).await?,
            (None, Difference::Attributes) => self.dst.set_attributes(&pair.src, options).await?,
            _ => {
                self.dst
                    .put(key, self.src.read_entry(&pair.src).await?, options)
                    .await?
            }
        }
        Ok(diff)
    }

    /// The file of a pair was read and is what `blob` holds.
    fn learn(&self, known: Option<&Known<'_>>, pair: &Pair, blob: Option<BlobId>) {
        if let (Some(known), Some(stamp), Some(blob)) = (known, &pair.stamp, blob) {
            known.learn(stamp, &blob);
        }
    }

    async fn difference(&self, pair: &Pair) -> Result<Difference, DriveError> {
        match &pair.dst {
            Some((entry, size)) => {
                let (src, dst) = ((self.src, &pair.src, pair.src_size), (self.dst, entry, *size));
                compare(src, dst, pair.unchanged).await
            }
            None => Ok(Difference::Content),
        }
    }

    fn diff(&self, pair: &Pair, difference: Difference) -> Option<Diff> {
        let (bytes_added, bytes_removed) = match difference {
            Difference::None => return None,
            Difference::Attributes => (0, 0),
            Difference::Content => (pair.src_size, pair.dst.as_ref().map_or(0, |(_, size)| *size)),
        };
        let op = if pair.dst.is_some() {
            DiffOp::Change
        } else {
            DiffOp::Add
        };
        Some(Diff {
            op,
            key: pair.src.key.clone(),
            bytes_added,
            bytes_removed,
        })
    }

    fn emit(&self, op: DiffOp, key: &str, bytes_added: u64, bytes_removed: u64) {
        self.send(Diff {
            op,
            key: key.to_owned(),
            bytes_added,
            bytes_removed,
        });
    }

    fn send(&self, diff: Diff) {
        let mut totals = lock(&self.totals);
        match diff.op {
            DiffOp::Add => totals.add += 1,
            DiffOp::Change => totals.change += 1,
            DiffOp::Remove => totals.remove += 1,
        }
        totals.bytes_added = totals.bytes_added.saturating_add(diff.bytes_added);
        totals.bytes_removed = totals.bytes_removed.saturating_add(diff.bytes_removed);
        drop(totals);
        // A receiver that is gone has dropped this work too.
        let _ = self.sender.send(diff);
    }
}
