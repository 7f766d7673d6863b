//! An installed app killed at any moment of an update: its bundle is always whole, and the newest version always arrives.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use app::{Format, Host, Layout};

use super::kill::bosc;
use super::program::{kill_after, kill_all_after};
use super::{Campaign, Random, Tree, deployment, names, nothing_more, project, remove};
use crate::peers::{Place, program, read_tree};
use crate::process::{Process, wait_until};

/// How long the newest version may take to arrive and start, once nobody kills any more. A failed attempt is repeated after 30 s.
const ARRIVES: Duration = Duration::from_secs(90);

/// Kills of one release: a version that disappears four times before it is up counts as one that cannot start.
const KILLS_PER_RELEASE: u64 = 3;

/// How long what an AppImage was mounted or unpacked at may outlive the app.
const GOES: Duration = Duration::from_secs(20);

/// An installed app that follows a link, and the machine that releases it.
pub(crate) struct Lab {
    pub(crate) place: Place,
    link: String,
    format: Format,
    number: u64,
    /// Where the app keeps its data.
    pub(crate) storage: PathBuf,
    installed: PathBuf,
    _seed: Process,
}

impl Lab {
    /// Version 1.0.0, released and installed; the app's data will be in `storage`.
    pub(crate) fn new(place: Place, storage: PathBuf, format: Format) -> Result<Self> {
        let link = place.run("store", &["touch"])?.trim().to_owned();
        let bundle = release(&place, format, &link, 0)?;
        let name = Layout::of(&Host::current(), format).bundle_name("Cool");
        let installed = place.home.join("installed").join(name);
        copy(&bundle, &installed)?;
        std::fs::create_dir_all(place.home.join("temp"))?;
        let seed = place.seed("store", &link)?;
        Ok(Self {
            place,
            link,
            format,
            number: 0,
            storage,
            installed,
            _seed: seed,
        })
    }

    /// Releases the next version; its bundle.
    pub(crate) fn release_next(&mut self) -> Result<PathBuf> {
        self.number += 1;
        release(&self.place, self.format, &self.link, self.number)
    }

    /// The installed program.
    pub(crate) fn app(&self) -> Command {
        let layout = Layout::at(&Host::current(), &self.installed);
        let mut command = Command::new(layout.program(&self.installed));
        command
            .env("HEADLESS_STORAGE", &self.storage)
            .env("HEADLESS_LINK", &self.link)
            .env("HEADLESS_BOOTSTRAP", &self.place.bootstrap)
            .env("TMPDIR", self.temp());
        command
    }

    /// Where an AppImage is mounted or unpacked.
    fn temp(&self) -> PathBuf {
        self.place.home.join("temp")
    }

    /// Starts it and kills it after `delay`: the app alone, or with whoever mounts or unpacks its AppImage, whichever way that runs.
    fn blow(&self, delay: Duration, random: &mut Random) -> Result<bool> {
        let mut command = self.app();
        if self.format == Format::File && random.below(2) == 0 {
            command.env("APPIMAGE_EXTRACT_AND_RUN", "1");
        }
        if random.below(2) == 0 {
            return kill_after(&mut command, delay);
        }
        let mark = format!("HEADLESS_STORAGE={}", self.storage.display());
        kill_all_after(&mut command, delay, &mark)
    }

    /// Fails if an AppImage stays mounted or unpacked though nothing runs.
    fn nothing_mounted(&self) -> Result<()> {
        let mut left = Ok(());
        let gone = wait_until("nothing is left mounted or unpacked", GOES, || {
            left = nothing_more(&self.temp(), &BTreeSet::new());
            Ok(left.is_ok().then_some(()))
        });
        gone.or_else(|error| left.context(error))
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
        bundle_tree(&self.installed)
    }
}

/// What a bundle holds, be it a folder or a file.
pub(crate) fn bundle_tree(bundle: &Path) -> Result<Tree> {
    if bundle.is_dir() {
        return read_tree(bundle);
    }
    let executable = std::fs::metadata(bundle)?.permissions().mode() & 0o111 != 0;
    Ok(Tree::from([(
        PathBuf::new(),
        (executable, std::fs::read(bundle)?),
    )]))
}

/// Writes and stages a version whose program is the one beside this one.
fn release(place: &Place, format: Format, link: &str, number: u64) -> Result<PathBuf> {
    let app = program("examples/headless")?;
    let script = format!(
        "#!/bin/sh\nexec '{}' \"${{APPIMAGE:-$(dirname \"$0\")}}\"\n",
        app.to_str()
            .context("the path of the app without a window is not text")?
    );
    let tree = place.home.join("tree");
    let bundle = match format {
        Format::Folder => {
            let bundle = deployment(&tree, link, number)?;
            std::fs::write(bundle.join("Cool"), script)?;
            bundle
        }
        Format::File => {
            let host = Host::current();
            let folder = project(&place.home.join("project"), link, number)?;
            std::fs::write(folder.join("program"), script)?;
            std::fs::set_permissions(folder.join("program"), Permissions::from_mode(0o755))?;
            let make = [
                "make",
                "project",
                "--bin",
                "project/program",
                "--format",
                "appimage",
            ];
            bosc(place, "store", &make)?;
            let name = Layout::of(&host, format).bundle_name("Cool");
            let made = format!("project/out/Cool-{host}/{name}");
            remove(&tree)?;
            let app = format!("--{host}-app={made}");
            bosc(
                place,
                "store",
                &["build", "--package=project/package.json", &app, "--target=tree"],
            )?;
            place.home.join(made)
        }
    };
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
pub fn killed(campaign: &mut Campaign, kills: u64, format: Format) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let storage = place.home.join("storage");
    let mut lab = Lab::new(place, storage, format)?;
    let mut versions = vec![lab.installed()?];
    lab.arrives()?.kill();
    versions.push(bundle_tree(&lab.release_next()?)?);
    let start = Instant::now();
    lab.arrives()?.stop();
    let mut whole = start.elapsed();
    // Everything that the runtime keeps beside the app's data, but for what has a version in its name.
    let kept = lab.storage.join("pear-runtime");
    let usual = names(&kept)?;
    campaign.runs(kills, |campaign, run, random| {
        if run % KILLS_PER_RELEASE == 0 {
            versions.push(bundle_tree(&lab.release_next()?)?);
        }
        let delay = random.within(whole);
        let killed = lab.blow(delay, random)?;
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
            lab.nothing_mounted()?;
            campaign.count("arrived");
        }
        Ok(())
    });
    Ok(())
}
