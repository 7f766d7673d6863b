//! A disk that is full at each 5 % of what an operation needs: clean words, exit status 1, no hang; and right once there is space.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use app::Format;

use super::kill::{ELSEWHERE, bosc};
use super::program::{Ended, finish};
use super::{Campaign, copy_folder, deployment, remove};
use crate::peers::{Place, read_tree};
use crate::process::Process;

const LIMIT: Duration = Duration::from_secs(60);
const STEPS: u64 = 19;
const ROOMY: u64 = 256 << 20;

/// A disk in memory, unmounted when it goes out of scope.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this user may not mount.
    fn new(folder: PathBuf, bytes: u64) -> Result<Option<Self>> {
        std::fs::create_dir_all(&folder)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "bosc-torture"])
            .arg(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        Ok(mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder)))
    }

    /// Makes it larger.
    fn grow(&self) -> Result<()> {
        let grown = Command::new("mount")
            .args(["-o", &format!("remount,size={ROOMY}")])
            .arg(&self.0)
            .status()?;
        ensure!(grown.success(), "the disk could not be made larger");
        Ok(())
    }

    /// Bytes in use.
    fn used(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.0)?;
        Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            // Something still runs there; it goes when that ends.
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
}

/// Success, or an error that speaks of the disk. Whether it was success.
fn full_or_good(ended: &Ended, what: &str) -> Result<bool> {
    let good = ended.good_or_clean(what)?;
    let words = ended.stderr.to_lowercase();
    ensure!(
        good || words.contains("full") || words.contains("space"),
        "{what} does not speak of the full disk: {}",
        ended.stderr.trim()
    );
    Ok(good)
}

/// What one campaign does on disks that are too small.
struct Work<'a> {
    /// Puts there what is there before.
    prepare: &'a dyn Fn(&Path) -> Result<()>,
    /// The operation.
    command: &'a dyn Fn() -> Command,
    /// Whether its result is right.
    check: &'a dyn Fn() -> Result<()>,
}

fn each_step(campaign: &mut Campaign, place: &Place, disk: &Path, work: &Work<'_>) -> Result<()> {
    let log = place.logs().join("operation");
    let (base, need) = {
        let Some(disk) = Disk::new(disk.to_owned(), ROOMY)? else {
            campaign.skip("mounting a disk in memory wants root");
            return Ok(());
        };
        (work.prepare)(&disk.0)?;
        let base = disk.used()?;
        finish(&mut (work.command)(), LIMIT, &log)?.good("with enough space the operation")?;
        (work.check)()?;
        (base, disk.used()?.saturating_sub(base))
    };
    ensure!(need > 0, "the operation needs no space");
    campaign.runs(STEPS, |campaign, run, _| {
        let percent = (run + 1) * 5;
        let size = base + need * percent / 100;
        let disk = Disk::new(disk.to_owned(), size)?.context("the disk could not be mounted")?;
        (work.prepare)(&disk.0)?;
        let what = format!("at {percent} % of the space ({size} bytes) the operation");
        let ended = finish(&mut (work.command)(), LIMIT, &log).with_context(|| what.clone())?;
        if full_or_good(&ended, &what)? {
            campaign.count("fitted");
            return (work.check)();
        }
        campaign.count("clean error");
        disk.grow()?;
        finish(&mut (work.command)(), LIMIT, &log)?.good("with space again the operation")?;
        (work.check)().with_context(|| format!("{what}, run again with space"))
    });
    Ok(())
}

/// `bosc stage` into a store on the disk.
pub fn stage(campaign: &mut Campaign) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let link = place.run("fresh", &["touch"])?.trim().to_owned();
    let tree = place.home.join("tree");
    deployment(&tree, ELSEWHERE, 0)?;
    let disk = place.home.join("disk");
    each_step(
        campaign,
        &place,
        &disk,
        &Work {
            prepare: &|disk| copy_folder(&place.home.join("fresh"), &disk.join("store")),
            command: &|| place.bosc("disk/store", &["stage", &link, "tree"]),
            check: &|| {
                remove(&place.home.join("read"))?;
                bosc(&place, "disk/store", &["dump", &link, "read"])?;
                ensure!(
                    read_tree(&place.home.join("read"))? == read_tree(&tree)?,
                    "the drive is not what was staged"
                );
                Ok(())
            },
        },
    )
}

/// `bosc dump` from a seed: folder or store on the disk.
fn dump(campaign: &mut Campaign, store: &'static str, out: &'static str) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let link = place.run("store", &["touch"])?.trim().to_owned();
    let tree = place.home.join("tree");
    deployment(&tree, ELSEWHERE, 0)?;
    bosc(&place, "store", &["stage", &link, "tree"])?;
    let _seed = place.seed("store", &link)?;
    let disk = place.home.join("disk");
    each_step(
        campaign,
        &place,
        &disk,
        &Work {
            prepare: &|_| {
                remove(&place.home.join(store))?;
                remove(&place.home.join(out))
            },
            command: &|| place.bosc(store, &["dump", &link, out, "--timeout", "20"]),
            check: &|| {
                ensure!(
                    read_tree(&place.home.join(out))? == read_tree(&tree)?,
                    "the folder is not what the link holds"
                );
                Ok(())
            },
        },
    )
}

/// The folder that is written is on the full disk.
pub fn dump_folder(campaign: &mut Campaign) -> Result<()> {
    dump(campaign, "reader", "disk/out")
}

/// The store that fetches is on the full disk.
pub fn dump_store(campaign: &mut Campaign) -> Result<()> {
    dump(campaign, "disk/reader", "out")
}

/// An app that stages an update on a full disk says so, runs on, and has the update once there is space.
pub fn update(campaign: &mut Campaign) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let folder = place.home.join("disk");
    let Some(disk) = Disk::new(folder.clone(), ROOMY)? else {
        campaign.skip("mounting a disk in memory wants root");
        return Ok(());
    };
    let mut lab = super::update::Lab::new(place, folder.join("storage"), Format::Folder)?;
    lab.arrives()?.stop();
    let base = disk.used()?;
    lab.release_next()?;
    lab.arrives()?.stop();
    let need = disk.used()?.saturating_sub(base);
    drop(disk);
    campaign.runs(4, |campaign, run, _| {
        let percent = 20 + run * 20;
        let disk = Disk::new(folder.clone(), ROOMY)?.context("the disk could not be mounted")?;
        lab.arrives()?.stop();
        // What the app has before the update stays.
        let size = disk.used()? + need * percent / 100;
        let resized = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&folder)
            .status()?;
        ensure!(resized.success(), "the disk could not be made smaller");
        lab.release_next()?;
        let mut app = Process::start("app", &mut lab.app(), &lab.place.logs())?;
        let said = app.wait_for("an error, or that it fitted", LIMIT, |line| {
            let error = line.strip_prefix("error ").map(str::to_owned);
            error.or_else(|| line.starts_with("applied").then(String::new))
        })?;
        let words = said.to_lowercase();
        if !said.is_empty() && !words.contains("full") && !words.contains("space") {
            bail!("at {percent} % the app does not speak of the full disk: {said}");
        }
        campaign.count(if said.is_empty() { "fitted" } else { "error event" });
        disk.grow()?;
        ensure!(app.is_running(), "the app ended on a full disk");
        lab.is_up(&mut app)?;
        app.stop();
        campaign.count("arrived");
        Ok(())
    });
    Ok(())
}
