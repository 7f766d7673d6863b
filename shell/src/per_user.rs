//! An app that the system's package manager installed: only root may change it there, so each user runs a copy of their own, which
//! updates itself as any folder does. The package is the seed of that copy.
//!
//! This is so on every start, `--no-updates` or not: what a user has, a start without updates shows as well.

use std::path::{Path, PathBuf};

use app::{Host, Layout, folders, layout};
use bosc_runtime::bundle::{Copied, copy_packaged};

/// Whether a bundle is a package manager's.
pub(crate) fn is_packaged(bundle: &Path) -> bool {
    bundle.join(layout::PACKAGED).is_file()
}

/// The program of this user's copy of a packaged bundle; it is made or renewed first if the package is newer. `dir` is the app's data
/// folder. Call it when no other instance runs: it may take the files away that one shows. Blocks.
///
/// # Errors
/// Why there is none, in words.
pub(crate) fn program(name: &str, bundle: &Path, dir: &Path) -> Result<PathBuf, String> {
    let copy = folders::copies(name).join(bundle.file_name().unwrap_or_default());
    let copied = copy_packaged(dir, bundle, &copy).map_err(|error| {
        format!(
            "{} cannot be copied to {}: {error}",
            bundle.display(),
            copy.display()
        )
    })?;
    if copied == Copied::New {
        tracing::info!(copy = %copy.display(), "this user has the package's version now");
    }
    Ok(Layout::at(&Host::current(), &copy).program(&copy))
}
