//! The blobs of one core.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use core_store::{Core, Download, DownloadRange};
use futures::{StreamExt, TryStreamExt, stream};

use crate::block_map::{BlockMap, MAX_MAP_BLOCKS};
use crate::chunker::Chunking;
use crate::error::BlobError;
use crate::id::BlobId;
use crate::read::{self, BlobStream};
use crate::reuse::ChunkIndex;
use crate::writer::Writer;

/// Blobs on a core. Cheap to clone; clones share one write lock.
#[derive(Clone)]
pub struct Blobs {
    core: Core,
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Blobs {
    /// The blobs of `core`.
    pub fn new(core: Core) -> Self {
        Self {
            core,
            writing: Arc::default(),
        }
    }

    /// The core below.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Starts writing; other writers of these blobs wait until the writer is finished or dropped.
    pub async fn writer(&self) -> Result<Writer, BlobError> {
        let guard = self.writing.clone().lock_owned().await;
        self.core.refresh()?; // another process may have written since
        Ok(Writer::new(self.core.clone(), guard))
    }

    /// Writes one plain blob.
    pub async fn put(&self, content: Bytes) -> Result<BlobId, BlobError> {
        let mut writer = self.writer().await?;
        let content = stream::iter([Ok::<_, BlobError>(content)]);
        let id = writer.write(content, Chunking::Plain, None).await?;
        writer.finish().await?;
        Ok(id)
    }

    /// The whole blob. Waits for peers when blocks are missing here.
    pub async fn get(&self, id: &BlobId) -> Result<Bytes, BlobError> {
        let mut stream = self.read(id).await?;
        let Some(first) = stream.try_next().await? else {
            return Ok(Bytes::new());
        };
        let mut all = BytesMut::new();
        while let Some(block) = stream.try_next().await? {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&block);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    /// Streams a blob. All of it is asked for at once; dropping the stream takes that back.
    pub async fn read(&self, id: &BlobId) -> Result<BlobStream, BlobError> {
        self.read_range(id, 0, u64::MAX).await
    }

    /// Streams `length` bytes of a blob from byte `start`, or as many as there are.
    pub async fn read_range(&self, id: &BlobId, start: u64, length: u64) -> Result<BlobStream, BlobError> {
        if id.block_map {
            Ok(read::mapped(
                self.core.clone(),
                id,
                &self.block_map(id).await?,
                start,
                length,
            ))
        } else {
            read::plain(self.core.clone(), id, start, length).await
        }
    }

    /// The chunks of a blob with a block map.
    pub async fn block_map(&self, id: &BlobId) -> Result<BlockMap, BlobError> {
        self.load_map(id, true).await
    }

    /// The chunks of a blob with a block map, if the map is here.
    async fn local_block_map(&self, id: &BlobId) -> Result<Option<BlockMap>, BlobError> {
        match self.load_map(id, false).await {
            Ok(map) => Ok(Some(map)),
            Err(BlobError::NotHere { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn load_map(&self, id: &BlobId, wait: bool) -> Result<BlockMap, BlobError> {
        let damaged = |what| BlobError::Map {
            block: id.block_offset,
            what,
        };
        if id.block_length > MAX_MAP_BLOCKS {
            return Err(damaged("it is too long"));
        }
        let end = id.block_end().ok_or(damaged("it lies beyond the end"))?;
        let core = &self.core;
        let blocks = stream::iter(id.block_offset..end).map(|index| async move {
            let block = if wait {
                core.get(index).await?
            } else {
                core.get_local(index)?
                    .ok_or(BlobError::NotHere { block: index })?
            };
            Ok::<_, BlobError>((index, block))
        });
        let blocks: Vec<_> = blocks.buffered(MAX_MAP_BLOCKS as usize).try_collect().await?;
        let mut map = BlockMap::default();
        for (index, block) in blocks {
            map.decode_block(index, &block)?;
        }
        map.byte_length().ok_or(damaged("its lengths overflow"))?;
        Ok(map)
    }

    /// Bytes of the content: of a blob with a block map the sum of its chunks.
    pub async fn byte_length(&self, id: &BlobId) -> Result<u64, BlobError> {
        if id.block_map {
            Ok(self.block_map(id).await?.byte_length().unwrap_or(u64::MAX))
        } else {
            Ok(id.byte_length)
        }
    }

    /// Whether all of a blob is here.
    pub async fn has(&self, id: &BlobId) -> Result<bool, BlobError> {
        let Some(end) = id.block_end() else {
            return Ok(false);
        };
        if !self.core.has_range(id.block_offset, end) {
            return Ok(false);
        }
        if id.block_map {
            match self.local_block_map(id).await? {
                Some(map) => Ok(map.blocks.iter().all(|block| self.core.has(block.index))),
                None => Ok(false),
            }
        } else {
            Ok(true)
        }
    }

    /// The blocks that hold the content, as half-open runs: one for a plain blob, the chunks of the map else.
    pub async fn runs(&self, id: &BlobId) -> Result<Vec<(u64, u64)>, BlobError> {
        if id.block_map {
            let blocks = self.block_map(id).await?.blocks;
            Ok(merge(
                blocks
                    .into_iter()
                    .map(|block| (block.index, block.index.saturating_add(1)))
                    .collect(),
            ))
        } else {
            let damaged = BlobError::Damaged {
                block: id.block_offset,
                what: "it has no end",
            };
            Ok(vec![(id.block_offset, id.block_end().ok_or(damaged)?)])
        }
    }

    /// Asks peers for runs of blocks, in as few requests as possible. Keep the result: dropping it takes the request back.
    pub fn download(&self, runs: Vec<(u64, u64)>) -> Vec<Download> {
        merge(runs)
            .into_iter()
            .filter(|&(start, end)| !self.core.has_range(start, end))
            .map(|(start, end)| {
                self.core.download(DownloadRange {
                    start,
                    end: Some(end),
                })
            })
            .collect()
    }

    /// All chunks of the core whose content is here, for writing without storing them again.
    pub async fn chunk_index(&self) -> Result<ChunkIndex, BlobError> {
        let core = self.core.clone();
        let build = move || {
            let mut index = ChunkIndex::default();
            (0..core.length()).try_for_each(|block| index.add_local(&core, block))?;
            Ok(index)
        };
        tokio::task::spawn_blocking(build)
            .await
            .map_err(|_| BlobError::Stopped)?
    }
}

/// Runs in order, neighbours and overlaps joined, empty ones gone.
fn merge(mut runs: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    runs.retain(|(start, end)| start < end);
    runs.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, end) in runs {
        match merged.last_mut() {
            Some((_, last)) if *last >= start => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_asked_for_together() {
        assert_eq!(
            merge(vec![(7, 8), (3, 5), (4, 6), (9, 10), (8, 8), (8, 9)]),
            [(3, 6), (7, 10)]
        );
        assert_eq!(merge(vec![(1, 9), (2, 3)]), [(1, 9)]);
        assert!(merge(Vec::new()).is_empty());
    }
}
