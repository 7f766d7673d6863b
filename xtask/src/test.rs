//! `cargo xtask test`: every test of the workspace, with what they need, and a closing line of counts.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::steps::{cargo, has_program, root, run};

/// How many tests went how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Tests of the binary that runs now that passed because they cannot run here, and said so.
    idle: u64,
}

impl Counts {
    /// Adds a `test result:` line of libtest, or the line of a test that cannot run here.
    fn add(&mut self, line: &str) {
        // It may stand behind the name of a test that libtest has begun to write.
        if line.contains("SKIPPED ") {
            self.idle += 1;
            return;
        }
        let Some(rest) = line.trim().strip_prefix("test result:") else {
            return;
        };
        for part in rest.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match what {
                "passed" => {
                    let idle = std::mem::take(&mut self.idle).min(number);
                    self.passed += number - idle;
                    self.skipped += idle;
                }
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

pub(crate) fn run_task() -> Result<()> {
    setup::run_if_needed()?;
    println!("building the programs that whole-product tests run...");
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--locked",
        "-p",
        "bosc-cli",
        "-p",
        "pear-chat",
    ]))?;
    javascript_peers()?;
    let mut child = cargo(&["test", "--locked", "--workspace", "--no-fail-fast"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo test")?;
    let mut counts = Counts::default();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line = line?;
        counts.add(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    println!(
        "\n{} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    );
    if !status.success() || counts.failed > 0 {
        bail!("some tests failed; logs of whole-product tests are in target/test-logs");
    }
    if counts.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_add_up() {
        let mut counts = Counts::default();
        counts.add(
            "test result: ok. 31 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.17s",
        );
        counts.add("test result: FAILED. 7 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.add("test a::passed ... ok");
        counts.add("test b ... SKIPPED b: this is no root");
        counts.add("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(
            counts,
            Counts {
                passed: 40,
                failed: 1,
                skipped: 3,
                idle: 0,
            }
        );
    }
}
