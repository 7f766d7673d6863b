//! `cargo xtask lab`: how long two peers take to meet behind NATs of all kinds, ours beside JavaScript's. Needs root.

use anyhow::{Result, bail};
use clap::Args;

use crate::setup;
use crate::steps::release;
use crate::test::javascript_peers;

/// What to try.
#[derive(Debug, Args)]
pub(crate) struct Lab {
    /// How often each pair tries to meet, each time in a network of its own
    #[arg(long, default_value_t = 5, value_name = "N")]
    runs: u32,
    /// When to say that they never meet
    #[arg(long, default_value_t = 40, value_name = "SECONDS")]
    limit: u32,
    /// The only cell to try: server and client, each open, cone or sym
    #[arg(long, value_name = "SERVER-CLIENT")]
    only: Option<String>,
    /// The only stacks to try: server and client, each js or bosc
    #[arg(long, value_name = "SERVER-CLIENT")]
    stacks: Option<String>,
}

pub(crate) fn run_task(args: &Lab) -> Result<()> {
    setup::run_if_needed()?;
    javascript_peers()?;
    let mut lab = release(&[], "lab")?;
    lab.args([
        "--runs",
        &args.runs.to_string(),
        "--limit",
        &args.limit.to_string(),
    ]);
    for (name, value) in [("--only", &args.only), ("--stacks", &args.stacks)] {
        if let Some(value) = value {
            lab.args([name, value]);
        }
    }
    if !lab.status()?.success() {
        bail!("the lab could not be made");
    }
    Ok(())
}
