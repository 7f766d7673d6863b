//! The installed bundle: putting a new one in its place, and taking it back if it does not start.
//!
//! A bundle is one folder (`PearChat/`, `PearChat.app`) or one file (an AppImage). [`apply`] asks the new program whether it can run
//! ([`preflight`]), notes down what it is about to do, puts the new bundle in place in one atomic step and keeps the old one. The next
//! start calls [`Startup::begin`]; once its window works it calls [`Startup::started_well`], which lets the old bundle go. A version that
//! failed to start twice, or disappeared four times, is taken back and remembered as bad, until a person asks for it again ([`forgive`]).
//!
//! The step is an exchange on Linux and macOS, and a pointer on Windows, where the installed program starts the version in use
//! ([`handed_over`]). The tests cover both on Linux; the macOS exchange compiles but has not been tried.

mod contents;
mod copied;
mod exchange;
mod hand_over;
mod lock;
mod note;
pub mod preflight;
mod way;

use std::path::{Path, PathBuf};
use std::time::Duration;

use app::Folders;
pub use contents::Staged;
pub use copied::{Copied, copy_packaged};
pub use hand_over::{anew, around, handed_over, program};
use lock::BundleLock;
pub use note::{Decision, Note, Startup};
use semver::Version;

use self::way::Way;
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
    apply_by(Way::HERE, dir, installed, staged, (from, to))
}

fn apply_by(
    way: Way,
    dir: &Path,
    installed: &Path,
    staged: &Staged,
    (from, to): (&str, &str),
) -> Result<(), ApplyError> {
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
    let before = way.in_use(installed);
    let present = lock.installed_version(&before);
    let present = present.as_deref().unwrap_or(from);
    if !newer(to, present) {
        return Err(ApplyError::NotNewer {
            version: to.to_owned(),
            installed: present.to_owned(),
            path: installed.to_owned(),
        });
    }
    let before = Before {
        bundle: before,
        version: present.to_owned(),
    };
    let brought = way.bring(staged.path(), installed, to).map_err(io(installed))?;
    let put = put(way, dir, installed, &before, (staged, &brought, to));
    match &put {
        Ok(()) => lock.record(installed, to),
        // It will not be tried again.
        Err(ApplyError::Altered { .. } | ApplyError::CannotRun { .. }) => way.discard(&brought),
        Err(_) => way.withdraw(&brought, staged.path()),
    }
    put
}

/// What is in use before an update.
struct Before {
    bundle: PathBuf,
    version: String,
}

/// Puts a bundle in place that was brought, under the bundle's lock.
fn put(
    way: Way,
    dir: &Path,
    installed: &Path,
    before: &Before,
    (staged, brought, to): (&Staged, &Path, &str),
) -> Result<(), ApplyError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ApplyError::Io { path, source }
    };
    if let Some(path) = staged.difference(brought).map_err(io(brought))? {
        return Err(ApplyError::Altered { path });
    }
    let mut note = Note::load(dir);
    // A program that cannot run would not come to the point where it takes itself back.
    if let Err(why) = preflight::ask(brought) {
        note.remember_bad(to);
        note.save(dir).map_err(io(dir))?;
        return Err(ApplyError::CannotRun {
            version: to.to_owned(),
            why,
        });
    }
    exchange::sync_tree(brought).map_err(io(brought))?;
    let kept = previous(dir, installed);
    match way {
        Way::Exchange => note.begin_exchange(&before.version, to, brought, &kept),
        Way::Versions => note.begin_version(&before.version, to, brought, &before.bundle),
    }
    note.save(dir).map_err(io(dir))?;
    way.put(brought, installed)
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported => ApplyError::NoExchange {
                path: installed.to_owned(),
            },
            _ => ApplyError::Swap {
                path: installed.to_owned(),
                source,
            },
        })?;
    // From here on the new version is in place, whatever happens. The old one moves out of the staging folder, which is
    // emptied at the next start; if that does not happen now, it does when the new version starts.
    if way == Way::Exchange {
        keep(brought, &kept);
    }
    Ok(())
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
    if let Some(old) = Note::load(dir).exchanged(version).filter(|old| *old != kept) {
        keep(&old, &kept);
    }
}

#[cfg(all(test, unix))]
mod tests;
