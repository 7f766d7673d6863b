//! `cargo xtask bench`: release builds, measured beside the JavaScript stack where Node is present.

use anyhow::Result;

use crate::setup;
use crate::steps::{BOSC, CHAT, has_program, release, run};
use crate::test::javascript_peers;

pub(crate) fn run_task() -> Result<()> {
    setup::run_if_needed()?;
    if has_program("npm") {
        javascript_peers()?;
    }
    let bare = ["-p", "bosc-shell", "--example", "bare"];
    run(&mut release(&[BOSC, CHAT, &bare].concat(), "bench")?)
}
