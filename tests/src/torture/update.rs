//! An installed app killed at any moment of an update: its bundle is always whole, and the newest version always arrives.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::kill::bosc;
use super::program::kill_after;
use super::{Campaign, Tree, deployment, names, nothing_more, remove};
use crate::peers::{Place, program, read_tree};
use crate::process::Process;

/// How long the newest version may take to arrive and start, once nobody kills any more. A failed attempt is repeated after 30 s.
const ARRIVES: Duration = Duration::from_secs(90);

/// Kills of one release: a version that disappears four times before it is up counts as one that cannot start.
const KILLS_PER_RELEASE: u64 = 3;

/// An installed app that follows a link, and the machine that releases it.
pub(crate) struct Lab {
    pub(crate) place: Place,
    link: String,
    tree: PathBuf,
    number: u64,
    /// Where the app keeps its data.
    pub(crate) storage: PathBuf,
    installed: PathBuf,
    _seed: Process,
}

impl Lab {
    /// Version 1.0.0, released and installed; the app's data will be in `storage`.
    pub(crate) fn new(place: Place, storage: PathBuf) -> Result<Self> {
        let link = place.run("store", &["touch"])?.trim().to_owned();
        let tree = place.home.join("tree");
        let bundle = release(&place, &tree, &link, 0)?;
        let installed = place.home.join("installed/Cool");
        copy(&bundle, &installed)?;
        let seed = place.seed("store", &link)?;
        Ok(Self {
            place,
            link,
            tree,
            number: 0,
            storage,
            installed,
            _seed: seed,
        })
    }

    /// Releases the next version; its bundle.
    pub(crate) fn release_next(&mut self) -> Result<PathBuf> {
        self.number += 1;
        release(&self.place, &self.tree, &self.link, self.number)
    }

    /// The installed program.
    pub(crate) fn app(&self) -> Command {
        let mut command = Command::new(self.installed.join("Cool"));
        command
            .env("TORTURE_STORAGE", &self.storage)
            .env("TORTURE_LINK", &self.link)
            .env("TORTURE_BOOTSTRAP", &self.place.bootstrap);
        command
    }

    /// Starts it, and waits until the newest version is up.
    pub(crate) fn arrives(&self) -> Result<Process> {
        let mut app = Process::start("app", &mut self.app(), &self.place.logs())?;
        self.is_up(&mut app)?;
        Ok(app)
    }

    /// Waits until the newest version is up.
    pub(crate) fn is_up(&self, app: &mut Process) -> Result<()> {
        let well = format!("well 1.0.{}", self.number);
        app.wait_for(&well, ARRIVES, |line| (line == well).then_some(()))
    }

    /// What is installed.
    pub(crate) fn installed(&self) -> Result<Tree> {
        read_tree(&self.installed)
    }
}

/// Writes and stages a version whose program is the one beside this one.
fn release(place: &Place, tree: &Path, link: &str, number: u64) -> Result<PathBuf> {
    let bundle = deployment(tree, link, number)?;
    let app = program("torture_app")?;
    let script = format!(
        "#!/bin/sh\nexec '{}' \"$(dirname \"$0\")\"\n",
        app.to_str().context("the path of torture_app is not text")?
    );
    std::fs::write(bundle.join("Cool"), script)?;
    let tree = tree.to_str().context("the path of the tree is not text")?;
    bosc(place, "store", &["stage", link, tree])?;
    Ok(bundle)
}

/// Copies a bundle with its links and modes.
fn copy(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    std::fs::create_dir_all(to.parent().context("no parent")?)?;
    let copied = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(copied.success(), "cp failed");
    Ok(())
}

/// `updating`, `updated`, `applied`, restart: killed anywhere.
pub fn killed(campaign: &mut Campaign, kills: u64) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let storage = place.home.join("storage");
    let mut lab = Lab::new(place, storage)?;
    let mut versions = vec![lab.installed()?];
    lab.arrives()?.kill();
    versions.push(read_tree(&lab.release_next()?)?);
    let start = Instant::now();
    lab.arrives()?.stop();
    let mut whole = start.elapsed();
    // Everything that the runtime keeps beside the app's data, but for what has a version in its name.
    let kept = lab.storage.join("pear-runtime");
    let usual = names(&kept)?;
    campaign.runs(kills, |campaign, run, random| {
        if run % KILLS_PER_RELEASE == 0 {
            versions.push(read_tree(&lab.release_next()?)?);
        }
        let killed = kill_after(&mut lab.app(), random.within(whole))?;
        campaign.count(if killed { "killed" } else { "ended by itself" });
        let found = lab.installed()?;
        match versions.iter().rev().position(|version| *version == found) {
            Some(0) => campaign.count("the new version installed"),
            Some(1) => campaign.count("the version before installed"),
            Some(_) => bail!("an older version is installed"),
            None => bail!("the bundle is a mixture"),
        }
        if run % KILLS_PER_RELEASE == KILLS_PER_RELEASE - 1 {
            let start = Instant::now();
            let mut app = lab.arrives()?;
            whole = (whole + start.elapsed().min(whole * 2)) / 2;
            app.stop();
            ensure!(
                Some(&lab.installed()?) == versions.last(),
                "what is installed is not the newest version"
            );
            nothing_more(&kept, &usual)?;
            campaign.count("arrived");
        }
        Ok(())
    });
    Ok(())
}
