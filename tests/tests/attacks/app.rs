//! The chat in a real window while everybody who poses as a seed of its link attacks it: the page goes on answering, the app stays
//! small, and the release of an honest seed arrives.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bosc_tests::display::Display;
use bosc_tests::process::wait_until;
use bosc_tests::walkthrough::{Setup, Workshop, send_message};
use bosc_tests::watch::Watched;
use bosc_tests::webdriver::WebDriver;

use crate::hostile::Hostile;
use crate::table::{GIVEN_BACK, GROWTH_OF_ONE, Row, Table};
use crate::{ALONE, FLOOD, floods};

/// How long the attackers go on once the app dialled them.
const ATTACK: Duration = Duration::from_secs(10);
/// A call over the bridge of an attacked app.
const ANSWER: f64 = 100.0;

/// Calls the host over and over, and keeps how long each answer took.
const CALLS: &str = "window.calls = []; window.calling = true;
  (async () => { while (window.calling) {
    const since = performance.now(); await window.bridge.updaterState(); window.calls.push(performance.now() - since);
    await new Promise((next) => setTimeout(next, 20));
  } })()";

/// How long the calls took so far, in milliseconds, shortest first.
fn calls(driver: &WebDriver) -> Result<Vec<f64>> {
    let calls = driver.run("window.calling = false; return window.calls")?;
    let mut calls: Vec<f64> = serde_json::from_value(calls)?;
    calls.sort_by(f64::total_cmp);
    Ok(calls)
}

fn update_is_ready(driver: &WebDriver) -> Result<()> {
    let shown =
        "const b = document.querySelector('#update'); return !b.hidden && b.textContent === 'Update ready!'";
    wait_until("\"Update ready!\"", Duration::from_secs(60), || {
        Ok((driver.run(shown)? == true).then_some(()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_attacked_app_answers_and_its_update_arrives() -> Result<()> {
    let _alone = ALONE.lock().await;
    let setup = Setup::for_test("attacks-app")?;
    let mut workshop = Workshop::open(setup, &mut |_| ())?;
    workshop.release("1.0.1", &mut |_| ())?;
    let app = workshop.install()?;
    workshop.edit_header("Pear chat — v2")?;
    workshop.release("patch", &mut |_| ())?;
    workshop.seed()?;
    let display = Display::own(&workshop.place.home)?;

    // What the app takes for the release alone.
    let (mut process, driver) = app.open("app-quiet", &display, &[])?;
    let watch = Watched(process.id()).watch()?;
    update_is_ready(&driver)?;
    let of_a_release = watch.stop()?.grown;
    driver.abandon();
    process.stop();
    std::fs::remove_dir_all(&app.storage)?;
    workshop.stop_seeding();

    // They stand there before the app and before the honest seed.
    let hostile = Hostile::posing(&workshop.place.bootstrap, &workshop.provision)?;
    let mut attacks = Vec::new();
    for (name, kind, payload) in floods() {
        let flood = hostile.clone().flood(1, kind, payload, FLOOD, ATTACK);
        attacks.push((name, tokio::spawn(flood)));
    }
    attacks.push((
        "channel opens",
        tokio::spawn(hostile.clone().channel_opens(FLOOD, ATTACK)),
    ));
    attacks.push((
        "length without proof",
        tokio::spawn(hostile.clone().claims(ATTACK)),
    ));
    attacks.push((
        "unsigned manifests",
        tokio::spawn(hostile.clone().manifests(ATTACK)),
    ));
    tokio::time::sleep(Duration::from_secs(2)).await;
    workshop.seed()?;

    let (mut process, driver) = app.open("app", &display, &[])?;
    let watch = Watched(process.id()).watch()?;
    let before = watch.before();
    driver.run(CALLS)?;
    let since = Instant::now();
    let mut table = Table::default();
    let connections = attacks.len() as u64;
    let mut sent = 0;
    for (name, attack) in attacks {
        match attack.await? {
            Ok(0) => table.wrong(format!("{name}: nothing was sent")),
            Ok(bytes) => sent += bytes,
            Err(error) => table.wrong(format!("{name}: the attack itself: {error:#}")),
        }
    }
    let cost = watch.stop()?;
    let kept = Watched(process.id()).settle(before + of_a_release, GROWTH_OF_ONE, GIVEN_BACK);
    let kept = kept.await?;
    table.row(&Row {
        name: "an app, all at once".to_owned(),
        connections,
        sent,
        cost,
        kept,
        honest_growth: of_a_release,
        honest: None,
    });
    let calls = calls(&driver)?;
    let slowest = calls.last().copied().context("no call was answered")?;
    let middle = calls.get(calls.len() / 2).copied().unwrap_or_default();
    println!(
        "{} calls over the bridge in {:.1} s: {middle:.1} ms in the middle, {slowest:.1} ms at most",
        calls.len(),
        since.elapsed().as_secs_f32()
    );
    if slowest > ANSWER {
        table.wrong(format!("a call over the bridge took {slowest:.0} ms"));
    }
    update_is_ready(&driver)?;
    println!(
        "\"Update ready!\" after {:.1} s at the latest",
        since.elapsed().as_secs_f32()
    );
    send_message(&driver, "Still here")?;
    driver.screenshot(&workshop.shot("attacked.png"))?;
    driver.abandon();
    ensure!(process.is_running(), "the app has ended");
    process.stop();
    table.verdict()
}
