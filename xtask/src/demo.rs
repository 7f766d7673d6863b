//! `cargo xtask demo`: builds the programs and shows the walkthrough with them.

use anyhow::Result;

use crate::setup;
use crate::steps::{cargo, root, run};

pub(crate) fn run_task() -> Result<()> {
    setup::run_if_needed()?;
    println!("building bosc and the chat (the first time takes some minutes)...");
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--locked",
        "--release",
        "-p",
        "bosc-cli",
        "-p",
        "pear-chat",
        // The demo drives the installed app as a person would, by WebDriver.
        "--features",
        "pear-chat/dev",
    ]))?;
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--locked",
        "--release",
        "-p",
        "bosc-tests",
        "--bin",
        "demo",
    ]))?;
    let target = target();
    let release = target.join("release");
    let mut demo = std::process::Command::new(release.join("demo"));
    demo.args([
        release.join("bosc"),
        release.join("pear-chat"),
        root().join("template-app"),
        root().join("target/demo"),
    ]);
    run(&mut demo)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}
