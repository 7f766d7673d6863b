//! The two ways in which a new bundle takes the place of an installed one.
//!
//! Linux and macOS exchange two folders or files in one step, whatever of them is open. Windows cannot; there the versions lie beside
//! each other, and a pointer is replaced in one step ([`Versions`] says why so and not otherwise).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use app::Versions;

use super::exchange;
use crate::file;

/// How bundles are put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The new bundle and the old one change places.
    Exchange,
    /// The new bundle lies in the installed one, and is pointed to.
    Versions,
}

/// What the folders begin with that are about to be deleted.
const DOOMED: &str = ".old-";

impl Way {
    /// The one of this system.
    pub(super) const HERE: Self = if cfg!(windows) {
        Self::Versions
    } else {
        Self::Exchange
    };

    /// The bundle that runs when `installed` is started.
    pub(super) fn in_use(self, installed: &Path) -> PathBuf {
        match self {
            Self::Exchange => installed.to_owned(),
            Self::Versions => Versions(installed).current(),
        }
    }

    /// Brings a staged bundle to where it can be put in place from; returns where. It is on the file system of the installed one then.
    pub(super) fn bring(self, staged: &Path, installed: &Path, version: &str) -> io::Result<PathBuf> {
        match self {
            Self::Exchange if exchange::same_file_system(staged, installed)? => Ok(staged.to_owned()),
            Self::Exchange => exchange::copy_beside(staged, installed),
            Self::Versions => {
                let versions = Versions(installed);
                let target = versions.bundle(&versions.free_name(version)?);
                exchange::bring(staged, &target)?;
                Ok(target)
            }
        }
    }

    /// Puts a bundle that was brought, or that was in place before, in place. One step: the one or the other is in place, whole, at
    /// any moment. It is durable when this returns.
    pub(super) fn put(self, bundle: &Path, installed: &Path) -> io::Result<()> {
        match self {
            Self::Exchange => exchange::exchange(bundle, installed),
            Self::Versions => {
                let versions = Versions(installed);
                match versions.name_of(bundle) {
                    Some(name) => {
                        let text = format!("{name}\n");
                        exchange::patiently(|| file::replace(&versions.pointer(), text.as_bytes()))
                    }
                    None if bundle == installed => {
                        exchange::patiently(|| exchange::remove(&versions.pointer()))
                    }
                    None => Err(io::ErrorKind::InvalidInput.into()),
                }
            }
        }
    }

    /// Deletes a bundle that was brought and does not go in.
    pub(super) fn discard(self, brought: &Path) {
        let path = match self {
            Self::Exchange => Some(brought),
            Self::Versions => brought.parent(),
        };
        if let Some(path) = path
            && let Err(error) = exchange::remove(path)
        {
            tracing::warn!(path = %path.display(), %error, "could not delete an update that was refused");
        }
    }

    /// Moves a bundle that was brought back to where it was staged, so that it can be tried again.
    pub(super) fn withdraw(self, brought: &Path, staged: &Path) {
        if brought == staged {
            return;
        }
        let withdrawn = match self {
            Self::Exchange => exchange::remove(brought),
            Self::Versions => exchange::bring(brought, staged),
        };
        if let Err(error) = withdrawn {
            tracing::warn!(path = %brought.display(), %error, "an update that was not put in place stays beside it");
        } else if self == Self::Versions {
            self.discard(brought);
        }
    }

    /// Deletes the versions that are not in use. Call it under the bundle's lock. One that still runs stays until the next time: its
    /// folder cannot be renamed, and so nothing of it is deleted.
    pub(super) fn clear(self, installed: &Path) {
        if self == Self::Exchange {
            return;
        }
        let versions = Versions(installed);
        let (kept, pointer) = (versions.current(), versions.pointer());
        for entry in fs::read_dir(versions.folder()).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path == pointer || kept.starts_with(&path) {
                continue;
            }
            let doomed = if name.starts_with(DOOMED) {
                path
            } else {
                let doomed = path.with_file_name(format!("{DOOMED}{name}"));
                match fs::rename(&path, &doomed) {
                    Ok(()) => doomed,
                    Err(error) => {
                        tracing::debug!(path = %path.display(), %error, "a version that is not in use stays for now");
                        continue;
                    }
                }
            };
            if let Err(error) = exchange::remove(&doomed) {
                tracing::debug!(path = %doomed.display(), %error, "a version that is not in use is not wholly deleted yet");
            }
        }
    }
}
