//! A deployment folder goes onto a link of ours.

mod names;
mod remembered;

use std::path::{Path, PathBuf};

use app::{Link, Manifest, layout};
use corestore::Corestore;
use futures::TryStreamExt;
use hyperdrive::{
    Diff, DiffOp, Drive, Hyperdrive, LocalDrive, LocalOptions, MirrorOptions, PathFilter, Totals, mirror,
};

use crate::ReleaseError;
use crate::deployment::check_bundles;
use crate::drives::{open_own, verlink};
use crate::error::refuse;
use crate::precautions;
use crate::progress::{Progress, Step};
use remembered::Remembered;

/// What is to be staged, and how.
#[derive(Debug, Clone, Default)]
pub struct StageOptions {
    /// Paths and globs to leave out; a leading `!` takes one back in.
    pub ignore: Vec<String>,
    /// The only ones to take; empty for all.
    pub only: Vec<String>,
    /// Delete from the drive what is left out.
    pub purge: bool,
    /// Cut the drive to this length first; it moves to a new fork.
    pub truncate: Option<u64>,
    /// Take repositories, .env files, keys and the like as well, which are left out by their names otherwise.
    pub no_default_ignore: bool,
    /// Take what links out of the folder lead to.
    pub follow_links: bool,
    /// Take files that look like secrets.
    pub force: bool,
    /// Read every file, also those that the disk says were not touched since they were last staged.
    pub read_all: bool,
}

/// A stage that can be carried out: everything was checked, and nothing written.
pub struct StagePlan {
    manifest: Manifest,
    local: LocalDrive,
    drive: Hyperdrive,
    remembered: Remembered,
    ignore: Vec<String>,
    only: Vec<String>,
    purge: bool,
    truncate: Option<u64>,
    notes: Vec<String>,
}

/// What a stage came to, or would.
#[derive(Debug, Clone)]
pub struct Staged {
    /// What changed.
    pub totals: Totals,
    /// The link with the version that is there now.
    pub verlink: Link,
    /// Bytes of the list of entries.
    pub byte_length: u64,
    /// Length, fork and bytes of the contents; `None` if there are none.
    pub blobs: Option<(u64, u64, u64)>,
}

impl StagePlan {
    /// Checks everything, for a deployment folder that is to go onto a link.
    ///
    /// # Errors
    /// If the folder is no deployment, holds what must not go public, or the link is not ours.
    pub async fn new(
        store: &Corestore,
        link: &Link,
        dir: PathBuf,
        options: StageOptions,
    ) -> Result<Self, ReleaseError> {
        if !dir.is_dir() {
            refuse!(
                Deployment,
                "{} is not a folder: name the deployment folder that `bosc build` wrote",
                dir.display()
            );
        }
        let announced = layout::manifest(&dir);
        if !announced.exists() {
            refuse!(
                Deployment,
                "{} not found, so that {} is no deployment folder: name the one that `bosc build` wrote",
                announced.display(),
                dir.display()
            );
        }
        let manifest = Manifest::read(&announced)?;
        manifest.release()?;
        let mut notes = check_bundles(&dir, &manifest)?;
        let staging = manifest.staging()?;
        let given = (options.ignore.clone(), options.only.clone());
        let mut own = staging.ignore;
        own.extend(options.ignore);
        let ignore = precautions::ignored(!options.no_default_ignore, own.clone());
        let mut only = staging.only;
        only.extend(options.only);
        let local = LocalDrive::with_options(
            &dir,
            LocalOptions {
                follow_external_links: options.follow_links,
            },
        );
        let drive = open_own(store, link).await?;
        let length = drive.core().length();
        if let Some(cut) = options.truncate.filter(|cut| *cut > length) {
            refuse!(
                Input,
                "{} has {length} blocks, so that it cannot be cut to {cut}",
                verlink(&drive)
            );
        }
        let remembered = Remembered::look(&local, drive.core(), options.read_all).await;
        let (own, all) = (PathFilter::new(&own, &only), PathFilter::new(&ignore, &only));
        names::check(&local, &all).await?;
        let left_out = precautions::look_through(
            &local,
            (&own, &all),
            options.follow_links,
            options.force,
            remembered.memory(),
        );
        if let Some(names) = left_out.await? {
            notes.push(format!(
                "left out by their names: {names} (--no-default-ignore takes them)"
            ));
        }
        let purge = options.purge || staging.purge;
        notes.extend(pointless((&dir, &local), purge.then_some(&drive), given).await?);
        Ok(Self {
            purge,
            truncate: options.truncate,
            manifest,
            local,
            drive,
            remembered,
            ignore,
            only,
            notes,
        })
    }

    /// What is staged.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The drive, as it is now.
    pub fn drive(&self) -> &Hyperdrive {
        &self.drive
    }

    /// What may not be meant as it is. Sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Tells what would change, and changes nothing.
    ///
    /// # Errors
    /// If something cannot be read.
    pub async fn preview(&self, progress: &mut dyn Progress) -> Result<Staged, ReleaseError> {
        let onto = match self.truncate {
            Some(length) => self.drive.checkout(length),
            None => self.drive.clone(),
        };
        let totals = self.carry(&onto, true, progress).await?;
        Staged::of(&self.drive, totals).await
    }

    /// Stages. All of it is written in one step at the end, so that whoever is stopped before has changed nothing, unless the
    /// drive was to be cut first.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub async fn run(self, progress: &mut dyn Progress) -> Result<Staged, ReleaseError> {
        if let Some(length) = self.truncate {
            self.drive.truncate(length, None).await?;
        }
        let totals = self.carry(&self.drive, false, progress).await?;
        self.remembered.keep(self.drive.core(), progress);
        Staged::of(&self.drive, totals).await
    }

    async fn carry(
        &self,
        onto: &Hyperdrive,
        dry_run: bool,
        progress: &mut dyn Progress,
    ) -> Result<Totals, ReleaseError> {
        let options = MirrorOptions {
            dry_run,
            ignore: self.ignore.clone(),
            only: self.only.clone(),
            batch: true,
            dedup: true,
            meter: progress.meter("staging"),
            memory: Some(self.remembered.memory().clone()),
            ..MirrorOptions::default()
        };
        let mut changes = mirror(&self.local, onto, options);
        while let Some(diff) = changes.try_next().await? {
            progress.step(Step::Changes(&diff));
        }
        let mut totals = changes.totals();
        drop(changes);
        if self.purge {
            purge(onto, &self.ignore, dry_run, &mut totals, progress).await?;
        }
        Ok(totals)
    }
}

/// The words for patterns that leave out, or take, nothing: they may be misspelt, and what is staged cannot be called back. `purged` is the
/// drive, where they say what is deleted from it as well.
async fn pointless(
    (dir, local): (&Path, &LocalDrive),
    purged: Option<&Hyperdrive>,
    (ignore, only): (Vec<String>, Vec<String>),
) -> Result<Vec<String>, ReleaseError> {
    if ignore.is_empty() && only.is_empty() {
        return Ok(Vec::new());
    }
    // A folder that is left out need not be readable, and then matches nothing but itself.
    let Ok(mut entries) = local.list("/").await else {
        return Ok(Vec::new());
    };
    if let Some(drive) = purged {
        entries.extend(drive.list("/").await?);
    }
    let any = |matches: &dyn Fn(&str) -> bool| entries.iter().any(|entry| matches(&entry.key));
    let words = |option: &str, item: &str| {
        format!(
            "{option} {item} matches nothing in {}: is it spelt as in that folder?",
            dir.display()
        )
    };
    let mut notes = Vec::new();
    for item in &ignore {
        let plain = item.trim();
        let plain = plain.strip_prefix('!').unwrap_or(plain).to_owned();
        let filter = PathFilter::new(&[plain], &[]);
        if !any(&|key| filter.ignores(key)) {
            notes.push(words("--ignore", item));
        }
    }
    for item in &only {
        let filter = PathFilter::new(&[], std::slice::from_ref(item));
        // One that names all of the folder takes all.
        if !any(&|key| !filter.ignores(key)) {
            notes.push(words("--only", item));
        }
    }
    Ok(notes)
}

/// Deletes from the drive what is ignored.
async fn purge(
    drive: &Hyperdrive,
    ignore: &[String],
    dry_run: bool,
    totals: &mut Totals,
    progress: &mut dyn Progress,
) -> Result<(), ReleaseError> {
    let filter = PathFilter::new(ignore, &[]);
    let mut gone = Vec::new();
    for entry in drive.list("/").await? {
        if !filter.ignores(&entry.key) {
            continue;
        }
        let bytes_removed = entry.blob.map_or(0, |blob| blob.byte_length);
        progress.step(Step::Changes(&Diff {
            op: DiffOp::Remove,
            key: entry.key.clone(),
            bytes_added: 0,
            bytes_removed,
        }));
        totals.remove += 1;
        totals.bytes_removed += bytes_removed;
        gone.push(entry.key);
    }
    if dry_run {
        return Ok(());
    }
    let mut batch = drive.batch().await?;
    for key in gone {
        batch.del(&key).await?;
    }
    batch.flush().await?;
    Ok(())
}

impl Staged {
    async fn of(drive: &Hyperdrive, totals: Totals) -> Result<Self, ReleaseError> {
        let core = drive.core();
        let blobs = if core.length() == 0 {
            None
        } else {
            let blobs = drive.blobs().await?;
            Some((blobs.length(), blobs.fork(), blobs.byte_length()))
        };
        Ok(Self {
            totals,
            verlink: verlink(drive),
            byte_length: core.byte_length(),
            blobs,
        })
    }
}
