//! What a link holds, into a folder, as a list, or one file of it as it is.

mod unfinished;

use std::path::Path;
use std::time::Duration;

use app::Link;
use corestore::Corestore;
use futures::TryStreamExt;
use hyperdrive::{ByteStream, Drive, Hyperdrive, LocalDrive, MirrorOptions, Totals, mirror};

use crate::drives::expect_version;
use crate::error::refuse;
use crate::progress::{Progress, Step};
use crate::{Network, ReleaseError, Why};
use unfinished::{State, Unfinished};

/// How long to look for which core holds the contents, to say what was lost of it.
const LOOK: Duration = Duration::from_secs(1);

/// How a link is written into a folder.
#[derive(Debug, Clone, Default)]
pub struct DumpOptions {
    /// Tell what would change, and change nothing.
    pub dry_run: bool,
    /// The only paths to take; empty for all.
    pub only: Vec<String>,
    /// Write into a folder that is not empty.
    pub force: bool,
    /// Keep files that the link does not have.
    pub no_prune: bool,
}

/// One version of a link, open to be read.
pub struct Dump {
    link: Link,
    drive: Hyperdrive,
    checkout: Hyperdrive,
    fork: u64,
    prefix: Option<String>,
    notes: Vec<String>,
}

/// A folder that was written, and what is left to do there.
struct Dumped {
    totals: Totals,
    unfinished: Option<Unfinished>,
}

/// Refuses a folder that is not empty and may not be written into.
fn free(dir: &Path, options: &DumpOptions) -> Result<State, ReleaseError> {
    if options.force || options.dry_run {
        return Ok(State::Filled);
    }
    match unfinished::look(dir)? {
        State::Filled => refuse!(
            NotEmpty,
            "{} is not empty: dump into another folder, or add --force, which overwrites its files and deletes those that the link \
             does not have (--no-prune keeps them)",
            dir.display()
        ),
        state => Ok(state),
    }
}

impl Dump {
    /// Refuses a folder that must not be written into, before anything is looked for.
    ///
    /// # Errors
    /// [`Why::NotEmpty`](crate::Why::NotEmpty), or if the store lies in it.
    pub fn check_target(store: &Corestore, dir: &Path, options: &DumpOptions) -> Result<(), ReleaseError> {
        if dir.exists() && !dir.is_dir() {
            refuse!(
                Input,
                "{} is a file: name a folder to write into, or - to print the one file that a link names",
                dir.display()
            );
        }
        free(dir, options)?;
        if !options.no_prune && holds_store(dir, store) {
            refuse!(
                Input,
                "{} holds the store that is in use, whose files and secret keys would be deleted: dump into another folder",
                dir.display()
            );
        }
        Ok(())
    }

    /// Opens a link at the version it names, else at `length`, else at its newest; looks for peers where the drive is not ours. Waits
    /// as long as `patience` without progress.
    ///
    /// # Errors
    /// If nobody has it, or not that version.
    pub async fn open(
        network: &Network,
        link: Link,
        length: Option<u64>,
        patience: Duration,
    ) -> Result<Self, ReleaseError> {
        let store = network.store();
        let drive = Hyperdrive::open(store, link.key).await?;
        let length = length.or(link.length);
        let mut notes = Vec::new();
        if drive.writable() {
            // All of it should be here; what the disk has lost nobody brings.
            store.storage().without_peers();
        } else {
            let peers = network.peers().await?;
            peers.find(&drive);
            store.storage().set_patience(patience);
            let stored = drive.core().length();
            if stored == 0 || length.is_some_and(|length| length > stored) {
                peers.wait_for(&drive, length.unwrap_or(1), patience).await?;
            } else if length.is_none() && !peers.catch_up(&drive, patience).await? {
                notes.push(
                    "no peer could be asked for a newer version: this is the one stored here".to_owned(),
                );
            }
        }
        let present = drive.core().length();
        let length = length.unwrap_or(present);
        if length > present {
            refuse!(
                Missing,
                "{link} has {present} blocks, not {length}: name a version that exists"
            );
        }
        expect_version(&drive, &link, patience).await?;
        let prefix = link.path.split(['?', '#']).next().filter(|path| path.len() > 1);
        Ok(Self {
            fork: drive.fork(),
            checkout: drive.checkout(length),
            prefix: prefix.map(str::to_owned),
            link,
            drive,
            notes,
        })
    }

    /// What may not be meant as it is. Sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Tells the paths that the link names, and how many there are.
    ///
    /// # Errors
    /// If there is none, or they cannot be had.
    pub async fn list(&self, progress: &mut dyn Progress) -> Result<u64, ReleaseError> {
        let entries = match self.checkout.list_or_entry(self.root()).await {
            Ok(entries) => entries,
            Err(error) => return Err(self.explain(error.into()).await),
        };
        for entry in &entries {
            progress.step(Step::Listed(&entry.key));
        }
        self.check(entries.len() as u64)?;
        Ok(entries.len() as u64)
    }

    /// The path of the one file that the link names, and what it holds.
    ///
    /// # Errors
    /// If it names none, or a folder.
    pub async fn read(&self) -> Result<(String, ByteStream), ReleaseError> {
        let Some(path) = &self.prefix else {
            refuse!(
                Input,
                "{} names no file: add its path, such as {}/package.json",
                self.link,
                self.link
            )
        };
        if self.checkout.entry(path).await?.is_none() {
            refuse!(
                Missing,
                "not found: there is no file at {}; --list shows what there is",
                self.link
            );
        }
        Ok((path.clone(), self.checkout.read_stream(path).await?))
    }

    /// Writes what the link names into a folder that [`check_target`](Self::check_target) let pass. A folder that a dump of the same version was cut off in is finished.
    ///
    /// # Errors
    /// If the folder is not free, or something cannot be had or written.
    pub async fn write(
        &self,
        dir: &Path,
        options: &DumpOptions,
        progress: &mut dyn Progress,
    ) -> Result<Totals, ReleaseError> {
        let state = free(dir, options)?;
        let written = self.fill(dir, state, options, progress).await;
        let dumped = match written {
            Ok(dumped) => dumped,
            Err(error) => return Err(self.explain(error).await),
        };
        self.check(dumped.totals.files)?;
        // Only now has all gone well: after an error before this the same command may be run again.
        if let Some(unfinished) = dumped.unfinished {
            unfinished.finish()?;
        }
        Ok(dumped.totals)
    }

    fn root(&self) -> &str {
        self.prefix.as_deref().unwrap_or("/")
    }

    /// That something was there, and that it was of one version.
    fn check(&self, files: u64) -> Result<(), ReleaseError> {
        if files == 0 && self.prefix.is_some() {
            refuse!(Missing, "not found: there is nothing at {}", self.link);
        }
        // Whoever looks at a version must not be shown two.
        if self.drive.fork() != self.fork {
            refuse!(
                Changed,
                "{} was truncated while it was read, and what was read may be of two versions: name its present one, and dump again with --force",
                self.link
            );
        }
        Ok(())
    }

    async fn fill(
        &self,
        dir: &Path,
        state: State,
        options: &DumpOptions,
        progress: &mut dyn Progress,
    ) -> Result<Dumped, ReleaseError> {
        let mut carried = MirrorOptions {
            dry_run: options.dry_run,
            prune: !options.no_prune,
            only: options.only.clone(),
            prefix: self.prefix.iter().cloned().collect(),
            ..MirrorOptions::default()
        };
        if matches!(state, State::Filled) {
            let totals = self.carry(dir, carried, progress).await?;
            if !options.dry_run {
                unfinished::forget(dir)?;
            }
            return Ok(Dumped {
                totals,
                unfinished: None,
            });
        }
        let begun = Unfinished::begin(dir, &self.link, &self.checkout, state, &carried);
        let (unfinished, goes_on) = begun.await?;
        if goes_on {
            progress.step(Step::Note("going on with a dump that was interrupted"));
            carried.prune = false;
        }
        match self.carry(dir, carried, progress).await {
            Ok(totals) => Ok(Dumped {
                totals,
                unfinished: Some(unfinished),
            }),
            Err(error) => {
                unfinished.give_up();
                Err(error)
            }
        }
    }

    async fn carry(
        &self,
        dir: &Path,
        mut options: MirrorOptions,
        progress: &mut dyn Progress,
    ) -> Result<Totals, ReleaseError> {
        options.meter = progress.meter("dumping");
        // All of it is asked for at once: many small files must not cost a round trip each. The mirror asks for the contents.
        let _list = if options.dry_run {
            None
        } else {
            self.checkout.download_list(self.root()).await?
        };
        let local = LocalDrive::new(dir);
        let mut changes = mirror(&self.checkout, &local, options);
        while let Some(diff) = changes.try_next().await? {
            progress.step(Step::Changes(&diff));
        }
        Ok(changes.totals())
    }

    /// If blocks were lost to the disk, that and what helps; else the error as it is.
    async fn explain(&self, error: ReleaseError) -> ReleaseError {
        let mut lost = self.drive.core().lost().map_or(0, |lost| lost.len());
        // Not awaited for long: which core holds the contents may be among what was lost.
        let blobs = tokio::time::timeout(LOOK, self.drive.blobs()).await;
        if let Ok(Ok(blobs)) = blobs {
            lost += blobs.lost().map_or(0, |lost| lost.len());
        }
        if lost == 0 {
            return error;
        }
        let link = Link::plain(self.link.key);
        ReleaseError::refused(
            Why::Damaged,
            format!(
                "the disk has spoilt {lost} blocks of {link}: `bosc check {link} --repair` fetches them from whoever seeds it: {error}"
            ),
        )
    }
}

/// Whether the store lies in a folder, or is it.
fn holds_store(dir: &Path, store: &Corestore) -> bool {
    let (dir, store) = (dir.canonicalize(), store.storage().path().canonicalize());
    matches!((dir, store), (Ok(dir), Ok(store)) if store.starts_with(&dir))
}
