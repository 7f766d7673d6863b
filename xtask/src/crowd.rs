//! `cargo xtask crowd`: how one `bosc seed` serves many clients at once, by release builds.

use anyhow::{Result, bail};
use clap::Args;

use crate::setup;
use crate::steps::{BOSC, release};

/// How many, and how much.
#[derive(Debug, Args)]
pub(crate) struct Crowd {
    /// Clients at once, a line of the table for each number
    #[arg(long, default_value = "50,100,200", value_name = "N,N,...")]
    clients: String,
    /// What each of them fetches
    #[arg(long, default_value_t = 20, value_name = "N")]
    megabytes: u32,
    /// How often each line is measured
    #[arg(long, default_value_t = 1, value_name = "N")]
    runs: u32,
    /// The only part: table or leave
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

pub(crate) fn run_task(args: &Crowd) -> Result<()> {
    setup::run_if_needed()?;
    let mut crowd = release(BOSC, "crowd")?;
    crowd.args(&args.only).args(["--clients", &args.clients]);
    for (name, value) in [("--megabytes", args.megabytes), ("--runs", args.runs)] {
        crowd.arg(name).arg(value.to_string());
    }
    if !crowd.status()?.success() {
        bail!("not every client got everything; logs are in target/test-logs/crowd");
    }
    Ok(())
}
