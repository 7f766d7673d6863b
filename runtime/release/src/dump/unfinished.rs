//! A dump that was cut off leaves word in its folder, so that the next one of the same version goes on where it stopped.
//!
//! While a dump into a new folder is under way, the folder holds [`MARKER`], which says what is written there. Whoever
//! finds it may go on: files of that version are taken as they are, missing ones are added, and nothing is deleted, since what
//! else lies there by now is a person's own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use app::Link;
use futures::TryStreamExt;
use hyperdrive::{DiffOp, Drive, Hyperdrive, LocalDrive, MirrorOptions, PutOptions, is_leftover, mirror};
use serde_json::{Value, json};

use crate::ReleaseError;
use crate::error::refuse;

/// The word that is left. Files whose names begin so are listed by no drive.
const MARKER: &str = ".bosc-tmp-dump";

/// More than a marker takes, in bytes: a link, and paths from one command line. A larger one is not ours.
const MAX_MARKER_BYTES: u64 = 1 << 20;

/// What a folder is before a dump.
pub(super) enum State {
    /// Nothing is in it, or nothing but what killed processes left.
    Empty,
    /// A dump was cut off; what it wrote there.
    Unfinished(Value),
    /// Somebody keeps files there.
    Filled,
}

/// Looks at the folder that is to be written. A folder that cannot be read counts as empty: writing to it will say why.
///
/// # Errors
/// If the word in it cannot be read.
pub(super) fn look(dir: &Path) -> Result<State, ReleaseError> {
    let path = dir.join(MARKER);
    let found = match std::fs::symlink_metadata(&path) {
        Ok(found) => Some(found),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(error) => return Err(ReleaseError::io("read", &path)(error)),
    };
    if found.is_some_and(|found| found.is_file() && found.len() <= MAX_MARKER_BYTES) {
        let text = std::fs::read(&path).map_err(ReleaseError::io("read", &path))?;
        if let Ok(written) = serde_json::from_slice(&text) {
            return Ok(State::Unfinished(written));
        }
    }
    let filled = std::fs::read_dir(dir).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| !entry.file_name().to_str().is_some_and(is_leftover))
    });
    Ok(if filled { State::Filled } else { State::Empty })
}

/// A dump into a folder that holds nothing of a person's, from its first to its last file.
pub(super) struct Unfinished {
    local: LocalDrive,
    marker: PathBuf,
    was_there: bool,
}

impl Unfinished {
    /// Leaves word in an empty folder, or goes on with the dump that left it. Whether files must stay that the drive does not
    /// have is in the second.
    ///
    /// # Errors
    /// If something else was being written there, or a file was changed since.
    pub(super) async fn begin(
        dir: &Path,
        link: &Link,
        drive: &Hyperdrive,
        state: State,
        options: &MirrorOptions,
    ) -> Result<(Self, bool), ReleaseError> {
        let this = Self {
            local: LocalDrive::new(dir),
            marker: dir.join(MARKER),
            was_there: dir.is_dir(),
        };
        let version = Link {
            path: link.path.clone(),
            ..Link::versioned(drive.fork(), drive.version(), link.key)
        };
        let about = json!({ "link": version.to_string(), "only": options.only });
        let State::Unfinished(begun) = state else {
            let text = format!("{about}\n");
            let content = futures::stream::iter([Ok(text.into())]);
            this.local
                .put(&format!("/{MARKER}"), Box::pin(content), PutOptions::default())
                .await?;
            return Ok((this, false));
        };
        if begun != about {
            let begun = begun
                .get("link")
                .and_then(Value::as_str)
                .unwrap_or("something else")
                .to_owned();
            refuse!(
                NotEmpty,
                "{} holds an interrupted dump of {begun}, and this is {version}: finish that one, dump into another folder, or add --force to overwrite",
                dir.display()
            );
        }
        // Files are put in place whole: one that is different was not written by the dump that was cut off.
        let compare = MirrorOptions {
            dry_run: true,
            prune: false,
            ..options.clone()
        };
        let changed = {
            let mut changes = mirror(drive, &this.local, compare);
            let mut changed = None;
            while let Some(diff) = changes.try_next().await? {
                if diff.op == DiffOp::Change {
                    changed = Some(diff.key);
                    break;
                }
            }
            changed
        };
        if let Some(key) = changed {
            refuse!(
                Changed,
                "{}{key} was changed since a dump into this folder was interrupted: move it away, or add --force to overwrite",
                dir.display()
            );
        }
        Ok((this, true))
    }

    /// All is written: takes the word away.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub(super) fn finish(self) -> Result<(), ReleaseError> {
        remove(&self.marker)
    }

    /// Nothing more is written. If nothing was, the folder is as before.
    pub(super) fn give_up(self) {
        let dir = self.local.root();
        let touched = std::fs::read_dir(dir).is_ok_and(|mut dir| {
            dir.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_str() != Some(MARKER)))
        });
        if !touched {
            let _ = remove(&self.marker);
            if !self.was_there {
                let _ = std::fs::remove_dir(dir);
            }
        }
    }
}

/// Takes the word away after a dump that overwrote everything.
///
/// # Errors
/// If it cannot be deleted.
pub(super) fn forget(dir: &Path) -> Result<(), ReleaseError> {
    remove(&dir.join(MARKER))
}

fn remove(marker: &Path) -> Result<(), ReleaseError> {
    match std::fs::remove_file(marker) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(ReleaseError::io("delete", marker)(error))
        }
        _ => Ok(()),
    }
}
