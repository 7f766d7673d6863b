//! Writing many entries at once.

use bytes::Bytes;
use futures::{StreamExt, stream};
use hyperblobs::{BlobId, ChunkIndex, Chunking, Writer};

use crate::drive::{Hyperdrive, files};
use crate::entry::{Entry, PutOptions};
use crate::error::DriveError;
use crate::path;
use crate::traits::ByteStream;

/// Writes that become visible together. Contents are stored as they come, entries on [`Batch::flush`]; a batch that is
/// dropped leaves no entry behind.
pub struct Batch {
    drive: Hyperdrive,
    entries: hyperbee::Batch,
    writer: Option<Writer>,
    chunks: Option<ChunkIndex>,
}

impl Batch {
    pub(crate) fn new(drive: Hyperdrive, entries: hyperbee::Batch) -> Self {
        Self {
            drive,
            entries,
            writer: None,
            chunks: None,
        }
    }

    /// The version that the drive will have after [`Batch::flush`].
    pub fn version(&self) -> u64 {
        self.entries.version()
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The file or link at a path, with the batch's own writes.
    pub async fn entry(&mut self, path: &str) -> Result<Option<Entry>, DriveError> {
        let key = path::normalize(path)?;
        let found = self.entries.get(&files().encode(key.as_bytes())).await?;
        found.map(crate::drive::decode).transpose()
    }

    /// Writes a file.
    pub async fn put(
        &mut self,
        path: &str,
        content: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<(), DriveError> {
        let content = stream::iter([Ok(content.into())]).boxed();
        self.put_stream(path, content, options).await?;
        Ok(())
    }

    /// Writes a file from a stream; returns where its content is.
    pub(crate) async fn put_stream(
        &mut self,
        path: &str,
        content: ByteStream,
        options: PutOptions,
    ) -> Result<BlobId, DriveError> {
        let key = path::normalize(path)?;
        if options.dedup && self.chunks.is_none() {
            // The index looks at stored blocks: those still on their way must be there first.
            if let Some(writer) = self.writer.take() {
                writer.finish().await?;
            }
            self.chunks = Some(self.drive.open_blobs().await?.chunk_index().await?);
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.drive.open_blobs().await?.writer().await?),
        };
        let blob = if options.dedup {
            writer
                .write(content, Chunking::Content, self.chunks.as_mut())
                .await?
        } else {
            writer.write(content, Chunking::Plain, None).await?
        };
        let PutOptions {
            executable, metadata, ..
        } = options;
        self.put_entry(Entry {
            seq: 0,
            key,
            executable,
            linkname: None,
            blob: Some(blob),
            metadata,
        })
        .await?;
        Ok(blob)
    }

    /// Writes an entry as it is; its content must be in the drive already.
    pub(crate) async fn put_entry(&mut self, entry: Entry) -> Result<(), DriveError> {
        let key = path::normalize(&entry.key)?;
        self.entries
            .put(&files().encode(key.as_bytes()), &entry.encode())
            .await?;
        Ok(())
    }

    /// Changes the executable flag and metadata of an entry.
    pub(crate) async fn set_attributes(
        &mut self,
        entry: &Entry,
        options: PutOptions,
    ) -> Result<(), DriveError> {
        let PutOptions {
            executable, metadata, ..
        } = options;
        self.put_entry(Entry {
            executable,
            metadata,
            ..entry.clone()
        })
        .await
    }

    /// Deletes a file or link; false when there is none.
    pub async fn del(&mut self, path: &str) -> Result<bool, DriveError> {
        let key = path::normalize(path)?;
        Ok(self.entries.del(&files().encode(key.as_bytes())).await?)
    }

    /// Writes a link.
    pub async fn symlink(&mut self, path: &str, target: &str) -> Result<(), DriveError> {
        if target.contains('\0') || target.is_empty() {
            return Err(DriveError::Path {
                path: target.into(),
                reason: "a link cannot lead there",
            });
        }
        let key = path::normalize(path)?;
        let linkname = Some(target.to_owned());
        self.put_entry(Entry {
            seq: 0,
            key,
            executable: false,
            linkname,
            blob: None,
            metadata: None,
        })
        .await
    }

    /// Stores everything: contents first, so that no entry ever names content that is not there.
    pub async fn flush(self) -> Result<(), DriveError> {
        if let Some(writer) = self.writer {
            writer.finish().await?;
        }
        Ok(self.entries.flush()?)
    }

    /// Stores everything and goes on with an empty batch.
    pub(crate) async fn checkpoint(self) -> Result<Self, DriveError> {
        let Self {
            drive,
            entries,
            writer,
            chunks,
        } = self;
        if let Some(writer) = writer {
            writer.finish().await?;
        }
        entries.flush()?;
        let entries = drive.bee().batch().await?;
        Ok(Self {
            drive,
            entries,
            writer: None,
            chunks,
        })
    }
}
