//! The note that an update leaves for the next start: `<dir>/pear-runtime/bundle.json`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app::{Folders, fit};
use base::lock;
use serde::{Deserialize, Serialize};

use super::lock::BundleLock;
use super::way::Way;
use super::{exchange, hand_over, previous, secure_previous};
use crate::file;

/// Points against a new version at which it is taken back.
const LIMIT: u32 = 4;

/// A start that failed for certain: it ended with an error, has no page, or ran for long without showing it.
const FAILED: u32 = 2;

/// A start of which nothing more was heard. It may have crashed; but a person's kill and a power cut look the same, so that a
/// good version must survive a few of these.
const VANISHED: u32 = 1;

/// How long a start waits for another instance that is swapping the same bundle.
const PATIENCE: Duration = Duration::from_secs(2);

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
    /// Where the old bundle may be: the staging place, where the exchange puts it, and where it is kept; or where it stays.
    old: Vec<PathBuf>,
    /// The new bundle, if it lies beside the old one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    beside: Option<PathBuf>,
    /// What the file system calls the new bundle, wherever it is moved: with it, nothing of the new version need be read
    /// to learn whether it is in place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    new: Option<u64>,
    /// Points so far.
    #[serde(default)]
    points: u32,
    /// A start began and has not said how it went.
    #[serde(default)]
    open: bool,
}

impl Note {
    fn path(dir: &Path) -> PathBuf {
        Folders(dir).note()
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
    pub(crate) fn save(&self, dir: &Path) -> io::Result<()> {
        file::write_whole(&Self::path(dir), self)
    }

    /// Whether `version` was taken back before.
    pub(crate) fn is_bad(&self, version: &str) -> bool {
        self.bad.iter().any(|bad| bad == version)
    }

    /// Forgets which versions were taken back. Whether there were any.
    pub(super) fn forgive(&mut self) -> bool {
        !std::mem::take(&mut self.bad).is_empty()
    }

    pub(super) fn remember_bad(&mut self, version: &str) {
        if !self.is_bad(version) {
            self.bad.push(version.to_owned());
        }
    }

    /// `staged` is where the exchange puts the old bundle, `kept` where it goes from there.
    pub(super) fn begin_exchange(&mut self, from: &str, to: &str, staged: &Path, kept: &Path) {
        let old = vec![staged.to_owned(), kept.to_owned()];
        self.begin(from, to, old, exchange::file_id(staged), None);
    }

    /// `brought` is where the new bundle lies and stays, `before` the one in use until now.
    pub(super) fn begin_version(&mut self, from: &str, to: &str, brought: &Path, before: &Path) {
        self.begin(from, to, vec![before.to_owned()], None, Some(brought.to_owned()));
    }

    fn begin(&mut self, from: &str, to: &str, old: Vec<PathBuf>, new: Option<u64>, beside: Option<PathBuf>) {
        self.update = Some(Update {
            from: from.to_owned(),
            to: to.to_owned(),
            old,
            beside,
            new,
            points: 0,
            open: false,
        });
    }

    /// The bundle that was exchanged for this one, if `version` runs since an update that may still be taken back.
    pub(super) fn exchanged(&self, version: &str) -> Option<PathBuf> {
        self.update
            .as_ref()
            .filter(|update| update.to == version && update.beside.is_none())?
            .old_bundle()
    }
}

impl Update {
    fn old_bundle(&self) -> Option<PathBuf> {
        self.old.iter().rev().find(|path| path.exists()).cloned()
    }

    /// Whether the new bundle is the installed one: it was put there, and nobody put another version there since.
    fn in_place(&self, installed: &Path) -> bool {
        if let Some(beside) = &self.beside {
            return Way::Versions.in_use(installed) == *beside;
        }
        let same = self
            .new
            .is_none_or(|new| exchange::file_id(installed) == Some(new));
        // A person may have unpacked another version into the same folder. What cannot be read is no other version.
        same && fit::version_of(installed).is_none_or(|version| version == self.to)
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

/// One start of an installed app. Clones are the same start; how it went is said once.
///
/// A new version is on trial until it has started well once. Starts that fail for certain count double, starts that only
/// disappear count once, and starts that say nothing about the version (no display, a person closed the window at once)
/// not at all; four points take it back.
#[derive(Debug, Clone)]
pub struct Startup {
    way: Way,
    dir: PathBuf,
    installed: PathBuf,
    /// The version on trial, if one is.
    trial: Option<String>,
    went: Arc<Mutex<Went>>,
}

/// How a start went, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    Open,
    /// It failed or was not tried; it may still turn out well.
    Counted,
    Well,
}

impl Startup {
    /// Call first thing, with the app's data folder and the installed bundle. The note says what is on trial, so a start is
    /// counted before anything of the bundle is needed, be it its package.json. Never fails: what cannot be read or written is
    /// logged, and the app starts.
    pub fn begin(dir: &Path, installed: &Path) -> Decision {
        Self::begin_by(Way::HERE, dir, installed, hand_over::was_counted(installed))
    }

    pub(super) fn begin_by(way: Way, dir: &Path, installed: &Path, counted: bool) -> Decision {
        let mut startup = Self {
            way,
            dir: dir.to_owned(),
            installed: installed.to_owned(),
            trial: None,
            went: Arc::new(Mutex::new(Went::Open)),
        };
        if let Some(folder) = Note::path(dir).parent() {
            file::sweep(folder);
        }
        let mut note = Note::load(dir);
        let Some(update) = note.update.as_mut() else {
            return Decision::Run(startup);
        };
        if !update.in_place(installed) {
            note.update = None;
            startup.save(&note);
            return Decision::Run(startup);
        }
        startup.trial = Some(update.to.clone());
        if counted {
            return Decision::Run(startup);
        }
        if std::mem::replace(&mut update.open, true) {
            update.points += VANISHED;
        }
        let taken_back = update.points >= LIMIT;
        let to = update.to.clone();
        startup.save(&note);
        if taken_back {
            return startup.take_back(note);
        }
        secure_previous(dir, installed, &to);
        Decision::Run(startup)
    }

    fn take_back(self, mut note: Note) -> Decision {
        let Some(update) = note.update.as_ref() else {
            return Decision::Run(self);
        };
        // Another instance may be at it. If it stays so, the next start tries again.
        let lock = match BundleLock::take(&self.installed, PATIENCE) {
            Ok(Some(lock)) if update.in_place(&self.installed) => lock,
            Ok(_) => return Decision::Run(self),
            Err(error) => {
                tracing::error!(%error, "could not swap back to the version before");
                return Decision::Run(self);
            }
        };
        let (from, to) = (update.to.clone(), update.from.clone());
        let Some(old) = update.old_bundle() else {
            tracing::error!(%from, "this version did not start before, and the one before it is gone");
            return Decision::Run(self);
        };
        // The note first: if we stop between the two, the next start finds the old one in place or tries once more.
        note.remember_bad(&from);
        self.save(&note);
        if let Err(error) = self.way.put(&old, &self.installed) {
            tracing::error!(%error, "could not swap back to the version before");
            return Decision::Run(self);
        }
        lock.record(&self.installed, &to);
        note.update = None;
        self.save(&note);
        if self.way == Way::Versions {
            self.way.clear(&self.installed);
        } else if let Err(error) = exchange::remove(&old) {
            tracing::warn!(%error, "could not delete the version that did not start");
        }
        Decision::RolledBack { from, to }
    }

    /// This start failed for certain. If it turns out well after all, [`started_well`](Self::started_well) makes up for it.
    pub fn failed(&self) {
        self.count(FAILED);
    }

    /// This start says nothing about the version: there was no display, or a person ended it before the page was there.
    pub fn not_tried(&self) {
        self.count(0);
    }

    fn count(&self, points: u32) {
        let mut went = lock(&self.went);
        if *went != Went::Open {
            return;
        }
        *went = Went::Counted;
        let mut note = Note::load(&self.dir);
        if let Some(update) = note.update.as_mut().filter(|update| self.is_trial_of(update)) {
            update.points += points;
            update.open = false;
            self.save(&note);
        }
    }

    /// Not so if this start has put the next version in place meanwhile.
    fn is_trial_of(&self, update: &Update) -> bool {
        self.trial.as_ref() == Some(&update.to)
    }

    /// The window works: this version stays, the one before it goes.
    pub fn started_well(&self) {
        let mut went = lock(&self.went);
        if std::mem::replace(&mut *went, Went::Well) == Went::Well {
            return;
        }
        let mut note = Note::load(&self.dir);
        if let Some(update) = note.update.take() {
            if !self.is_trial_of(&update) {
                return;
            }
            self.save(&note);
            // One that could not be moved, from another file system.
            let exchanged = update.old.iter().filter(|_| update.beside.is_none());
            for old in exchanged.filter(|old| **old != self.installed) {
                if let Err(error) = exchange::remove(old) {
                    tracing::warn!(path = %old.display(), %error, "could not delete the bundle before this one");
                }
            }
        }
        // Another instance that is at it sees to it the next time.
        if self.way == Way::Versions
            && let Ok(Some(_lock)) = BundleLock::take(&self.installed, Duration::ZERO)
        {
            self.way.clear(&self.installed);
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
