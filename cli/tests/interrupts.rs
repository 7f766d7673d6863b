//! Ctrl-C and SIGTERM: nothing is left behind, the status says which it was, and the same command goes on.

#![cfg(target_os = "linux")]

mod place;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use place::Place;

/// What a release is interrupted for: far longer than any of it takes here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command whose lines of JSON are read one by one. What is not read yet holds it up once the pipe is full.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(place: &Place, args: &[&str], env: &[(&str, &Path)]) -> Self {
        let command = place.command(args);
        let mut child = Command::new(command.get_program())
            .args(command.get_args())
            .arg("--json")
            .current_dir(place.path(""))
            .env("BOSC_STORAGE", place.path("store"))
            .env("BOSC_BOOTSTRAP", "127.0.0.1:1")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Reads until an event was seen so many times.
    fn wait_for(mut self, tag: &str, times: usize) -> Self {
        let (mut seen, mut last) = (0, String::new());
        while seen < times {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "it ended before {tag}, which was seen {seen} times; last: {last}"
            );
            let told: Value = serde_json::from_str(&line).unwrap();
            seen += usize::from(told["tag"] == tag);
            last = line;
        }
        self
    }

    /// Sends a signal, and sees that it ends with that signal's status and says so.
    fn stop(mut self, signal: Signal) {
        let began = Instant::now();
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        let expected = if signal == Signal::INT { 130 } else { 143 };
        assert_eq!(status.code(), Some(expected), "{status}: {rest}");
        assert!(began.elapsed() < PATIENCE);
        let last: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert_eq!(last["tag"], "error", "{rest}");
        assert_eq!(last["data"]["code"], "ERR_INTERRUPTED", "{rest}");
    }
}

/// Hidden files below a folder: those that are written under another name first.
fn hidden(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            found.extend(hidden(&entry.path()));
        }
        if name.starts_with('.') || name.ends_with("bosc-tmp") {
            found.push(name);
        }
    }
    found
}

/// A deployment of more files than a pipe holds lines about.
fn deployment(place: &Place, link: &str) {
    place.package("dep", "1.0.0", link);
    for number in 0..1500 {
        place.write(&format!("dep/{number:04}"), &format!("content {number}"));
    }
}

fn same(one: &Path, other: &Path) -> bool {
    Command::new("diff")
        .args(["-r"])
        .args([one, other])
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn a_stage_that_is_stopped_has_staged_nothing_and_is_run_again() {
    let place = Place::new();
    let link = place.touch();
    deployment(&place, &link);
    for (times, signal) in [(0, Signal::TERM), (1, Signal::INT), (300, Signal::INT)] {
        Running::start(&place, &["stage", &link, "dep"], &[])
            .wait_for(if times == 0 { "staging" } else { "byte-diff" }, times.max(1))
            .stop(signal);
        assert_eq!(place.length(&link), 0);
        assert_eq!(hidden(&place.path("dep")), [""; 0]);
    }
    let store = fs::read_dir(place.path("store")).unwrap().flatten();
    for file in store.map(|entry| entry.file_name().into_string().unwrap()) {
        assert!(
            file.starts_with("corestore") || file == "writer.lock",
            "{file} was left in the store"
        );
    }
    place.bosc(&["stage", &link, "dep"]).success();
    place.bosc(&["dump", &link, "out"]).success();
    assert!(same(&place.path("dep"), &place.path("out")));
}

#[test]
fn a_provision_that_is_stopped_releases_nothing_and_is_run_again() {
    let place = Place::new();
    let (link, target) = (place.touch(), place.touch());
    deployment(&place, &target);
    place.bosc(&["stage", &link, "dep"]).success();
    let source = link.replace("://", &format!("://0.{}.", place.length(&link)));
    let production = target.replace("://", "://0.0.");
    let args = ["provision", &source, &target, &production, "--cooldown", "60"];
    let begun = || Running::start(&place, &args, &[]);
    begun().wait_for("byte-diff", 200).stop(Signal::INT);
    begun().wait_for("cooldown", 1).stop(Signal::TERM);
    assert_eq!(place.length(&target), 0);
    let args = &args[..4];
    // Where it is written all may be done before the signal is there.
    let writing = Running::start(&place, args, &[]).wait_for("staging", 1);
    kill_process(Pid::from_child(&writing.child), Signal::INT).unwrap();
    let code = writing.child.wait_with_output().unwrap().status.code();
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
    place.bosc(args).success();
    place.bosc(&["dump", &target, "out"]).success();
    assert!(same(&place.path("dep"), &place.path("out")));
}

#[test]
fn a_dump_that_is_stopped_leaves_whole_files_and_goes_on_unforced() {
    let place = Place::new();
    let link = place.touch();
    deployment(&place, &link);
    place.write("dep/big", &"0123456789abcdef".repeat(1 << 20));
    place.bosc(&["stage", &link, "dep"]).success();
    for (times, signal) in [(0, Signal::INT), (1, Signal::INT), (700, Signal::TERM)] {
        Running::start(&place, &["dump", &link, "out"], &[])
            .wait_for(if times == 0 { "dumping" } else { "byte-diff" }, times.max(1))
            .stop(signal);
        let left = hidden(&place.path("out"));
        assert!(left.iter().all(|name| name == ".bosc-tmp-dump"), "{left:?}");
    }
    place.bosc(&["dump", &link, "out"]).success();
    assert!(same(&place.path("dep"), &place.path("out")));
    assert_eq!(hidden(&place.path("out")), [""; 0]);
}

/// A program of so many bytes that no compression makes small.
fn program(place: &Place, bytes: usize) {
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    fs::write(place.path("program"), noise.take(bytes).collect::<Vec<u8>>()).unwrap();
}

#[test]
fn a_make_and_a_build_that_are_stopped_leave_what_was_whole() {
    let place = Place::new();
    place.project(&place.touch());
    let out = place.path(&format!("app/out/Cool-{}", app::Host::current()));
    program(&place, 24 << 20);
    let make = ["make", "app", "--bin", "program", "--format", "folder,appimage"];
    Running::start(&place, &make, &[])
        .wait_for("made", 1)
        .stop(Signal::INT);
    assert!(!out.join("Cool.AppImage").exists() && out.join("Cool/Cool").exists());
    let left: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["Cool"]);
    place.bosc(&make[..4]).success();

    let bundle = format!("--{}-app={}", app::Host::current(), out.join("Cool").display());
    let build = ["build", "--package=app/package.json", &bundle, "--target", "dep"];
    Running::start(&place, &build, &[])
        .wait_for("building", 1)
        .stop(Signal::TERM);
    assert_eq!(hidden(&place.path("dep")), [""; 0]);
    assert!(
        !place.path("dep/package.json").exists(),
        "half a deployment looks whole"
    );
    place.bosc(&build).success();
    let built =
        app::layout::bundles(&app::layout::hosts(&place.path("dep")).join(app::Host::current().to_string()));
    assert!(same(&out.join("Cool"), &built.join("Cool")));
}

/// A cargo that says who it is and builds for ever.
fn endless_cargo(place: &Place) {
    use std::os::unix::fs::PermissionsExt;
    place.write(
        "cargo",
        "#!/bin/sh\necho $$ > pid.new && mv pid.new pid && exec sleep 600\n",
    );
    fs::set_permissions(place.path("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    place.write("app/Cargo.toml", "");
}

fn wait_for_cargo(place: &Place) -> Pid {
    let began = Instant::now();
    loop {
        if let Ok(pid) = fs::read_to_string(place.path("pid")) {
            fs::remove_file(place.path("pid")).unwrap();
            return Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        }
        assert!(began.elapsed() < PATIENCE, "cargo was not started");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ends(pid: Pid) -> bool {
    let began = Instant::now();
    while test_kill_process(pid).is_ok() {
        if began.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn a_build_of_the_program_ends_with_the_command_that_waits_for_it() {
    let place = Place::new();
    place.project("pear://replace-with-your-link");
    endless_cargo(&place);
    let before = fs::read_to_string(place.path("app/package.json")).unwrap();
    let cargo = place.path("cargo");
    let env = [("CARGO", cargo.as_path())];
    let release = ["release", "minor", "--dir", "app", "--yes"];
    let running = Running::start(&place, &release, &env);
    let pid = wait_for_cargo(&place);
    running.stop(Signal::INT);
    assert!(ends(pid), "cargo goes on");
    let field = |text: &str| serde_json::from_str::<Value>(text).unwrap()["version"].clone();
    let after = fs::read_to_string(place.path("app/package.json")).unwrap();
    assert_eq!(field(&after), field(&before));
    assert_eq!(hidden(&place.path("app")), [""; 0]);

    let running = Running::start(&place, &["make", "app"], &env);
    let pid = wait_for_cargo(&place);
    running.stop(Signal::TERM);
    assert!(ends(pid), "cargo goes on");
    let told = place.stdout(&["release", "minor", "--dir", "app", "--yes", "--bin", "program"]);
    assert!(told.contains("^Latest: 1.1.0"), "{told}");
}
