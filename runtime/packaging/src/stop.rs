//! Stopping in the middle: what was begun is taken away, and nothing takes its place any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::PackagingError;

/// Says whether to go on, to whoever makes something on another thread.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Mutex<Begun>>);

/// What would be left if nobody took it away.
#[derive(Debug, Default)]
struct Begun {
    stopped: bool,
    folders: Vec<PathBuf>,
    build: Option<Child>,
}

impl Stop {
    /// Ends a build or a signer that runs, and deletes what is being written. Whoever writes it finds its place gone, or is refused at the end.
    pub fn stop(&self) {
        let mut begun = self.begun();
        begun.stopped = true;
        if let Some(build) = &mut begun.build {
            let _ = build.kill();
        }
        for folder in begun.folders.drain(..) {
            // Under another name first, where nobody writes.
            let away = away(&folder);
            if fs::rename(&folder, &away).is_ok() {
                let _ = fs::remove_dir_all(away);
            }
        }
    }

    /// Begins to write into a folder of its own, unless stopped.
    pub(crate) fn begin(&self, folder: &Path) -> Result<(), PackagingError> {
        let mut begun = self.going_on()?;
        fs::create_dir_all(folder).map_err(PackagingError::io("make", folder))?;
        begun.folders.push(folder.to_owned());
        Ok(())
    }

    /// Does what must not be cut in two, unless stopped; what was written is whole then.
    pub(crate) fn finish(
        &self,
        place: impl FnOnce() -> Result<(), PackagingError>,
    ) -> Result<(), PackagingError> {
        let _begun = self.going_on()?;
        place()
    }

    /// What was begun is gone from where it was written.
    pub(crate) fn ended(&self, folder: &Path) {
        self.begun().folders.retain(|other| other != folder);
    }

    /// Takes charge of a program that is waited for, unless stopped.
    pub(crate) fn builds(&self, mut build: Child) -> Result<(), PackagingError> {
        match self.going_on() {
            Ok(mut begun) => {
                begun.build = Some(build);
                Ok(())
            }
            Err(stopped) => {
                let _ = build.kill();
                let _ = build.wait();
                Err(stopped)
            }
        }
    }

    /// Gives it back once it has ended.
    pub(crate) fn built(&self) -> Result<Option<Child>, PackagingError> {
        let build = self.begun().build.take();
        self.going_on().map(|_| build)
    }

    fn going_on(&self) -> Result<MutexGuard<'_, Begun>, PackagingError> {
        let begun = self.begun();
        if begun.stopped {
            return Err(PackagingError::Stopped);
        }
        Ok(begun)
    }

    /// What a thread that panicked left is no reason to leave more.
    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a folder is while it is deleted.
pub(crate) fn away(folder: &Path) -> PathBuf {
    folder.with_extension("stopped")
}
