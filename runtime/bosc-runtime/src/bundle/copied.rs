//! A user's own copy of a bundle that the system's package manager keeps, where only root may write.

use std::io;
use std::path::Path;

use app::{Layout, fit, layout};
use semver::Version;

use super::exchange;
use super::lock::BundleLock;
use super::note::Note;
use super::way::Way;
use super::{PATIENCE, newer};

/// What became of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// There was none, or an older one; now it is the package's version.
    New,
    /// It is as new as the package or newer, or the package's version was taken back before: it stays.
    Kept,
}

/// Sees to it that `copy` is the bundle `packaged` or a newer one. `dir` is the app's data folder, whose note knows which versions were
/// taken back: those are not copied again. The copy lacks the mark of packages. It takes its place whole, or not at all. Blocks: all
/// of it is made durable.
///
/// # Errors
/// What the system said; what was there before is in place.
pub fn copy_packaged(dir: &Path, packaged: &Path, copy: &Path) -> io::Result<Copied> {
    copy_by(Way::HERE, dir, packaged, copy)
}

pub(super) fn copy_by(way: Way, dir: &Path, packaged: &Path, copy: &Path) -> io::Result<Copied> {
    if let Some(parent) = copy.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let busy = || io::Error::other("another instance of the app is changing it");
    let lock = BundleLock::take(copy, PATIENCE)?.ok_or_else(busy)?;
    let brought = fit::version_of(packaged).filter(|version| Version::parse(version).is_ok());
    let brought = brought.ok_or_else(|| io::Error::other("the package's package.json cannot be read"))?;
    let there = copy.symlink_metadata().is_ok();
    let is_whole = |bundle: &Path| {
        Layout::at(&app::Host::current(), bundle)
            .program(bundle)
            .is_file()
    };
    if there {
        let present = way.in_use(copy);
        let whole = is_whole(copy) && is_whole(&present);
        let present = fit::version_of(&present).unwrap_or_default();
        if whole && (Note::load(dir).is_bad(&brought) || !newer(&brought, &present)) {
            return Ok(Copied::Kept);
        }
    }
    let staged = exchange::copy_beside(packaged, copy)?;
    exchange::remove(&staged.join(layout::PACKAGED))?;
    exchange::sync_tree(&staged)?;
    match way {
        Way::Exchange if there => exchange::exchange(&staged, copy)?,
        // Its program starts the version in use, and none that cannot run gets there.
        Way::Versions if there && is_whole(copy) => {
            let beside = way.bring(&staged, copy, &brought)?;
            way.put(&beside, copy)?;
        }
        Way::Exchange | Way::Versions => {
            exchange::remove(copy)?;
            std::fs::rename(&staged, copy)?;
        }
    }
    lock.record(copy, &brought);
    // The older one, or an empty folder.
    if let Some(folder) = staged.parent()
        && let Err(error) = exchange::remove(folder)
    {
        tracing::warn!(path = %folder.display(), %error, "the copy before this one could not be deleted");
    }
    Ok(Copied::New)
}
