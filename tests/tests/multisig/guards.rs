//! What is refused, with upstream's codes, and what goes through.

use std::fs;
use std::time::Duration;

use bosc_tests::peers::expect_same;
use bosc_tests::process::run;
use bosc_tests::team::{refused, verlink};
use corestore::Corestore;
use hypercore::Key;
use hyperdrive::Hyperdrive;
use hyperswarm::{JoinOptions, Swarm, SwarmConfig};
use multisig::{Content, Request};

use crate::lab::Lab;

/// A peer that connects and fetches nothing but the heads.
async fn lurk(bootstrap: &str, link: &str) -> (Swarm, Hyperdrive) {
    let store = Corestore::in_memory().unwrap();
    let key: Key = link.trim_start_matches("pear://").parse().unwrap();
    let drive = Hyperdrive::open(&store, key).await.unwrap();
    let swarm = Swarm::new(SwarmConfig {
        bootstrap: Some(vec![bootstrap.to_owned()]),
        ..SwarmConfig::default()
    })
    .await
    .unwrap();
    let mut connections = swarm.connections();
    tokio::spawn(async move {
        while let Some(connection) = connections.recv().await {
            store.replicate(connection);
        }
    });
    let options = JoinOptions {
        server: true,
        client: true,
    };
    swarm.join(drive.discovery_key().topic(), options).flushed().await;
    (swarm, drive)
}

#[test]
fn a_request_wants_a_source_that_others_hold_whole() {
    let lab = Lab::new("multisig-request").unwrap();
    let source = lab.provision_next("1.0.0").unwrap();
    let _release = lab.place.seed("release", &lab.source).unwrap();
    let request = |link: &str| {
        let link = link.to_owned();
        move |lab: &Lab| Ok(lab.multisig("asker", &["request", &link]))
    };
    let ask = request(&source);
    let said = lab
        .expect_code(|| ask(&lab), "SOURCE_CORE_INSUFFICIENT_PEERS")
        .unwrap();
    assert!(
        said.contains("(1/2 peers)") && said.contains("bosc seed pear://"),
        "{said}"
    );
    let beyond = request(&source.replace("pear://0.", "pear://0.9"));
    lab.expect_code(|| beyond(&lab), "SOURCE_CORE_TOO_SMALL").unwrap();
    let unversioned = refused(&mut lab.multisig("asker", &["request", &lab.source])).unwrap();
    assert!(unversioned.contains("must be versioned"), "{unversioned}");

    // A second peer that holds nothing is not enough either.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lurker = runtime.block_on(lurk(&lab.place.bootstrap, &lab.source));
    let said = lab
        .expect_code(|| ask(&lab), "SOURCE_CORE_NOT_FULLY_SEEDED")
        .unwrap();
    assert!(said.contains("(1/2)") && said.contains("has 0 of"), "{said}");
    drop(lurker);
    runtime.shutdown_background();

    let _north = lab.place.seed("north", &lab.source).unwrap();
    let dry = run(&mut lab.multisig("asker", &["request", &source, "--dry-run"])).unwrap();
    assert_eq!(dry, "", "a dry run prints a request");
    let text = lab.request("asker", &source).unwrap();
    let json = run(&mut lab.multisig("asker", &["request", &source, "--json"])).unwrap();
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(last["data"]["request"], text, "the same request both times");
    assert!(json.contains("\"byte-diff\"") && json.contains("/package.json"));

    // Upstream lets this through, and peers then refuse the release.
    lab.place
        .run(
            "release",
            &[
                "stage",
                &lab.stage,
                &lab.folder("1.0.0").display().to_string(),
                "--truncate",
                "1",
            ],
        )
        .unwrap();
    let staged = lab.place.run("release", &["info", &lab.stage]).unwrap();
    let forked = staged
        .lines()
        .find_map(|line| line.strip_prefix("version link"))
        .unwrap();
    assert!(forked.trim().starts_with("pear://1."), "{forked}");
    lab.expect_code(
        || Ok(lab.multisig("release", &["request", forked.trim(), "--force"])),
        "SOURCE_CORE_FORKED",
    )
    .unwrap();
}

#[test]
fn releases_follow_one_another() {
    let lab = Lab::new("multisig-releases").unwrap();
    let _sources = lab.seed_source().unwrap();
    let first = lab.provision_next("1.0.0").unwrap();
    let request = lab.request("alice", &first).unwrap();
    let answers = lab.quorum(&request).unwrap();

    // Responses that do not count.
    for too_few in [&[&answers[0]][..], &[&answers[0], &answers[0]]] {
        let mut args = vec!["commit", &first, &request];
        args.extend(too_few.iter().map(|answer| answer.as_str()));
        let said = refused(&mut lab.multisig("alice", &args)).unwrap();
        assert!(said.contains("Insufficient quorum: 1 / 2"), "{said}");
    }

    // The source is another drive than the request's.
    let stranger = lab.place.run("release", &["touch"]).unwrap();
    let other = lab
        .provision(
            "1.0.0",
            stranger.trim(),
            &stranger.trim().replace("://", "://0.0."),
        )
        .unwrap();
    let verify = |source: String| {
        let request = request.clone();
        move |lab: &Lab| Ok(lab.multisig("release", &["verify", &source, &request, "--force"]))
    };
    let (length, same_length) = (length_of(&first), length_of(&other));
    assert_eq!(length, same_length, "both hold the same files");
    // Same files, same history: it is as good a source.
    let shown = run(&mut verify(other.clone())(&lab).unwrap()).unwrap();
    for line in [
        "/link (0 B) → sub/deep er/run",
        "/sub/deep er/run (+21 B) program",
    ] {
        assert!(shown.contains(line), "{line} is not shown: {shown}");
    }
    let small = format!("by-arch/{}/app/Cool/small", app::Host::current());
    fs::write(lab.folder("1.0.0").join(small), "evil").unwrap();
    let evil = lab.place.run("release", &["touch"]).unwrap();
    let evil = lab
        .provision("1.0.0", evil.trim(), &evil.trim().replace("://", "://0.0."))
        .unwrap();
    let evil = verify(evil);
    lab.expect_code(|| evil(&lab), "SRC_KEY_MISMATCH").unwrap();
    fs::remove_dir_all(lab.folder("1.0.0")).unwrap();
    let again = lab.provision_next("1.0.0").unwrap();
    assert_eq!(again, first, "nothing new was provisioned");

    // The commit waits for these.
    let mut targets = lab.seed_target().unwrap();
    let committed = run(&mut lab.commit("alice", &first, &request, &[]).unwrap()).unwrap();
    assert!(committed.contains("^Latest: 1.0.0"), "{committed}");
    let released = verlink(&committed).unwrap();
    assert_eq!(length_of(&released), length);
    let once_more = run(&mut lab.commit("alice", &first, &request, &[]).unwrap()).unwrap();
    assert_eq!(
        verlink(&once_more).unwrap(),
        released,
        "a commit run again changes nothing"
    );

    let next = lab.provision_next("1.0.1").unwrap();
    let new_request = lab.request("bob", &next).unwrap();
    let shown = run(&mut lab.multisig("carol", &["verify", &next, &new_request])).unwrap();
    assert!(
        shown.contains("~ /package.json") && !shown.contains("sub/deep er"),
        "{shown}"
    );
    let foreign = [
        lab.answer(0, &request).unwrap(),
        lab.answer(2, &new_request).unwrap(),
    ];
    let said = refused(&mut lab.multisig("bob", &["commit", &next, &new_request, &foreign[1], &foreign[0]]))
        .unwrap();
    assert!(
        said.contains("response 2") && said.contains("not made over this request"),
        "{said}"
    );

    // Nobody serves what is released now.
    targets.iter_mut().for_each(|seed| seed.stop());
    lab.expect_code(
        || lab.commit("alice", &next, &new_request, &[]),
        "TARGET_CORE_INSUFFICIENT_PEERS",
    )
    .unwrap();
    let _east = lab.place.seed("east", &lab.link).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lurker = runtime.block_on(lurk(&lab.place.bootstrap, &lab.link));
    let said = lab
        .expect_code(
            || lab.commit("alice", &next, &new_request, &[]),
            "TARGET_CORE_NOT_FULLY_SEEDED",
        )
        .unwrap();
    assert!(said.contains("(1/2)") && said.contains("has 0 of"), "{said}");
    drop(lurker);
    runtime.shutdown_background();
    let _west = lab.place.seed("west", &lab.link).unwrap();
    run(&mut lab.commit("bob", &next, &new_request, &[]).unwrap()).unwrap();

    // What was signed before cannot be brought back.
    lab.wait_for_length("alice", length_of(&next)).unwrap();
    lab.expect_code(
        || lab.commit("alice", &first, &request, &[]),
        "TARGET_CORE_TOO_BIG",
    )
    .unwrap();
    // A source that does not go on from what is released.
    let diverged = lab.place.run("release", &["touch"]).unwrap();
    let diverged = diverged.trim();
    let empty = diverged.replace("://", "://0.0.");
    lab.provision("1.0.1", diverged, &empty).unwrap();
    // No app would take that version; it makes the histories different.
    lab.provision_with("1.0.0", diverged, &empty, &["--force"])
        .unwrap();
    let diverged = lab.provision("1.0.2", diverged, &empty).unwrap();
    lab.expect_code(
        || Ok(lab.multisig("release", &["request", &diverged, "--force"])),
        "INCOMPATIBLE_SOURCE_AND_TARGET",
    )
    .unwrap();

    lab.place.run("reader", &["dump", &lab.link, "read"]).unwrap();
    expect_same(&lab.place.home.join("read"), &lab.folder("1.0.1")).unwrap();
}

/// A quorum that signs entries without their contents would leave a release that nobody can fetch.
#[test]
fn a_request_that_leaves_out_contents_is_refused() {
    let lab = Lab::new("multisig-short").unwrap();
    let source = lab.provision_next("1.0.0").unwrap();
    let _sources = lab.seed_source().unwrap();
    let whole: Request = lab.request("alice", &source).unwrap().parse().unwrap();
    let needed = whole.content().length;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hashes = runtime.block_on(async {
        let store = Corestore::open(lab.place.home.join("release")).unwrap();
        let key: Key = lab.source.trim_start_matches("pear://").parse().unwrap();
        let contents = Hyperdrive::open(&store, key)
            .await
            .unwrap()
            .blobs()
            .await
            .unwrap();
        assert_eq!(contents.tree_hash(needed).unwrap(), whole.content().tree_hash);
        [1, needed - 1].map(|length| (length, contents.tree_hash(length).unwrap()))
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    for (length, tree_hash) in hashes {
        let content = Content { length, tree_hash };
        let (manifest, entries) = (whole.manifest().clone(), *whole.tree_hash());
        let short = Request::new(manifest, whole.length(), entries, content, false).unwrap();
        let short = short.to_string();
        for command in ["verify", "commit"] {
            let answers = lab.quorum(&short).unwrap();
            let args = [command, &source, &short, &answers[0], &answers[1], "--force"];
            let said = lab
                .expect_code(|| Ok(lab.multisig("alice", &args)), "REQUEST_CONTENT_TOO_SMALL")
                .unwrap();
            let blocks = format!("{length} blocks of contents, but its entries need {needed}");
            assert!(said.contains(&blocks), "{said}");
        }
    }
    run(&mut lab
        .commit("alice", &source, &whole.to_string(), &["--force"])
        .unwrap())
    .unwrap();
}

/// The length in a versioned link.
fn length_of(link: &str) -> u64 {
    link.split('.').nth(1).and_then(|part| part.parse().ok()).unwrap()
}
