//! What a drive publishes, for whoever looks at it from outside: the release, its build for one machine, and whether an app
//! would take it.

use std::path::Path;

use app::{Document, Host, layout};
use hyperdrive::Hyperdrive;
use semver::Version;

use crate::bundle::Note;
use crate::check::{self, CheckError, Release};
use crate::seen::Seen;

/// A release as the drive announces it.
#[derive(Debug, Clone)]
pub struct Published {
    release: Release,
}

/// The build of a release for one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// Files of it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Why a drive could not be read. A sentence.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unreadable(#[from] CheckError);

/// Reads the release at the drive's present length; `None` if there is none. Waits for peers as any read of a drive.
///
/// # Errors
/// If its blocks cannot be had, or are no release.
pub async fn published(drive: &Hyperdrive) -> Result<Option<Published>, Unreadable> {
    Ok(check::look(drive).await?.map(|release| Published { release }))
}

/// Reads the package.json of a drive, whoever made it, at the length that the drive is at; `None` if there is none. Waits for
/// peers as any read of a drive.
///
/// # Errors
/// If its blocks cannot be had, or it is larger than 1 MiB or not one JSON object.
pub async fn package_of(drive: &Hyperdrive) -> Result<Option<Document>, Unreadable> {
    Ok(check::package_of(drive).await?)
}

impl Published {
    /// The version of its package.json.
    pub fn version(&self) -> &Version {
        &self.release.version
    }

    /// Length of the drive's entries that it was read at.
    pub fn length(&self) -> u64 {
        self.release.length
    }

    /// Its package.json.
    pub fn package(&self) -> &Document {
        &self.release.package
    }

    /// Its build of the bundle `name` for `host`; `None` if there is none.
    ///
    /// # Errors
    /// If its blocks cannot be had.
    pub async fn build(
        &self,
        drive: &Hyperdrive,
        host: &Host,
        name: &str,
    ) -> Result<Option<Build>, Unreadable> {
        let checkout = drive.checkout(self.release.length);
        let entries = check::entries(&checkout, &layout::on_drive(host, name))
            .await
            .map_err(CheckError::from)?;
        let bytes = entries.values().map(|(size, ..)| size).sum();
        Ok((!entries.is_empty()).then_some(Build {
            files: entries.len(),
            bytes,
        }))
    }

    /// Why an app with that data folder would not install it, if it is newer than what it runs: it was taken back, or is behind
    /// what the app saw before. A sentence.
    pub fn refusal(&self, dir: &Path, drive: &Hyperdrive) -> Option<String> {
        let version = self.release.version.to_string();
        let note = Note::load(dir);
        if note.is_bad(&version) {
            return Some(format!(
                "version {version} was installed before and did not start, so it was taken back"
            ));
        }
        let seen = Seen::load(dir, drive.key().to_string());
        let floor = seen.mark()?;
        let bad = note.is_bad(&floor.version.to_string());
        let below = floor.admits(&self.release.mark(), bad).err()?;
        Some(below.to_string())
    }
}
