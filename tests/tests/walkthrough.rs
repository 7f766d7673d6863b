//! The installed app in a real window: the over-the-air walkthrough, and what must hold around it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bosc_runtime::bundle::Staged;
use bosc_tests::display::Display;
use bosc_tests::process::{Process, wait_until};
use bosc_tests::skip::skipped;
use bosc_tests::update::{self, installed_version};
use bosc_tests::walkthrough::{
    Installed, MESSAGES, Setup, Workshop, copy_folder, expect_messages, run_walkthrough, send_message,
    walkthrough_in,
};

fn quiet(_: &str) {}

#[test]
fn the_installed_app_updates_itself_and_keeps_its_transcript() {
    let setup = Setup::for_test("walkthrough").unwrap();
    let display = Display::own(&setup.home).unwrap();
    run_walkthrough(setup, &display, &mut quiet).unwrap();
}

/// The walkthrough with an AppImage.
fn appimage(name: &str, more_env: &[(&str, &str)]) {
    let mut setup = Setup::for_test(name).unwrap();
    setup.format = app::Format::File;
    let display = Display::own(&setup.home).unwrap();
    let more_env = more_env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    walkthrough_in(setup, &display, more_env.collect(), &mut quiet).unwrap();
}

#[test]
fn an_installed_appimage_updates_itself_and_keeps_its_transcript() {
    appimage("walkthrough-appimage", &[]);
}

#[test]
fn an_appimage_that_unpacks_itself_updates_itself_too() {
    appimage("walkthrough-unpacked", &[("APPIMAGE_EXTRACT_AND_RUN", "1")]);
}

/// Releases and installs 1.0.1.
fn installed(name: &str) -> (Workshop, Installed, Display) {
    let setup = Setup::for_test(name).unwrap();
    let display = Display::own(&setup.home).unwrap();
    let mut workshop = Workshop::open(setup, &mut quiet).unwrap();
    workshop.release("1.0.1", &mut quiet).unwrap();
    workshop.seed().unwrap();
    let app = workshop.install().unwrap();
    (workshop, app, display)
}

/// The UDP sockets that a process holds.
fn udp_sockets(process: &Process) -> usize {
    let inodes: Vec<String> = ["udp", "udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{}/net/{table}", process.id())).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().nth(9).map(str::to_owned))
                .collect::<Vec<_>>()
        })
        .collect();
    fs::read_dir(format!("/proc/{}/fd", process.id()))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter(|target| {
            inodes
                .iter()
                .any(|inode| target.to_string_lossy() == format!("socket:[{inode}]"))
        })
        .count()
}

#[test]
fn no_updates_opens_no_socket_and_updates_does() {
    let (_workshop, app, display) = installed("no-updates");
    let (mut process, driver) = app.open("app", &display, &["--no-updates"]).unwrap();
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(20))
        .unwrap();
    let state = driver
        .run("return window.bridge.updaterState().then(s => s.enabled)")
        .unwrap();
    assert_eq!(state, false);
    assert_eq!(udp_sockets(&process), 0, "--no-updates opened a socket");
    assert!(!app.storage.join("pear-runtime/corestore").exists());
    driver.abandon();
    process.stop();

    // The same look at an app with updates finds sockets, so the look itself works.
    let (mut process, driver) = app.open("app-updating", &display, &[]).unwrap();
    wait_until("the app joins the swarm", Duration::from_secs(20), || {
        Ok((udp_sockets(&process) > 0).then_some(()))
    })
    .unwrap();
    driver.abandon();
    process.stop();
}

#[test]
fn the_window_has_its_icon() {
    let (_workshop, app, display) = installed("icon");
    let (mut process, driver) = app.open("app", &display, &["--no-updates"]).unwrap();
    let read = || {
        let mut xprop = Command::new("xprop");
        xprop.args(["-name", "Pear chat", "-notype", "32c", "_NET_WM_ICON"]);
        xprop.envs(display.env()).output()
    };
    match read() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            // Each picture begins with its width and height.
            for size in [16, 32, 48, 64, 128, 256] {
                assert!(
                    said.contains(&format!(" {size}, {size}, ")),
                    "{size}: {:.300}",
                    said
                );
            }
        }
        Err(_) => skipped("this machine has no xprop"),
    }
    driver.abandon();
    process.stop();
}

#[test]
fn a_message_that_was_shown_survives_a_kill() {
    let (_workshop, app, display) = installed("kill");
    let (mut process, driver) = app.open("app", &display, &["--no-updates"]).unwrap();
    for message in MESSAGES {
        send_message(&driver, message).unwrap();
    }
    process.kill();
    driver.abandon();
    let (mut process, driver) = app.open("app-again", &display, &["--no-updates"]).unwrap();
    expect_messages(&driver, &MESSAGES).unwrap();
    driver.abandon();
    process.stop();
}

/// Opens the app, releases a spoilt 1.0.2 and clicks "Update ready!".
fn update_into(
    workshop: &Workshop,
    app: &Installed,
    display: &Display,
    spoil: impl FnOnce(&Path),
) -> Process {
    let (process, driver) = app.open("app", display, &[]).unwrap();
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(20))
        .unwrap();
    let spoil = |bundle: &Path| {
        spoil(bundle);
        Ok(())
    };
    workshop.release_with("patch", &mut quiet, spoil).unwrap();
    update::accept(driver, Duration::from_secs(60)).unwrap();
    process
}

#[test]
fn a_program_that_cannot_run_is_refused_before_anything_is_swapped() {
    let (workshop, app, display) = installed("broken-program");
    let inode = || fs::metadata(&app.bundle).unwrap().ino();
    let before = inode();
    let mut process = update_into(&workshop, &app, &display, |bundle| {
        fs::write(bundle.join("PearChat"), "#!/bin/sh\nexit 3\n").unwrap();
    });
    let note = app.storage.join("pear-runtime/bundle.json");
    wait_until("1.0.2 is marked bad", Duration::from_secs(30), || {
        Ok(fs::read_to_string(&note)
            .is_ok_and(|text| text.contains("\"1.0.2\"") && text.contains("\"bad\""))
            .then_some(()))
    })
    .unwrap();
    // The app runs on and says why.
    let driver = app.attach("app-runs-on", &mut process).unwrap();
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(20))
        .unwrap();
    let state = driver.run("return window.bridge.updaterState()").unwrap();
    assert!(
        state["lastError"].as_str().unwrap().contains("1.0.2 cannot run"),
        "{state}"
    );
    assert_eq!(state["updated"], false, "{state}");
    assert_eq!(driver.run(update::OFFERED).unwrap(), false);
    driver.abandon();
    process.kill();
    assert_eq!(installed_version(&app), "1.0.1");
    assert_eq!(inode(), before, "the bundle was exchanged");

    // It is not offered again, until a person asks for it.
    let (mut process, driver) = app.open("app-again", &display, &[]).unwrap();
    wait_until("1.0.2 is seen and not wanted", Duration::from_secs(30), || {
        let state = driver.run("return window.bridge.updaterState()")?;
        Ok((state["takenBack"] == "1.0.2").then_some(()))
    })
    .unwrap();
    assert_eq!(driver.run(update::OFFERED).unwrap(), false);
    driver.abandon();
    process.stop();
    let (mut process, driver) = app.open("app-retries", &display, &["--retry-update"]).unwrap();
    wait_until("1.0.2 is offered", Duration::from_secs(30), || {
        Ok((driver.run(update::OFFERED)? == true).then_some(()))
    })
    .unwrap();
    driver.abandon();
    process.stop();
}

#[test]
fn a_version_that_cannot_show_its_page_is_rolled_back() {
    let (workshop, app, display) = installed("broken-page");
    let mut process = update_into(&workshop, &app, &display, |bundle| {
        fs::remove_file(bundle.join("resources/app/renderer/index.html")).unwrap();
    });
    wait_until("1.0.2 is in place", Duration::from_secs(30), || {
        Ok((installed_version(&app) == "1.0.2").then_some(()))
    })
    .unwrap();
    process.kill();
    // A person tries to start it; each time the page does not come up and the person gives up.
    for attempt in 0..4 {
        if installed_version(&app) == "1.0.1" {
            break;
        }
        let mut command = Command::new(app.program());
        command.args(app.args(&[])).envs(app.env(&display));
        let mut process =
            Process::start(&format!("attempt-{attempt}"), &mut command, &workshop.logs()).unwrap();
        let _ = wait_until("rolled back", Duration::from_secs(5), || {
            Ok((installed_version(&app) == "1.0.1").then_some(()))
        });
        process.kill();
    }
    assert_eq!(
        installed_version(&app),
        "1.0.1",
        "the version that cannot start stayed"
    );
    let (mut process, driver) = app.open("app-rolled-back", &display, &[]).unwrap();
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(20))
        .unwrap();
    driver.abandon();
    process.stop();
}

#[test]
fn a_version_with_a_spoilt_package_json_is_taken_back_too() {
    let (workshop, app, display) = installed("spoilt-package");
    let config = workshop.place.home.join("config");
    let storage = config.join("PearChat");
    workshop.release("patch", &mut quiet).unwrap();
    let staged = storage.join("pear-runtime/next/9.0/PearChat");
    copy_folder(&workshop.made(), &staged).unwrap();
    let staged = Staged::seal(staged).unwrap();
    bosc_runtime::bundle::apply(&storage, &app.bundle, &staged, "1.0.1", "1.0.2").unwrap();
    assert_eq!(installed_version(&app), "1.0.2");
    fs::write(app.bundle.join("resources/app/package.json"), "{\"version\":").unwrap();

    // Nobody says where the data is, either: that, too, must not need the package.json.
    let start = |name: &str| {
        let mut command = Command::new(app.program());
        command.arg("--no-updates").envs(app.env(&display));
        command
            .env("XDG_CONFIG_HOME", &config)
            .env_remove("SNAP_USER_COMMON")
            .env("BOSC_NO_ERROR_WINDOW", "1");
        Process::start(name, &mut command, &workshop.logs()).unwrap()
    };
    for attempt in 0..2 {
        let mut process = start(&format!("attempt-{attempt}"));
        process
            .wait_for("what is wrong", Duration::from_secs(20), |line| {
                line.contains("not a valid package.json").then_some(())
            })
            .unwrap();
        wait_until("it ends", Duration::from_secs(10), || {
            Ok((!process.is_running()).then_some(()))
        })
        .unwrap();
    }
    let mut process = start("attempt-2");
    let driver = app.attach("app-taken-back", &mut process).unwrap();
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(20))
        .unwrap();
    assert_eq!(installed_version(&app), "1.0.1");
    driver.abandon();
    process.stop();
}

/// Installs 1.0.1 and puts 1.0.2 in its place, as the updater does; its data is in `app.storage`.
fn updated(name: &str, spoil: impl FnOnce(&Path)) -> (Workshop, Installed, Display) {
    let (workshop, app, display) = installed(name);
    workshop.release("patch", &mut quiet).unwrap();
    let staged = app.storage.join("pear-runtime/next/9.0/PearChat");
    copy_folder(&workshop.made(), &staged).unwrap();
    spoil(&staged);
    let staged = Staged::seal(staged).unwrap();
    bosc_runtime::bundle::apply(&app.storage, &app.bundle, &staged, "1.0.1", "1.0.2").unwrap();
    assert_eq!(installed_version(&app), "1.0.2");
    (workshop, app, display)
}

fn note(app: &Installed) -> serde_json::Value {
    let text = fs::read(app.storage.join("pear-runtime/bundle.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn a_good_version_that_people_kill_or_start_without_a_display_stays() {
    let (workshop, app, display) = updated("killed-early", |_| ());
    let start = |name: &str, env: Vec<(String, String)>| {
        let mut command = Command::new(app.program());
        command
            .args(app.args(&["--no-updates"]))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .envs(env);
        Process::start(name, &mut command, &workshop.logs()).unwrap()
    };
    for attempt in 0..5 {
        let mut process = start(&format!("no-display-{attempt}"), Vec::new());
        let said = |line: &str| line.contains("no display was found").then_some(());
        process
            .wait_for("that there is no display", Duration::from_secs(20), said)
            .unwrap();
        wait_until("it ends", Duration::from_secs(10), || {
            Ok((!process.is_running()).then_some(()))
        })
        .unwrap();
    }
    assert_eq!(note(&app)["update"]["points"], 0, "{}", note(&app));

    // Killed as soon as the start is counted.
    for attempt in 0..2 {
        let mut process = start(&format!("killed-{attempt}"), app.env(&display));
        wait_until("the start is counted", Duration::from_secs(20), || {
            let update = &note(&app)["update"];
            Ok((update["open"] == true && update["points"] == attempt).then_some(()))
        })
        .unwrap();
        process.kill();
    }

    // Told to end before its page was there.
    let mut process = start("told-to-end", app.env(&display));
    wait_until("the start is counted", Duration::from_secs(20), || {
        let update = &note(&app)["update"];
        Ok((update["open"] == true && update["points"] == 2).then_some(()))
    })
    .unwrap();
    process.stop();
    let update = &note(&app)["update"];
    assert_eq!(
        (&update["open"], &update["points"]),
        (&false.into(), &2.into()),
        "{update}"
    );

    let (mut process, driver) = app.open("app", &display, &["--no-updates"]).unwrap();
    driver
        .wait_text("#version", "v1.0.2", Duration::from_secs(20))
        .unwrap();
    wait_until("the trial is over", Duration::from_secs(10), || {
        Ok(note(&app)["update"].is_null().then_some(()))
    })
    .unwrap();
    assert_eq!(note(&app)["bad"], serde_json::json!([]));
    driver.abandon();
    process.stop();
}

#[test]
fn a_page_that_throws_or_stays_blank_has_failed_and_one_that_errs_later_has_not() {
    let (workshop, app, display) = updated("sick-pages", |_| ());
    let renderer = app.bundle.join("resources/app/renderer");
    let (page, script) = (renderer.join("index.html"), renderer.join("app.js"));
    let (good_page, good_script) = (
        fs::read_to_string(&page).unwrap(),
        fs::read_to_string(&script).unwrap(),
    );
    let start = |name: &str| {
        let mut command = Command::new(app.program());
        command.args(app.args(&["--no-updates"])).envs(app.env(&display));
        Process::start(name, &mut command, &workshop.logs()).unwrap()
    };
    let fails = |name: &str, points: u64| {
        let mut process = start(name);
        wait_until("the start has failed", Duration::from_secs(15), || {
            Ok((note(&app)["update"]["points"] == points).then_some(()))
        })
        .unwrap();
        // It does not turn out well after all.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(note(&app)["update"]["points"], points, "{name}");
        process.stop();
    };
    let forgive = || {
        let path = app.storage.join("pear-runtime/bundle.json");
        let mut note = note(&app);
        note["update"]["points"] = 0.into();
        fs::write(path, note.to_string()).unwrap();
    };

    fs::write(&script, "throw new Error('spoilt')").unwrap();
    fails("throws", 2);
    forgive();
    fs::remove_file(&script).unwrap();
    fails("no-script", 2);
    forgive();
    fs::write(&page, "<!doctype html><body><div> </div></body>").unwrap();
    fails("blank", 2);
    forgive();

    fs::write(&page, &good_page).unwrap();
    let later = "\nsetTimeout(() => { throw new Error('later') }, 4000)\n";
    fs::write(&script, good_script + later).unwrap();
    let mut process = start("errs-later");
    wait_until("the trial is over", Duration::from_secs(15), || {
        Ok(note(&app)["update"].is_null().then_some(()))
    })
    .unwrap();
    process.stop();
}

/// What a process may do: the lines of its status, and the namespaces it is in. `None` once it is gone.
fn confinement(pid: u32) -> Option<(String, [std::path::PathBuf; 3])> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let lines = status
        .lines()
        .filter(|line| line.starts_with("NoNewPrivs:") || line.starts_with("Seccomp:"));
    let lines: String = lines.map(|line| line.replace('\t', "") + " ").collect();
    let space = |name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
    Some((lines, [space("user")?, space("pid")?, space("mnt")?]))
}

/// The processes below this one that run the given program.
fn below(process: u32, program: &str) -> Vec<u32> {
    let numbers = || {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
    };
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(1)?
            .parse::<u32>()
            .ok()
    };
    let runs = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
        first.ends_with(program.as_bytes())
    };
    let is_below = |pid: &u32| {
        let mut up = Some(*pid);
        while let Some(pid) = up.filter(|pid| *pid > 1) {
            if pid == process {
                return true;
            }
            up = parent(pid);
        }
        false
    };
    numbers().filter(runs).filter(is_below).collect()
}

#[test]
fn the_page_runs_in_a_sandbox_where_there_can_be_one() {
    let can = Command::new("bwrap")
        .args(["--ro-bind", "/", "/", "--unshare-user", "--unshare-pid", "true"])
        .status()
        .is_ok_and(|status| status.success())
        && Path::new("/usr/bin/xdg-dbus-proxy").exists();
    if !can {
        return skipped("bubblewrap cannot make a sandbox here, or xdg-dbus-proxy is missing");
    }
    let logs = bosc_tests::peers::fresh_home("sandbox").unwrap();
    let display = Display::own(&logs).unwrap();
    // A place that an ordinary user can read: the program, the app, and its data.
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::copy(bosc_tests::peers::program("pear-chat").unwrap(), at("pear-chat")).unwrap();
    copy_folder(&bosc_tests::peers::root().join("template-app"), &at("app")).unwrap();
    fs::create_dir(at("home")).unwrap();
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = Command::new(if root { "setpriv".into() } else { at("pear-chat") });
    if root {
        const NOBODY: u32 = 65534;
        std::os::unix::fs::chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        std::os::unix::fs::chown(at("home"), Some(NOBODY), Some(NOBODY)).unwrap();
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(at("pear-chat"));
    }
    command
        .args(["--dev".into(), at("app"), "--storage".into(), at("home/data")])
        .envs(display.env())
        // cargo's own, in the home of whoever runs the tests: another user may not read it.
        .env_remove("LD_LIBRARY_PATH")
        .env("HOME", at("home"))
        .env("XDG_RUNTIME_DIR", at("home"))
        .env("RUST_LOG", "warn,bosc_shell::startup=info");
    let mut process = Process::start("app", &mut command, &logs).unwrap();
    process
        .wait_for("the page's first script", Duration::from_secs(30), |line| {
            line.contains("first page script").then_some(())
        })
        .unwrap();
    let page = below(process.id(), "WebKitWebProcess");
    let (host, spaces) = confinement(process.id()).unwrap();
    assert!(
        host.contains("NoNewPrivs:0") && host.contains("Seccomp:0"),
        "{host}"
    );
    assert!(!page.is_empty(), "the page has no process of its own");
    for pid in page {
        let (status, own) = confinement(pid).unwrap();
        assert!(
            status.contains("NoNewPrivs:1") && status.contains("Seccomp:2"),
            "{status}"
        );
        for (own, host) in own.iter().zip(&spaces) {
            assert_ne!(own, host, "the page is in a namespace of the host");
        }
    }
    process.stop();
}
