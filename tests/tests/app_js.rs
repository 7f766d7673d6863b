//! The installed app, in a real window, follows a drive that the JavaScript tools stage and seed: it updates, restarts, and is then
//! the staged bundle byte for byte.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bosc_tests::display::Display;
use bosc_tests::peers::{PATIENCE, expect_same, root};
use bosc_tests::process::{Process, run};
use bosc_tests::update;
use bosc_tests::walkthrough::{Setup, Workshop};

fn quiet(_: &str) {}

/// The JavaScript release machine with its arguments.
fn seed_js(bootstrap: &str, deployment: &Path, store: &Path, mode: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(root().join("tests/interop/seed.js"))
        .arg(bootstrap)
        .args([deployment, store])
        .arg(mode);
    command
}

/// The installed app follows a drive of the JavaScript stack.
fn the_app_updates_from_javascript(name: &str, mode: &str) {
    let setup = Setup::for_test(name).unwrap();
    let (home, display) = (setup.home.clone(), Display::own(&setup.home).unwrap());
    let workshop = Workshop::open(setup, &mut quiet).unwrap();
    let store = home.join("js-store");
    let deployment = home.join("pear-chat-1.0.2");
    let key = run(&mut seed_js(
        &workshop.place.bootstrap,
        &deployment,
        &store,
        "key",
    ))
    .unwrap();
    workshop.follow(&format!("pear://{}", key.trim())).unwrap();
    workshop.release("1.0.1", &mut quiet).unwrap();
    let app = workshop.install().unwrap();
    let (mut process, driver) = app.open("app", &display, &[]).unwrap();
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(20))
        .unwrap();

    workshop.edit_header("Staged by JavaScript").unwrap();
    workshop.release("patch", &mut quiet).unwrap();
    let mut command = seed_js(&workshop.place.bootstrap, &deployment, &store, mode);
    let mut seed = Process::start("js-seed", &mut command, &workshop.logs()).unwrap();
    seed.wait_for("that it is announced", PATIENCE, |line| {
        line.starts_with(key.trim()).then_some(())
    })
    .unwrap();

    let driver = update::take(&app, &mut process, driver, "1.0.2", PATIENCE).unwrap();
    driver
        .wait_text("h1", "Staged by JavaScript", Duration::from_secs(5))
        .unwrap();
    let host = app::Host::current().to_string();
    expect_same(
        &deployment.join(format!("by-arch/{host}/app/PearChat")),
        &app.bundle,
    )
    .unwrap();
    driver.abandon();
    process.stop();
}

#[test]
fn the_app_updates_from_a_drive_that_javascript_staged() {
    the_app_updates_from_javascript("from-js", "plain");
}

#[test]
fn the_app_updates_from_a_drive_that_javascript_staged_with_dedup() {
    the_app_updates_from_javascript("from-js-dedup", "dedup");
}
