//! A disk that rots: after a flipped bit or a lost tail, what is read is right, or there is an error; never wrong data.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::kill::{ELSEWHERE, bosc};
use super::program::finish;
use super::{Campaign, Random, Tree, copy_folder, deployment, remove};
use crate::peers::{Place, read_tree};

/// A reader waits 60 s for any progress, and starts and ends beside a compiler.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

/// How long a reader may look for good data, in seconds.
pub(super) const PATIENCE: &str = "15";

/// A store that holds one release, and what is in it.
pub(super) struct Lab {
    pub(super) place: Place,
    pub(super) link: String,
    pub(super) all: Tree,
}

impl Lab {
    pub(super) fn new(campaign: &Campaign) -> Result<Self> {
        let place = Place::new(campaign.name)?;
        let link = place.run("good", &["touch"])?.trim().to_owned();
        let tree = place.home.join("tree");
        deployment(&tree, ELSEWHERE, 0)?;
        bosc(&place, "good", &["stage", &link, "tree"])?;
        Ok(Self {
            all: read_tree(&tree)?,
            place,
            link,
        })
    }
}

/// Flips one bit of a store, or, each sixth time, cuts its file. What was done.
fn damage(store: &Path, random: &mut Random) -> Result<String> {
    let file = store.join("corestore.db");
    if random.below(6) == 0 {
        cut(&file, random)
    } else {
        flip(&file, random)
    }
}

fn open(file: &Path) -> Result<(File, u64)> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Cuts a file somewhere.
pub(super) fn cut(file: &Path, random: &mut Random) -> Result<String> {
    let (file, length) = open(file)?;
    let at = random.below(length);
    file.set_len(at)?;
    Ok(format!("cut at {at} of {length}"))
}

/// Flips one bit of a file.
pub(super) fn flip(file: &Path, random: &mut Random) -> Result<String> {
    let (file, length) = open(file)?;
    let at = random.below(length);
    let bit = random.below(8);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ (1 << bit)], at)?;
    Ok(format!("bit {bit} of byte {at} of {length} flipped"))
}

/// `bosc dump` of a link of one's own.
pub fn own(campaign: &mut Campaign, flips: u64) -> Result<()> {
    let lab = Lab::new(campaign)?;
    let home = &lab.place.home;
    campaign.runs(flips, |campaign, _, random| {
        copy_folder(&home.join("good"), &home.join("bad"))?;
        remove(&home.join("out"))?;
        let done = damage(&home.join("bad"), random)?;
        let mut command = lab
            .place
            .bosc("bad", &["dump", &lab.link, "out", "--timeout", PATIENCE]);
        let ended = finish(&mut command, LIMIT, &lab.place.logs().join("dump"))
            .map_err(|error| error.context(done.clone()))?;
        if ended.good_or_clean(&done)? {
            ensure!(
                read_tree(&home.join("out"))? == lab.all,
                "{done}: wrong data, and exit status 0"
            );
            campaign.count("right");
        } else {
            campaign.count("clean error");
        }
        Ok(())
    });
    Ok(())
}

/// How long a program may take to end after its last word.
const ENDING: Duration = Duration::from_secs(5);

/// A peer that dumps from a seeder with such a store, alone or, each second time, beside a sound one.
pub fn seeder(campaign: &mut Campaign, flips: u64) -> Result<()> {
    let lab = Lab::new(campaign)?;
    let home = &lab.place.home;
    campaign.runs(flips, |campaign, run, random| {
        for name in ["bad", "sound"] {
            copy_folder(&home.join("good"), &home.join(name))?;
        }
        for name in ["out", "reader"] {
            remove(&home.join(name))?;
        }
        let done = damage(&home.join("bad"), random)?;
        let mut seeders = Vec::new();
        let mut command = lab.place.bosc("bad", &["seed", &lab.link, "--no-tty"]);
        let mut bad = crate::process::Process::start("seed-bad", &mut command, &lab.place.logs())?;
        // One that cannot open its store says so and ends.
        match bad.wait_for("that it is announced", LIMIT, |line| {
            line.contains("announced").then_some(())
        }) {
            Ok(()) => seeders.push(bad),
            Err(error) => {
                ensure!(
                    bad.ends_within(ENDING),
                    "{done}: the seeder neither seeds nor ends: {error:#}"
                );
                campaign.count("the seeder refused its store");
            }
        }
        let with_sound = run % 2 == 1;
        if with_sound {
            seeders.push(lab.place.seed("sound", &lab.link)?);
        }
        let mut command = lab
            .place
            .bosc("reader", &["dump", &lab.link, "out", "--timeout", PATIENCE]);
        let ended = finish(&mut command, LIMIT, &lab.place.logs().join("dump"))
            .map_err(|error| error.context(done.clone()))?;
        if ended.good_or_clean(&done)? {
            ensure!(
                read_tree(&home.join("out"))? == lab.all,
                "{done}: wrong data from a peer, and exit status 0"
            );
            campaign.count(if with_sound {
                "right beside a sound one"
            } else {
                "right"
            });
        } else {
            campaign.count(if with_sound {
                "clean error beside a sound one"
            } else {
                "clean error"
            });
        }
        Ok(())
    });
    Ok(())
}
