//! A commit that is cut off at any point is run again, and nobody ever sees half of it.

use std::time::Duration;

use bosc_tests::peers::expect_same;
use bosc_tests::process::{Process, run, terminate};
use bosc_tests::team::seeders;
use corestore::Corestore;
use hyperdrive::Hyperdrive;
use multisig::{Ballot, Part, Patience, Release, Request};

use crate::lab::Lab;

#[test]
fn a_commit_killed_at_any_point_is_run_again() {
    let lab = Lab::new("multisig-killed").unwrap();
    let _sources = lab.seed_source().unwrap();
    let source = lab.provision_next("1.0.0").unwrap();
    let request = lab.request("alice", &source).unwrap();
    // Later and later, until one gets to its end.
    let mut kills = 0;
    let mut after = Duration::from_millis(5);
    loop {
        let mut command = lab.commit("alice", &source, &request, &["--force"]).unwrap();
        let mut commit = Process::start(&format!("commit-{kills}"), &mut command, &lab.place.logs()).unwrap();
        std::thread::sleep(after);
        if !commit.is_running() {
            break;
        }
        commit.kill();
        kills += 1;
        after = after.mul_f64(1.25);
    }
    assert!(kills > 10, "only {kills} commits were killed");
    run(&mut lab.commit("alice", &source, &request, &["--force"]).unwrap()).unwrap();
    let _seed = lab.place.seed("alice", &lab.link).unwrap();
    lab.place.run("reader", &["dump", &lab.link, "read"]).unwrap();
    expect_same(&lab.place.home.join("read"), &lab.folder("1.0.0")).unwrap();
}

/// The state between the two transactions of a commit: contents written, entries not.
#[test]
fn contents_without_entries_are_completed() {
    let lab = Lab::new("multisig-halfway").unwrap();
    let source = lab.provision_next("1.0.0").unwrap();
    let _sources = lab.seed_source().unwrap();
    let text = lab.request("alice", &source).unwrap();
    let length = {
        let request: Request = text.parse().unwrap();
        let answers = lab.quorum(&text).unwrap().map(|answer| answer.parse().unwrap());
        let signatures = Ballot::count(&request, &answers).unwrap().signatures().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let length = runtime.block_on(async {
            let store = Corestore::open(lab.place.home.join("release")).unwrap();
            let key = lab.source.trim_start_matches("pear://").parse().unwrap();
            let drive = Hyperdrive::open(&store, key).await.unwrap();
            let contents = drive.blobs().await.unwrap();
            let release = Release::open(&store, drive, request.length(), lab.team.clone()).unwrap();
            let content = release.content(Patience(Duration::from_secs(1))).await.unwrap();
            let target = release.target(Part::Contents);
            target
                .append_from(&contents, content.length, &signatures.contents)
                .unwrap();
            content.length
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
        length
    };
    assert!(length > 0);
    // Nobody who follows the link sees anything yet.
    let _half = lab.place.seed("release", &lab.link).unwrap();
    let empty = lab.place.run("reader", &["info", &lab.link, "--timeout", "3"]);
    assert!(empty.is_err(), "half a release was seen: {empty:?}");
    // Another release cannot take the place of what was begun.
    let other = lab.place.run("release", &["touch"]).unwrap();
    let small = format!("by-arch/{}/app/Cool/small", app::Host::current());
    std::fs::write(lab.folder("1.0.0").join(&small), "other bytes").unwrap();
    let empty = other.trim().replace("://", "://0.0.");
    let other = lab.provision("1.0.0", other.trim(), &empty).unwrap();
    lab.expect_code(
        || Ok(lab.multisig("release", &["request", &other, "--force"])),
        "TARGET_NOT_EMPTY",
    )
    .unwrap();
    std::fs::remove_dir_all(lab.folder("1.0.0")).unwrap();
    assert_eq!(lab.provision_next("1.0.0").unwrap(), source);

    run(&mut lab.commit("release", &source, &text, &["--force"]).unwrap()).unwrap();
    lab.place.run("reader", &["dump", &lab.link, "read"]).unwrap();
    expect_same(&lab.place.home.join("read"), &lab.folder("1.0.0")).unwrap();
}

#[test]
fn the_wait_for_seeders_says_who_is_missing_and_can_be_left() {
    let lab = Lab::new("multisig-wait").unwrap();
    let _sources = lab.seed_source().unwrap();
    let source = lab.provision_next("1.0.0").unwrap();
    let request = lab.request("alice", &source).unwrap();
    let mut command = lab.commit("alice", &source, &request, &[]).unwrap();
    let mut commit = Process::start("commit", &mut command, &lab.place.logs()).unwrap();
    let soon = Duration::from_secs(30);
    commit
        .wait_for("that it waits", soon, |line| {
            line.contains("0/2 hold all of it").then_some(())
        })
        .unwrap();
    let _east = seeders(&lab.place, &["east"], &lab.link).unwrap();
    commit
        .wait_for("that one holds it", soon, |line| {
            line.contains("1/2 hold all of it").then_some(())
        })
        .unwrap();
    terminate(commit.id());
    commit
        .wait_for("what to do next", soon, |line| {
            (line.contains("the release is committed") && line.contains("bosc seed pear://")).then_some(())
        })
        .unwrap();
    lab.place.run("reader", &["dump", &lab.link, "read"]).unwrap();
    expect_same(&lab.place.home.join("read"), &lab.folder("1.0.0")).unwrap();
}
