//! `cargo xtask torture`: release builds, killed, filled, flipped and stopped until something gives.

use anyhow::{Result, bail};
use clap::Args;

use crate::setup;
use crate::steps::{BOSC, CHAT, DRIVEN, HEADLESS, release};

/// How much.
#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// How many times to kill a program, over all campaigns
    #[arg(long, default_value_t = 1000, value_name = "N")]
    kills: u64,
    /// How many stores to damage
    #[arg(long, default_value_t = 300, value_name = "N")]
    flips: u64,
    /// The only campaign to run
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// What delays and places follow from
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
}

pub(crate) fn run_task(args: &Torture) -> Result<()> {
    setup::run_if_needed()?;
    // A driver looks at the window of the installed chat.
    let mut torture = release(&[BOSC, CHAT, DRIVEN, HEADLESS].concat(), "torture")?;
    for (name, value) in [
        ("--kills", args.kills),
        ("--flips", args.flips),
        ("--seed", args.seed),
    ] {
        torture.arg(name).arg(value.to_string());
    }
    if let Some(only) = &args.only {
        torture.args(["--only", only]);
    }
    if !torture.status()?.success() {
        bail!("some campaigns failed; their logs are in target/test-logs");
    }
    Ok(())
}
