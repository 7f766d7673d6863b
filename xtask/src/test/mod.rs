//! `cargo xtask test`: every test of the workspace, with what they need, and a closing line of counts.
//!
//! The programs that hold the tests are run here rather than by cargo, which would run one after the other: in some the tests wait
//! for peers, timeouts and routers nearly all of their time, and those run beside the others.

mod counts;
mod programs;

use std::process::Command;

use anyhow::{Result, bail};

use crate::setup;
use crate::steps::{cargo, has_program, root, run};
use crate::test::counts::Counts;
use crate::test::programs::{Program, Ran, doc_tests};

/// Whose tests wait nearly all of their time: under a tenth of it is spent computing.
const WAITING: [&str; 5] = [
    "tests --test multisig",
    "tests --test multisig_js",
    "tests --test doctor",
    "tests --test swarm_js",
    "cli --test multisig",
];

/// As many of such tests run at once: each has programs of its own, which take memory.
const WAIT_AT_ONCE: usize = 6;

pub(crate) fn run_task() -> Result<()> {
    setup::run_if_needed()?;
    println!("building the programs and their tests...");
    // All at once: the programs alone would be built with fewer features of some libraries, and all that depends on those twice.
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
    ]))?;
    javascript_peers()?;
    let (waiting, working): (Vec<_>, Vec<_>) = programs::build()?
        .into_iter()
        .partition(|program| WAITING.contains(&program.name.as_str()));
    let mut all = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run_waiting(&waiting));
        let working = run_working(&working);
        let waiting = waiting.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        Ok::<_, anyhow::Error>([working?, waiting?].concat())
    })?;
    all.push(doc_tests(&mut |line| println!("{line}"))?);
    let mut counts = Counts::default();
    for ran in &all {
        counts.add(&ran.counts);
        if !ran.good {
            println!("failed: {}", ran.name);
        }
    }
    println!(
        "\n{} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    );
    if counts.failed > 0 || all.iter().any(|ran| !ran.good) {
        bail!("some tests failed; logs of whole-product tests are in target/test-logs");
    }
    if counts.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// One after the other, each line as it comes.
fn run_working(programs: &[Program]) -> Result<Vec<Ran>> {
    let run = |program: &Program| {
        println!("\n     Running {}", program.name);
        program.run(None, &mut |line| println!("{line}"))
    };
    programs.iter().map(run).collect()
}

/// One after the other; the lines of each stand together, as others print meanwhile.
fn run_waiting(programs: &[Program]) -> Result<Vec<Ran>> {
    let run = |program: &Program| {
        let mut said = String::new();
        let ran = program.run(Some(WAIT_AT_ONCE), &mut |line| {
            said.push_str(line);
            said.push('\n');
        })?;
        println!("\n         Ran {}\n{said}", program.name);
        Ok(ran)
    };
    programs.iter().map(run).collect()
}

/// Installs the JavaScript packages that interop tests talk to.
pub(crate) fn javascript_peers() -> Result<()> {
    let folder = root().join("tests/interop");
    if !folder.join("package-lock.json").is_file() {
        bail!("{} has no package-lock.json", folder.display());
    }
    if !has_program("npm") {
        bail!("the tests talk to JavaScript peers: install Node.js 20 or newer with npm");
    }
    println!("installing the JavaScript peers...");
    run(Command::new("npm")
        .args(["ci", "--silent", "--no-audit", "--no-fund"])
        .current_dir(folder))
}
