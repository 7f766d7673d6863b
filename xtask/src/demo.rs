//! `cargo xtask demo`: builds the programs and shows the walkthrough with them.

use anyhow::Result;

use crate::setup;
use crate::steps::{BOSC, CHAT, DRIVEN, release, root, run, target};

pub(crate) fn run_task() -> Result<()> {
    setup::run_if_needed()?;
    // The demo drives the installed app as a person would, by WebDriver.
    let mut demo = release(&[BOSC, CHAT, DRIVEN].concat(), "demo")?;
    let target = target();
    let release = target.join("release");
    demo.args([
        release.join("bosc"),
        release.join("pear-chat"),
        root().join("template-app"),
        root().join("target/demo"),
    ]);
    run(&mut demo)
}
