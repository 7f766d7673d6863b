//! Writing to a folder: confined to it, never through links, each file replaced in one step.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base::lock;
use bytes::Bytes;
use futures::StreamExt;

use crate::error::DriveError;
use crate::local::blocking;
use crate::local_path::{check_link, join, look, parent_folder};
use crate::path;
use crate::traits::ByteStream;

/// How the names of files begin that are being written.
pub(crate) const TEMPORARY: &str = ".bosc-tmp-";
/// Pieces of a file written in one go, if so many are there: each go wakes another thread.
const TOGETHER: usize = 8;
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file that is being written; removed unless it is put in its place.
struct Temporary {
    path: PathBuf,
    placed: bool,
}

impl Temporary {
    /// Puts the file in its place, over what was there.
    fn place(mut self, full: &Path) -> Result<(), DriveError> {
        std::fs::rename(&self.path, full).map_err(DriveError::io(full))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes a file: to a temporary name first, then renamed over what was there.
pub(crate) async fn put(
    root: &Path,
    folders: &Arc<Mutex<()>>,
    key: String,
    content: ByteStream,
    executable: bool,
) -> Result<(), DriveError> {
    let (root, folders) = (root.to_path_buf(), folders.clone());
    let mut content = content.ready_chunks(TOGETHER);
    let mut next = async || -> Result<Option<Vec<Bytes>>, DriveError> {
        content
            .next()
            .await
            .map(|pieces| pieces.into_iter().collect())
            .transpose()
    };
    let first = next().await?;
    let second = match &first {
        Some(_) => next().await?,
        None => None,
    };
    let whole = second.is_none();
    let begin = move || {
        let (temporary, mut file, full) = create(&root, &folders, &key, executable)?;
        let pieces: Vec<Bytes> = first.into_iter().chain(second).flatten().collect();
        write_all(&mut file, &temporary, &pieces)?;
        if whole {
            // Most files are of one block: they are written in one go.
            drop(file);
            temporary.place(&full)?;
            return Ok(None);
        }
        Ok(Some((temporary, file, full)))
    };
    let Some((mut temporary, mut file, full)) = blocking(begin).await? else {
        return Ok(());
    };
    while let Some(pieces) = next().await? {
        (temporary, file) = blocking(move || {
            write_all(&mut file, &temporary, &pieces)?;
            Ok((temporary, file))
        })
        .await?;
    }
    blocking(move || {
        drop(file);
        temporary.place(&full)
    })
    .await
}

fn write_all(file: &mut File, temporary: &Temporary, pieces: &[Bytes]) -> Result<(), DriveError> {
    let mut write = || pieces.iter().try_for_each(|piece| file.write_all(piece));
    write().map_err(DriveError::io(&temporary.path))
}

fn create(
    root: &Path,
    folders: &Mutex<()>,
    key: &str,
    executable: bool,
) -> Result<(Temporary, File, PathBuf), DriveError> {
    let _making = lock(folders);
    let folder = parent_folder(root, key, true)?.unwrap_or_else(|| root.to_path_buf());
    let full = join(root, key);
    // An empty folder makes way, any other stays.
    if look(&full)?.is_some_and(|metadata| metadata.is_dir()) && std::fs::remove_dir(&full).is_err() {
        return Err(DriveError::refused(
            key,
            format!("{} is a folder", full.display()),
        ));
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    set_mode(&mut options, executable);
    let file = match options.open(&path) {
        // Left behind by a process of the same number that was killed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(&path).and_then(|()| options.open(&path))
        }
        other => other,
    };
    let file = file.map_err(DriveError::io(&path))?;
    Ok((Temporary { path, placed: false }, file, full))
}

/// Deletes what processes that were killed in the middle of writing left behind, at any depth.
pub(crate) fn sweep(folder: &Path) -> Result<(), DriveError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DriveError::io(folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(DriveError::io(folder))?;
        let path = entry.path();
        if entry.file_type().map_err(DriveError::io(&path))?.is_dir() {
            sweep(&path)?;
        } else if entry.file_name().to_str().is_some_and(is_leftover) {
            match std::fs::remove_file(&path) {
                Err(error) if !is_in_use(&error) => return Err(DriveError::io(&path)(error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a name is that of a file which a process that is gone was writing: exactly `.bosc-tmp-<process>-<number>`.
pub fn is_leftover(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((process, number)) = name.strip_prefix(TEMPORARY).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    if !digits(process) || !digits(number) {
        return false;
    }
    // In a container every run may have the same number: what this process has not begun yet is of one before it.
    if process.parse() == Ok(std::process::id()) {
        return number
            .parse()
            .is_ok_and(|number: u64| number >= NEXT.load(Ordering::Relaxed));
    }
    process.parse().is_ok_and(|id: i32| !is_running(id))
}

#[cfg(unix)]
fn is_running(id: i32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    Pid::from_raw(id).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Every process counts as gone: Windows itself keeps what one still writes, see [`set_mode`].
#[cfg(not(unix))]
fn is_running(_id: i32) -> bool {
    false
}

/// Whether a file was not deleted because a process has it open.
fn is_in_use(error: &std::io::Error) -> bool {
    /// `ERROR_SHARING_VIOLATION`.
    const SHARING: i32 = 32;
    cfg!(windows) && error.raw_os_error() == Some(SHARING)
}

/// Deletes a file or link, and the folders that it leaves empty.
pub(crate) fn del(root: &Path, folders: &Mutex<()>, key: &str) -> Result<(), DriveError> {
    let _removing = lock(folders);
    let Some(folder) = parent_folder(root, key, false)? else {
        return Ok(());
    };
    let full = join(root, key);
    match look(&full)? {
        None => return Ok(()),
        Some(metadata) if metadata.is_dir() => return Ok(()),
        Some(_) => std::fs::remove_file(&full).map_err(DriveError::io(&full))?,
    }
    let mut folder = folder.as_path();
    while folder != root && folder.starts_with(root) && std::fs::remove_dir(folder).is_ok() {
        let Some(parent) = folder.parent() else { break };
        folder = parent;
    }
    Ok(())
}

/// Writes a link that stays inside the folder.
pub(crate) fn symlink(root: &Path, folders: &Mutex<()>, key: &str, target: &str) -> Result<(), DriveError> {
    let link = check_link(key, target)?;
    let _making = lock(folders);
    parent_folder(root, key, true)?;
    let full = join(root, key);
    match look(&full)? {
        Some(metadata) if metadata.is_dir() => std::fs::remove_dir(&full)
            .map_err(|_| DriveError::refused(key, format!("{} is a folder", full.display())))?,
        Some(_) => std::fs::remove_file(&full).map_err(DriveError::io(&full))?,
        None => {}
    }
    let is_folder = path::resolve_link(key, target).is_ok_and(|goal| join(root, &goal).is_dir());
    make_link(&link, &full, is_folder).map_err(DriveError::io(&full))
}

/// Sets or clears the executable flag of a file.
pub(crate) fn set_executable(root: &Path, key: &str, executable: bool) -> Result<(), DriveError> {
    let full = join(root, key);
    let inside = parent_folder(root, key, false)?.is_some();
    let Some(metadata) = look(&full)?.filter(|metadata| inside && metadata.is_file()) else {
        return Err(DriveError::NotFound { path: key.into() });
    };
    change_mode(&full, &metadata, executable).map_err(DriveError::io(&full))
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, executable: bool) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(if executable { 0o755 } else { 0o644 });
}

/// No flag is kept; but as long as the file is open nobody else deletes it.
#[cfg(windows)]
fn set_mode(options: &mut OpenOptions, _: bool) {
    use std::os::windows::fs::OpenOptionsExt;
    /// `FILE_SHARE_READ`.
    const READ: u32 = 1;
    options.share_mode(READ);
}

/// Whoever may read the file may run it, or nobody.
#[cfg(unix)]
fn change_mode(full: &Path, metadata: &std::fs::Metadata, executable: bool) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode();
    let mode = if executable {
        mode | ((mode & 0o444) >> 2) | 0o100
    } else {
        mode & !0o111
    };
    std::fs::set_permissions(full, std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn change_mode(_: &Path, _: &std::fs::Metadata, _: bool) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn make_link(link: &str, full: &Path, _is_folder: bool) -> std::io::Result<()> {
    std::os::unix::fs::symlink(link, full)
}

#[cfg(windows)]
fn make_link(link: &str, full: &Path, is_folder: bool) -> std::io::Result<()> {
    /// `ERROR_PRIVILEGE_NOT_HELD`.
    const NOT_ALLOWED: i32 = 1314;
    let link = link.replace('/', "\\");
    let made = if is_folder {
        std::os::windows::fs::symlink_dir(link, full)
    } else {
        std::os::windows::fs::symlink_file(link, full)
    };
    match made {
        Err(error) if error.raw_os_error() == Some(NOT_ALLOWED) => Err(std::io::Error::new(
            error.kind(),
            "Windows lets nobody make links but in its developer mode: switch that on, or leave this link out",
        )),
        // Wine says that it has made one, and has not.
        Ok(()) if std::fs::symlink_metadata(full).is_err() => Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "this system makes no links: leave this one out",
        )),
        made => made,
    }
}

/// Waits until the file system of the folder has everything on disk.
#[cfg(target_os = "linux")]
pub(crate) fn sync(root: &Path) -> Result<(), DriveError> {
    let folder = File::open(root).map_err(DriveError::io(root))?;
    rustix::fs::syncfs(folder).map_err(|error| DriveError::io(root)(error.into()))
}

/// Waits until the file system of the folder has everything on disk.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn sync(_: &Path) -> Result<(), DriveError> {
    rustix::fs::sync();
    Ok(())
}

/// Windows writes files back by itself.
#[cfg(windows)]
pub(crate) fn sync(_: &Path) -> Result<(), DriveError> {
    Ok(())
}
