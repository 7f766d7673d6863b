//! A bundle as a folder.

use std::fs;
use std::path::Path;

use crate::PackagingError;
use crate::tree::{Item, Source, Tree};

/// Writes everything of a tree into a folder. Its files are as old as they are made: what is staged from here is told from what was
/// staged before by that, too.
pub(crate) fn write(tree: &Tree, to: &Path) -> Result<(), PackagingError> {
    fs::create_dir_all(to).map_err(PackagingError::io("make", to))?;
    for folder in tree.folders() {
        let folder = to.join(folder);
        fs::create_dir_all(&folder).map_err(PackagingError::io("make", &folder))?;
    }
    for (path, item) in tree.items() {
        let target = to.join(path);
        match item {
            Item::Link(link) => make_link(link, &target).map_err(PackagingError::io("write", &target))?,
            Item::File { from, .. } => {
                match from {
                    Source::Path(from) => fs::copy(from, &target)
                        .map(|_| ())
                        .map_err(PackagingError::io("copy", from))?,
                    Source::Bytes(bytes) => {
                        fs::write(&target, bytes).map_err(PackagingError::io("write", &target))?;
                    }
                }
                set_mode(&target, item.mode()).map_err(PackagingError::io("write", &target))?;
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
fn make_link(link: &str, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(link, at)
}

#[cfg(not(unix))]
fn make_link(_: &str, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u16) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode.into()))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u16) -> std::io::Result<()> {
    Ok(())
}
