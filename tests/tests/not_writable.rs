//! An app that lies where it cannot be replaced: its page says what to do, and offers nothing that would fail.

use std::fs;
use std::time::Duration;

use bosc_tests::display::Display;
use bosc_tests::mounts;
use bosc_tests::process::wait_until;
use bosc_tests::update::{self, OFFERED};
use bosc_tests::walkthrough::{MESSAGES, Setup, Workshop, send_message};

/// How long a release may take to be noticed, fetched or refused.
const NOTICED: Duration = Duration::from_secs(60);

fn quiet(_: &str) {}

#[test]
fn an_app_that_cannot_be_replaced_says_so_and_offers_no_update() {
    if !mounts::possible() {
        return;
    }
    let setup = Setup::for_test("not-writable").unwrap();
    let display = Display::own(&setup.home).unwrap();
    let mut workshop = Workshop::open(setup, &mut quiet).unwrap();
    workshop.release("1.0.1", &mut quiet).unwrap();
    workshop.seed().unwrap();
    let app = workshop.install().unwrap();
    workshop.release("patch", &mut quiet).unwrap();

    let apps = app.bundle.parent().unwrap();
    let mut start = mounts::read_only(apps, &app.start(&display, &[]));
    let (mut process, driver) = app.open_by("app-frozen", &mut start).unwrap();
    wait_until("the page says why", NOTICED, || {
        Ok(driver.text("#notice-text")?.contains("1.0.2").then_some(()))
    })
    .unwrap();
    let notice = driver.text("#notice-text").unwrap();
    driver.screenshot(&workshop.shot("not-writable.png")).unwrap();
    assert!(notice.contains("Move the app to a folder of yours"), "{notice}");
    assert!(
        !notice.contains(['/', '\\']) && !notice.contains("os error"),
        "{notice}"
    );
    assert_eq!(driver.run(OFFERED).unwrap(), false);
    // It was known before anything was fetched.
    let next = app.storage.join("pear-runtime/next");
    let fetched = fs::read_dir(&next).map_or(0, Iterator::count);
    assert_eq!(fetched, 0, "{}", next.display());
    // All else works.
    send_message(&driver, MESSAGES[0]).unwrap();
    driver.abandon();
    process.stop();

    // Moved to where it can be replaced, or made writable: as the sentence promised.
    let (mut process, driver) = app.open("app", &display, &[]).unwrap();
    let driver = update::take(&app, &mut process, driver, "1.0.2", NOTICED).unwrap();
    driver.abandon();
    process.stop();
}
