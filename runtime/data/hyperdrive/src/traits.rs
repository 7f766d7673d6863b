//! What a drive and a local folder have in common.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{TryStreamExt, stream::BoxStream};

use crate::entry::{Entry, PutOptions};
use crate::error::DriveError;
use crate::filter::PathFilter;
use crate::{Hyperdrive, LocalDrive};

/// The content of a file, piece by piece.
pub type ByteStream = BoxStream<'static, Result<Bytes, DriveError>>;

/// A tree of files: [`Hyperdrive`] or [`LocalDrive`]. Paths are absolute inside the drive (`/package.json`).
#[async_trait]
pub trait Drive: Send + Sync {
    /// The file or link at a path; `None` for folders and for nothing. Links are not followed.
    async fn entry(&self, path: &str) -> Result<Option<Entry>, DriveError>;

    /// Streams the content of a file.
    ///
    /// # Errors
    /// [`DriveError::NotFound`] when there is no file.
    async fn read_stream(&self, path: &str) -> Result<ByteStream, DriveError>;

    /// Streams the content of an entry that was just read from this drive.
    async fn read_entry(&self, entry: &Entry) -> Result<ByteStream, DriveError> {
        self.read_stream(&entry.key).await
    }

    /// All files and links beneath a folder (`/` for all) that the filter lets through, at any depth, by path.
    async fn list_filtered(&self, prefix: &str, filter: &PathFilter) -> Result<Vec<Entry>, DriveError>;

    /// Writes a file, in place of what was there.
    async fn put(&self, path: &str, content: ByteStream, options: PutOptions) -> Result<(), DriveError>;

    /// Deletes a file or link. Nothing happens when there is none.
    async fn del(&self, path: &str) -> Result<(), DriveError>;

    /// Writes a link, in place of what was there. An absolute target starts at the drive's root.
    async fn symlink(&self, path: &str, target: &str) -> Result<(), DriveError>;

    /// Changes the executable flag and metadata of a file that is there, and leaves its content.
    async fn set_attributes(&self, entry: &Entry, options: PutOptions) -> Result<(), DriveError>;

    /// Bytes of an entry's content; 0 for links.
    async fn size(&self, entry: &Entry) -> Result<u64, DriveError>;

    /// All files and links beneath a folder, at any depth, by path.
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, DriveError> {
        self.list_filtered(prefix, &PathFilter::default()).await
    }

    /// All files and links beneath a folder, or else the one file or link at that path.
    async fn list_or_entry(&self, path: &str) -> Result<Vec<Entry>, DriveError> {
        let mut entries = self.list(path).await?;
        if entries.is_empty() {
            entries.extend(self.entry(path).await?);
        }
        Ok(entries)
    }

    /// The content of a file in one piece; `None` when there is no file.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, DriveError> {
        let mut stream = match self.read_stream(path).await {
            Ok(stream) => stream,
            Err(DriveError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut all = BytesMut::new();
        while let Some(part) = stream.try_next().await? {
            all.extend_from_slice(&part);
        }
        Ok(Some(all.freeze()))
    }

    /// Whether there is a file or link at a path.
    async fn exists(&self, path: &str) -> Result<bool, DriveError> {
        Ok(self.entry(path).await?.is_some())
    }

    /// The drive behind the trait, if it is one.
    fn as_hyperdrive(&self) -> Option<&Hyperdrive> {
        None
    }

    /// The local folder behind the trait, if it is one.
    fn as_local(&self) -> Option<&LocalDrive> {
        None
    }
}
