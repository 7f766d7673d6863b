//! Hostile peers against a real `bosc seed` and a real app: what they cost it, and an honest client. One line for each attack:
//! `cargo test -p bosc-tests --test attacks -- --nocapture`.

mod app;
mod hostile;
mod table;
mod victim;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hypercore::messages::{Range, Want, encode_id, encode_request, kind};
use hypercore::proof::{Request, RequestBlock};
use tokio::sync::Mutex;

use hostile::{Hostile, garbage};
use table::{GIVEN_BACK, GROWTH_OF_ONE, Row, Table};
use victim::Victim;

/// What each connection of a flood tries to send, and for how long.
const FLOOD: usize = 24 << 20;
const FLOOD_TIME: Duration = Duration::from_secs(5);
/// How much longer a fetch may take whose seed is killed hard and started again meanwhile.
const KILLED: Duration = Duration::from_secs(6);
/// Bytes of a client's store that show that it fetches.
const UNDER_WAY: u64 = 4 << 20;

/// Attacks are timed: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Floods of one message: a name, its kind and payload.
fn floods() -> Vec<(&'static str, u64, Bytes)> {
    let want = Want {
        start: 0,
        length: 1 << 20,
        any: false,
    };
    let range = Range {
        drop: false,
        start: 1,
        length: (1 << 22) + 3,
    };
    let request = Request {
        block: Some(RequestBlock { index: 0, nodes: 0 }),
        ..Request::default()
    };
    vec![
        ("WANT", kind::WANT, want.encode().into()),
        ("RANGE, unaligned", kind::RANGE, range.encode().into()),
        (
            "REQUEST of one id",
            kind::REQUEST,
            encode_request(1, &request).into(),
        ),
        ("CANCEL", kind::CANCEL, encode_id(7).into()),
        ("messages of 2 bytes", kind::EXTENSION, Bytes::new()),
    ]
}

/// Runs one attack while an honest client fetches.
async fn attempt<F>(
    table: &mut Table,
    victim: &mut Victim,
    quiet: Duration,
    name: &str,
    connections: u64,
    attack: F,
) -> Result<()>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let watch = victim.process().watch()?;
    let before = watch.before();
    let attack = tokio::spawn(attack);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let honest = victim.fetch().await;
    let sent = attack.await?;
    let cost = watch.stop()?;
    let kept = victim.process().settle(before, GROWTH_OF_ONE, GIVEN_BACK).await?;
    match (honest, sent) {
        (Ok(honest), Ok(sent)) => table.row(&Row {
            name: name.to_owned(),
            connections,
            sent,
            cost,
            kept,
            honest_growth: victim::OF_AN_HONEST_CLIENT,
            honest: Some((honest, quiet)),
        }),
        (Err(error), _) => table.wrong(format!("{name}: an honest client: {error:#}")),
        (_, Err(error)) => table.wrong(format!("{name}: the attack itself: {error:#}")),
    }
    victim.expect_running().with_context(|| format!("after {name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_under_attack_stays_small_and_serves() -> Result<()> {
    let _alone = ALONE.lock().await;
    let mut victim = Victim::start("attacks").await?;
    let mut table = Table::default();
    // The first fetch makes what the seed keeps in any case.
    victim.fetch().await?;
    let mut quiet = Duration::ZERO;
    for _ in 0..3 {
        quiet = quiet.max(victim.fetch().await?);
    }
    let hostile = Hostile::dialling(&victim.place.bootstrap, &victim.link)?;

    for (name, kind, payload) in floods() {
        let flood = hostile.clone().flood(2, kind, payload, FLOOD, FLOOD_TIME);
        attempt(&mut table, &mut victim, quiet, name, 2, flood).await?;
    }
    let opens = hostile.clone().channel_opens(FLOOD, FLOOD_TIME);
    attempt(&mut table, &mut victim, quiet, "channel opens", 1, opens).await?;
    let claims = hostile.clone().claims(FLOOD_TIME);
    attempt(&mut table, &mut victim, quiet, "length without proof", 1, claims).await?;
    for count in [64, 200] {
        let (idle, held) = hostile.clone().idle(count, FLOOD_TIME);
        let held = tokio::time::timeout(Duration::from_secs(60), held);
        if held.await.is_err() {
            bail!("{count} idle connections did not come about");
        }
        let name = format!("{count} idle connections");
        attempt(&mut table, &mut victim, quiet, &name, count as u64, idle).await?;
    }
    let noise = garbage(victim.ports()?, FLOOD_TIME);
    attempt(&mut table, &mut victim, quiet, "garbage datagrams", 1, noise).await?;
    table.verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_is_killed_hard_costs_a_client_seconds() -> Result<()> {
    let _alone = ALONE.lock().await;
    let mut victim = Victim::start("attacks-killed").await?;
    let quiet = victim.fetch().await?;
    for _ in 0..10 {
        let mut fetch = victim.begin_fetch()?;
        while fetch.is_running() && fetch.stored() < UNDER_WAY {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if !fetch.is_running() {
            fetch.finish()?; // It was too fast for us.
            continue;
        }
        let killed = Instant::now();
        victim.kill_and_restart()?;
        let restarted = killed.elapsed();
        let took = tokio::task::spawn_blocking(move || fetch.finish()).await??;
        println!(
            "killed and again there after {restarted:.1?}: the fetch took {took:.1?}, {quiet:.1?} when quiet"
        );
        if took > quiet + restarted.max(KILLED) {
            bail!("a seed that was killed hard cost {took:?}, and {quiet:?} when quiet");
        }
        return Ok(());
    }
    bail!("no fetch could be met under way")
}
