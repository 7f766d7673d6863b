//! Where the page's files come from, behind one small trait: a drive (the app's folder or a Hyperdrive), or memory.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use futures::TryStreamExt;
use hyperdrive::{ByteStream, Drive, DriveError, Entry, LocalDrive};

/// Links followed on the way to a file, at most.
const MAX_LINKS: usize = 16;

/// Why a file could not be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetsError {
    /// There is no such file.
    #[error("no such file")]
    Missing,
    /// The file is larger than can be answered at once.
    #[error(
        "the file is {size} bytes long, too large to load at once; ask for it in ranges, as a media element does"
    )]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// The drive could not give it.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// A local file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The answer could not be put together.
    #[error("{0}")]
    Other(String),
}

/// The files of an app, by path without a leading slash (`renderer/index.html`).
#[async_trait]
pub trait Assets: Send + Sync {
    /// Size of the file in bytes, `None` if there is no such file (folders are not files).
    async fn size(&self, path: &str) -> Result<Option<u64>, AssetsError>;

    /// The bytes in `range`, which must lie within the file's size.
    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes, AssetsError>;

    /// Where the files are, for messages.
    fn describe(&self) -> String;
}

/// The files of a drive: a local folder ([`LocalDrive`]) or a [`Hyperdrive`](hyperdrive::Hyperdrive), best a checkout.
/// Links are followed inside the drive.
#[derive(Clone)]
pub struct DriveAssets {
    drive: Arc<dyn Drive>,
    /// Where they are said to be, if that is another place than where they are read.
    place: Option<PathBuf>,
}

impl DriveAssets {
    /// Serves the files of `drive`.
    pub fn new(drive: Arc<dyn Drive>) -> Self {
        Self { drive, place: None }
    }

    /// Serves the files below a folder.
    pub fn folder(root: &Path) -> Self {
        Self::new(Arc::new(LocalDrive::new(root)))
    }

    /// Says in messages that the files are at another place.
    #[must_use]
    pub(crate) fn said_to_be_at(mut self, place: &Path) -> Self {
        self.place = Some(place.to_owned());
        self
    }

    async fn find(&self, path: &str) -> Result<Option<Entry>, AssetsError> {
        let mut key = format!("/{path}");
        for _ in 0..MAX_LINKS {
            let Some(entry) = self.drive.entry(&key).await? else {
                return Ok(None);
            };
            match &entry.linkname {
                None => return Ok(Some(entry)),
                Some(link) => key = hyperdrive::path::resolve_link(&entry.key, link)?,
            }
        }
        Err(AssetsError::Drive(DriveError::LinkLoop {
            path: path.to_owned(),
        }))
    }
}

#[async_trait]
impl Assets for DriveAssets {
    async fn size(&self, path: &str) -> Result<Option<u64>, AssetsError> {
        match self.find(path).await? {
            Some(entry) => Ok(Some(self.drive.size(&entry).await?)),
            None => Ok(None),
        }
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes, AssetsError> {
        let entry = self.find(path).await?.ok_or(AssetsError::Missing)?;
        let length = range.end.saturating_sub(range.start);
        if let Some(drive) = self.drive.as_hyperdrive() {
            return gather(drive.read_entry(&entry, range.start, length).await?, 0, length).await;
        }
        if let Some(folder) = self.drive.as_local() {
            let full = folder.to_path(&entry.key)?;
            let read =
                move || read_part(&full, range).map_err(|source| AssetsError::Read { path: full, source });
            return tokio::task::spawn_blocking(read)
                .await
                .unwrap_or(Err(AssetsError::Missing));
        }
        gather(self.drive.read_entry(&entry).await?, range.start, length).await
    }

    fn describe(&self) -> String {
        if let Some(place) = &self.place {
            return place.display().to_string();
        }
        match (self.drive.as_local(), self.drive.as_hyperdrive()) {
            (Some(folder), _) => folder.root().display().to_string(),
            (None, Some(drive)) => format!("pear://{}", drive.key()),
            (None, None) => "the app's drive".to_owned(),
        }
    }
}

/// Takes `length` bytes of a stream after the first `skip`.
async fn gather(mut stream: ByteStream, mut skip: u64, length: u64) -> Result<Bytes, AssetsError> {
    let mut out = BytesMut::new();
    while let Some(mut part) = stream.try_next().await? {
        let skipped = skip.min(part.len() as u64);
        part.advance(usize::try_from(skipped).unwrap_or(part.len()));
        skip -= skipped;
        let missing = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .saturating_sub(out.len());
        part.truncate(missing);
        out.extend_from_slice(&part);
        if out.len() as u64 >= length {
            break;
        }
    }
    Ok(out.freeze())
}

fn read_part(path: &Path, range: Range<u64>) -> std::io::Result<Bytes> {
    let mut file = std::fs::File::open(path)?;
    if range.start > 0 {
        file.seek(SeekFrom::Start(range.start))?;
    }
    let mut out = Vec::new();
    file.take(range.end.saturating_sub(range.start))
        .read_to_end(&mut out)?;
    Ok(out.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Files in memory.
    pub(crate) struct MemoryAssets(BTreeMap<String, Bytes>);

    impl MemoryAssets {
        pub(crate) fn new<const N: usize>(files: [(&str, &'static [u8]); N]) -> Self {
            Self(
                files
                    .into_iter()
                    .map(|(path, data)| (path.to_owned(), Bytes::from_static(data)))
                    .collect(),
            )
        }
    }

    #[async_trait]
    impl Assets for MemoryAssets {
        async fn size(&self, path: &str) -> Result<Option<u64>, AssetsError> {
            Ok(self.0.get(path).map(|data| data.len() as u64))
        }

        async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes, AssetsError> {
            let data = self.0.get(path).ok_or(AssetsError::Missing)?;
            Ok(data.slice(range.start as usize..range.end as usize))
        }

        fn describe(&self) -> String {
            "memory".to_owned()
        }
    }

    fn folder() -> (tempfile::TempDir, DriveAssets) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("app/renderer")).unwrap();
        std::fs::write(dir.path().join("app/renderer/a.txt"), b"hello").unwrap();
        std::fs::write(dir.path().join("secret"), b"s").unwrap();
        let assets = DriveAssets::folder(&dir.path().join("app"));
        (dir, assets)
    }

    #[tokio::test]
    async fn files_folders_and_missing_files() {
        let (_dir, assets) = folder();
        assert_eq!(assets.size("renderer/a.txt").await.unwrap(), Some(5));
        assert_eq!(
            assets.read("renderer/a.txt", 1..4).await.unwrap().as_ref(),
            b"ell"
        );
        assert_eq!(
            assets.read("renderer/a.txt", 0..5).await.unwrap().as_ref(),
            b"hello"
        );
        assert_eq!(assets.size("renderer").await.unwrap(), None);
        assert_eq!(assets.size("renderer/b.txt").await.unwrap(), None);
        assert_eq!(assets.size("renderer/a.txt/b").await.unwrap(), None);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_may_not_leave_the_app() {
        use std::os::unix::fs::symlink;
        let (dir, assets) = folder();
        let app = dir.path().join("app");
        symlink("../secret", app.join("out")).unwrap();
        symlink(dir.path().join("secret"), app.join("absolute")).unwrap();
        symlink("..", app.join("parent")).unwrap();
        symlink("loop", app.join("loop")).unwrap();
        symlink("renderer/a.txt", app.join("in")).unwrap();
        for path in ["out", "absolute", "parent/secret", "loop"] {
            let size = assets.size(path).await;
            assert!(!matches!(size, Ok(Some(_))), "{path}: {size:?}");
            assert!(assets.read(path, 0..1).await.is_err(), "{path}");
        }
        assert_eq!(assets.size("in").await.unwrap(), Some(5));
        assert_eq!(assets.read("in", 0..5).await.unwrap().as_ref(), b"hello");
    }

    #[tokio::test]
    async fn a_stream_is_cut_to_the_range() {
        let parts = ["01234", "", "567", "89"].map(|part| Ok(Bytes::from_static(part.as_bytes())));
        for (start, end) in [(0, 10), (0, 3), (4, 6), (5, 8), (9, 10), (3, 3)] {
            let stream = Box::pin(futures::stream::iter(
                parts.clone().map(|part: Result<Bytes, ()>| Ok(part.unwrap())),
            ));
            let bytes = gather(stream, start, end - start).await.unwrap();
            assert_eq!(bytes.as_ref(), &b"0123456789"[start as usize..end as usize]);
        }
    }
}
