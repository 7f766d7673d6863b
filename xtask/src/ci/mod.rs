//! `cargo xtask ci`: everything a change must pass. Quick checks first, the tests last.

mod edges;
mod imports;
mod licences;
mod tidy;
mod unused;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::steps::{Steps, cargo, run};
use crate::{setup, test};

/// Lints and documentation share what they compile of others' crates (types only, a minute in all from an empty target folder); the
/// tests need machine code, and take most of the time.
pub(crate) fn run_task(tests: bool) -> Result<()> {
    setup::run_if_needed()?;
    let mut steps = Steps::default();
    steps.next("tidy")?;
    report(tidy::check()?)?;
    let metadata = metadata()?;
    steps.next("licences of dependencies")?;
    report(licences::check(&metadata)?)?;
    steps.next("edges between crates")?;
    report(edges::check(&metadata)?)?;
    steps.next("unused dependencies")?;
    report(unused::check(&metadata)?)?;
    steps.next("format")?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    steps.next("lints")?;
    run(&mut cargo(&[
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    steps.next("documentation")?;
    run(
        cargo(&["doc", "--quiet", "--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings")
    )?;
    steps.next("fuzz targets compile")?;
    run(&mut cargo(&[
        "check",
        "--quiet",
        "--locked",
        "--bins",
        "--manifest-path",
        "fuzz/Cargo.toml",
    ]))?;
    if tests {
        steps.next("tests")?;
        test::run_task()?;
    } else {
        steps.next("no tests, as asked")?;
    }
    Ok(())
}

/// Fails with all of a check's findings at once.
fn report(findings: Vec<String>) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} to put right:\n  {}", findings.len(), findings.join("\n  "))
}

/// `cargo metadata` of the workspace.
fn metadata() -> Result<Value> {
    let output = cargo(&["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The elements of a JSON array; none if it is something else.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
