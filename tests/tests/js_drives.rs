//! Drives across the two worlds, over a real DHT and swarm: what JavaScript stages we read and update from, what we stage
//! JavaScript reads and updates from.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bosc_runtime::UpdaterEvent;
use bosc_tests::peers::{PATIENCE, Place, expect_same, noise, write_deployment, write_tree};
use bosc_tests::process::wait_until;

/// Seeds `folder` from JavaScript; the process and the link.
fn javascript_seeds(
    place: &Place,
    folder: &str,
    mode: &str,
) -> Result<(bosc_tests::process::Process, String)> {
    let store = format!("js-store-{mode}");
    let mut seeder = place.node("seed.js", &[folder, &store, mode])?;
    let key = seeder.wait_for("its key", PATIENCE, |line| {
        line.split_once(' ')
            .filter(|(key, _)| key.len() == 64)
            .map(|(key, _)| key.to_owned())
    })?;
    Ok((seeder, format!("pear://{key}")))
}

#[test]
fn what_javascript_stages_is_dumped_byte_for_byte() -> Result<()> {
    let place = Place::new("js-to-rust")?;
    write_tree(&place.home.join("tree"), 1)?;
    for mode in ["plain", "dedup"] {
        let (_seeder, link) = javascript_seeds(&place, "tree", mode)?;
        let out = format!("out-{mode}");
        place.run(
            &format!("store-{mode}"),
            &["dump", &link, &out, "--timeout", "100"],
        )?;
        expect_same(&place.home.join("tree"), &place.home.join(&out)).context(mode)?;
    }
    Ok(())
}

#[test]
fn what_bosc_stages_is_mirrored_by_javascript() -> Result<()> {
    let place = Place::new("rust-to-js")?;
    write_deployment(
        &place.home.join("deployment"),
        "Cool",
        "1.0.0",
        "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y",
    )?;
    let link = place.run("store", &["touch"])?.trim().to_owned();
    place.run("store", &["stage", &link, "deployment"])?;
    let _seed = place.seed("store", &link)?;
    let mut fetch = place.node("fetch.js", &[&link, "js-store", "js-out"])?;
    fetch.wait_for("that it is done", PATIENCE, |line| (line == "done").then_some(()))?;
    expect_same(&place.home.join("deployment"), &place.home.join("js-out"))
}

#[test]
fn npm_pear_runtime_updater_updates_from_what_bosc_provisions() -> Result<()> {
    let place = Place::new("js-updater")?;
    let link = place.run("store", &["touch"])?.trim().to_owned();
    let target = place.run("store", &["touch"])?.trim().to_owned();
    let bundle = write_deployment(&place.home.join("deployment"), "Cool", "1.0.2", &target)?;
    let staged = place.run("store", &["stage", &link, "deployment"])?;
    let verlink = staged
        .lines()
        .find(|line| line.starts_with("pear://"))
        .context("no verlink")?;
    let production = target.replace("pear://", "pear://0.0.");
    place.run("store", &["provision", verlink, &target, &production])?;
    let _seed = place.seed("store", &target)?;
    let (dir, app) = (place.home.join("js-dir"), place.home.join("js-app/Cool"));
    let (dir, app) = (dir.display().to_string(), app.display().to_string());
    let mut updater = place.node("updater.js", &[&target, &dir, "Cool", &app, "1.0.1"])?;
    let next = updater.wait_for("updated", PATIENCE, |line| {
        line.strip_prefix("updated ").map(str::to_owned)
    })?;
    let host = app::Host::current().to_string();
    expect_same(
        &bundle,
        &std::path::Path::new(&next)
            .join("by-arch")
            .join(host)
            .join("app/Cool"),
    )
}

/// Follows `link` with an installed bundle, applies the update and returns once it is in place.
async fn update_from(place: &Place, name: &str, link: &str) -> Result<std::path::PathBuf> {
    let app = place.home.join(name).join("apps/Cool");
    let runtime = place.old_app(name, link, None).await?;
    let mut events = runtime.events();
    let updated = async {
        loop {
            match events.recv().await? {
                UpdaterEvent::Updated { next_version, .. } => return Ok::<_, anyhow::Error>(next_version),
                UpdaterEvent::Error { message, .. } => eprintln!("updater: {message}"),
                _ => {}
            }
        }
    };
    let next = tokio::time::timeout(PATIENCE, updated)
        .await
        .context("state not reached: updated")??;
    ensure!(next == "1.0.1", "updated to {next}");
    ensure!(runtime.state().updated && !runtime.state().applied);
    ensure!(runtime.apply_update().await?, "there was nothing to apply");
    ensure!(!runtime.apply_update().await?, "it was applied twice");
    runtime.close().await;
    Ok(app)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_app_updates_from_what_javascript_stages() -> Result<()> {
    let place = Place::new("js-release")?;
    let link = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";
    let bundle = write_deployment(&place.home.join("deployment"), "Cool", "1.0.1", link)?;
    for mode in ["plain", "dedup"] {
        let (_seeder, link) = javascript_seeds(&place, "deployment", mode)?;
        let app = update_from(&place, mode, &link).await.context(mode)?;
        expect_same(&bundle, &app).context(mode)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_reaches_peers_of_a_seed_in_another_process_within_a_second() -> Result<()> {
    use corestore::{Corestore, GetOptions};
    use hyperswarm::{JoinOptions, Swarm, SwarmConfig};
    let place = Place::new("stage-while-seeding")?;
    let link = place.run("store", &["touch"])?.trim().to_owned();
    write_deployment(&place.home.join("deployment"), "Cool", "1.0.0", &link)?;
    place.run("store", &["stage", &link, "deployment"])?;
    let _seed = place.seed("store", &link)?;
    let store = Corestore::in_memory()?;
    let key = link.parse::<app::Link>()?.key;
    let core = store.get(GetOptions {
        key: Some(key),
        ..GetOptions::default()
    })?;
    let swarm = Swarm::new(SwarmConfig {
        bootstrap: Some(vec![place.bootstrap.clone()]),
        ..SwarmConfig::default()
    })
    .await?;
    let mut connections = swarm.connections();
    swarm.join(
        core.discovery_key().topic(),
        JoinOptions {
            server: false,
            client: true,
        },
    );
    let connection = tokio::time::timeout(PATIENCE, connections.recv())
        .await?
        .context("the swarm ended")?;
    store.replicate(connection);
    let grown_beyond = |length: u64| {
        let (core, mut events) = (core.clone(), core.events());
        async move {
            while core.length() <= length {
                let _ = events.recv().await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, grown_beyond(0))
        .await
        .context("the first version never arrived")?;
    let before = core.length();
    fs::write(place.home.join("deployment/new.txt"), noise(1000, 5))?;
    let grown = grown_beyond(before);
    place.run("store", &["stage", &link, "deployment"])?;
    let staged = Instant::now();
    tokio::time::timeout(PATIENCE, grown)
        .await
        .context("the new version never arrived")?;
    ensure!(
        staged.elapsed() < Duration::from_secs(1),
        "it took {:?}",
        staged.elapsed()
    );
    swarm.destroy().await;
    Ok(())
}

#[test]
fn a_fetch_that_was_killed_goes_on_where_it_was() -> Result<()> {
    let place = Place::new("killed-fetch")?;
    let link = place.run("seeder", &["touch"])?.trim().to_owned();
    write_deployment(&place.home.join("deployment"), "Cool", "1.0.0", &link)?;
    fs::write(place.home.join("deployment/large"), noise(40_000_000, 9))?;
    place.run("seeder", &["stage", &link, "deployment"])?;
    let mut seed = place.bosc("seeder", &["seed", &link, "--json", "--stats-interval", "50"]);
    let mut seed = bosc_tests::process::Process::start("seed", &mut seed, &place.home)?;
    seed.wait_for("that it is announced", PATIENCE, |line| {
        line.contains("\"announced\"").then_some(())
    })?;
    let uploaded = |line: &str| {
        let stats: serde_json::Value = serde_json::from_str(line).ok()?;
        stats.pointer("/data/upload/totalBytes")?.as_u64()
    };

    let mut fetch = place.bosc("fetcher", &["dump", &link, "out", "--force"]);
    let mut fetch = bosc_tests::process::Process::start("fetch", &mut fetch, &place.home)?;
    let sent = seed.wait_for("that a part was sent", PATIENCE, |line| {
        uploaded(line).filter(|sent| *sent > 4_000_000)
    })?;
    fetch.kill();
    ensure!(sent < 40_000_000, "the fetch was over before it could be killed");
    // The second one ends, with everything in place, and does not fetch what the first one had stored.
    place.run("fetcher", &["dump", &link, "out", "--force"])?;
    expect_same(&place.home.join("deployment"), &place.home.join("out"))?;
    let total = seed.wait_for("what was sent in all", PATIENCE, |line| {
        uploaded(line).filter(|sent| *sent > 40_000_000)
    });
    let total = total.unwrap_or(40_000_000);
    let size = 40_000_000 + 3_100_000;
    ensure!(
        total < size + size / 4 + 8_000_000,
        "{total} bytes were sent for a drive of {size}"
    );
    Ok(())
}

#[test]
fn a_dump_of_a_link_known_before_brings_the_newest_version() -> Result<()> {
    let place = Place::new("dump-again")?;
    let link = place.run("seeder", &["touch"])?.trim().to_owned();
    write_deployment(&place.home.join("deployment"), "Cool", "1.0.0", &link)?;
    place.run("seeder", &["stage", &link, "deployment"])?;
    let seed = place.seed("seeder", &link)?;
    place.run("reader", &["dump", &link, "out"])?;
    fs::write(place.home.join("deployment/new"), "since then")?;
    place.run("seeder", &["stage", &link, "deployment"])?;
    // The seed learns of what another process staged within a second.
    wait_until("the new version is dumped", Duration::from_secs(2), || {
        place.run("reader", &["dump", &link, "out", "--force"])?;
        Ok(expect_same(&place.home.join("deployment"), &place.home.join("out")).ok())
    })?;
    // Without anybody to ask, what is stored serves.
    drop(seed);
    place.run("reader", &["dump", &link, "alone", "--timeout", "2"])?;
    expect_same(&place.home.join("deployment"), &place.home.join("alone"))
}
