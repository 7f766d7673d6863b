//! Stopping in the middle: what was begun is taken away, and nothing takes its place any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
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
    runs: Option<Child>,
}

impl Stop {
    /// Ends a build or a signer that runs, and deletes what is being written. Whoever writes it finds its place gone, or is refused at the end.
    pub fn stop(&self) {
        let mut begun = self.begun();
        begun.stopped = true;
        if let Some(child) = &mut begun.runs {
            let _ = child.kill();
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

    /// Runs a program to its end, unless stopped; `read` takes what it prints. An error of the system's is worded by `cannot`.
    pub(crate) fn run(
        &self,
        command: &mut Command,
        read: impl FnOnce(ChildStdout) -> io::Result<()>,
        cannot: impl Fn(io::Error) -> PackagingError,
    ) -> Result<ExitStatus, PackagingError> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(&cannot)?;
        let said = child.stdout.take();
        self.begin_run(child)?;
        if let Some(said) = said {
            read(said).map_err(&cannot)?;
        }
        match self.end_run()? {
            Some(mut child) => child.wait().map_err(cannot),
            None => Err(PackagingError::Stopped),
        }
    }

    /// Takes charge of a program that is waited for, unless stopped.
    fn begin_run(&self, mut child: Child) -> Result<(), PackagingError> {
        match self.going_on() {
            Ok(mut begun) => {
                begun.runs = Some(child);
                Ok(())
            }
            Err(stopped) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(stopped)
            }
        }
    }

    /// Gives it back once it has ended.
    fn end_run(&self) -> Result<Option<Child>, PackagingError> {
        let child = self.begun().runs.take();
        self.going_on().map(|_| child)
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
