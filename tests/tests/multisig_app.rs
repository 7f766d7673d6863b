//! From one laptop to two of three: an app that follows a link of its author moves to a team's link, and updates from there.

use std::fs;
use std::time::Duration;

use bosc_tests::display::Display;
use bosc_tests::process::{Process, wait_until};
use bosc_tests::team::{Team, seeders, verlink};
use bosc_tests::walkthrough::{Installed, Setup, Workshop};
use bosc_tests::webdriver::WebDriver;

fn quiet(_: &str) {}

/// Whether the page offers an update.
const OFFERED: &str = "return !document.querySelector('#update').hidden";

/// Waits for the offer, takes it, and finds the window of the new version.
fn update(app: &Installed, process: &mut Process, driver: WebDriver, version: &str) -> WebDriver {
    wait_until("\"Update ready!\" is shown", Duration::from_secs(60), || {
        Ok((driver.run(OFFERED)? == true).then_some(()))
    })
    .unwrap();
    driver.find("#update").unwrap().click().unwrap();
    driver.abandon();
    let package = app.bundle.join("resources/app/package.json");
    wait_until("the new version is in place", Duration::from_secs(30), || {
        Ok(fs::read_to_string(&package)
            .is_ok_and(|text| text.contains(&format!("\"{version}\"")))
            .then_some(()))
    })
    .unwrap();
    let driver = app.attach(&format!("app-{version}"), process).unwrap();
    driver
        .wait_text("#version", &format!("v{version}"), Duration::from_secs(30))
        .unwrap();
    driver
}

#[test]
fn a_team_takes_over_from_a_laptop_and_the_installed_app_follows() {
    let setup = Setup::for_test("multisig-app").unwrap();
    let display = Display::own(&setup.home).unwrap();
    let mut workshop = Workshop::open(setup, &mut quiet).unwrap();
    workshop.release("1.0.1", &mut quiet).unwrap();
    workshop.seed().unwrap();
    let app = workshop.install().unwrap();
    let (mut process, driver) = app.open("app", &display, &[]).unwrap();
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(30))
        .unwrap();

    // The last release that the laptop makes alone tells the app to follow the team.
    let team = Team::new(&workshop.place, &["alice", "bob", "carol"], 2).unwrap();
    workshop.follow(&team.link).unwrap();
    workshop.release("patch", &mut quiet).unwrap();
    let driver = update(&app, &mut process, driver, "1.0.2");

    // The team's first release, signed by alice and carol.
    let source = workshop.provisioned().unwrap();
    let _sources = seeders(&workshop.place, &["north", "south"], &workshop.provision).unwrap();
    let place = &workshop.place;
    let request = place.run("alice", &["multisig", "request", &source]).unwrap();
    let request = request.trim();
    let answers = [
        team.sign("alice", request).unwrap(),
        team.sign("carol", request).unwrap(),
    ];
    let shown = place
        .run("bob", &["multisig", "verify", &source, request, &answers[0]])
        .unwrap();
    assert!(shown.contains("+ /package.json"), "{shown}");
    let commit = |store: &str, source: &str, request: &str, answers: &[String]| {
        let args = ["multisig", "commit", source, request];
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        place.run(store, &[&args[..], &answers].concat())
    };
    // The commit waits for these two.
    let _targets = seeders(place, &["east", "west"], &team.link).unwrap();
    let committed = commit("alice", &source, request, &answers).unwrap();
    assert!(committed.contains("^Latest: 1.0.2"), "{committed}");

    // The second, requested by bob, signed by bob and carol, committed by carol.
    let page = workshop.project().join("renderer/index.html");
    let html = fs::read_to_string(&page).unwrap();
    fs::write(
        &page,
        html.replace(">Pear chat</h1>", ">Released by a quorum</h1>"),
    )
    .unwrap();
    workshop.production = verlink(&committed).unwrap();
    workshop.release("patch", &mut quiet).unwrap();
    let source = workshop.provisioned().unwrap();
    let request = place.run("bob", &["multisig", "request", &source]).unwrap();
    let request = request.trim();
    let answers = [
        team.sign("carol", request).unwrap(),
        team.sign("bob", request).unwrap(),
    ];
    let shown = place
        .run("alice", &["multisig", "verify", &source, request])
        .unwrap();
    assert!(shown.contains("~ /package.json"), "{shown}");
    assert_eq!(
        driver.run(OFFERED).unwrap(),
        false,
        "what is provisioned but not signed by enough reached the app"
    );
    commit("carol", &source, request, &answers).unwrap();
    let driver = update(&app, &mut process, driver, "1.0.3");
    driver
        .wait_text("h1", "Released by a quorum", Duration::from_secs(5))
        .unwrap();
    driver.screenshot(&workshop.shot("released.png")).unwrap();
    driver.abandon();
    process.stop();
}
