//! The file-system steps of an update.
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Exchanges two files or folders on one file system in one atomic step.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?;
    sync_parents(a, b);
    Ok(())
}

/// This system cannot exchange two files or folders in one atomic step.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(super) fn exchange(_a: &Path, _b: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes the exchange itself durable. It has happened either way, so failures do not matter.
#[cfg(unix)]
fn sync_parents(a: &Path, b: &Path) {
    for parent in [a.parent(), b.parent()].into_iter().flatten() {
        let _ = File::open(parent).and_then(|folder| folder.sync_all());
    }
}

/// Whether both lie on one file system.
pub(super) fn same_file_system(a: &Path, b: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(fs::symlink_metadata(a)?.dev() == fs::symlink_metadata(b)?.dev())
    }
    #[cfg(not(unix))]
    {
        fs::symlink_metadata(a)?;
        fs::symlink_metadata(b)?;
        Ok(true)
    }
}

/// The number by which a file system knows a file or folder: moving it does not change it.
pub(super) fn file_id(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(path).ok().map(|found| found.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Copies a bundle beside another, under a hidden name; returns where.
pub(super) fn copy_beside(bundle: &Path, other: &Path) -> io::Result<PathBuf> {
    let name = other.file_name().unwrap_or("app".as_ref()).to_string_lossy();
    let folder = other.with_file_name(format!(".{name}.next"));
    remove(&folder)?;
    fs::create_dir(&folder)?;
    // Under its own name: the program in a bundle bears that of the bundle.
    let target = folder.join(&*name);
    copy(bundle, &target)?;
    Ok(target)
}

/// Moves a bundle to a place where nothing is, or copies it if that is on another file system.
pub(super) fn bring(bundle: &Path, target: &Path) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    match patiently(|| fs::rename(bundle, target)) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(bundle, target),
        moved => moved,
    }
}

/// How often a step is tried again that Windows refused, and how long the pauses are at first: each is as long as all before it, six
/// seconds together.
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Does something that Windows refuses for moments, while a virus scanner or an indexer looks at the file. Elsewhere what is refused
/// stays so.
pub(super) fn patiently<T>(mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match step() {
            Err(error) if is_held(&error) => std::thread::sleep(pause),
            done => return done,
        }
        pause *= 2;
    }
    step()
}

#[cfg(windows)]
fn is_held(error: &io::Error) -> bool {
    /// ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION.
    const IN_USE: [i32; 2] = [32, 33];
    error.kind() == io::ErrorKind::PermissionDenied
        || error.raw_os_error().is_some_and(|code| IN_USE.contains(&code))
}

#[cfg(not(windows))]
fn is_held(_: &io::Error) -> bool {
    false
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry?;
        let relative = entry.path().strip_prefix(from).map_err(io::Error::other)?;
        let target = if relative.as_os_str().is_empty() {
            to.to_owned()
        } else {
            to.join(relative)
        };
        let kind = entry.file_type();
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
        } else if kind.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?; // Keeps the mode.
        }
    }
    Ok(())
}

/// Makes every file of a bundle durable before it goes into place.
pub(super) fn sync_tree(bundle: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(bundle) {
        let entry = entry?;
        let kind = entry.file_type();
        // Windows makes folders durable by itself, and files for those who may write them.
        if kind.is_file() || (kind.is_dir() && cfg!(unix)) {
            let mut options = File::options();
            options.read(true).write(cfg!(windows));
            options.open(entry.path())?.sync_all()?;
        }
    }
    Ok(())
}

/// Deletes a file or folder; nothing there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
