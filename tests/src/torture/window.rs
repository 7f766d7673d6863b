//! The installed chat in a real window, killed between the fetch, `applyUpdate`, the restart and the first paint of the new version.
//!
//! Its page takes every update as soon as it is offered, so that no driver stands between a blow and the app; a driver looks at the
//! window afterwards.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use app::Format;

use super::update::bundle_tree;
use super::{Campaign, Random, names, nothing_more};
use crate::display::Display;
use crate::peers::noise;
use crate::process::{Process, wait_until};
use crate::update::installed_version;
use crate::walkthrough::{Installed, Setup, Workshop, expect_messages, send_message};

/// How long the newest version may take to arrive and show its page, once nobody kills any more. A failed attempt is repeated after
/// 30 s.
const ARRIVES: Duration = Duration::from_secs(90);
/// How long the web view's processes may outlive a killed app, and what an update left may lie about after a good start.
const GOES: Duration = Duration::from_secs(15);
/// Kills of one release: a version that disappears four times before it is up counts as one that cannot start.
const KILLS_PER_RELEASE: u64 = 3;
/// As many of the last messages are looked for; a page shows 50 at once.
const SHOWN: usize = 20;

/// What the page of every version ends with.
const TAKES_UPDATES: &str = "
setInterval(() => {
  const button = document.querySelector('#update')
  if (!button.hidden && !button.disabled) button.click()
}, 10)
";

/// What an app is killed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// From its start to the first script of its page.
    Start,
    /// Until the update is staged.
    Fetch,
    /// Until the new bundle is in place.
    Apply,
    /// Until the first script of the new page.
    Restart,
    /// The second after that: the first paint, and the old bundle goes.
    Paint,
}

const PHASES: [Phase; 5] = [
    Phase::Start,
    Phase::Fetch,
    Phase::Apply,
    Phase::Restart,
    Phase::Paint,
];

impl Phase {
    fn killed(self) -> &'static str {
        match self {
            Self::Start => "killed in the start",
            Self::Fetch => "killed in the fetch",
            Self::Apply => "killed in applying",
            Self::Restart => "killed in the restart",
            Self::Paint => "killed about the first paint",
        }
    }
}

/// The installed chat, and the workshop that releases it.
struct Lab {
    workshop: Workshop,
    app: Installed,
    display: Display,
    newest: String,
    /// The fingerprints of all versions, the newest last.
    versions: Vec<u64>,
    messages: Vec<String>,
}

impl Lab {
    fn new(name: &str, format: Format) -> Result<Self> {
        let mut setup = Setup::for_test(name)?;
        setup.format = format;
        let display = Display::own(&setup.home)?;
        let mut workshop = Workshop::open(setup, &mut |_| ())?;
        let script = workshop.project().join("renderer/app.js");
        let mut script = std::fs::OpenOptions::new().append(true).open(script)?;
        script.write_all(TAKES_UPDATES.as_bytes())?;
        let newest = workshop.release("1.0.1", &mut |_| ())?;
        workshop.seed()?;
        let app = workshop.install()?;
        Ok(Self {
            versions: vec![fingerprint(&app.bundle)?],
            workshop,
            app,
            display,
            newest,
            messages: Vec::new(),
        })
    }

    /// Releases the next version, with something to fetch in it.
    fn release(&mut self) -> Result<()> {
        let changes = self.workshop.project().join("renderer/changes");
        std::fs::write(changes, noise(3_000_000, self.versions.len() as u64))?;
        self.newest = self.workshop.release("patch", &mut |_| ())?;
        self.versions.push(fingerprint(&self.workshop.made())?);
        Ok(())
    }

    fn start(&self, more: &[&str]) -> Result<Process> {
        let mut command = Command::new(self.app.program());
        command
            .args(self.app.args(more))
            .envs(self.app.env(&self.display))
            .env(
                "RUST_LOG",
                "warn,bosc_shell::startup=info,bosc_runtime::runtime=debug",
            );
        Process::start("app", &mut command, &self.workshop.logs())
    }

    fn is_newest(&self) -> bool {
        installed_version(&self.app) == self.newest
    }

    /// Starts the app and waits for the beginning of a phase of its update.
    fn reach(&self, phase: Phase) -> Result<Process> {
        let mut process = self.start(&[])?;
        for past in PHASES.into_iter().take_while(|past| *past != phase) {
            match past {
                Phase::Start | Phase::Restart => says(&mut process, "first page script")?,
                Phase::Fetch => says(&mut process, "Updated {")?,
                Phase::Apply => wait_until("the new bundle is in place", ARRIVES, || {
                    Ok(self.is_newest().then_some(()))
                })?,
                Phase::Paint => {}
            }
        }
        Ok(process)
    }

    /// Starts the app and waits until the newest version shows its page.
    fn arrives(&self) -> Result<Process> {
        if !self.is_newest() {
            return self.reach(Phase::Paint);
        }
        let mut process = self.start(&[])?;
        says(&mut process, "first page script")?;
        Ok(process)
    }

    /// One of the last two versions is installed, whole; no process of the killed app is left.
    fn is_whole(&self, campaign: &mut Campaign) -> Result<()> {
        wait_until("the web view's processes end with the app", GOES, || {
            Ok(self.app.processes().is_empty().then_some(()))
        })?;
        let found = fingerprint(&self.app.bundle)?;
        match self.versions.iter().rev().position(|version| *version == found) {
            Some(0) => campaign.count("the new version installed"),
            Some(1) => campaign.count("the version before installed"),
            Some(_) => bail!("an older version is installed"),
            None => bail!("the bundle is a mixture"),
        }
        Ok(())
    }

    /// The window shows the version that is installed, and the transcript; a message more is written.
    fn shows(&mut self, process: &mut Process) -> Result<()> {
        let driver = self.app.attach("app", process)?;
        let version = format!("v{}", installed_version(&self.app));
        driver.wait_text("#version", &version, Duration::from_secs(20))?;
        let last = self.messages.iter().rev().take(SHOWN).rev();
        let last: Vec<&str> = last.map(String::as_str).collect();
        expect_messages(&driver, &last)?;
        let message = format!("message {} of {version}", self.messages.len());
        send_message(&driver, &message)?;
        self.messages.push(message);
        driver.abandon();
        Ok(())
    }

    /// Nothing of an update lies about, and no version counts as bad.
    fn is_tidy(&self, usual: &Usual) -> Result<()> {
        let kept = self.app.storage.join("pear-runtime");
        let note = kept.join("bundle.json");
        let mut last = Ok(());
        let tidy = wait_until("nothing of the update is left", GOES, || {
            last = (|| {
                let note: serde_json::Value = serde_json::from_slice(&std::fs::read(&note)?)?;
                ensure!(note["update"].is_null(), "the update is still on trial: {note}");
                ensure!(
                    note["bad"] == serde_json::json!([]),
                    "a good version is bad: {note}"
                );
                let staged = kept.join("next");
                if staged.is_dir() {
                    nothing_more(&staged, &BTreeSet::new())?;
                }
                usual.check(&self.app)
            })();
            Ok(last.is_ok().then_some(()))
        });
        tidy.or_else(|error| last.context(error))
    }
}

/// What lies beside the app and its data when no update is under way.
struct Usual([BTreeSet<String>; 3]);

impl Usual {
    fn folders(app: &Installed) -> [std::path::PathBuf; 3] {
        let apps = app.bundle.parent().unwrap_or(&app.bundle);
        [
            apps.to_owned(),
            app.storage.clone(),
            app.storage.join("pear-runtime"),
        ]
    }

    fn of(app: &Installed) -> Result<Self> {
        let [apps, storage, runtime] = Self::folders(app);
        Ok(Self([names(&apps)?, names(&storage)?, names(&runtime)?]))
    }

    fn check(&self, app: &Installed) -> Result<()> {
        let pairs = Self::folders(app).into_iter().zip(&self.0);
        pairs
            .into_iter()
            .try_for_each(|(folder, usual)| nothing_more(&folder, usual))
    }
}

fn says(process: &mut Process, words: &str) -> Result<()> {
    process.wait_for(words, ARRIVES, |line| line.contains(words).then_some(()))
}

/// A number that stands for all that a bundle holds.
fn fingerprint(bundle: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    bundle_tree(bundle)?.hash(&mut hasher);
    Ok(hasher.finish())
}

/// How long each phase takes when nobody kills.
fn measure(lab: &Lab) -> Result<([Duration; 5], Process)> {
    let mut lengths = [Duration::from_secs(1); 5];
    let mut since = Instant::now();
    let mut process = lab.start(&[])?;
    let mut lap = |length: &mut Duration| *length = std::mem::replace(&mut since, Instant::now()).elapsed();
    let [start, fetch, apply, restart, _] = &mut lengths;
    says(&mut process, "first page script")?;
    lap(start);
    says(&mut process, "Updated {")?;
    lap(fetch);
    wait_until("the new bundle is in place", ARRIVES, || {
        Ok(lab.is_newest().then_some(()))
    })?;
    lap(apply);
    says(&mut process, "first page script")?;
    lap(restart);
    Ok((lengths, process))
}

/// Kills the app in one of the phases that its update still has before it; `number` of the kills of this release.
fn blow(
    lab: &Lab,
    campaign: &mut Campaign,
    number: u64,
    random: &mut Random,
    lengths: &[Duration; 5],
) -> Result<()> {
    // Of one release the kills come ever later, so that most of them find an update to cut off.
    let [one, other] = match number {
        _ if lab.is_newest() => [Phase::Start, Phase::Paint],
        0 => [Phase::Start, Phase::Fetch],
        1 => [Phase::Apply, Phase::Apply],
        _ => [Phase::Restart, Phase::Paint],
    };
    let phase = if random.below(2) == 0 { one } else { other };
    let mut process = match phase {
        Phase::Paint => lab.arrives()?,
        _ => lab.reach(phase)?,
    };
    let lengths = PHASES.into_iter().zip(lengths);
    let length = lengths
        .into_iter()
        .find_map(|(of, length)| (of == phase).then_some(*length));
    let length = length.unwrap_or_default();
    std::thread::sleep(random.within(length));
    ensure!(process.is_running(), "the app ended by itself");
    process.kill();
    campaign.count(phase.killed());
    Ok(())
}

/// The update of an app in a window, killed anywhere.
pub fn killed(campaign: &mut Campaign, kills: u64, format: Format) -> Result<()> {
    let mut lab = Lab::new(campaign.name, format)?;
    let mut process = lab.start(&[])?;
    lab.shows(&mut process)?;
    process.stop();
    lab.release()?;
    let (lengths, mut process) = measure(&lab)?;
    lab.shows(&mut process)?;
    let usual = Usual::of(&lab.app)?;
    process.stop();
    campaign.runs(kills, |campaign, run, random| {
        if run % KILLS_PER_RELEASE == 0 {
            lab.release()?;
        }
        blow(&lab, campaign, run % KILLS_PER_RELEASE, random, &lengths)?;
        lab.is_whole(campaign)?;
        let last = run + 1 == kills || run % KILLS_PER_RELEASE == KILLS_PER_RELEASE - 1;
        // Each second time nobody looks before the next blow.
        if !last && random.below(2) == 0 {
            let mut process = lab.start(&["--no-updates"])?;
            lab.shows(&mut process)?;
            process.stop();
            campaign.count("looked at");
        }
        if last {
            let mut process = lab.arrives()?;
            lab.shows(&mut process)?;
            lab.is_tidy(&usual)?;
            process.stop();
            lab.app.expect_nothing_left()?;
            let found = fingerprint(&lab.app.bundle)?;
            ensure!(
                lab.versions.last() == Some(&found),
                "what is installed is not the newest version"
            );
            campaign.count("arrived");
        }
        Ok(())
    });
    Ok(())
}
