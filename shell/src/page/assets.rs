//! Where the page's files come from, behind one small trait: an app's folder, a Hyperdrive, or memory in tests.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

/// Why a file could not be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetsError {
    /// There is no such file.
    #[error("no such file")]
    Missing,
    /// A symbolic link leads out of the app.
    #[error("{path} leads out of the app's folder; only files inside it are served")]
    Outside {
        /// The path that was asked for.
        path: String,
    },
    /// The file is larger than can be answered at once.
    #[error(
        "the file is {size} bytes long, too large to load at once; ask for it in ranges, as a media element does"
    )]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// Reading failed.
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

/// A folder on disk.
#[derive(Debug, Clone)]
pub struct DirAssets {
    root: PathBuf,
}

impl DirAssets {
    /// Serves the files below `root`. Symbolic links are followed only to places below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn locate(&self, path: &str) -> Result<Option<PathBuf>, AssetsError> {
        let full = match self.root.join(path).canonicalize() {
            Ok(full) => full,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(other(path, &error)),
        };
        let root = self
            .root
            .canonicalize()
            .map_err(|error| other(&self.root.to_string_lossy(), &error))?;
        if full.starts_with(&root) {
            Ok(Some(full))
        } else {
            Err(AssetsError::Outside {
                path: path.to_owned(),
            })
        }
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

fn other(path: &str, error: &std::io::Error) -> AssetsError {
    AssetsError::Other(format!("cannot read {path}: {error}"))
}

#[async_trait]
impl Assets for DirAssets {
    async fn size(&self, path: &str) -> Result<Option<u64>, AssetsError> {
        let Some(full) = self.locate(path)? else {
            return Ok(None);
        };
        let metadata = std::fs::metadata(&full).map_err(|error| other(path, &error))?;
        Ok(metadata.is_file().then_some(metadata.len()))
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes, AssetsError> {
        let full = self.locate(path)?.ok_or(AssetsError::Missing)?;
        let path = path.to_owned();
        let read = move || read_part(&full, &range).map_err(|error| other(&path, &error));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime
                .spawn_blocking(read)
                .await
                .map_err(|error| AssetsError::Other(error.to_string()))?,
            Err(_) => read(),
        }
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }
}

fn read_part(path: &Path, range: &Range<u64>) -> std::io::Result<Bytes> {
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
    use super::*;
    use std::collections::BTreeMap;

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

    #[tokio::test]
    async fn files_folders_and_missing_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("renderer")).unwrap();
        std::fs::write(dir.path().join("renderer/a.txt"), b"hello").unwrap();
        let assets = DirAssets::new(dir.path());
        assert_eq!(assets.size("renderer/a.txt").await.unwrap(), Some(5));
        assert_eq!(
            assets.read("renderer/a.txt", 1..4).await.unwrap().as_ref(),
            b"ell"
        );
        assert_eq!(assets.size("renderer").await.unwrap(), None);
        assert_eq!(assets.size("renderer/b.txt").await.unwrap(), None);
        assert_eq!(assets.size("renderer/a.txt/b").await.unwrap(), None);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_may_not_leave_the_app() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        std::fs::create_dir(&app).unwrap();
        std::fs::write(dir.path().join("secret"), b"s").unwrap();
        std::fs::write(app.join("inside"), b"i").unwrap();
        std::os::unix::fs::symlink("../secret", app.join("out")).unwrap();
        std::os::unix::fs::symlink("inside", app.join("in")).unwrap();
        let assets = DirAssets::new(&app);
        assert!(matches!(
            assets.size("out").await,
            Err(AssetsError::Outside { .. })
        ));
        assert!(matches!(
            assets.read("out", 0..1).await,
            Err(AssetsError::Outside { .. })
        ));
        assert_eq!(assets.size("in").await.unwrap(), Some(1));
    }
}
