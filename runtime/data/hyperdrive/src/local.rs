//! A folder of this machine as a drive (npm `localdrive`).

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use hyperblobs::BlobId;
use tokio::io::AsyncReadExt;

use crate::entry::{Entry, PutOptions};
use crate::error::DriveError;
use crate::filter::PathFilter;
use crate::local_path::{join, look, parent_folder};
use crate::local_write;
use crate::memory::Memory;
use crate::path;
use crate::stamp::Stamp;
use crate::traits::{ByteStream, Drive};

/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 20;
/// Links followed on the way to a file outside, at most.
const MAX_LINKS: usize = 40;

/// How a [`LocalDrive`] behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalOptions {
    /// Read links that lead out of the folder as the file or folder that they lead to. Off, they are links.
    pub follow_external_links: bool,
}

/// A folder as a drive. Nothing is ever written outside the folder, and writes replace a file in one step. Files that are
/// being written are named `.bosc-tmp-…` and are not listed.
#[derive(Debug, Clone)]
pub struct LocalDrive {
    root: PathBuf,
    options: LocalOptions,
    /// Held while folders are made or removed, so that neither meets the other half way.
    folders: Arc<Mutex<()>>,
}

/// What a path of the drive is on disk.
struct Found {
    full: PathBuf,
    metadata: Metadata,
}

impl LocalDrive {
    /// Whether this system's disks keep which files are executable. Elsewhere what is read of that goes by a file's first bytes.
    pub const KEEPS_EXECUTABLE: bool = cfg!(unix);

    /// The folder `root`, which need not exist before something is written.
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self::with_options(root, LocalOptions::default())
    }

    /// The folder `root` with options.
    pub fn with_options(root: impl AsRef<Path>, options: LocalOptions) -> Self {
        let root = root.as_ref();
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
        Self {
            root,
            options,
            folders: Arc::default(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a path of the drive lies on disk.
    ///
    /// # Errors
    /// When the path has no place in a drive.
    pub fn to_path(&self, key: &str) -> Result<PathBuf, DriveError> {
        Ok(join(&self.root, &path::normalize(key)?))
    }

    /// Waits until everything written so far is on the disk, for example before an app is swapped.
    pub async fn sync(&self) -> Result<(), DriveError> {
        let root = self.root.clone();
        blocking(move || local_write::sync(&root)).await
    }

    /// Deletes what a process that was killed while it wrote here left behind. A mirror into the folder begins with it.
    pub async fn sweep(&self) -> Result<(), DriveError> {
        let root = self.root.clone();
        blocking(move || local_write::sweep(&root)).await
    }

    /// What is at a path. Folders on the way that are links must stay inside, unless external links are followed.
    fn find(&self, key: &str) -> Result<Option<Found>, DriveError> {
        let full = join(&self.root, key);
        let Some(metadata) = look(&full)? else {
            return Ok(None);
        };
        if !self.options.follow_external_links && !self.parents_inside(key, &full)? {
            return Ok(None);
        }
        if metadata.is_symlink() && self.options.follow_external_links {
            return self.follow(full);
        }
        Ok(Some(Found { full, metadata }))
    }

    fn parents_inside(&self, key: &str, full: &Path) -> Result<bool, DriveError> {
        if let Ok(Some(_)) = parent_folder(&self.root, key, false) {
            return Ok(true);
        }
        let canonical = |path: &Path| std::fs::canonicalize(path).map_err(DriveError::io(path));
        let parent = full.parent().unwrap_or(&self.root);
        Ok(canonical(parent)?.starts_with(canonical(&self.root)?))
    }

    /// Follows links while they lead out of the folder.
    fn follow(&self, mut full: PathBuf) -> Result<Option<Found>, DriveError> {
        for _ in 0..MAX_LINKS {
            let Some(metadata) = look(&full)? else {
                return Ok(None);
            };
            if !metadata.is_symlink() {
                return Ok(Some(Found { full, metadata }));
            }
            let link = std::fs::read_link(&full).map_err(DriveError::io(&full))?;
            let goal = plain(&full.parent().unwrap_or(&self.root).join(link));
            if goal.starts_with(&self.root) {
                return Ok(Some(Found { full, metadata }));
            }
            full = goal;
        }
        Err(DriveError::LinkLoop {
            path: full.display().to_string(),
        })
    }

    fn entry_of(&self, key: String, found: &Found) -> Result<Option<Entry>, DriveError> {
        let mut entry = Entry {
            seq: 0,
            key,
            executable: false,
            linkname: None,
            blob: None,
            metadata: None,
        };
        if found.metadata.is_symlink() {
            let link = std::fs::read_link(&found.full).map_err(DriveError::io(&found.full))?;
            let link = match link.strip_prefix(&self.root) {
                Ok(inside) if link.is_absolute() => Path::new("/").join(inside),
                _ => link,
            };
            let link = link
                .to_str()
                .ok_or_else(|| not_text(&found.full))?
                .replace('\\', "/");
            entry.linkname = Some(link);
            return Ok(Some(entry));
        }
        if !found.metadata.is_file() {
            return Ok(None);
        }
        entry.executable = is_executable(found);
        entry.blob = Some(BlobId {
            byte_length: found.metadata.len(),
            ..BlobId::default()
        });
        Ok(Some(entry))
    }

    /// As [`list_filtered`](Drive::list_filtered), each file with its stamp in the look that `memory` began.
    pub async fn list_stamped(
        &self,
        prefix: &str,
        filter: &PathFilter,
        memory: &Arc<Memory>,
    ) -> Result<Vec<(Entry, Option<Stamp>)>, DriveError> {
        let (this, key, filter) = (self.clone(), path::normalize_folder(prefix)?, filter.clone());
        let memory = memory.clone();
        blocking(move || {
            let mut entries = Vec::new();
            this.walk_from(&key, &filter, &mut |entry, metadata| {
                let stamp = metadata.is_file().then(|| memory.stamp(metadata)).flatten();
                entries.push((entry, stamp));
            })?;
            entries.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
            Ok(entries)
        })
        .await
    }

    /// Hands on all entries beneath the folder of a path, if there is one.
    fn walk_from(
        &self,
        key: &str,
        filter: &PathFilter,
        into: &mut dyn FnMut(Entry, &Metadata),
    ) -> Result<(), DriveError> {
        let folder = if key.is_empty() {
            Some(self.root.clone())
        } else {
            self.find(key)?
                .filter(|found| found.metadata.is_dir())
                .map(|found| found.full)
        };
        match folder {
            Some(folder) => self.walk(&folder, key, filter, 256, into),
            None => Ok(()),
        }
    }

    /// Hands on all entries beneath a folder. `depth` guards against folders that contain themselves through links.
    fn walk(
        &self,
        folder: &Path,
        key: &str,
        filter: &PathFilter,
        depth: usize,
        into: &mut dyn FnMut(Entry, &Metadata),
    ) -> Result<(), DriveError> {
        if depth == 0 {
            return Err(DriveError::LinkLoop { path: key.into() });
        }
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(DriveError::io(folder)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(DriveError::io(folder))?;
            let full = entry.path();
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| not_text(&full))?;
            if name.starts_with(local_write::TEMPORARY) {
                continue;
            }
            let key = format!("{key}/{name}");
            if filter.ignores_folder(&key) {
                continue;
            }
            if name.contains('\\') {
                return Err(DriveError::Path {
                    path: key,
                    reason: "it holds a backslash; ignore or rename it",
                });
            }
            let Some(metadata) = look(&full)? else { continue };
            let found = if metadata.is_symlink() && self.options.follow_external_links {
                self.follow(full)?
            } else {
                Some(Found { full, metadata })
            };
            let Some(found) = found else { continue };
            if found.metadata.is_dir() {
                self.walk(&found.full, &key, filter, depth - 1, into)?;
            } else if !filter.ignores(&key)
                && let Some(entry) = self.entry_of(key, &found)?
            {
                into(entry, &found.metadata);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Drive for LocalDrive {
    async fn entry(&self, path: &str) -> Result<Option<Entry>, DriveError> {
        let (this, key) = (self.clone(), path::normalize(path)?);
        blocking(move || match this.find(&key)? {
            Some(found) => this.entry_of(key, &found),
            None => Ok(None),
        })
        .await
    }

    async fn read_stream(&self, path: &str) -> Result<ByteStream, DriveError> {
        let (this, key) = (self.clone(), path::normalize(path)?);
        let not_found = DriveError::NotFound { path: key.clone() };
        let opened = blocking(move || match this.find(&key)? {
            Some(found) if found.metadata.is_file() => {
                let file = std::fs::File::open(&found.full).map_err(DriveError::io(&found.full))?;
                Ok(Some((file, found.full, found.metadata.len())))
            }
            _ => Ok(None),
        });
        let (file, full, length) = opened.await?.ok_or(not_found)?;
        let size = usize::try_from(length + 1).unwrap_or(READ_BYTES).min(READ_BYTES);
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(READ_BYTES);
        let read = stream::try_unfold((file, full), move |(mut file, full)| async move {
            let mut buffer = BytesMut::with_capacity(size);
            match file.read_buf(&mut buffer).await {
                Ok(0) => Ok(None),
                Ok(_) => Ok(Some((buffer.freeze(), (file, full)))),
                Err(error) => Err(DriveError::io(full)(error)),
            }
        });
        Ok(read.boxed())
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, DriveError> {
        let (this, key) = (self.clone(), path::normalize(path)?);
        blocking(move || match this.find(&key)? {
            Some(found) if found.metadata.is_file() => Ok(Some(
                std::fs::read(&found.full)
                    .map_err(DriveError::io(&found.full))?
                    .into(),
            )),
            _ => Ok(None),
        })
        .await
    }

    async fn list_filtered(&self, prefix: &str, filter: &PathFilter) -> Result<Vec<Entry>, DriveError> {
        let (this, key, filter) = (self.clone(), path::normalize_folder(prefix)?, filter.clone());
        blocking(move || {
            let mut entries = Vec::new();
            this.walk_from(&key, &filter, &mut |entry, _| entries.push(entry))?;
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(entries)
        })
        .await
    }

    async fn put(&self, path: &str, content: ByteStream, options: PutOptions) -> Result<(), DriveError> {
        let key = path::normalize(path)?;
        local_write::put(&self.root, &self.folders, key, content, options.executable).await
    }

    async fn del(&self, path: &str) -> Result<(), DriveError> {
        let (root, folders, key) = (self.root.clone(), self.folders.clone(), path::normalize(path)?);
        blocking(move || local_write::del(&root, &folders, &key)).await
    }

    async fn symlink(&self, path: &str, target: &str) -> Result<(), DriveError> {
        let (root, folders, key) = (self.root.clone(), self.folders.clone(), path::normalize(path)?);
        let target = target.to_owned();
        blocking(move || local_write::symlink(&root, &folders, &key, &target)).await
    }

    async fn set_attributes(&self, entry: &Entry, options: PutOptions) -> Result<(), DriveError> {
        let (root, key) = (self.root.clone(), path::normalize(&entry.key)?);
        blocking(move || local_write::set_executable(&root, &key, options.executable)).await
    }

    async fn size(&self, entry: &Entry) -> Result<u64, DriveError> {
        Ok(entry.blob.map_or(0, |blob| blob.byte_length))
    }

    fn as_local(&self) -> Option<&LocalDrive> {
        Some(self)
    }
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DriveError> + Send + 'static,
) -> Result<T, DriveError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(DriveError::Blobs(hyperblobs::BlobError::Stopped)),
        },
    }
}

/// Takes `.` and `..` out of a path by its text.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(out.pop()),
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

fn not_text(full: &Path) -> DriveError {
    let path = full.display().to_string();
    DriveError::Path {
        path,
        reason: "its name is not Unicode text; rename it",
    }
}

#[cfg(unix)]
fn is_executable(found: &Found) -> bool {
    use std::os::unix::fs::PermissionsExt;
    found.metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(found: &Found) -> bool {
    crate::executable::is_program(&found.full)
}
