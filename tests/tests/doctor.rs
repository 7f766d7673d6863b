//! `bosc doctor`: each thing that can keep an app from its updates is brought about, and has to be named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bosc_tests::lab::{Home, Host, Net, can_make_hosts};
use bosc_tests::mounts;
use bosc_tests::peers::{Place, fresh_home, noise};
use bosc_tests::process::{Process, run};
use bosc_tests::skip::skipped;
use bosc_tests::team::refused;
use rusqlite::Connection;
use serde_json::{Value, json};

/// How long a seeder may take to say that it is found.
const READY: Duration = Duration::from_secs(30);

/// What a doctor said.
struct Report {
    checks: Vec<Value>,
    healthy: bool,
}

/// Runs `bosc doctor --json …`.
fn ask(command: &mut Command) -> Result<Report> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<serde_json::Result<_>>()
        .with_context(|| text.clone())?;
    let data = |line: &Value, tag: &str| (line["tag"] == tag).then(|| line["data"].clone());
    let report = Report {
        checks: lines.iter().filter_map(|line| data(line, "check")).collect(),
        healthy: output.status.success(),
    };
    let problems = lines.iter().find_map(|line| data(line, "problems"));
    let told = problems.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(
        (told == 0) == report.healthy,
        "status and problems disagree: {text}"
    );
    Ok(report)
}

impl Report {
    /// The status and the text of a step.
    fn step(&self, step: &str) -> Result<(&str, &str)> {
        let check = self.checks.iter().find(|check| check["step"] == step);
        let check = check.with_context(|| format!("no {step} in {:?}", self.checks))?;
        Ok((
            check["status"].as_str().unwrap_or_default(),
            check["text"].as_str().unwrap_or_default(),
        ))
    }

    /// That a step is a problem, told in words that hold `says`, with advice, and the only one.
    fn expect_problem(&self, step: &str, says: &str) -> Result<()> {
        let (status, text) = self.step(step)?;
        println!("{step}: {text}");
        ensure!(
            !self.healthy && status == "problem" && text.contains(says),
            "{:?}",
            self.checks
        );
        let problems: Vec<&Value> = self
            .checks
            .iter()
            .filter(|check| check["status"] == "problem")
            .collect();
        ensure!(problems.len() == 1, "more than that: {problems:?}");
        ensure!(
            problems.iter().all(|check| check["advice"].is_string()),
            "{problems:?}"
        );
        Ok(())
    }
}

/// A deployment folder with a build for `host`.
fn deployment(folder: &Path, version: &str, host: &str, link: &str) -> Result<()> {
    let package =
        json!({ "name": "cool", "productName": "Cool", "version": version, "upgrade": link }).to_string();
    let bundle = folder.join(format!("by-arch/{host}/app/Cool"));
    fs::create_dir_all(bundle.join("resources/app"))?;
    fs::write(folder.join("package.json"), &package)?;
    fs::write(bundle.join("resources/app/package.json"), &package)?;
    fs::write(bundle.join("Cool"), noise(100_000, 3))?;
    Ok(())
}

/// An installed app in `apps/Cool` of a folder, with its data in `data` beside it.
fn install(home: &Path, version: &str, link: &str) -> Result<PathBuf> {
    let app = home.join("apps/Cool");
    fs::create_dir_all(app.join("resources/app"))?;
    fs::create_dir_all(home.join("data"))?;
    let package = json!({ "name": "cool", "productName": "Cool", "version": version, "upgrade": link });
    fs::write(app.join("resources/app/package.json"), package.to_string())?;
    Ok(app)
}

/// Stages a release of version 1.0.1 for `host` in a store of its own.
fn staged(place: &Place, store: &str, host: &str) -> Result<String> {
    let link = place.run(store, &["touch"])?.trim().to_owned();
    let folder = place.home.join(store).join("deployment");
    deployment(&folder, "1.0.1", host, &link)?;
    place.run(store, &["stage", &link, &folder.display().to_string()])?;
    Ok(link)
}

/// A doctor who looks at the app installed in `home`.
fn doctor(place: &Place, home: &Path, more: &[&str]) -> Command {
    let (app, data) = (home.join("apps/Cool"), home.join("data"));
    let mut command = place.bosc("doctor", &["doctor", "--json", "--timeout", "12"]);
    command
        .arg("--app")
        .arg(app)
        .arg("--app-storage")
        .arg(data)
        .args(more);
    command
}

#[test]
fn what_an_app_says_of_itself_is_found_out() -> Result<()> {
    let place = Place::new("doctor-app")?;
    let link = staged(&place, "author", &app::Host::current().to_string())?;
    let home = place.home.join("person");
    install(&home, "1.0.0", &link)?;
    let _seed = place.seed("author", &link)?;

    let report = ask(&mut doctor(&place, &home, &[]))?;
    ensure!(report.healthy, "{:?}", report.checks);
    for (step, says) in [
        ("bootstrap", "1 of 1 answer"),
        ("DHT", "answer"),
        ("NAT", "reach this machine"),
        ("announced", "1 peer announces it"),
        ("peers", "direct"),
        ("drive", "1 of the peers have"),
        ("release", "1.0.1"),
        ("version", "there is an update"),
        ("build", "2 files"),
        ("delay", "not looked for updates yet"),
        ("disk", "are free"),
        ("install", "can be replaced"),
    ] {
        let (_, text) = report.step(step)?;
        ensure!(text.contains(says), "{step}: {text}");
    }
    // A person sees the same.
    let mut plain = place.bosc("doctor", &["doctor", &link]);
    let text = run(&mut plain)?;
    ensure!(
        text.contains("ok       peers") && text.ends_with("Nothing stands in the way.\n"),
        "{text}"
    );

    for (version, says) in [("1.0.1", "nothing newer is released"), ("1.0.2", "not newer")] {
        install(&home, version, &link)?;
        let report = ask(&mut doctor(&place, &home, &[]))?;
        let (status, text) = report.step("version")?;
        ensure!(
            text.contains(says) && (status == "ok") == (version == "1.0.1"),
            "{text}"
        );
    }
    install(&home, "1.0.0", &link)?;
    let other = place.run("other", &["touch"])?.trim().to_owned();
    let (_, text) = {
        let report = ask(&mut doctor(&place, &home, &[&other]))?;
        report
            .step("link")
            .map(|(status, text)| (status.to_owned(), text.to_owned()))?
    };
    ensure!(text.contains("follows another link"), "{text}");
    let told = refused(&mut place.bosc("doctor", &["doctor", "pear://nonsense"]))?;
    ensure!(told.contains("nonsense"), "{told}");
    let told = refused(&mut place.bosc("doctor", &["doctor", "--app", "nowhere"]))?;
    ensure!(told.contains("nowhere"), "{told}");
    refuses_to_be_written(&place, &home)
}

/// The install cannot be written, and the disk is full: both need a view of the disk of their own, and that needs root.
fn refuses_to_be_written(place: &Place, home: &Path) -> Result<()> {
    let asked = || {
        let mut inner = doctor(place, home, &[]);
        inner.current_dir(&place.home);
        inner
    };
    if !mounts::possible() {
        return Ok(());
    }
    ask(&mut mounts::read_only(&home.join("apps"), &asked()))?
        .expect_problem("install", "cannot be replaced")?;
    ask(&mut mounts::tiny(&home.join("data"), &asked()))?.expect_problem("disk", "full")
}

#[test]
fn what_seeders_lack_is_found_out() -> Result<()> {
    let place = Place::new("doctor-seeders")?;
    let here = app::Host::current().to_string();
    let alone = place.home.join("person");
    let ask_of = |link: &str| -> Result<Report> {
        install(&alone, "1.0.0", link)?;
        ask(&mut doctor(&place, &alone, &[]))
    };
    let link = staged(&place, "author", &here)?;
    ask_of(&link)?.expect_problem("announced", "nobody announces this link")?;

    // Somebody who never got it.
    let empty = place.seed("empty", &link)?;
    ask_of(&link)?.expect_problem("drive", "its store is empty")?;
    drop(empty);

    let foreign = staged(&place, "foreign", "win32-arm64")?;
    let _seed = place.seed("foreign", &foreign)?;
    ask_of(&foreign)?.expect_problem("build", "no build for this machine")?;

    let rotten = staged(&place, "rotten", &here)?;
    let db = Connection::open(place.home.join("rotten/corestore.db"))?;
    db.execute("UPDATE blocks SET value = zeroblob(length(value))", ())?;
    drop(db);
    let _seed = place.seed("rotten", &rotten)?;
    ask_of(&rotten)?.expect_problem("release", "its store is damaged")?;

    let mut lost = doctor(&place, &alone, &[]);
    let none = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    lost.env("BOSC_BOOTSTRAP", none.to_string());
    ask(&mut lost)?.expect_problem("bootstrap", "nothing listens there")
}

#[test]
fn what_a_network_does_not_let_through_is_found_out() -> Result<()> {
    if let Err(why) = can_make_hosts() {
        skipped(why);
        return Ok(());
    }
    let home = fresh_home("doctor-network")?;
    let mut net = Net::new()?;
    let (author, reader) = (net.home(Home::Symmetric)?, net.home(Home::Symmetric)?);
    let by_author = |args: &[&str]| net.bosc(&author, (&home, "author"), args);
    let link = run(&mut by_author(&["touch"])?)?.trim().to_owned();
    deployment(&home.join("deployment"), "1.0.1", "linux-x64", &link)?;
    run(&mut by_author(&["stage", &link, "deployment"])?)?;
    let mut seed = Process::start("seed", &mut by_author(&["seed", &link, "--no-tty"])?, &home)?;
    seed.wait_for("announced", READY, |line| {
        line.contains("announced").then_some(())
    })?;

    let ask_at =
        |net: &Net, host: &Host| ask(&mut net.bosc(host, (&home, "reader"), &["doctor", &link, "--json"])?);
    let report = ask_at(&net, &reader)?;
    let (_, nat) = report.step("NAT")?;
    ensure!(nat.contains("changes its ports"), "{nat}");
    report.expect_problem("peers", "none of them can be reached")?;
    let advice = report
        .checks
        .iter()
        .find_map(|check| check["advice"].as_str().filter(|_| check["step"] == "peers"));
    ensure!(
        advice.is_some_and(|advice| advice.contains("bosc relay")),
        "{advice:?}"
    );

    // Lost on the way: a router that passes everything on but UDP.
    let office = net.home(Home::Cone)?;
    office.nft(
        "table inet office {\nchain in {\ntype filter hook input priority 0;\nmeta l4proto udp drop\n}\n}\n",
    )?;
    ask_at(&net, &office)?.expect_problem("bootstrap", "UDP is blocked on the way")?;
    // Refused by the machine itself.
    let strict = net.home(Home::Cone)?;
    strict.nft(
        "table inet strict {\nchain out {\ntype filter hook output priority 0;\nmeta l4proto udp drop\n}\n}\n",
    )?;
    ask_at(&net, &strict)?.expect_problem("bootstrap", "UDP is blocked on this machine")
}
