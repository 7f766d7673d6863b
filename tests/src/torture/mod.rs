//! Campaigns that kill, fill, flip and stop real programs: after each blow everything is before or after, and nothing hangs.
//!
//! Each campaign has a name and a seed; the blows of run `n` follow from both, so that a failure can be repeated with
//! `cargo xtask torture --only NAME --seed SEED`. (When a blow lands depends on the machine as well: the delay is the same,
//! what the program has got to by then may not be.)

pub mod clock;
pub mod flip;
pub mod full_disk;
pub mod kill;
pub mod program;
pub mod rot;
pub mod suspend;
pub mod update;
pub mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use app::Format;

use crate::peers::{read_tree, write_deployment};

/// A campaign that has failed so often tells nothing new.
const MAX_FAILURES: usize = 5;

/// What a folder holds.
pub type Tree = BTreeMap<PathBuf, (bool, Vec<u8>)>;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Kills, over all campaigns that kill.
    pub kills: u64,
    /// Flips and truncations, over all campaigns that damage a store.
    pub flips: u64,
    /// The only campaign to run.
    pub only: Option<String>,
    /// The seed of all campaigns.
    pub seed: u64,
    /// Whether the slow ones run too: disks at each 5 %, clocks, suspend.
    pub long: bool,
}

/// Campaigns that wait for peers most of the time: they run beside the others.
const WAITING: [&str; 1] = ["kill-commit"];

/// Runs the campaigns and prints a line for each. Whether all went well.
pub fn run(options: &Options) -> bool {
    // Kills are shared out by what a run costs.
    let kills = |percent: u64| (options.kills * percent / 100).max(1);
    let flips = |percent: u64| (options.flips * percent / 100).max(1);
    type Work<'a> = Box<dyn Fn(&mut Campaign) -> Result<()> + Send + 'a>;
    let mut all: Vec<(&'static str, Work<'_>)> = vec![
        ("kill-stage", Box::new(|c| kill::stage(c, kills(25)))),
        ("kill-provision", Box::new(|c| kill::provision(c, kills(20)))),
        ("kill-dump", Box::new(|c| kill::dump(c, kills(25)))),
        ("kill-commit", Box::new(|c| kill::commit(c, kills(10)))),
        (
            "kill-update",
            Box::new(|c| update::killed(c, kills(10), Format::Folder)),
        ),
        (
            "kill-appimage",
            Box::new(|c| update::killed(c, kills(10), Format::File)),
        ),
        (
            "kill-window",
            Box::new(|c| window::killed(c, kills(10), Format::Folder)),
        ),
        ("flip-own", Box::new(|c| flip::own(c, flips(75)))),
        ("flip-seeder", Box::new(|c| flip::seeder(c, flips(10)))),
        ("flip-live", Box::new(|c| rot::seeder(c, flips(15)))),
    ];
    if options.long {
        all.push((
            "kill-window-image",
            Box::new(|c| window::killed(c, kills(10), Format::File)),
        ));
        all.push(("disk-stage", Box::new(full_disk::stage)));
        all.push(("disk-dump-folder", Box::new(full_disk::dump_folder)));
        all.push(("disk-dump-store", Box::new(full_disk::dump_store)));
        all.push(("disk-update", Box::new(full_disk::update)));
        all.push(("clock", Box::new(clock::jumps)));
        all.push(("suspend-reader", Box::new(suspend::reader)));
        all.push(("suspend-seeder", Box::new(suspend::seeder)));
        all.push(("suspend-app", Box::new(suspend::app)));
    }
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    // Each has a folder and a network of its own, so that those which mostly wait need not be waited for.
    let (waiting, working): (Vec<_>, Vec<_>) = all
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .partition(|(name, _)| WAITING.contains(name));
    if waiting.is_empty() && working.is_empty() {
        eprintln!("there is no campaign of that name");
        return false;
    }
    let one_after_the_other = |lane: Vec<(&'static str, Work<'_>)>| {
        let mut good = true;
        for (name, work) in lane {
            let mut campaign = Campaign::new(name, options.seed);
            if let Err(error) = work(&mut campaign) {
                campaign.failures.push(format!("could not go on: {error:#}"));
            }
            println!("{}", campaign.report());
            good &= campaign.failures.is_empty();
        }
        good
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| one_after_the_other(waiting));
        let good = one_after_the_other(working);
        waiting.join().unwrap_or(false) && good
    })
}

/// One campaign while it runs, and what it found.
pub struct Campaign {
    /// Its name; its logs are in a folder of that name.
    pub name: &'static str,
    seed: u64,
    runs: u64,
    figures: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
    skipped: Option<String>,
}

impl Campaign {
    /// A campaign that has done nothing yet.
    pub fn new(name: &'static str, seed: u64) -> Self {
        Self {
            name,
            seed,
            runs: 0,
            figures: BTreeMap::new(),
            failures: Vec::new(),
            skipped: None,
        }
    }

    /// Does `count` runs. A run that fails is noted down; after some the campaign ends.
    pub fn runs(&mut self, count: u64, mut work: impl FnMut(&mut Self, u64, &mut Random) -> Result<()>) {
        for run in 0..count {
            let mut random = Random::new(self.seed, run);
            self.runs += 1;
            if let Err(error) = work(self, run, &mut random) {
                self.failures.push(format!("run {run}: {error:#}"));
                if self.failures.len() >= MAX_FAILURES {
                    break;
                }
            }
        }
    }

    /// Counts something that happened.
    pub fn count(&mut self, what: &'static str) {
        *self.figures.entry(what).or_default() += 1;
    }

    /// Says why the campaign cannot run here.
    pub fn skip(&mut self, why: impl Into<String>) {
        self.skipped = Some(why.into());
    }

    /// Name, seed, runs, what was found; each failure on a line of its own.
    pub fn report(&self) -> String {
        let mut line = format!("{:<17} seed {}  {} runs", self.name, self.seed, self.runs);
        if let Some(why) = &self.skipped {
            let _ = write!(line, "; skipped: {why}");
        }
        for (what, count) in &self.figures {
            let _ = write!(line, "; {what} {count}");
        }
        let _ = write!(line, "; failures {}", self.failures.len());
        for failure in &self.failures {
            let _ = write!(
                line,
                "\n  {failure}\n  again: cargo xtask torture --only {} --seed {}",
                self.name, self.seed
            );
        }
        line
    }
}

/// Numbers that follow from a seed and a run (SplitMix64).
pub struct Random(u64);

impl Random {
    /// The numbers of one run.
    pub fn new(seed: u64, run: u64) -> Self {
        let mut random = Self(seed ^ run.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.number();
        random
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit.max(1)
    }

    /// A time up to a little more than `whole`, so that some blows land after the end.
    pub fn within(&mut self, whole: Duration) -> Duration {
        let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX / 2);
        Duration::from_micros(self.below(micros + micros / 8))
    }
}

/// A deployment folder of version `1.0.<number>`: what changes from one to the next is spread over files of many sizes.
pub(crate) fn deployment(folder: &Path, upgrade: &str, number: u64) -> Result<PathBuf> {
    remove(folder)?;
    let bundle = write_deployment(folder, "Cool", &format!("1.0.{number}"), upgrade)?;
    for (index, size) in [40_000, 400_000, 900_000].into_iter().enumerate() {
        let name = bundle.join(format!("changes-{index}"));
        std::fs::write(name, crate::peers::noise(size, number * 31 + index as u64))?;
    }
    Ok(bundle)
}

/// A project of version `1.0.<number>` for `bosc make`, which makes one file of it.
pub(crate) fn project(folder: &Path, upgrade: &str, number: u64) -> Result<PathBuf> {
    remove(folder)?;
    let page = folder.join("renderer");
    std::fs::create_dir_all(&page)?;
    let version = format!("1.0.{number}");
    let package = serde_json::json!({ "name": "Cool", "version": version, "upgrade": upgrade });
    std::fs::write(folder.join("package.json"), package.to_string())?;
    std::fs::write(page.join("index.html"), "<!doctype html><title>Cool</title>")?;
    std::fs::write(page.join("changes"), crate::peers::noise(900_000, number))?;
    Ok(folder.to_owned())
}

/// What a folder holds, without what is only being written.
pub(crate) fn finished_files(folder: &Path) -> Result<Tree> {
    let mut tree = if folder.is_dir() {
        read_tree(folder)?
    } else {
        Tree::new()
    };
    tree.retain(|path, _| {
        !path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(".bosc-tmp-"))
    });
    Ok(tree)
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Result<BTreeSet<String>> {
    std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Fails if a folder holds more than the `usual` names.
pub(crate) fn nothing_more(folder: &Path, usual: &BTreeSet<String>) -> Result<()> {
    let found = names(folder)?;
    ensure!(
        found.is_subset(usual),
        "left behind in {}: {:?}",
        folder.display(),
        found.difference(usual)
    );
    Ok(())
}

/// Deletes a file or folder, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Copies a folder of plain files.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let goal = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &goal)?;
        } else {
            std::fs::copy(entry.path(), goal)?;
        }
    }
    Ok(())
}
