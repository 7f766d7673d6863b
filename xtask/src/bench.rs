//! `cargo xtask bench`: release builds, measured beside the JavaScript stack where Node is present.

use std::process::Command;

use anyhow::Result;

use crate::demo::target;
use crate::setup;
use crate::steps::{cargo, has_program, run};
use crate::test::javascript_peers;

pub(crate) fn run_task() -> Result<()> {
    setup::run_if_needed()?;
    if has_program("npm") {
        javascript_peers()?;
    }
    println!("building the release (the first time takes some minutes)...");
    let build = |args: &[&str]| run(cargo(&["build", "--quiet", "--locked", "--release"]).args(args));
    build(&["-p", "bosc-cli", "-p", "pear-chat"])?;
    build(&["-p", "bosc-shell", "--example", "bare"])?;
    build(&["-p", "bosc-tests", "--bin", "bench"])?;
    run(&mut Command::new(target().join("release/bench")))
}
