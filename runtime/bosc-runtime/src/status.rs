//! What an app's updater said last, for whoever looks from outside: `<dir>/pear-runtime/status.json`.

use std::path::{Path, PathBuf};

use app::Folders;
use serde::{Deserialize, Serialize};

use crate::file;
use crate::runtime::UpdaterState;

/// By how much clocks disagree about one moment, in milliseconds.
const JITTER: u64 = 2000;

/// Where the updater of an app was when something changed last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The process it ran in; it may be gone.
    pub pid: u32,
    /// When that was: milliseconds since 1970.
    pub at: u64,
    /// When it looks at the drive next, if it plans to: milliseconds since 1970.
    pub next_look: Option<u64>,
    /// The rest.
    #[serde(flatten)]
    pub updater: UpdaterState,
}

impl Status {
    fn path(dir: &Path) -> PathBuf {
        Folders(dir).status()
    }

    /// Reads it; `None` if there is none, or none that can be read.
    pub fn load(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(dir)).ok()?).ok()
    }
}

/// Keeps the file up to date.
#[derive(Debug)]
pub(crate) struct Keeper {
    dir: PathBuf,
    written: Option<Status>,
}

impl Keeper {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            written: None,
        }
    }

    /// Writes it if something changed but the time. A disk that refuses is logged once for each change; nothing depends on it.
    pub(crate) fn keep(&mut self, status: Status) {
        let same = |old: &Status| {
            let mut new = status.clone();
            (new.at, new.updater.last_contact) = (old.at, old.updater.last_contact);
            // The same moment, seen from another one.
            if let (Some(next), Some(before)) = (new.next_look, old.next_look)
                && next.abs_diff(before) < JITTER
            {
                new.next_look = old.next_look;
            }
            new == *old
        };
        if self.written.as_ref().is_some_and(same) {
            return;
        }
        let path = Status::path(&self.dir);
        if let Err(error) = file::write_whole(&path, &status) {
            tracing::info!(path = %path.display(), %error, "could not write down where the updater is");
        }
        self.written = Some(status);
    }
}
