//! A wall clock that jumps by ten years, either way, while a release is fetched.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::kill::{ELSEWHERE, bosc};
use super::program::finish;
use super::{Campaign, deployment, remove};
use crate::peers::{PATIENCE, Place, read_tree};
use crate::process::Process;

const LIMIT: Duration = Duration::from_secs(60);
const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;

/// Builds what moves the clock of one program; `None` without a C compiler.
fn shim(home: &Path) -> Result<Option<std::path::PathBuf>> {
    let source = home.join("clock_shim.c");
    let library = home.join("clock_shim.so");
    std::fs::write(&source, include_str!("clock_shim.c"))?;
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(built.is_ok_and(|status| status.success()).then_some(library))
}

/// Seeder or reader jump, forwards or backwards, a moment after the fetch began.
pub fn jumps(campaign: &mut Campaign) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let Some(shim) = shim(&place.home)? else {
        campaign.skip("there is no C compiler (cc) to build what moves the clock");
        return Ok(());
    };
    let link = place.run("store", &["touch"])?.trim().to_owned();
    let tree = place.home.join("tree");
    deployment(&tree, ELSEWHERE, 0)?;
    bosc(&place, "store", &["stage", &link, "tree"])?;
    let all = read_tree(&tree)?;
    let clock = |who: &str| place.home.join(format!("clock-{who}"));
    let moved = |mut command: Command, who: &str| -> Command {
        command
            .env("LD_PRELOAD", &shim)
            .env("BOSC_CLOCK_FILE", clock(who));
        command
    };
    // The shim must work, or this campaign shows nothing.
    std::fs::write(clock("check"), TEN_YEARS.to_ne_bytes())?;
    let year = |command: &mut Command| -> Result<i64> {
        Ok(String::from_utf8(command.arg("+%s").output()?.stdout)?
            .trim()
            .parse()?)
    };
    let plain = year(&mut Command::new("date"))?;
    ensure!(
        year(&mut moved(Command::new("date"), "check"))? - plain >= TEN_YEARS - 5,
        "the clock could not be moved"
    );
    campaign.runs(8, |campaign, run, random| {
        for who in ["seed", "reader"] {
            std::fs::write(clock(who), 0i64.to_ne_bytes())?;
        }
        remove(&place.home.join("out"))?;
        remove(&place.home.join("reader"))?;
        let command = place.bosc("store", &["seed", &link, "--no-tty"]);
        let mut seed = Process::start("seed", &mut moved(command, "seed"), &place.logs())?;
        seed.wait_for("that it is announced", PATIENCE, |line| {
            line.contains("announced").then_some(())
        })?;
        let who = if run % 2 == 0 { "seed" } else { "reader" };
        let by = if run % 4 < 2 { TEN_YEARS } else { -TEN_YEARS };
        let (file, delay) = (clock(who), Duration::from_millis(random.below(600)));
        let jump = std::thread::spawn(move || {
            std::thread::sleep(delay);
            std::fs::write(file, by.to_ne_bytes())
        });
        let command = place.bosc("reader", &["dump", &link, "out"]);
        finish(&mut moved(command, "reader"), LIMIT, &place.logs().join("dump"))?.good("bosc dump")?;
        ensure!(
            read_tree(&place.home.join("out"))? == all,
            "wrong data after the clock jumped"
        );
        ensure!(
            jump.join().is_ok_and(|done| done.is_ok()),
            "the clock did not jump"
        );
        campaign.count("right");
        // What was announced before the jump is still found after it.
        remove(&place.home.join("out"))?;
        remove(&place.home.join("reader"))?;
        finish(
            &mut place.bosc("reader", &["dump", &link, "out"]),
            LIMIT,
            &place.logs().join("dump"),
        )?
        .good("bosc dump after the jump")?;
        Ok(())
    });
    Ok(())
}
