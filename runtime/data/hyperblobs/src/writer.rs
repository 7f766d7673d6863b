//! Writing blobs: content in, blocks appended in large groups while the next content is being read.

use std::sync::Arc;

use bytes::Bytes;
use core_store::{Core, CoreError};
use futures::{Stream, StreamExt};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use crate::block_map::{BlockMap, MapBlock};
use crate::chunker::{Chunker, Chunking};
use crate::error::BlobError;
use crate::id::BlobId;
use crate::reuse::{ChunkIndex, hash};

/// Bytes collected before they are appended.
const GROUP_BYTES: u64 = 4 << 20;
/// Blocks collected before they are appended.
const GROUP_BLOCKS: usize = 2048;

/// Writes blobs one after the other. Nothing is sure to be stored before [`Writer::finish`].
pub struct Writer {
    core: Core,
    /// Shared with the task that appends, so that a dropped writer frees the blobs only once that task is done.
    writing: Arc<OwnedMutexGuard<()>>,
    /// Length and bytes that the core will have once all pending blocks are appended.
    length: u64,
    byte_length: u64,
    /// Length that the core must have before the next group.
    appended: u64,
    pending: Vec<Bytes>,
    pending_bytes: u64,
    running: Option<JoinHandle<Result<u64, CoreError>>>,
}

impl Writer {
    pub(crate) fn new(core: Core, writing: OwnedMutexGuard<()>) -> Self {
        let (length, byte_length) = (core.length(), core.byte_length());
        Self {
            core,
            writing: Arc::new(writing),
            length,
            byte_length,
            appended: length,
            pending: Vec::new(),
            pending_bytes: 0,
            running: None,
        }
    }

    /// Writes one blob. With `known` chunks the blob becomes a block map that refers to them where it can; a file of one
    /// new chunk stays a plain blob, which is smaller and needs one round trip less.
    pub async fn write<E: From<BlobError>>(
        &mut self,
        content: impl Stream<Item = Result<Bytes, E>>,
        chunking: Chunking,
        known: Option<&mut ChunkIndex>,
    ) -> Result<BlobId, E> {
        let mut content = std::pin::pin!(content);
        let mut blob = Blob {
            map: BlockMap::default(),
            reused: false,
            known,
        };
        let (block_offset, byte_offset) = (self.length, self.byte_length);
        let mut chunker = Chunker::new(chunking);
        while let Some(data) = content.next().await {
            chunker.push(&data?);
            while let Some(block) = chunker.next_block() {
                self.add(&mut blob, block).await?;
            }
        }
        if let Some(block) = chunker.finish() {
            self.add(&mut blob, block).await?;
        }
        let mapped = blob.known.is_some() && (blob.reused || blob.map.blocks.len() > 1);
        if !mapped {
            let (block_length, byte_length) = (self.length - block_offset, self.byte_length - byte_offset);
            return Ok(BlobId {
                byte_offset,
                block_offset,
                block_length,
                byte_length,
                block_map: false,
            });
        }
        let (block_offset, byte_offset) = (self.length, self.byte_length);
        for block in blob.map.encode() {
            self.append(block).await?;
        }
        let (block_length, byte_length) = (self.length - block_offset, self.byte_length - byte_offset);
        Ok(BlobId {
            byte_offset,
            block_offset,
            block_length,
            byte_length,
            block_map: true,
        })
    }

    /// Waits until everything is stored.
    pub async fn finish(mut self) -> Result<(), BlobError> {
        self.flush().await?;
        self.settle().await
    }

    async fn add(&mut self, blob: &mut Blob<'_>, block: Bytes) -> Result<(), BlobError> {
        let byte_length = block.len() as u64;
        let Some(known) = blob.known.as_deref_mut() else {
            return self.append(block).await;
        };
        if blob.map.is_full() {
            let what = "the file has too many chunks";
            return Err(BlobError::Map {
                block: self.length,
                what,
            });
        }
        let hash = hash(&block);
        match known.get(&hash, byte_length) {
            Some(existing) => {
                blob.reused = true;
                blob.map.blocks.push(existing);
                Ok(())
            }
            None => {
                let new = MapBlock {
                    index: self.length,
                    byte_length,
                };
                known.insert(hash, new);
                blob.map.blocks.push(new);
                self.append(block).await
            }
        }
    }

    async fn append(&mut self, block: Bytes) -> Result<(), BlobError> {
        self.length += 1;
        self.byte_length += block.len() as u64;
        self.pending_bytes += block.len() as u64;
        self.pending.push(block);
        if self.pending_bytes >= GROUP_BYTES || self.pending.len() >= GROUP_BLOCKS {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Hands the pending blocks to a task that appends them, after the group before.
    async fn flush(&mut self) -> Result<(), BlobError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.settle().await?;
        let found = self.core.length();
        if found != self.appended {
            return Err(BlobError::Conflict {
                expected: self.appended,
                found,
            });
        }
        let blocks = std::mem::take(&mut self.pending);
        self.appended += blocks.len() as u64;
        self.pending_bytes = 0;
        let (core, writing) = (self.core.clone(), self.writing.clone());
        self.running = Some(tokio::task::spawn_blocking(move || {
            let length = core.append(&blocks);
            drop(writing);
            length
        }));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BlobError> {
        match self.running.take() {
            Some(running) => running
                .await
                .map_err(|_| BlobError::Stopped)?
                .map(drop)
                .map_err(BlobError::from),
            None => Ok(()),
        }
    }
}

struct Blob<'a> {
    map: BlockMap,
    reused: bool,
    known: Option<&'a mut ChunkIndex>,
}
