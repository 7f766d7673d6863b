//! An app that Debian's package manager installed: each user has a copy, which updates itself; the system's stays as it is.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use app::fit;
use bosc_tests::display::Display;
use bosc_tests::process::{Process, wait_until};
use bosc_tests::skip::skipped;
use bosc_tests::update;
use bosc_tests::walkthrough::{Installed, MESSAGES, Setup, Workshop, expect_messages, send_message};

fn quiet(_: &str) {}

/// Makes a deb of the chat as it is now, and unpacks it as the system would have it.
fn unpack_deb(workshop: &Workshop, root: &Path) -> bool {
    let chat = bosc_tests::peers::program("pear-chat").unwrap();
    let args = [
        "make",
        "pear-chat",
        "--format",
        "deb",
        "--bin",
        &chat.display().to_string(),
    ];
    let made = workshop.bosc(&args).unwrap();
    let made = workshop.place.home.join(made.trim());
    match Command::new("dpkg-deb").arg("-x").arg(made).arg(root).status() {
        Ok(status) => {
            assert!(status.success());
            true
        }
        Err(_) => false,
    }
}

/// The program that a process runs.
fn program_of(process: &Process) -> std::path::PathBuf {
    fs::read_link(format!("/proc/{}/exe", process.id())).unwrap()
}

#[test]
fn a_packaged_app_runs_as_a_copy_of_the_users_which_updates_itself() {
    let setup = Setup::for_test("per-user").unwrap();
    let display = Display::own(&setup.home).unwrap();
    let mut workshop = Workshop::open(setup, &mut quiet).unwrap();
    workshop.release("1.0.1", &mut quiet).unwrap();
    workshop.seed().unwrap();
    let system = workshop.place.home.join("system");
    if !unpack_deb(&workshop, &system) {
        skipped("this machine has no dpkg-deb");
        return;
    }
    let share = workshop.place.home.join("share");
    let packaged = system.join("usr/lib/pear-chat/PearChat");
    let mut app = Installed::at(&workshop.place, packaged.clone()).unwrap();
    app.more_env = vec![("XDG_DATA_HOME".to_owned(), share.display().to_string())];
    let copy = share.join("pear-chat/PearChat");

    let (mut process, driver) = app.open("app", &display, &[]).unwrap();
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(20))
        .unwrap();
    assert_eq!(program_of(&process), copy.join("PearChat"));
    send_message(&driver, MESSAGES[0]).unwrap();
    workshop.release("patch", &mut quiet).unwrap();
    update::accept(driver, Duration::from_secs(60)).unwrap();
    wait_until("the copy is 1.0.2", Duration::from_secs(30), || {
        Ok((fit::version_of(&copy).as_deref() == Some("1.0.2")).then_some(()))
    })
    .unwrap();
    let driver = app.attach("app-1.0.2", &mut process).unwrap();
    driver
        .wait_text("#version", "v1.0.2", Duration::from_secs(20))
        .unwrap();
    expect_messages(&driver, &MESSAGES[..1]).unwrap();
    driver.abandon();
    process.stop();
    assert_eq!(fit::version_of(&packaged).as_deref(), Some("1.0.1"));

    // Started from the menu again, without updates as well: the copy.
    let (mut process, driver) = app.open("app-again", &display, &["--no-updates"]).unwrap();
    driver
        .wait_text("#version", "v1.0.2", Duration::from_secs(20))
        .unwrap();
    driver.abandon();
    process.stop();

    // The package manager brings a newer one than that.
    workshop
        .bosc(&["version", "1.0.3", "--package", "pear-chat/package.json"])
        .unwrap();
    fs::remove_dir_all(&system).unwrap();
    assert!(unpack_deb(&workshop, &system));
    let (mut process, driver) = app.open("app-1.0.3", &display, &["--no-updates"]).unwrap();
    driver
        .wait_text("#version", "v1.0.3", Duration::from_secs(20))
        .unwrap();
    expect_messages(&driver, &MESSAGES[..1]).unwrap();
    assert_eq!(program_of(&process), copy.join("PearChat"));
    driver.abandon();
    process.stop();

    // Where no copy can be made, the package's own version is shown, and says why it stays as it is.
    let blocked = workshop.place.home.join("blocked");
    fs::write(&blocked, "").unwrap();
    app.more_env = vec![("XDG_DATA_HOME".to_owned(), blocked.display().to_string())];
    let (mut process, driver) = app.open("app-blocked", &display, &[]).unwrap();
    driver
        .wait_text("#version", "v1.0.3", Duration::from_secs(20))
        .unwrap();
    assert_eq!(program_of(&process), packaged.join("PearChat"));
    let state = driver.run("return window.bridge.updaterState()").unwrap();
    assert_eq!(state["enabled"], false, "{state}");
    driver.abandon();
    process.stop();
}
