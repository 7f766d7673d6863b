//! A machine that sleeps in mid-fetch, longer than connections and readers wait: what was under way is finished after it wakes, or was
//! given up in words and goes on when asked again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use app::Format;
use rustix::process::{Pid, Signal, kill_process};

use super::kill::{ELSEWHERE, bosc};
use super::program::finish;
use super::{Campaign, Random, remove};
use crate::peers::{Place, expect_same, noise};
use crate::process::Process;

/// Longer than a connection lives without a sign of the other side, shorter than a reader waits.
const NAP: Duration = Duration::from_secs(30);
/// Longer than a reader waits for any progress.
const NIGHT: Duration = Duration::from_secs(75);
/// After waking, a connection may first have to be found dead and be made again.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// A release of one large file.
struct Lab {
    place: Place,
    link: String,
    tree: PathBuf,
}

impl Lab {
    fn new(campaign: &Campaign) -> Result<Self> {
        let place = Place::new(campaign.name)?;
        let link = place.run("store", &["touch"])?.trim().to_owned();
        let tree = place.home.join("tree");
        std::fs::create_dir_all(&tree)?;
        std::fs::write(tree.join("file"), noise(60_000_000, 1))?;
        std::fs::write(
            tree.join("package.json"),
            format!("{{\"name\":\"cool\",\"version\":\"1.0.0\",\"upgrade\":\"{ELSEWHERE}\"}}"),
        )?;
        bosc(&place, "store", &["stage", &link, "tree"])?;
        Ok(Self { place, link, tree })
    }

    /// Starts a dump into an empty store and waits until it is in the midst of it; `None` if it was through already.
    fn half_dumped(&self, random: &mut Random) -> Result<Option<Process>> {
        remove(&self.place.home.join("out"))?;
        remove(&self.place.home.join("reader"))?;
        let args = ["dump", &self.link, "out"];
        let mut dump = Process::start("dump", &mut self.place.bosc("reader", &args), &self.place.logs())?;
        std::thread::sleep(Duration::from_millis(200 + random.below(500)));
        Ok(dump.is_running().then_some(dump))
    }

    fn is_right(&self) -> Result<()> {
        expect_same(&self.tree, &self.place.home.join("out"))
    }
}

fn signal(process: &Process, signal: Signal) -> Result<()> {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.context("it has no process id")?, signal)?;
    Ok(())
}

fn sleeps(process: &Process, duration: Duration) -> Result<()> {
    signal(process, Signal::STOP)?;
    std::thread::sleep(duration);
    signal(process, Signal::CONT)
}

/// Waits until a process ended by itself.
fn ends(process: &mut Process, what: &str) -> Result<()> {
    let start = Instant::now();
    while process.is_running() {
        ensure!(
            start.elapsed() < AFTERWARDS,
            "{what} had not ended {} s after it woke",
            AFTERWARDS.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// `bosc dump` sleeps.
pub fn reader(campaign: &mut Campaign) -> Result<()> {
    let lab = Lab::new(campaign)?;
    let _seed = lab.place.seed("store", &lab.link)?;
    campaign.runs(2, |campaign, run, random| {
        let Some(mut dump) = lab.half_dumped(random)? else {
            campaign.count("too late");
            return Ok(());
        };
        sleeps(&dump, if run == 0 { NAP } else { NIGHT })?;
        ends(&mut dump, "the dump")?;
        lab.is_right()?;
        campaign.count("right after it woke");
        Ok(())
    });
    Ok(())
}

/// `bosc seed` sleeps: for a while, and longer than its reader waits.
pub fn seeder(campaign: &mut Campaign) -> Result<()> {
    let lab = Lab::new(campaign)?;
    let seed = lab.place.seed("store", &lab.link)?;
    campaign.runs(2, |campaign, run, random| {
        let Some(mut dump) = lab.half_dumped(random)? else {
            campaign.count("too late");
            return Ok(());
        };
        if run == 0 {
            sleeps(&seed, NAP)?;
            ends(&mut dump, "the dump")?;
            lab.is_right()?;
            campaign.count("waited for");
            return Ok(());
        }
        sleeps(&seed, NIGHT)?;
        ends(&mut dump, "the dump")?;
        // It was given up, in words, and goes on where it was.
        let args = ["dump", &lab.link, "out"];
        let log = lab.place.logs().join("dump-again");
        finish(&mut lab.place.bosc("reader", &args), AFTERWARDS, &log)?.good("bosc dump after the night")?;
        lab.is_right()?;
        let said = std::fs::read_to_string(lab.place.logs().join("dump.log"))?;
        ensure!(
            said.contains("no peer sent") && said.contains("60 s"),
            "the dump does not say that nothing came: {said}"
        );
        campaign.count("given up in words");
        Ok(())
    });
    Ok(())
}

/// An app sleeps while its update is on the way.
pub fn app(campaign: &mut Campaign) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let storage = place.home.join("storage");
    let mut lab = super::update::Lab::new(place, storage, Format::Folder)?;
    lab.arrives()?.stop();
    campaign.runs(2, |campaign, run, random| {
        lab.release_next()?;
        let mut app = Process::start("app", &mut lab.app(), &lab.place.logs())?;
        std::thread::sleep(Duration::from_millis(random.below(600)));
        sleeps(&app, if run == 0 { NAP } else { NIGHT })?;
        lab.is_up(&mut app)?;
        app.stop();
        campaign.count("arrived after it woke");
        Ok(())
    });
    Ok(())
}
