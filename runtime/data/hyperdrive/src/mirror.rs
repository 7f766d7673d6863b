//! Making one drive equal to another (npm `mirror-drive`).

mod carry;
mod plan;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base::lock;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, TryStreamExt};
use tokio::sync::mpsc;

use crate::error::DriveError;
use crate::filter::PathFilter;
use crate::memory::Memory;
use crate::meter::Meter;
use crate::traits::Drive;
use carry::Run;

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
    /// Counts bytes, of unchanged files as well.
    pub meter: Option<Arc<Meter>>,
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
            meter: None,
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
            let told = self.diffs.poll_recv(context);
            if let Poll::Ready(Some(diff)) = told {
                return Poll::Ready(Some(Ok(diff)));
            }
            let Some(work) = &mut self.work else {
                // Pending is not the end: tokio has a task that was told much at once give way to others.
                return told.map(|_| None);
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
