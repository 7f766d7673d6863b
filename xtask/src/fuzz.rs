//! `cargo xtask fuzz`: runs the targets in `fuzz/` against what strangers, disks and people can give, seeded from the vectors in
//! `tests/vectors`. One line a target; the full output lies in `target/fuzz-logs/`.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::steps::{has_program, root, run, target};

/// Longest input, in bytes, unless another is asked for: a session of some dozen steps, or any message that is not mostly payload.
const MAX_LENGTH: usize = 4096;
/// What a target may take, in MB, and how long for one input, in seconds.
const MEMORY_MB: usize = 2048;
const TIMEOUT: usize = 20;
/// The crates under test hold no unsafe code on these paths: bounds, overflows and assertions are what is looked at, and
/// without AddressSanitizer the targets run twice as fast.
const SANITIZER: [&str; 2] = ["--sanitizer", "none"];

/// What to run, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One target, a file of fuzz/targets without its ending; all of them without one
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many inputs each target runs instead, whatever time that takes
    #[arg(long, conflicts_with = "seconds")]
    runs: Option<u64>,
    /// The longest input, in bytes; a tenth of it makes targets that do work for each byte ten times as quick
    #[arg(long, default_value_t = MAX_LENGTH, value_name = "BYTES")]
    max_length: usize,
}

pub(crate) fn run_task(args: &Args) -> Result<()> {
    let targets = targets(args.target.as_deref())?;
    if let Err(why) = tools() {
        println!("fuzzing skipped: {why:#}");
        return Ok(());
    }
    println!(
        "building {} targets (the first time takes some minutes)...",
        targets.len()
    );
    let mut build = cargo_fuzz("build");
    run(build.args(&args.target)).context("the fuzz targets do not build")?;
    let mut found = Vec::new();
    for name in &targets {
        let outcome = run_target(name, args)?;
        println!("{name}: {}", outcome.line());
        found.extend(outcome.crash.map(|path| reproduce(name, &path)));
    }
    ensure!(
        found.is_empty(),
        "{} of {} targets failed; to see one again:\n{}",
        found.len(),
        targets.len(),
        found.join("\n")
    );
    Ok(())
}

/// The names of the targets, or of the one that was asked for.
fn targets(only: Option<&str>) -> Result<Vec<String>> {
    let folder = root().join("fuzz/targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    names.sort();
    match only {
        None => Ok(names),
        Some(name) if names.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("there is no target {name}; there are {}", names.join(", ")),
    }
}

/// Sees to a nightly compiler and cargo-fuzz; an error says why they cannot be had.
fn tools() -> Result<()> {
    ensure!(has_program("rustup"), "it needs rustup, for a nightly compiler");
    let quiet = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !quiet("rustup", &["run", "nightly", "rustc", "--version"]) {
        println!("installing a nightly compiler...");
        let install = ["toolchain", "install", "nightly", "--profile", "minimal"];
        ensure!(
            quiet("rustup", &install),
            "a nightly compiler cannot be installed; try `rustup {}`",
            install.join(" ")
        );
    }
    if !quiet("rustup", &["run", "nightly", "cargo", "fuzz", "--version"]) {
        println!("installing cargo-fuzz...");
        let install = ["install", "cargo-fuzz", "--locked"];
        let mut arguments = vec!["run", "nightly", "cargo"];
        arguments.extend(install);
        ensure!(
            quiet("rustup", &arguments),
            "cargo-fuzz cannot be installed; try `cargo {}`",
            install.join(" ")
        );
    }
    Ok(())
}

/// `cargo fuzz build` or `run`.
fn cargo_fuzz(what: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "fuzz", what, "--fuzz-dir"])
        .arg(root().join("fuzz"))
        .args(SANITIZER)
        .current_dir(root());
    command
}

/// How a target fared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    per_second: u64,
    coverage: u64,
    new: u64,
    /// The input that it failed with.
    crash: Option<PathBuf>,
}

impl Outcome {
    fn line(&self) -> String {
        let crash = match &self.crash {
            Some(path) => format!(", FAILED with {}", path.display()),
            None => String::new(),
        };
        let rate = match self.per_second {
            0 => String::new(), // It ended within its first second.
            per_second => format!("{per_second}/s, "),
        };
        format!(
            "{} executions, {rate}coverage {}, {} new inputs{crash}",
            self.executions, self.coverage, self.new
        )
    }

    /// Out of what libFuzzer printed.
    fn read(log: &str) -> Self {
        let number = |text: &str| text.split_whitespace().next().and_then(|text| text.parse().ok());
        let mut outcome = Self::default();
        for line in log.lines() {
            let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest);
            let read = |mark: &str, into: &mut u64| *into = after(mark).and_then(number).unwrap_or(*into);
            read("stat::number_of_executed_units:", &mut outcome.executions);
            read("stat::average_exec_per_sec:", &mut outcome.per_second);
            read("stat::new_units_added:", &mut outcome.new);
            read(" cov: ", &mut outcome.coverage);
            if let Some(path) = after("Test unit written to ") {
                outcome.crash = Some(PathBuf::from(path.trim()));
            }
        }
        outcome
    }
}

fn run_target(name: &str, args: &Args) -> Result<Outcome> {
    let folder = |kind: &str| -> Result<PathBuf> {
        let path = root().join("fuzz").join(kind).join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    };
    let (corpus, seeds, artifacts) = (folder("corpus")?, folder("seeds")?, folder("artifacts")?);
    seeds::write(name, &root(), &seeds)?;
    let logs = target().join("fuzz-logs");
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let log = logs.join(format!("{name}.log"));
    let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = cargo_fuzz("run");
    command.arg(name).args([&corpus, &seeds]).arg("--");
    command.arg(match args.runs {
        Some(runs) => format!("-runs={runs}"),
        None => format!("-max_total_time={}", args.seconds),
    });
    command
        .arg(format!("-max_len={}", args.max_length))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .stdout(Stdio::null())
        .stderr(file);
    let status = command.status().context("cannot run rustup")?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let outcome = Outcome::read(&text);
    ensure!(
        status.success() || outcome.crash.is_some(),
        "{name} did not run ({status}); see {}",
        log.display()
    );
    Ok(outcome)
}

/// The line that runs one input again.
fn reproduce(name: &str, input: &Path) -> String {
    let sanitizer = SANITIZER.join(" ");
    format!("  cargo +nightly fuzz run {sanitizer} {name} {}", input.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_prints_is_read() {
        let log = "#2\tINITED cov: 90 ft: 91 corp: 1/1b exec/s: 0 rss: 40Mb\n\
            #8192\tpulse  cov: 120 ft: 300 corp: 33/1Kb lim: 4096 exec/s: 4096 rss: 50Mb\n\
            Done 9000 runs in 2 second(s)\nstat::number_of_executed_units: 9000\nstat::average_exec_per_sec:     4500\n\
            stat::new_units_added:          32\nstat::slowest_unit_time_sec:    0\nstat::peak_rss_mb: 50\n";
        let mut expected = Outcome {
            executions: 9000,
            per_second: 4500,
            coverage: 120,
            new: 32,
            crash: None,
        };
        assert_eq!(Outcome::read(log), expected);
        assert_eq!(
            expected.line(),
            "9000 executions, 4500/s, coverage 120, 32 new inputs"
        );
        let crashed = format!("{log}artifact_prefix='/a/'; Test unit written to /a/crash-1\nBase64: AA==\n");
        expected.crash = Some("/a/crash-1".into());
        assert_eq!(Outcome::read(&crashed), expected);
        assert!(expected.line().ends_with("FAILED with /a/crash-1"));
    }

    #[test]
    fn each_target_is_built_and_says_what_it_is_for() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let names = targets(None).unwrap();
        assert!(names.len() > 10);
        for name in names {
            assert!(
                manifest.contains(&format!("path = \"targets/{name}.rs\"")),
                "{name}"
            );
            let text = fs::read_to_string(root().join(format!("fuzz/targets/{name}.rs"))).unwrap();
            assert!(text.starts_with("//! "), "{name}");
        }
        assert!(targets(Some("nonsense")).is_err());
    }
}
