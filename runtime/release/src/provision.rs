//! One version of a staged drive goes, as its files alone, onto the drive that apps follow.
//!
//! The target starts as a block-identical copy of what is in production, so that a later multisig commit can extend that.

use std::time::Duration;

use app::Link;
use bosc_runtime::package_of;
use bytes::Bytes;
use core_store::{Core, DownloadRange};
use futures::TryStreamExt;
use hyperdrive::{DriveError, Hyperdrive, MirrorOptions, mirror};
use semver::Version;

use crate::drives::{DriveAt, expect_version, fetch_all, open_own, verlink};
use crate::error::refuse;
use crate::progress::{Progress, Step};
use crate::{Network, ReleaseError};

/// How long to look for a peer that has a drive.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keys of the bee outside of the files that go with a release.
const EXTRAS: [&str; 3] = ["manifest", "metadata", "platformVersion"];

/// A provision that can be carried out: all that it needs is here and was checked, and nothing written.
pub struct ProvisionPlan {
    source: Hyperdrive,
    source_length: u64,
    checkout: Hyperdrive,
    target: Hyperdrive,
    production: Hyperdrive,
    production_length: u64,
    version: Version,
    /// The version that the target, or what is in production, holds now.
    present: Option<Version>,
    force: bool,
    notes: Vec<String>,
}

/// What a provision came to, or would.
#[derive(Debug, Clone)]
pub struct Provisioned {
    /// The version that is released.
    pub version: Version,
    /// Paths that changed.
    pub changes: u64,
    /// The three drives, as they are now.
    pub source: DriveAt,
    /// The one that apps follow.
    pub target: DriveAt,
    /// What was in production.
    pub production: DriveAt,
}

impl ProvisionPlan {
    /// Checks everything, and fetches what is not here, for one version of a drive (the first of the links) that is to go onto another one
    /// of ours (the second), which begins as what is in production (the third). Waits for peers up to a minute for each drive. May be
    /// dropped at any time.
    ///
    /// # Errors
    /// If one of them is not at the version that its link names, or the target could not be followed from production.
    pub async fn new(
        network: &Network,
        [source_link, target_link, production_link]: [&Link; 3],
        force: bool,
        progress: &mut dyn Progress,
    ) -> Result<Self, ReleaseError> {
        let (source_fork, source_length) = source_link.version("<SOURCE>")?;
        let (_, production_length) = production_link.version("<PRODUCTION>")?;
        let store = network.store();
        let target = open_own(store, target_link).await?;
        let source = Hyperdrive::open(store, source_link.key).await?;
        let production = Hyperdrive::open(store, production_link.key).await?;
        if source.key() == target.key() {
            refuse!(
                Input,
                "source and target are the same link: provision onto a link of its own, made with `bosc touch`"
            );
        }
        if !source.writable() {
            let peers = network.peers().await?;
            peers.find(&source);
            peers.wait_for(&source, source_length, PATIENCE).await?;
        }
        if !production.writable() && production_length > 0 {
            let peers = network.peers().await?;
            peers.find(&production);
            peers.wait_for(&production, production_length, PATIENCE).await?;
        }
        let present = production.core().length();
        if production_length == 0 && present > 0 && production.key() != target.key() {
            refuse!(
                Input,
                "{production_link} says that nothing is in production, but that drive has {present} blocks: name its version, {}",
                verlink(&production)
            );
        }
        if source.fork() != source_fork || source.core().length() < source_length {
            let (fork, length) = (source.fork(), source.core().length());
            refuse!(
                Missing,
                "{source_link} is not there: the drive is at fork {fork}, length {length}; use the link that `bosc stage` printed last"
            );
        }
        expect_version(&source, source_link, PATIENCE).await?;
        if production_length > 0 {
            expect_version(&production, production_link, PATIENCE).await?;
        }
        fetch_all(&source.checkout(source_length), source_length, progress).await?;
        check_lineage(&target, &production, production_length).await?;
        let checkout = source.checkout(source_length);
        let package = package_of(&checkout).await?;
        let Some(package) = package else {
            refuse!(
                Deployment,
                "the source has no package.json: stage a deployment folder"
            )
        };
        let version = released(package.field("version").unwrap_or_default())?;
        let upgrade = package
            .field("upgrade")
            .and_then(|link| link.parse::<Link>().ok());
        let mut notes = Vec::new();
        if let Some(upgrade) = upgrade.filter(|upgrade| upgrade.key != target.key()) {
            notes.push(format!(
                "apps of this release follow {}, not {}: they see it once it is there, as by `bosc multisig commit`",
                Link::plain(upgrade.key),
                Link::plain(target.key())
            ));
        }
        let holder = if target.core().length() > 0 {
            &target
        } else {
            &production
        };
        let present = version_on(holder).await?;
        Ok(Self {
            source,
            source_length,
            checkout,
            target,
            production,
            production_length,
            version,
            present,
            force,
            notes,
        })
    }

    /// The version that is released.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The version that apps have now, if any.
    pub fn present(&self) -> Option<&Version> {
        self.present.as_ref()
    }

    /// What may not be meant as it is. Sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Tells what would change, and changes nothing.
    ///
    /// # Errors
    /// [`Why::NotNewer`](crate::Why::NotNewer) if files change and no installed app would take them.
    pub async fn preview(&self, progress: &mut dyn Progress) -> Result<Provisioned, ReleaseError> {
        let changes = self.compare(progress).await?;
        self.told(changes).await
    }

    /// Provisions, after `cooldown` in which it can still be stopped. Files are written in one step at the end.
    ///
    /// # Errors
    /// As [`preview`](Self::preview), and if something cannot be read or written. What is in production was copied by then; the
    /// next run goes on from there.
    pub async fn run(
        self,
        progress: &mut dyn Progress,
        cooldown: Duration,
    ) -> Result<Provisioned, ReleaseError> {
        let changes = self.compare(progress).await?;
        if !cooldown.is_zero() {
            progress.step(Step::Cools(cooldown));
            tokio::time::sleep(cooldown).await;
        }
        self.copy_production(progress).await?;
        progress.step(Step::Writes);
        let options = MirrorOptions {
            meter: progress.meter("writing"),
            batch: true,
            dedup: true,
            ..MirrorOptions::default()
        };
        mirror(&self.checkout, &self.target, options).finish().await?;
        progress.step(Step::Wrote { changes });
        copy_extras(&self.checkout, &self.target, progress).await?;
        self.told(changes).await
    }

    /// Tells what would change, and how much that is.
    async fn compare(&self, progress: &mut dyn Progress) -> Result<u64, ReleaseError> {
        progress.step(Step::Compares);
        // While nothing was copied, what is in production stands for what the target will be.
        let behind = self.target.core().length() < self.production_length;
        let onto = if behind { &self.production } else { &self.target };
        let options = MirrorOptions {
            meter: progress.meter("comparing"),
            dry_run: true,
            ..MirrorOptions::default()
        };
        let mut diffs = mirror(&self.checkout, onto, options);
        let mut changes = 0;
        while let Some(diff) = diffs.try_next().await? {
            progress.step(Step::Changes(&diff));
            changes += 1;
        }
        progress.step(Step::Compared {
            changes,
            version: &self.version.to_string(),
        });
        if let Some(present) = &self.present
            && changes > 0
            && self.version <= *present
            && !self.force
        {
            refuse!(
                NotNewer,
                "version {} is not newer than {present}, which is there: no installed app would take it. Raise it with `bosc version`, \
                 then make, build and stage again; or add --force to change what new installs get",
                self.version
            );
        }
        Ok(changes)
    }

    async fn told(&self, changes: u64) -> Result<Provisioned, ReleaseError> {
        let now = |drive: &Hyperdrive| drive.core().length();
        Ok(Provisioned {
            version: self.version.clone(),
            changes,
            source: DriveAt::of(&self.source, self.source_length).await?,
            target: DriveAt::of(&self.target, now(&self.target)).await?,
            production: DriveAt::of(&self.production, now(&self.production)).await?,
        })
    }

    /// Appends to the target, block by block, what production has and the target lacks.
    async fn copy_production(&self, progress: &mut dyn Progress) -> Result<(), ReleaseError> {
        let (target, production) = (&self.target, &self.production);
        if self.production_length == 0 || target.key() == production.key() {
            return Ok(());
        }
        copy_blocks("metadata", production.core(), target.core(), progress).await?;
        let (from, to) = (production.blobs().await?, target.blobs().await?);
        copy_blocks("blobs", &from, &to, progress).await
    }
}

/// Refuses a target whose history differs from production's: peers of production could never follow it.
async fn check_lineage(
    target: &Hyperdrive,
    production: &Hyperdrive,
    length: u64,
) -> Result<(), ReleaseError> {
    if length == 0 || target.key() == production.key() {
        return Ok(());
    }
    same_history(target.core(), production.core())?;
    if target.core().length() > 0 && production.core().length() > 0 {
        same_history(&target.blobs().await?, &production.blobs().await?)?;
    }
    Ok(())
}

fn same_history(target: &Core, production: &Core) -> Result<(), ReleaseError> {
    let common = target.length().min(production.length());
    if common > 0 && target.tree_hash(common).ok() != production.tree_hash(common).ok() {
        refuse!(
            History,
            "the target has another history than production: make a new target with `bosc touch`, provision production onto it, then this release"
        );
    }
    Ok(())
}

async fn copy_blocks(
    part: &'static str,
    from: &Core,
    to: &Core,
    progress: &mut dyn Progress,
) -> Result<(), ReleaseError> {
    let (start, end) = (to.length(), from.length());
    if start >= end {
        return Ok(());
    }
    progress.step(Step::Copies {
        part,
        from: start,
        to: end,
    });
    let meter = progress.meter("copying");
    if let Some(meter) = &meter {
        meter.expect(from.byte_length().saturating_sub(to.byte_length()));
    }
    let _download = from.download(DownloadRange {
        start,
        end: Some(end),
    });
    let mut batch = Vec::new();
    let mut bytes = 0;
    for index in start..end {
        let block = from.get(index).await?;
        bytes += block.len();
        if let Some(meter) = &meter {
            meter.add(block.len() as u64);
        }
        batch.push(block);
        if bytes > 8 * 1024 * 1024 {
            to.append(&std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    to.append(&batch)?;
    progress.step(Step::Copied { part });
    Ok(())
}

/// The version that is released; prereleases are not.
fn released(text: &str) -> Result<Version, ReleaseError> {
    match Version::parse(text) {
        Ok(version) if version.pre.is_empty() && version.build.is_empty() => Ok(version),
        _ => refuse!(
            Prerelease,
            "Source has non-production SemVer \"{text}\": run `bosc version` to set one such as 1.2.3, then build and stage again"
        ),
    }
}

/// The version that a drive holds now, if it says one.
pub(crate) async fn version_on(drive: &Hyperdrive) -> Result<Option<Version>, ReleaseError> {
    if drive.core().length() == 0 {
        return Ok(None);
    }
    let package = package_of(drive).await?;
    Ok(package.and_then(|package| package.version().ok()))
}

async fn copy_extras(
    from: &Hyperdrive,
    to: &Hyperdrive,
    progress: &mut dyn Progress,
) -> Result<(), ReleaseError> {
    for name in EXTRAS {
        let (wanted, present) = (field(from, name).await?, field(to, name).await?);
        match wanted {
            Some(value) if present.as_ref() != Some(&value) => {
                progress.step(Step::Sets(name));
                let put = to.bee().put(name.as_bytes(), &value).await;
                put.map_err(DriveError::from)?;
            }
            None if present.is_some() => {
                progress.step(Step::Unsets(name));
                let del = to.bee().del(name.as_bytes()).await;
                del.map_err(DriveError::from)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a drive keeps beside its files under a name.
async fn field(drive: &Hyperdrive, name: &str) -> Result<Option<Bytes>, ReleaseError> {
    let found = drive.bee().get(name.as_bytes()).await;
    Ok(found.map_err(DriveError::from)?.and_then(|entry| entry.value))
}
