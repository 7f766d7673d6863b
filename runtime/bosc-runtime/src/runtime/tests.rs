//! The updater on a drive of its own store: what is staged, what is refused, what is told.

use std::fs;

use hyperdrive::PutOptions;
use hyperswarm::Swarm;
use secret_stream::Connection;
use serde_json::json;

use super::follow::RETRY;
use super::*;
use crate::seen::Seen;

/// A data folder, an installed app and a drive to release onto.
struct Home {
    temp: tempfile::TempDir,
    drive: Hyperdrive,
}

impl Home {
    async fn new() -> Self {
        let store = Corestore::in_memory().unwrap();
        Self {
            temp: tempfile::tempdir().unwrap(),
            drive: Hyperdrive::create(&store, "release").await.unwrap(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    fn installed(&self) -> PathBuf {
        self.temp.path().join("apps/App")
    }

    fn package(version: &str) -> String {
        json!({ "name": "app", "productName": "App", "version": version }).to_string()
    }

    /// Installs version 1.0.0 and starts its runtime, without a network.
    async fn runtime(&self) -> Runtime {
        let app = self.installed().join("resources/app");
        fs::create_dir_all(&app).unwrap();
        fs::write(app.join("package.json"), Self::package("1.0.0")).unwrap();
        Runtime::start(self.config()).await.unwrap()
    }

    fn config(&self) -> RuntimeConfig {
        RuntimeConfig {
            dir: self.dir(),
            app: Some(self.installed()),
            name: "App".to_owned(),
            version: Version::new(1, 0, 0),
            upgrade: Link::plain(self.drive.key()),
            updates: false,
            delay: Some(Duration::ZERO),
            bootstrap: None,
            relays: Vec::new(),
            seed: None,
        }
    }

    /// Writes a bundle and the package.json that announces it.
    async fn release(&self, announced: &str, inner: &str) {
        let script = format!("echo 'bosc: ready' # {inner}");
        self.release_program(announced, inner, &script).await;
    }

    async fn release_program(&self, announced: &str, inner: &str, script: &str) {
        let bundle = format!("/by-arch/{}/app/App", Host::current());
        let program = format!("#!/bin/sh\n{script}\n");
        let executable = PutOptions {
            executable: true,
            ..PutOptions::default()
        };
        self.drive
            .put(&format!("{bundle}/App"), program, executable)
            .await
            .unwrap();
        let plain = PutOptions::default;
        self.drive
            .put(
                &format!("{bundle}/resources/app/package.json"),
                Self::package(inner),
                plain(),
            )
            .await
            .unwrap();
        self.drive
            .put("/package.json", Self::package(announced), plain())
            .await
            .unwrap();
    }
}

/// A copy of the drive in a store of its own, and the connection over which it is filled.
async fn copy(home: &Home) -> (Hyperdrive, corestore::Replication) {
    let store = Corestore::in_memory().unwrap();
    let copy = Hyperdrive::open(&store, home.drive.key()).await.unwrap();
    let (here, there) = Connection::memory_pair();
    let replication = home.drive.store().replicate(here);
    drop(store.replicate(there));
    (copy, replication)
}

/// Follows the drive for as long as `until` does not pick an event; all events up to it.
async fn follow(runtime: &Runtime, home: &Home, until: impl Fn(&UpdaterEvent) -> bool) -> Vec<UpdaterEvent> {
    follow_drive(runtime, &home.drive, until).await
}

async fn follow_drive(
    runtime: &Runtime,
    drive: &Hyperdrive,
    until: impl Fn(&UpdaterEvent) -> bool,
) -> Vec<UpdaterEvent> {
    let mut events = runtime.events();
    let mut seen = Vec::new();
    let follow = runtime.inner.clone().follow(drive.clone());
    let listen = async {
        loop {
            let event = events.recv().await.unwrap();
            let last = until(&event);
            seen.push(event);
            if last {
                return;
            }
        }
    };
    let either = async {
        tokio::select! {
            () = follow => {}
            () = listen => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(20), either)
        .await
        .unwrap_or_else(|_| panic!("the event did not come; these did: {seen:?}"));
    seen
}

fn error(event: &UpdaterEvent) -> Option<&str> {
    match event {
        UpdaterEvent::Error { code, .. } => Some(code),
        _ => None,
    }
}

#[tokio::test]
async fn a_bundle_of_another_version_is_refused_until_the_drive_changes() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    home.release("1.0.2", "1.0.1").await;
    let seen = follow(&runtime, &home, |event| error(event).is_some()).await;
    assert_eq!(error(seen.last().unwrap()), Some("UPDATE_REFUSED"));
    assert!(
        !runtime.apply_update().await.unwrap(),
        "there was something to apply"
    );
    let left = fs::read_dir(home.dir().join("pear-runtime/next"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "what was refused is still there");

    // The next release is another one.
    home.release("1.0.3", "1.0.3").await;
    let updated = |event: &UpdaterEvent| matches!(event, UpdaterEvent::Updated { .. });
    let seen = follow(&runtime, &home, updated).await;
    assert!(
        matches!(seen.last(), Some(UpdaterEvent::Updated { next_version, .. }) if next_version == "1.0.3"),
        "{seen:?}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_an_app_cannot_be_replaced_nothing_is_fetched_and_a_person_is_told() {
    let home = Home::new().await;
    let mut config = home.config();
    // Nobody may write there, not even root.
    config.app = Some("/proc/App".into());
    let runtime = Runtime::start(config).await.unwrap();
    home.release("1.0.1", "1.0.1").await;
    let seen = follow(&runtime, &home, |event| error(event).is_some()).await;
    assert_eq!(error(seen.last().unwrap()), Some("UPDATE_NOT_WRITABLE"));
    let fetched = |event: &UpdaterEvent| {
        matches!(
            event,
            UpdaterEvent::Updating { .. } | UpdaterEvent::UpdatingDelta { .. }
        )
    };
    assert!(!seen.iter().any(fetched), "{seen:?}");
    let state = runtime.state();
    assert!(!state.updated && !state.updating, "{state:?}");
    assert!(state.last_error.unwrap().contains("folder of yours"));
    assert!(!home.dir().join("pear-runtime/next").exists());
}

#[test]
fn a_release_that_does_not_fit_on_the_disk_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let version = Version::new(1, 0, 1);
    let expect = |bytes| check::expect_place(&version, Some(&dir.path().join("App")), dir.path(), bytes);
    expect(1).unwrap();
    let error = expect(u64::MAX / 4).unwrap_err();
    assert_eq!(error.told().code, "UPDATE_NO_ROOM");
    assert!(!error.is_refusal(), "room can be made");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_beside_the_bundle_is_waited_for_and_a_refused_right_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let error = |code| {
        let source = std::io::Error::from_raw_os_error(code);
        check::no_place(&Version::new(1, 0, 1), dir.path().to_owned(), source, 1000)
    };
    let (full, denied) = (error(28), error(13));
    assert_eq!((full.told().code, full.is_refusal()), ("UPDATE_NO_ROOM", false));
    assert_eq!(
        (denied.told().code, denied.is_refusal()),
        ("UPDATE_NOT_WRITABLE", true)
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_fetched_again() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    home.release("1.0.2", "1.0.1").await;
    let mut events = runtime.events();
    let follow = runtime.inner.clone().follow(home.drive.clone());
    // Virtual time: this is many retries long.
    let _ = tokio::time::timeout(RETRY * 20, follow).await;
    let mut errors = 0;
    while let Ok(event) = events.try_recv() {
        errors += usize::from(error(&event).is_some());
    }
    assert_eq!(errors, 1);
}

#[tokio::test]
async fn a_version_that_was_taken_back_comes_again_when_a_person_asks() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    // The program cannot run on this machine before a library is installed.
    let library = home.temp.path().join("library");
    let script = format!("[ -e {} ] && echo 'bosc: ready'", library.display());
    home.release_program("1.0.1", "1.0.1", &script).await;
    let updated = |event: &UpdaterEvent| matches!(event, UpdaterEvent::Updated { .. });
    follow(&runtime, &home, updated).await;
    let mut events = runtime.events();
    assert!(matches!(
        runtime.apply_update().await,
        Err(ApplyError::CannotRun { .. })
    ));
    assert_eq!(error(&events.try_recv().unwrap()), Some("UPDATE_CANNOT_RUN"));
    assert!(!runtime.state().updated);

    // It is not fetched again by itself.
    let follow_for = |time| {
        let follow = runtime.inner.clone().follow(home.drive.clone());
        tokio::time::timeout(time, follow)
    };
    assert!(follow_for(Duration::from_millis(500)).await.is_err());
    assert_eq!(runtime.state().taken_back.as_deref(), Some("1.0.1"));
    assert!(!runtime.state().updated);

    fs::write(library, "").unwrap();
    assert!(
        runtime.retry_update().await.unwrap(),
        "there was nothing to try again"
    );
    follow(&runtime, &home, updated).await;
    assert_eq!(runtime.state().taken_back, None);
    assert!(runtime.apply_update().await.unwrap());
    let package = fs::read_to_string(home.installed().join("resources/app/package.json")).unwrap();
    assert_eq!(package, Home::package("1.0.1"));
}

#[tokio::test]
async fn a_rewritten_history_is_told_and_followed() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    home.release("1.0.1", "1.0.1").await;
    let updated = |event: &UpdaterEvent| matches!(event, UpdaterEvent::Updated { .. });
    follow(&runtime, &home, updated).await;
    home.drive.truncate(1, None).await.unwrap();
    home.release("1.0.2", "1.0.2").await;
    let seen = follow(&runtime, &home, updated).await;
    assert!(
        seen.contains(&UpdaterEvent::Forked { fork: 1, before: 0 }),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_release_below_what_was_seen_is_refused() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    // An earlier start saw more of this drive, then its store was deleted.
    let mut seen = Seen::load(&home.dir(), home.drive.key().to_string());
    seen.raise(&crate::seen::Mark {
        fork: 0,
        length: 1000,
        version: Version::new(1, 0, 9),
    });
    home.release("1.0.1", "1.0.1").await;
    let events = follow(&runtime, &home, |event| error(event).is_some()).await;
    assert_eq!(error(events.last().unwrap()), Some("UPDATE_REFUSED"));
    assert!(!home.dir().join("pear-runtime/next").exists());
}

#[tokio::test]
async fn a_file_that_changed_after_it_was_staged_is_not_put_in_place() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    home.release("1.0.1", "1.0.1").await;
    let updated = |event: &UpdaterEvent| matches!(event, UpdaterEvent::Updated { .. });
    follow(&runtime, &home, updated).await;
    let next = home.dir().join("pear-runtime/next");
    let program = walkdir::WalkDir::new(next)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .find(|path| path.is_file() && path.ends_with("App"))
        .unwrap();
    // Of the same length, as a flipped bit leaves it.
    let text = fs::read_to_string(&program).unwrap();
    fs::write(&program, text.replace("# 1.0.1", "# 1.0.7")).unwrap();
    let error = runtime.apply_update().await.unwrap_err();
    assert!(
        matches!(&error, ApplyError::Altered { path } if *path == program),
        "{error}"
    );
    let installed = fs::read_to_string(home.installed().join("resources/app/package.json")).unwrap();
    assert_eq!(installed, Home::package("1.0.0"));
    assert!(!runtime.state().updated);

    // It is fetched again, and then it is right.
    follow(&runtime, &home, updated).await;
    assert!(runtime.apply_update().await.unwrap());
    assert_eq!(fs::read_to_string(home.installed().join("App")).unwrap(), text);
}

#[tokio::test]
async fn the_app_learns_when_a_seeder_was_last_there() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    home.release("1.0.0", "1.0.0").await;
    assert_eq!(runtime.state().last_contact, None);
    let started = super::follow::now();
    let (copy, replication) = copy(&home).await;
    let follow = runtime.inner.clone().follow(copy.clone());
    let heard = async {
        while runtime.state().last_contact.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = follow => panic!("it does not end"),
        heard = tokio::time::timeout(Duration::from_secs(20), heard) => heard.unwrap(),
    }
    assert!(runtime.state().last_contact.unwrap() >= started);
    assert!(super::follow::has_seeder(&copy));
    replication.close();
}

#[tokio::test]
async fn a_check_whose_blocks_nobody_has_is_given_up_and_tried_again() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    home.release("1.0.1", "1.0.1").await;
    let (copy, replication) = copy(&home).await;
    let learnt = async {
        while copy.core().length() < home.drive.core().length() {
            copy.update(false).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), learnt)
        .await
        .unwrap();
    // The peer goes before it sent anything but the length.
    replication.close();
    replication.closed().await.unwrap();
    let gave_up = follow_drive(&runtime, &copy, |event| error(event).is_some());
    let events = gave_up.await;
    assert_eq!(error(events.last().unwrap()), Some("UPDATE_STALLED"));
}

#[tokio::test]
async fn an_install_has_another_name_on_the_network_at_each_start_and_keeps_its_data_to_itself() {
    let home = Home::new().await;
    let plain = home.runtime().await;
    let config = RuntimeConfig {
        updates: true,
        bootstrap: Some(vec!["127.0.0.1:1".to_owned()]),
        relays: Vec::new(),
        ..plain.inner.config.clone()
    };
    let mut names = Vec::new();
    for _ in 0..2 {
        let runtime = Runtime::start(config.clone()).await.unwrap();
        let (peers, _) = runtime.inner.network.as_ref().unwrap();
        names.push(peers.swarm().key_pair().public_key);
        runtime.close().await;
    }
    assert_ne!(names[0], names[1]);
    #[cfg(unix)]
    for folder in ["", "pear-runtime", "pear-runtime/corestore"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(home.dir().join(folder))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_is_spelt_otherwise_on_disk_leads_to_the_same_place() {
    let home = Home::new().await;
    let runtime = home.runtime().await;
    let bundle = format!("/by-arch/{}/app/App", Host::current());
    let file = |path: &str| format!("{bundle}/{path}");
    home.drive
        .put(&file("lib/a"), "a", PutOptions::default())
        .await
        .unwrap();
    for (link, target) in [
        ("dot", "./lib/a"),
        ("twice", "lib//a"),
        ("inner", "lib/./a"),
        ("lib/up", "../lib/a"),
    ] {
        home.drive.symlink(&file(link), target).await.unwrap();
    }
    let absolute = file("lib/a");
    home.drive.symlink(&file("absolute"), &absolute).await.unwrap();
    home.release("1.0.1", "1.0.1").await;
    let ends = |event: &UpdaterEvent| error(event).is_some() || matches!(event, UpdaterEvent::Updated { .. });
    let seen = follow(&runtime, &home, ends).await;
    assert!(
        matches!(seen.last(), Some(UpdaterEvent::Updated { .. })),
        "{:?}",
        seen.last()
    );
    runtime.close().await;
}

#[tokio::test]
async fn an_app_is_announced_while_it_has_something_and_neither_battery_nor_meter_speaks_against_it() {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    static ON_BATTERY: AtomicBool = AtomicBool::new(false);
    let network = dht::local::start(std::net::Ipv4Addr::LOCALHOST.into(), 0)
        .await
        .unwrap();
    let home = Home::new().await;
    let idle = home.runtime().await;
    let config = RuntimeConfig {
        updates: true,
        bootstrap: Some(vec![network.bootstrap().to_string()]),
        seed: Some(Seeding::default()),
        ..idle.inner.config.clone()
    };
    let runtime = Runtime::start_with(config, Giving::with_battery(|| Some(ON_BATTERY.load(Relaxed))))
        .await
        .unwrap();
    // Somebody else who looks for servers on the topic.
    let other = Swarm::new(SwarmConfig {
        bootstrap: Some(vec![network.bootstrap().to_string()]),
        ..SwarmConfig::default()
    })
    .await
    .unwrap();
    let topic = home.drive.discovery_key().topic();
    let found = async |expected: bool| {
        let looks = async {
            loop {
                let mut lookup = other.node().lookup(topic, Vec::new());
                let mut any = false;
                while let Some(answer) = lookup.next().await {
                    any |= !answer.peers.is_empty();
                }
                if any == expected && runtime.gives_back() == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), looks).await;
        waited.unwrap_or_else(|_| panic!("announced is not {expected}"));
    };
    found(false).await;
    runtime.inner.giving.offer();
    found(true).await;
    runtime.set_metered(Some(true));
    found(false).await;
    runtime.set_metered(Some(false));
    found(true).await;
    ON_BATTERY.store(true, Relaxed);
    runtime.set_metered(None);
    found(false).await;
    ON_BATTERY.store(false, Relaxed);
    found(true).await;
    runtime.close().await;
    found_none_is_left(&other, topic).await;
    other.destroy().await;
}

/// Nobody is announced on the topic any more.
async fn found_none_is_left(swarm: &Swarm, topic: base::Topic) {
    let mut lookup = swarm.node().lookup(topic, Vec::new());
    while let Some(answer) = lookup.next().await {
        assert!(answer.peers.is_empty());
    }
}
