//! Measures Bosc beside the JavaScript stack on the same work in the same run; started by `cargo xtask bench`.
//!
//! Two processes on this machine find each other through `bosc dht`. Each figure is the median of several runs, each with a fresh store.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bosc_tests::display::Display;
use bosc_tests::peers::{Place, noise, program, root};
use bosc_tests::process::Process;

const LIMIT: Duration = Duration::from_secs(300);
const RUNS: usize = 3;
const LARGE: usize = 200_000_000;
const MANY: usize = 2_000;
/// Files of the folder that is staged again and dumped.
const CROWD: usize = 100_000;

/// One line of the table: a figure of ours, JavaScript's (or a bare window's), and its unit.
struct Row {
    what: &'static str,
    unit: &'static str,
    ours: f64,
    theirs: Option<f64>,
}

fn main() -> ExitCode {
    match measure() {
        Ok(rows) => {
            println!(
                "\n{:<58} {:>12} {:>12} {:>8}",
                "figure (median of 3, lower is better)", "bosc", "npm", "ratio"
            );
            for row in &rows {
                let theirs = row
                    .theirs
                    .map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
                let ratio = row
                    .theirs
                    .map_or_else(|| "-".to_owned(), |value| format!("{:.2}", row.ours / value));
                println!(
                    "{:<58} {:>12} {theirs:>12} {ratio:>8}",
                    format!("{} [{}]", row.what, row.unit),
                    format!("{:.2}", row.ours)
                );
            }
            println!("\nThe first page script is compared with a bare wry window; sizes stand alone.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<Vec<Row>> {
    let node = Command::new("node")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
        && root().join("tests/interop/node_modules/hyperdrive").is_dir();
    if !node {
        eprintln!("Node.js or its packages are not there: only our own figures are shown");
    }
    let place = Place::new("bench")?;
    let package = "{\"name\":\"bench\",\"version\":\"1.0.0\",\"upgrade\":\"pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y\"}";
    let large = place.home.join("large");
    fs::create_dir_all(&large)?;
    fs::write(large.join("file"), noise(LARGE, 1))?;
    fs::write(large.join("package.json"), package)?;
    let many = place.home.join("many");
    for index in 0..MANY {
        let folder = many.join(format!("{:02}", index % 50));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{index}")), noise(8192, index as u64 + 7))?;
    }
    fs::write(many.join("package.json"), package)?;

    let mut ours: [Vec<Sample>; 2] = Default::default();
    let mut theirs: [Vec<Sample>; 2] = Default::default();
    for run in 0..RUNS {
        for (index, name) in ["large", "many"].into_iter().enumerate() {
            eprintln!("run {} of {RUNS}: {name}", run + 1);
            if let Some(samples) = ours.get_mut(index) {
                samples.push(bosc(&place, name, run)?);
            }
            if let Some(samples) = theirs.get_mut(index).filter(|_| node) {
                samples.push(npm(&place, name, run)?);
            }
        }
    }
    let [ours_large, ours_many] = &ours;
    let [theirs_large, theirs_many] = &theirs;
    let row = |what, unit, ours: &[Sample], theirs: &[Sample], pick: fn(&Sample) -> f64| Row {
        what,
        unit,
        ours: median(ours.iter().map(pick)).unwrap_or_default(),
        theirs: median(theirs.iter().map(pick)),
    };
    let mut rows = vec![
        row("stage one file of 200 MB", "s", ours_large, theirs_large, |s| {
            s.stage
        }),
        row("stage 2,000 files of 8 KB", "s", ours_many, theirs_many, |s| {
            s.stage
        }),
        row(
            "cold fetch and mirror of one file of 200 MB",
            "s",
            ours_large,
            theirs_large,
            |s| s.fetch,
        ),
        row(
            "cold fetch and mirror of 2,000 files of 8 KB",
            "s",
            ours_many,
            theirs_many,
            |s| s.fetch,
        ),
        row(
            "peak memory while fetching 200 MB",
            "MB",
            ours_large,
            theirs_large,
            |s| s.memory,
        ),
        row(
            "on the wire after 1 KB went into the 200 MB file",
            "MB",
            ours_large,
            theirs_large,
            |s| s.delta,
        ),
    ];
    rows.extend(crowd(&place, package)?);
    if let Some(row) = first_script(&place)? {
        rows.push(row);
    }
    clean_many(&place);
    for (what, name) in [
        ("release binary: bosc", "bosc"),
        ("release binary: pear-chat", "pear-chat"),
    ] {
        let bytes = fs::metadata(program(name)?)?.len();
        rows.push(Row {
            what,
            unit: "MB",
            ours: bytes as f64 / 1e6,
            theirs: None,
        });
    }
    Ok(rows)
}

/// What one run yields: seconds, and megabytes.
struct Sample {
    stage: f64,
    fetch: f64,
    memory: f64,
    delta: f64,
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Bytes that went over the loopback interface so far: everything between the two processes, headers and all.
fn wire() -> Result<u64> {
    let count =
        fs::read_to_string("/sys/class/net/lo/statistics/rx_bytes").context("no loopback counters")?;
    Ok(count.trim().parse()?)
}

/// Inserts 1 KB in the middle of the large file.
fn insert(file: &Path, run: usize) -> Result<()> {
    let mut bytes = fs::read(file)?;
    let middle = bytes.len() / 2;
    bytes.splice(middle..middle, noise(1024, 1000 + run as u64));
    Ok(fs::write(file, bytes)?)
}

/// Runs a fetching process to its end; seconds and its peak memory in MB.
fn fetch(mut process: Process) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut peak = 0.0f64;
    while process.is_running() {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kilobytes.unwrap_or_default() * 1024.0 / 1e6);
        ensure!(start.elapsed() < LIMIT, "a fetch did not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((start.elapsed().as_secs_f64(), peak))
}

fn bosc(place: &Place, name: &str, run: usize) -> Result<Sample> {
    let (store, peer, out) = (
        format!("store-{name}-{run}"),
        format!("peer-{name}-{run}"),
        format!("out-{name}-{run}"),
    );
    let link = place.run(&store, &["touch"])?.trim().to_owned();
    let start = Instant::now();
    place.run(&store, &["stage", &link, name])?;
    let stage = start.elapsed().as_secs_f64();
    let mut seed = place.seed(&store, &link)?;
    let dump = || -> Result<Process> {
        let mut command = place.bosc(&peer, &["dump", &link, &out, "--force"]);
        Process::start("dump", &mut command, &place.home)
    };
    let (seconds, memory) = fetch(dump()?)?;
    check(place, name, &out)?;
    let mut delta = 0.0;
    if name == "large" {
        let file = place.home.join(name).join("file");
        let original = fs::read(&file)?;
        insert(&file, run)?;
        place.run(&store, &["stage", &link, name])?;
        // The seed learns of what another process staged within a second.
        std::thread::sleep(Duration::from_secs(1));
        let before = wire()?;
        fetch(dump()?)?;
        delta = (wire()? - before) as f64 / 1e6;
        check(place, name, &out)?;
        fs::write(&file, original)?;
    }
    seed.stop();
    clean_large(place, name, &[&store, &peer, &out]);
    Ok(Sample {
        stage,
        fetch: seconds,
        memory,
        delta,
    })
}

fn npm(place: &Place, name: &str, run: usize) -> Result<Sample> {
    let (store, peer, out) = (
        format!("js-store-{name}-{run}"),
        format!("js-peer-{name}-{run}"),
        format!("js-out-{name}-{run}"),
    );
    let seed = || -> Result<(Process, f64, String)> {
        let mut seed = place.node("seed.js", &[name, &store, "dedup"])?;
        let staged = seed.wait_for("staged", LIMIT, |line| {
            line.strip_prefix("staged ")?.parse::<f64>().ok()
        })?;
        let key = seed.wait_for("its key", LIMIT, |line| {
            line.split_once(' ')
                .filter(|(key, _)| key.len() == 64)
                .map(|(key, _)| key.to_owned())
        })?;
        Ok((seed, staged / 1000.0, key))
    };
    let (mut seeder, stage, key) = seed()?;
    let (seconds, memory) = fetch(place.node("fetch.js", &[&key, &peer, &out])?)?;
    check(place, name, &out)?;
    let mut delta = 0.0;
    if name == "large" {
        seeder.stop();
        let file = place.home.join(name).join("file");
        let original = fs::read(&file)?;
        insert(&file, run)?;
        let (mut again, ..) = seed()?;
        let before = wire()?;
        fetch(place.node("fetch.js", &[&key, &peer, &out, "newer"])?)?;
        delta = (wire()? - before) as f64 / 1e6;
        check(place, name, &out)?;
        fs::write(&file, original)?;
        again.stop();
    }
    seeder.stop();
    clean_large(place, name, &[&store, &peer, &out]);
    Ok(Sample {
        stage,
        fetch: seconds,
        memory,
        delta,
    })
}

/// A folder of very many small files: staged, staged again untouched, and dumped.
fn crowd(place: &Place, package: &str) -> Result<[Row; 3]> {
    eprintln!("{CROWD} files");
    let folder = place.home.join("crowd");
    for index in 0..CROWD {
        let part = folder.join(format!("{:03}", index / 500));
        if index % 500 == 0 {
            fs::create_dir_all(&part)?;
        }
        fs::write(
            part.join(index.to_string()),
            format!("file {index}\n").repeat(8 + index % 64),
        )?;
    }
    fs::write(folder.join("package.json"), package)?;
    // A file that was touched just now is read the next time, too.
    std::thread::sleep(Duration::from_secs(3));
    let link = place.run("store-crowd", &["touch"])?.trim().to_owned();
    let stage = || -> Result<f64> {
        let start = Instant::now();
        place.run("store-crowd", &["stage", &link, "crowd"])?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first = stage()?;
    let again = (0..RUNS).map(|_| stage()).collect::<Result<Vec<_>>>()?;
    let mut command = place.bosc("store-crowd", &["dump", &link, "out-crowd"]);
    let (_, memory) = fetch(Process::start("dump-crowd", &mut command, &place.home)?)?;
    check(place, "crowd", "out-crowd")?;
    clean(place, &["store-crowd", "crowd", "out-crowd"]);
    let row = |what, unit, ours| Row {
        what,
        unit,
        ours,
        theirs: None,
    };
    Ok([
        row("stage 100,000 small files (once)", "s", first),
        row(
            "stage them again untouched",
            "s",
            median(again.into_iter()).unwrap_or_default(),
        ),
        row("peak memory while dumping them (once)", "MB", memory),
    ])
}

/// A figure of a transfer that did not arrive whole is worth nothing.
fn check(place: &Place, name: &str, out: &str) -> Result<()> {
    bosc_tests::peers::expect_same(&place.home.join(name), &place.home.join(out))
}

/// Makes room after a run. Thousands of small files stay until [`clean_many`]: ext4 without a journal does not use a file's inode again
/// for some minutes, and looks at each that was deleted before it gives one to the next run's files, which takes longer than the run.
fn clean_large(place: &Place, name: &str, folders: &[&str]) {
    if name == "large" {
        clean(place, folders);
    }
}

/// Removes what the runs with many files left.
fn clean_many(place: &Place) {
    for run in 0..RUNS {
        for part in ["store", "peer", "out", "js-store", "js-peer", "js-out"] {
            clean(place, &[&format!("{part}-many-{run}")]);
        }
    }
}

fn clean(place: &Place, folders: &[&str]) {
    for folder in folders {
        let _ = fs::remove_dir_all(place.home.join(folder));
    }
}

/// Milliseconds from the start of the process to the first script of its page, beside a bare window's.
fn first_script(place: &Place) -> Result<Option<Row>> {
    let Ok(bare) = program("examples/bare") else {
        return Ok(None);
    };
    let display = Display::present_or_virtual(&place.home)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..7 {
        let mut command = Command::new(&bare);
        command.envs(display.env());
        theirs.push(script_after(&mut command, place, "bare", &format!("bare-{run}"))?);
        let mut command = Command::new(program("pear-chat")?);
        let storage = place.home.join(format!("chat-{run}"));
        command
            .arg("--dev")
            .arg(root().join("template-app"))
            .arg("--storage")
            .arg(storage);
        command
            .envs(display.env())
            .env("BOSC_LOG", "info")
            .env("RUST_LOG", "info");
        ours.push(script_after(&mut command, place, "chat", &format!("chat-{run}"))?);
    }
    let ours = median(ours.into_iter()).unwrap_or_default();
    Ok(Some(Row {
        what: "first page script after start",
        unit: "ms",
        ours,
        theirs: median(theirs.into_iter()),
    }))
}

fn script_after(command: &mut Command, place: &Place, what: &str, name: &str) -> Result<f64> {
    let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1000.0;
    let mut process = Process::start(name, command, &place.home)?;
    let at = process.wait_for("its first page script", Duration::from_secs(30), |line| {
        let line: String = strip_colours(line);
        let after = line
            .split_once("first-script-epoch-ms ")
            .or_else(|| line.split_once("epoch_ms="))?
            .1;
        after.split_whitespace().next()?.parse::<f64>().ok()
    });
    process.stop();
    Ok(at.with_context(|| what.to_owned())? - start)
}

/// A log line without its terminal colours.
fn strip_colours(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    out + rest
}
