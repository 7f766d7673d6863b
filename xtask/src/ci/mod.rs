//! `cargo xtask ci`: everything a change must pass. Quick checks first, the tests last.

mod edges;
mod licences;
mod tidy;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::steps::{cargo, run};
use crate::{setup, test};

pub(crate) fn run_task() -> Result<()> {
    setup::run_if_needed()?;
    step("tidy")?;
    report(tidy::check()?)?;
    let metadata = metadata()?;
    step("licences of dependencies")?;
    report(licences::check(&metadata)?)?;
    step("edges between crates")?;
    report(edges::check(&metadata)?)?;
    step("format")?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    step("lints")?;
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
    step("documentation")?;
    run(
        cargo(&["doc", "--quiet", "--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings")
    )?;
    step("tests")?;
    test::run_task()
}

fn step(name: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "== {name}")?;
    out.flush()?;
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
