//! The installed bundle: putting a new one in its place, and taking it back if it does not start.
//!
//! A bundle is one folder (`PearChat/`, `PearChat.app`) or one file (an AppImage). [`apply`] asks the new program whether it can run
//! ([`preflight`]), notes down what it is about to do, exchanges old and new in one atomic step and keeps the old one. The next start calls [`Startup::begin`]; once its window works it
//! calls [`Startup::started_well`], which lets the old bundle go. A version that failed to start twice, or disappeared four times,
//! is swapped back and remembered as bad, until a person asks for it again ([`forgive`]).
//!
//! Linux is what the tests cover; the macOS exchange compiles but has not been tried, and Windows is not supported yet.

mod contents;
mod copied;
mod exchange;
mod lock;
mod note;
pub mod preflight;

use std::path::{Path, PathBuf};
use std::time::Duration;

use app::Folders;
pub use contents::Staged;
pub use copied::{Copied, copy_packaged};
use lock::BundleLock;
pub use note::{Decision, Note, Startup};
use semver::Version;

use crate::check::is_newer;
use crate::error::ApplyError;

/// How long an update waits for another instance that is swapping the same bundle: longer than that one asks its program.
const PATIENCE: Duration = Duration::from_secs(15);

/// Puts the bundle `staged` in the place of the one at `installed`. `dir` is the app's data folder, where the note and
/// the old bundle are kept. After an error the old bundle is in place. Blocks: the new program is asked whether it can run, and
/// all of it is made durable. Instances that share the bundle take turns, and none goes back behind another.
///
/// # Errors
/// [`ApplyError::CannotRun`], and then `to` is remembered as bad; [`ApplyError::Altered`] if the bundle is not what
/// was sealed; [`ApplyError::NotNewer`] if what is installed is not older
/// than `to`; else what the file system said.
pub fn apply(dir: &Path, installed: &Path, staged: &Staged, from: &str, to: &str) -> Result<(), ApplyError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ApplyError::Io { path, source }
    };
    let swap = |source| ApplyError::Swap {
        path: installed.to_owned(),
        source,
    };
    let lock = BundleLock::take(installed, PATIENCE).map_err(swap)?;
    let lock = lock.ok_or_else(|| ApplyError::Busy {
        path: installed.to_owned(),
    })?;
    // What runs is not what is installed if another instance was faster.
    let present = lock.installed_version(installed);
    let present = present.as_deref().unwrap_or(from);
    if !newer(to, present) {
        return Err(ApplyError::NotNewer {
            version: to.to_owned(),
            installed: present.to_owned(),
            path: installed.to_owned(),
        });
    }
    // The exchange needs both on one file system: if they are not, the new one is copied beside the old one first.
    let sealed = staged;
    let staged = if exchange::same_file_system(sealed.path(), installed).map_err(io(installed))? {
        sealed.path().to_owned()
    } else {
        exchange::copy_beside(sealed.path(), installed).map_err(io(installed))?
    };
    if let Some(path) = sealed.difference(&staged).map_err(io(&staged))? {
        discard(&staged);
        return Err(ApplyError::Altered { path });
    }
    let mut note = Note::load(dir);
    // A program that cannot run would not come to the point where it takes itself back.
    if let Err(why) = preflight::ask(&staged) {
        note.remember_bad(to);
        note.save(dir).map_err(io(dir))?;
        discard(&staged);
        return Err(ApplyError::CannotRun {
            version: to.to_owned(),
            why,
        });
    }
    exchange::sync_tree(&staged).map_err(io(&staged))?;
    let kept = previous(dir, installed);
    note.begin_update(present, to, &staged, &kept);
    note.save(dir).map_err(io(dir))?;
    exchange::exchange(&staged, installed).map_err(|source| match source.kind() {
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported => ApplyError::NoExchange {
            path: installed.to_owned(),
        },
        _ => swap(source),
    })?;
    lock.record(installed, to);
    // From here on the new version is in place, whatever happens. The old one moves out of the staging folder, which is
    // emptied at the next start; if that does not happen now, it does when the new version starts.
    keep(&staged, &kept);
    Ok(())
}

/// Deletes a bundle that does not go in.
fn discard(staged: &Path) {
    if let Err(error) = exchange::remove(staged) {
        tracing::warn!(path = %staged.display(), %error, "could not delete an update that was refused");
    }
}

fn newer(to: &str, present: &str) -> bool {
    match (Version::parse(to), Version::parse(present)) {
        (Ok(to), Ok(present)) => is_newer(&to, &present),
        // What is there cannot be compared: it is no reason to keep it.
        (Ok(_), Err(_)) => true,
        (Err(_), _) => false,
    }
}

/// Forgets which versions were taken back, so that the updater installs them again. Whether there were any.
///
/// # Errors
/// If the note in the app's data folder cannot be written.
pub fn forgive(dir: &Path) -> std::io::Result<bool> {
    let mut note = Note::load(dir);
    let any = note.forgive();
    if any {
        note.save(dir)?;
    }
    Ok(any)
}

/// Where the bundle before the present one is kept.
fn previous(dir: &Path, installed: &Path) -> PathBuf {
    let name = installed.file_name().unwrap_or("app".as_ref());
    Folders(dir).previous().join(name)
}

/// Moves the old bundle to where it is kept. One on another file system stays where it is; the note names both places.
fn keep(from: &Path, to: &Path) {
    let moved = || -> std::io::Result<()> {
        if let Some(parent) = to.parent() {
            exchange::remove(parent)?;
            std::fs::create_dir_all(parent)?;
        }
        std::fs::rename(from, to)
    };
    if let Err(error) = moved() {
        tracing::warn!(path = %from.display(), %error, "the bundle before this one stays where it is");
    }
}

/// Call before the staging folder is emptied, with the running version: moves an old bundle that an interrupted update left
/// there to where it is kept.
pub(crate) fn secure_previous(dir: &Path, installed: &Path, version: &str) {
    let kept = previous(dir, installed);
    if let Some(old) = Note::load(dir).old_bundle(version).filter(|old| *old != kept) {
        keep(&old, &kept);
    }
}

#[cfg(test)]
mod tests;
