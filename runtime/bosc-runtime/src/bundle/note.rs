//! The note that an update leaves for the next start: `<dir>/pear-runtime/bundle.json`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{exchange, previous, secure_previous};
use crate::layout;

/// Starts of a new version that may fail before it is taken back.
const TRIES: u32 = 2;

/// What is known about the last update and about bad versions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Note {
    update: Option<Update>,
    /// Versions that did not start; they are not installed again.
    bad: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    from: String,
    to: String,
    /// Where the old bundle may be: the staging place, where the exchange puts it, and where it is kept.
    old: Vec<PathBuf>,
    /// What the file system calls the new bundle, wherever it is moved: with it, nothing of the new version need be read
    /// to learn whether it is in place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    new: Option<u64>,
    starts: u32,
}

impl Note {
    fn path(dir: &Path) -> PathBuf {
        dir.join("pear-runtime").join("bundle.json")
    }

    /// Reads the note. A missing or unreadable one is an empty one: the app must start either way.
    pub fn load(dir: &Path) -> Self {
        let path = Self::path(dir);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the note about the last update is damaged and is ignored");
                Self::default()
            }),
            Err(_) => Self::default(),
        }
    }

    /// Writes the note, whole or not at all.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        let path = Self::path(dir);
        let folder = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Whether `version` was taken back before.
    pub fn is_bad(&self, version: &str) -> bool {
        self.bad.iter().any(|bad| bad == version)
    }

    pub(super) fn remember_bad(&mut self, version: &str) {
        if !self.is_bad(version) {
            self.bad.push(version.to_owned());
        }
    }

    /// `staged` is where the exchange puts the old bundle, `kept` where it goes from there.
    pub(super) fn begin_update(&mut self, from: &str, to: &str, staged: &Path, kept: &Path) {
        self.update = Some(Update {
            from: from.to_owned(),
            to: to.to_owned(),
            old: vec![staged.to_owned(), kept.to_owned()],
            new: exchange::file_id(staged),
            starts: 0,
        });
    }

    /// The bundle before this one, if `version` runs since an update that may still be taken back.
    pub(super) fn old_bundle(&self, version: &str) -> Option<PathBuf> {
        self.update
            .as_ref()
            .filter(|update| update.to == version)?
            .old_bundle()
    }
}

impl Update {
    fn old_bundle(&self) -> Option<PathBuf> {
        self.old.iter().rev().find(|path| path.exists()).cloned()
    }

    /// Whether the new bundle is the installed one: the exchange happened, and nobody put another version there since.
    fn in_place(&self, installed: &Path) -> bool {
        let same = self
            .new
            .is_none_or(|new| exchange::file_id(installed) == Some(new));
        // A person may have unpacked another version into the same folder. What cannot be read is no other version.
        same && layout::version_of(installed).is_none_or(|version| version == self.to)
    }
}

/// What a start should do.
#[derive(Debug)]
pub enum Decision {
    /// Go on.
    Run(Startup),
    /// The new version did not start before and was just swapped back: start the program at the bundle's path again.
    RolledBack {
        /// The version that did not start.
        from: String,
        /// The version now in place.
        to: String,
    },
}

/// One start of an installed app.
#[derive(Debug)]
pub struct Startup {
    dir: PathBuf,
    installed: PathBuf,
}

impl Startup {
    /// Call first thing, with the app's data folder and the installed bundle. The note says what is on trial, so a start is
    /// counted before anything of the bundle is needed, be it its package.json. Never fails: what cannot be read or written is
    /// logged, and the app starts.
    pub fn begin(dir: &Path, installed: &Path) -> Decision {
        let startup = Self {
            dir: dir.to_owned(),
            installed: installed.to_owned(),
        };
        let mut note = Note::load(dir);
        let Some(update) = note.update.as_mut() else {
            return Decision::Run(startup);
        };
        if !update.in_place(installed) {
            note.update = None;
            startup.save(&note);
            return Decision::Run(startup);
        }
        if update.starts < TRIES {
            update.starts += 1;
            let to = update.to.clone();
            startup.save(&note);
            secure_previous(dir, installed, &to);
            return Decision::Run(startup);
        }
        startup.take_back(note)
    }

    fn take_back(self, mut note: Note) -> Decision {
        let Some(update) = note.update.as_ref() else {
            return Decision::Run(self);
        };
        let (from, to) = (update.to.clone(), update.from.clone());
        let Some(old) = update.old_bundle() else {
            tracing::error!(%from, "this version did not start before, and the one before it is gone");
            return Decision::Run(self);
        };
        // The note first: if we stop between the two, the next start finds the old one in place or tries once more.
        note.remember_bad(&from);
        self.save(&note);
        if let Err(error) = exchange::exchange(&old, &self.installed) {
            tracing::error!(%error, "could not swap back to the version before");
            return Decision::Run(self);
        }
        note.update = None;
        self.save(&note);
        if let Err(error) = exchange::remove(&old) {
            tracing::warn!(%error, "could not delete the version that did not start");
        }
        Decision::RolledBack { from, to }
    }

    /// The window works: this version stays, the one before it goes.
    pub fn started_well(self) {
        let mut note = Note::load(&self.dir);
        if let Some(update) = note.update.take() {
            self.save(&note);
            // One that could not be moved, from another file system.
            for old in update.old.iter().filter(|old| **old != self.installed) {
                if let Err(error) = exchange::remove(old) {
                    tracing::warn!(path = %old.display(), %error, "could not delete the bundle before this one");
                }
            }
        }
        if let Some(folder) = previous(&self.dir, &self.installed).parent()
            && let Err(error) = exchange::remove(folder)
        {
            tracing::warn!(%error, "could not delete the bundle before this one");
        }
    }

    fn save(&self, note: &Note) {
        if let Err(error) = note.save(&self.dir) {
            tracing::error!(%error, "could not write the note about the last update");
        }
    }
}
