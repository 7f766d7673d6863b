//! Carries a mirror out: lists both sides, and does what [`super::plan`] says of them, one file after the other.
//!
//! The two lists are all that grows with the number of files. Everything else is made for a few files at a time.

use std::sync::{Arc, Mutex};

use base::lock;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use hyperblobs::BlobId;
use tokio::sync::mpsc;

use super::plan::{Attributes, Both, Difference, List, Listed, Pair, Verdict};
use super::{Diff, DiffOp, MirrorOptions, Totals};
use crate::batch::Batch;
use crate::compare::same_content;
use crate::entry::Entry;
use crate::error::DriveError;
use crate::filter::PathFilter;
use crate::known::Known;
use crate::names::Names;
use crate::path;
use crate::target;
use crate::traits::{ByteStream, Drive};

/// Files written at the same time to a folder.
const FILES: usize = 16;

pub(super) struct Run<'a> {
    pub(super) src: &'a dyn Drive,
    pub(super) dst: &'a dyn Drive,
    pub(super) filter: PathFilter,
    pub(super) options: MirrorOptions,
    pub(super) sender: mpsc::UnboundedSender<Diff>,
    pub(super) totals: Arc<Mutex<Totals>>,
}

impl Run<'_> {
    pub(super) async fn run(self) -> Result<(), DriveError> {
        let drive = self.dst.as_hyperdrive();
        if let Some(drive) = drive.filter(|drive| !self.options.dry_run && !drive.writable()) {
            return Err(DriveError::NotWritable { key: drive.key() });
        }
        if let Some(local) = self.dst.as_local().filter(|_| !self.options.dry_run) {
            local.sweep().await?;
        }
        let (src, dst) = futures::try_join!(self.gather(self.src), self.gather(self.dst))?;
        let folder = self.dst.as_local().map(|_| Names::HERE);
        target::check(&src, folder, &self.options.prefix)?;
        lock(&self.totals).files = src.len() as u64;

        let mut batch = match drive {
            Some(drive) if !self.options.dry_run => Some(drive.batch().await?),
            _ => None,
        };
        if self.options.prune {
            self.prune(&src, &dst, batch.as_mut()).await?;
        }
        let known = Known::of(self.options.memory.as_ref(), self.src, self.dst).await?;
        let _downloads = self.download(&src, &dst).await?;
        let counted = self.options.meter.as_ref();
        let measured = self.measure(counted.map(|_| src.entries().cloned().collect()));
        let both = src.beside(dst);
        let fill = async {
            match batch.take() {
                Some(batch) => self.fill_drive(both, batch, known.as_ref()).await,
                None => self.fill_folder(both, known.as_ref()).await,
            }
        };
        futures::try_join!(fill, measured).map(|_| ())
    }

    /// Tells the meter, if there is one, how many bytes it will be. Of a drive that is elsewhere that is found out meanwhile.
    async fn measure(&self, entries: Option<Vec<Entry>>) -> Result<(), DriveError> {
        if let (Some(meter), Some(entries)) = (&self.options.meter, entries) {
            let mut total = 0u64;
            for entry in &entries {
                total = total.saturating_add(self.src.size(entry).await?);
            }
            meter.expect(total);
        }
        Ok(())
    }

    /// Counts a file that was not read to be written.
    fn pass(&self, pair: &Pair) {
        if let Some(meter) = &self.options.meter {
            meter.add(pair.src_size);
        }
    }

    /// What a file of the source holds, counted.
    async fn read(&self, entry: &Entry) -> Result<ByteStream, DriveError> {
        let content = self.src.read_entry(entry).await?;
        Ok(match &self.options.meter {
            Some(meter) => meter.count(content),
            None => content,
        })
    }

    /// All entries of one side that take part, by path.
    async fn gather(&self, drive: &dyn Drive) -> Result<List, DriveError> {
        let everything = [String::from("/")];
        let prefixes = if self.options.prefix.is_empty() {
            &everything[..]
        } else {
            &self.options.prefix
        };
        let plain = |entry| Listed { entry, stamp: None };
        let mut all = Vec::new();
        for prefix in prefixes {
            let folder = path::normalize_folder(prefix)?;
            match (&self.options.memory, drive.as_local()) {
                (Some(memory), Some(local)) => {
                    let found = local.list_stamped(&folder, &self.filter, memory).await?;
                    all.extend(found.into_iter().map(|(entry, stamp)| Listed { entry, stamp }));
                }
                _ => {
                    let found = drive.list_filtered(&folder, &self.filter).await?;
                    all.extend(found.into_iter().map(plain));
                }
            }
            if !folder.is_empty() && !self.filter.ignores(&folder) {
                all.extend(drive.entry(&folder).await?.map(plain));
            }
        }
        if let Some(filter) = &self.options.filter {
            all.retain(|listed| filter(&listed.entry.key));
        }
        Ok(List::new(all))
    }

    /// Deletes what the source does not have.
    async fn prune(&self, src: &List, dst: &List, mut batch: Option<&mut Batch>) -> Result<(), DriveError> {
        for entry in dst.beyond(src) {
            let bytes_removed = self.dst.size(entry).await?;
            self.send(Diff {
                op: DiffOp::Remove,
                key: entry.key.clone(),
                bytes_added: 0,
                bytes_removed,
            });
            match &mut batch {
                _ if self.options.dry_run => {}
                Some(batch) => drop(batch.del(&entry.key).await?),
                None => self.dst.del(&entry.key).await?,
            }
        }
        Ok(())
    }

    /// Asks a remote source for all contents that will be read, so that many small files cost no round trip each.
    async fn download(&self, src: &List, dst: &List) -> Result<Option<crate::DriveDownload>, DriveError> {
        let Some(drive) = self.src.as_hyperdrive() else {
            return Ok(None);
        };
        let mut ids: Vec<BlobId> = src.entries().filter_map(|entry| entry.blob).collect();
        if ids.is_empty() {
            return Ok(None);
        }
        if self.options.dry_run {
            // What only one side has is not read.
            let _maps = drive.download_maps(&ids).await?;
            ids.clear();
            for entry in src.entries() {
                let Some(other) = dst.find(&entry.key) else {
                    continue;
                };
                if self.src.size(entry).await? == self.dst.size(other).await? {
                    ids.extend(entry.blob);
                }
            }
        }
        Ok(Some(drive.download_contents(ids).await?))
    }

    /// A drive takes one write at a time; contents are appended in large groups.
    async fn fill_drive(
        &self,
        both: impl Iterator<Item = Both>,
        mut batch: Batch,
        known: Option<&Known<'_>>,
    ) -> Result<(), DriveError> {
        for both in both {
            let pair = self.pair(both, known).await?;
            let difference = self.difference(&pair).await?;
            let kept = pair.dst.as_ref().and_then(|(entry, _)| entry.blob);
            let diff = pair.diff(difference);
            if difference != Difference::Content || pair.src.linkname.is_some() {
                self.pass(&pair);
            }
            let Some(diff) = diff else {
                learn(known, &pair, kept);
                continue;
            };
            self.send(diff);
            let key = &pair.src.key;
            let options = pair.src.put_options(self.options.dedup);
            match (&pair.src.linkname, difference, &pair.dst) {
                (Some(target), ..) => batch.symlink(key, target).await?,
                (None, Difference::Attributes, Some((entry, _))) => {
                    batch.set_attributes(entry, options).await?;
                    learn(known, &pair, kept);
                }
                _ => {
                    let content = self.read(&pair.src).await?;
                    let blob = batch.put_stream(key, content, options).await?;
                    learn(known, &pair, Some(blob));
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
    async fn fill_folder(
        &self,
        mut both: impl Iterator<Item = Both>,
        known: Option<&Known<'_>>,
    ) -> Result<(), DriveError> {
        let (mut links, mut copies) = (Vec::new(), FuturesOrdered::new());
        loop {
            while copies.len() < FILES
                && let Some(both) = both.next()
            {
                if both.src.entry.linkname.is_some() {
                    links.push(both);
                } else {
                    copies.push_back(self.copy(both, known));
                }
            }
            match copies.next().await {
                Some(diff) => diff?.into_iter().for_each(|diff| self.send(diff)),
                None => break,
            }
        }
        for both in links {
            let diff = self.copy(both, known).await?;
            diff.into_iter().for_each(|diff| self.send(diff));
        }
        Ok(())
    }

    async fn copy(&self, both: Both, known: Option<&Known<'_>>) -> Result<Option<Diff>, DriveError> {
        let pair = self.pair(both, known).await?;
        let difference = self.difference(&pair).await?;
        let diff = pair.diff(difference);
        if self.options.dry_run || difference != Difference::Content || pair.src.linkname.is_some() {
            self.pass(&pair);
        }
        if self.options.dry_run || diff.is_none() {
            return Ok(diff);
        }
        let key = &pair.src.key;
        let options = pair.src.put_options(self.options.dedup);
        match (&pair.src.linkname, difference) {
            (Some(target), _) => self.dst.symlink(key, target).await?,
            (None, Difference::Attributes) => self.dst.set_attributes(&pair.src, options).await?,
            _ => self.dst.put(key, self.read(&pair.src).await?, options).await?,
        }
        Ok(diff)
    }

    /// The real sizes of both sides, and whether they are known to be the same.
    async fn pair(&self, both: Both, known: Option<&Known<'_>>) -> Result<Pair, DriveError> {
        let Both {
            src: Listed { entry: src, stamp },
            dst,
        } = both;
        let unchanged =
            matches!((known, &stamp, &dst), (Some(known), Some(stamp), Some(dst)) if known.holds(stamp, dst));
        if let Some(known) = known.filter(|_| stamp.is_some() && !unchanged) {
            known.settle().await;
        }
        let src_size = self.src.size(&src).await?;
        let dst = match dst {
            Some(entry) if unchanged => Some((entry, src_size)),
            Some(entry) => {
                let size = self.dst.size(&entry).await?;
                Some((entry, size))
            }
            None => None,
        };
        Ok(Pair {
            src,
            src_size,
            dst,
            stamp,
            unchanged,
        })
    }

    async fn difference(&self, pair: &Pair) -> Result<Difference, DriveError> {
        match (pair.verdict(Attributes::between(self.src, self.dst)), &pair.dst) {
            (Verdict::Known(difference), _) => Ok(difference),
            (Verdict::IfSame(difference), Some((entry, _)))
                if same_content((self.src, &pair.src), (self.dst, entry)).await? =>
            {
                Ok(difference)
            }
            (Verdict::IfSame(_), _) => Ok(Difference::Content),
        }
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

/// The file of a pair was read and is what `blob` holds.
fn learn(known: Option<&Known<'_>>, pair: &Pair, blob: Option<BlobId>) {
    if let (Some(known), Some(stamp), Some(blob)) = (known, &pair.stamp, blob) {
        known.learn(stamp, &blob);
    }
}
