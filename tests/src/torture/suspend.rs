//! A machine that sleeps in mid-fetch: what was under way is finished after it wakes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::kill::{ELSEWHERE, bosc};
use super::{Campaign, remove};
use crate::peers::{Place, expect_same, noise};
use crate::process::Process;

const ASLEEP: Duration = Duration::from_secs(45);

/// After waking, a connection may first have to be found dead and be made again.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// `bosc dump`, stopped for 45 s.
pub fn in_mid_fetch(campaign: &mut Campaign) -> Result<()> {
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
    let _seed = place.seed("store", &link)?;
    campaign.runs(2, |campaign, _, random| {
        remove(&place.home.join("out"))?;
        remove(&place.home.join("reader"))?;
        let mut dump = Process::start(
            "dump",
            &mut place.bosc("reader", &["dump", &link, "out"]),
            &place.logs(),
        )?;
        let pid = i32::try_from(dump.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let Some(pid) = pid else {
            anyhow::bail!("the dump has no process id")
        };
        std::thread::sleep(Duration::from_millis(300 + random.below(700)));
        if !dump.is_running() {
            campaign.count("too late");
            return Ok(());
        }
        rustix::process::kill_process(pid, rustix::process::Signal::STOP)?;
        std::thread::sleep(ASLEEP);
        rustix::process::kill_process(pid, rustix::process::Signal::CONT)?;
        let woken = Instant::now();
        while dump.is_running() {
            ensure!(
                woken.elapsed() < AFTERWARDS,
                "the dump had not ended {} s after it woke",
                AFTERWARDS.as_secs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        expect_same(&tree, &place.home.join("out"))?;
        campaign.count("right after it woke");
        Ok(())
    });
    Ok(())
}
