//! Apps that give back: what a crowd takes from its seed, and what one app alone can be to others.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use app::Seeding;
use bosc_runtime::Runtime;
use bosc_tests::peers::{PATIENCE, Place, expect_same, noise, write_deployment};
use bosc_tests::process::{Process, run};
use bosc_tests::sharing::{Crowd, meet};

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_takes_less_than_a_third_of_an_update_from_a_seed_at_home_and_all_of_it_if_it_gives_nothing_back()
-> Result<()> {
    let crowd = Crowd {
        apps: 10,
        bytes: 6_000_000,
        seed_rate: 600_000,
        gives_back: true,
    };
    let outcome = meet(&crowd).await?;
    println!("{outcome}");
    ensure!(outcome.seeds_share() < 0.3, "{outcome}");
    let alone = Crowd {
        apps: 3,
        bytes: 1_000_000,
        gives_back: false,
        ..crowd
    };
    let outcome = meet(&alone).await?;
    ensure!(outcome.seeds_share() >= 1.0, "{outcome}");
    Ok(())
}

async fn updated(runtime: &Runtime) -> Result<()> {
    let done = async {
        while !runtime.state().updated {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, done).await;
    waited.with_context(|| format!("not updated: {:?}", runtime.state()))
}

/// An app holds the part of a release that is for its machine, and nothing else does: who wants that part gets it, on either stack;
/// who wants all of it is told that some is not there, or waits for somebody who has it.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_alone_updates_others_of_both_stacks_and_says_what_it_lacks() -> Result<()> {
    let place = Place::new("partial-seed")?;
    let link = place.run("store", &["touch"])?.trim().to_owned();
    let deployment = place.home.join("deployment");
    let bundle = write_deployment(&deployment, "Cool", "1.0.1", &link)?;
    // As much again for a machine of another kind.
    let other = deployment.join("by-arch/plan9-mips/app/Cool");
    fs::create_dir_all(&other)?;
    fs::write(other.join("Cool"), noise(2_000_000, 99))?;
    place.run("store", &["stage", &link, "deployment"])?;
    let mut seed = place.seed("store", &link)?;
    let giver = place
        .old_app("giver", &link, Some(Seeding { rate: 10_000_000 }))
        .await?;
    updated(&giver).await?;
    wait(|| giver.gives_back()).await?;
    seed.stop();

    let taker = place.old_app("taker", &link, None).await?;
    updated(&taker).await?;
    ensure!(!taker.gives_back(), "it was not asked to");
    ensure!(taker.apply_update().await?, "nothing to apply");
    expect_same(&bundle, &place.home.join("taker/apps/Cool"))?;
    let next = javascript_updates(&place, &link)?;
    let host = app::Host::current().to_string();
    expect_same(
        &bundle,
        &Path::new(&next).join("by-arch").join(host).join("app/Cool"),
    )?;

    // All of it is not to be had now.
    let start = Instant::now();
    let whole = run(&mut place.bosc("whole-store", &["dump", &link, "whole", "--timeout", "20"]));
    let message = format!("{:#}", whole.expect_err("nobody has the whole release"));
    println!("{message}");
    ensure!(message.contains("block"), "{message}");
    let took = start.elapsed();
    ensure!(took < Duration::from_secs(40), "it was told after {took:?}");
    let mut fetch = place.node("fetch.js", &[&link, "js-whole-store", "js-whole"])?;
    fetch.wait_for("the length", PATIENCE, |line| {
        line.starts_with("length").then_some(())
    })?;
    ensure!(
        !fetch.ends_within(Duration::from_secs(5)),
        "it had all of it from nobody"
    );
    fetch.kill();
    // Whoever is connected with the one that lacks it finds another all the same.
    let mut command = place.bosc("late-store", &["dump", &link, "late", "--timeout", "60"]);
    let mut late = Process::start("late", &mut command, &place.logs())?;
    ensure!(
        !late.ends_within(Duration::from_secs(8)),
        "it had all of it from nobody"
    );
    // With somebody on the topic who has the rest, the one that lacks it is in nobody's way.
    let _seed = place.seed("store", &link)?;
    ensure!(
        late.ends_within(Duration::from_secs(20)),
        "the second seed was not looked for"
    );
    expect_same(&deployment, &place.home.join("late"))?;
    place.run("both-store", &["dump", &link, "both", "--timeout", "60"])?;
    expect_same(&deployment, &place.home.join("both"))?;
    let mut fetch = place.node("fetch.js", &[&link, "js-both-store", "js-whole"])?;
    fetch.wait_for("that it is done", PATIENCE, |line| (line == "done").then_some(()))?;
    expect_same(&deployment, &place.home.join("js-whole"))?;
    giver.close().await;
    taker.close().await;
    Ok(())
}

async fn wait(until: impl Fn() -> bool) -> Result<()> {
    let waits = async {
        while !until() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, waits).await?)
}

/// npm's updater takes the update; the folder in which it staged it.
fn javascript_updates(place: &Place, link: &str) -> Result<String> {
    let (dir, app) = (place.home.join("js-dir"), place.home.join("js-app/Cool"));
    let (dir, app) = (dir.display().to_string(), app.display().to_string());
    let mut updater = place.node("updater.js", &[link, &dir, "Cool", &app, "1.0.0"])?;
    updater.wait_for("updated", PATIENCE, |line| {
        line.strip_prefix("updated ").map(str::to_owned)
    })
}
