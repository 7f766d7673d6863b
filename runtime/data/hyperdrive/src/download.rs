//! Bringing the contents of a part of a drive to this machine.

use core_store::Download;
use futures::{StreamExt, TryStreamExt, stream};
use hyperblobs::BlobId;

use crate::drive::Hyperdrive;
use crate::error::DriveError;

/// Block maps read at the same time.
const MAPS: usize = 64;

/// A download that was asked for; dropping it takes the request back.
pub struct DriveDownload {
    downloads: Vec<Download>,
}

impl DriveDownload {
    /// Waits until everything is here.
    pub async fn done(self) -> Result<(), DriveError> {
        for download in self.downloads {
            download.done().await?;
        }
        Ok(())
    }
}

impl Hyperdrive {
    /// Asks peers for the contents of a file, or of everything beneath a folder. Returns when the list of entries and the
    /// block maps are here; [`DriveDownload::done`] waits for the contents.
    pub async fn download(&self, prefix: &str) -> Result<DriveDownload, DriveError> {
        let entries = match self.file_at(prefix).await? {
            Some(entry) => vec![entry],
            None => {
                let _entries = self.download_entries();
                self.list(prefix).await?
            }
        };
        let ids = entries.into_iter().filter_map(|entry| entry.blob);
        self.download_contents(ids.collect()).await
    }

    /// Asks peers for the list of entries, in one request, unless the path is that of a file. Dropping the result takes that back.
    pub async fn download_list(&self, prefix: &str) -> Result<Option<Download>, DriveError> {
        Ok(match self.file_at(prefix).await? {
            Some(_) => None,
            None => self.download_entries(),
        })
    }

    /// Deletes the contents that are here of everything but what this version has at or beneath `prefixes`, to free space: their
    /// entries stay, and peers can bring them again. How many blocks were deleted.
    ///
    /// # Errors
    /// If the entries cannot be listed, or the store cannot be written; what was deleted by then stays so.
    pub async fn clear_contents_but(&self, prefixes: &[&str]) -> Result<u64, DriveError> {
        let blobs = self.open_blobs().await?;
        let mut kept = Vec::new();
        for prefix in prefixes {
            let entries = match self.file_at(prefix).await? {
                Some(entry) => vec![entry],
                None => self.list(prefix).await?,
            };
            for id in entries.into_iter().filter_map(|entry| entry.blob) {
                kept.extend(id.block_end().map(|end| (id.block_offset, end)));
                kept.extend(blobs.runs(&id).await?);
            }
        }
        kept.sort_unstable();
        let core = blobs.core().clone();
        let length = core.length();
        kept.push((length, length));
        let clear = move || {
            let (mut at, mut cleared) = (0, 0);
            for (start, end) in kept {
                let stored = core.count_stored(at, start.max(at));
                if stored > 0 {
                    core.clear(at, start)?;
                    cleared += stored;
                }
                at = at.max(end);
            }
            Ok(cleared)
        };
        let cleared: Result<u64, core_store::CoreError> = match tokio::task::spawn_blocking(clear).await {
            Ok(cleared) => cleared,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        Ok(cleared?)
    }

    /// Asks for the contents of entries, all at once.
    pub(crate) async fn download_contents(&self, ids: Vec<BlobId>) -> Result<DriveDownload, DriveError> {
        let blobs = self.open_blobs().await?;
        let _maps = self.download_maps(&ids).await?;
        let lists = stream::iter(ids).map(|id| {
            let blobs = blobs.clone();
            async move { blobs.runs(&id).await }
        });
        let mut lists = lists.buffer_unordered(MAPS);
        let mut runs = Vec::new();
        while let Some(list) = lists.try_next().await? {
            runs.extend(list);
        }
        Ok(DriveDownload {
            downloads: blobs.download(runs),
        })
    }

    /// Asks for all block maps among the contents, in few requests.
    pub(crate) async fn download_maps(&self, ids: &[BlobId]) -> Result<Vec<Download>, DriveError> {
        let blobs = self.open_blobs().await?;
        let maps = ids.iter().filter(|id| id.block_map && id.block_length <= 64);
        Ok(blobs.download(
            maps.filter_map(|id| Some((id.block_offset, id.block_end()?)))
                .collect(),
        ))
    }
}
