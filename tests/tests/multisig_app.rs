//! From one laptop to two of three: an app that follows a link of its author moves to a team's link, and updates from there.

use std::time::Duration;

use bosc_tests::display::Display;
use bosc_tests::team::{Team, seeders, verlink};
use bosc_tests::update;
use bosc_tests::walkthrough::{Setup, Workshop};

fn quiet(_: &str) {}

const SOON: Duration = Duration::from_secs(60);

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
    let driver = update::take(&app, &mut process, driver, "1.0.2", SOON).unwrap();

    // The team's first release, signed by alice and carol.
    let source = workshop.provisioned().unwrap();
    let _sources = seeders(&workshop.place, &["north", "south"], &workshop.provision).unwrap();
    let place = &workshop.place;
    let sign = |requester: &str, source: &str, signers: [&str; 2]| {
        let request = place.run(requester, &["multisig", "request", source]).unwrap();
        let answers = signers.map(|name| team.sign(name, request.trim()).unwrap());
        (request.trim().to_owned(), answers)
    };
    let (request, answers) = sign("alice", &source, ["alice", "carol"]);
    let shown = place
        .run("bob", &["multisig", "verify", &source, &request, &answers[0]])
        .unwrap();
    assert!(shown.contains("+ /package.json"), "{shown}");
    let commit = |store: &str, source: &str, request: &str, answers: &[String]| {
        let args = ["multisig", "commit", source, request];
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        place.run(store, &[&args[..], &answers].concat())
    };
    // The commit waits for these two.
    let _targets = seeders(place, &["east", "west"], &team.link).unwrap();
    let committed = commit("alice", &source, &request, &answers).unwrap();
    assert!(committed.contains("^Latest: 1.0.2"), "{committed}");

    // The second, requested by bob, signed by bob and carol, committed by carol.
    workshop.edit_header("Released by a quorum").unwrap();
    workshop.production = verlink(&committed).unwrap();
    workshop.release("patch", &mut quiet).unwrap();
    let source = workshop.provisioned().unwrap();
    let (request, answers) = sign("bob", &source, ["carol", "bob"]);
    let shown = place
        .run("alice", &["multisig", "verify", &source, &request])
        .unwrap();
    assert!(shown.contains("~ /package.json"), "{shown}");
    assert_eq!(
        driver.run(update::OFFERED).unwrap(),
        false,
        "what is provisioned but not signed by enough reached the app"
    );
    commit("carol", &source, &request, &answers).unwrap();
    let driver = update::take(&app, &mut process, driver, "1.0.3", SOON).unwrap();
    driver
        .wait_text("h1", "Released by a quorum", Duration::from_secs(5))
        .unwrap();
    driver.screenshot(&workshop.shot("released.png")).unwrap();
    driver.abandon();
    process.stop();
}
