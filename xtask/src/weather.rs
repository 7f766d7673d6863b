//! `cargo xtask weather`: what a stream carries through loss, delay, jitter and queues, ours beside JavaScript's. Needs root.

use anyhow::{Result, bail};
use clap::Args;

use crate::setup;
use crate::steps::release;
use crate::test::javascript_peers;

/// What to try.
#[derive(Debug, Args)]
pub(crate) struct Weather {
    /// The only parts: capacity, table, connect, ping or two
    #[arg(value_name = "PART")]
    parts: Vec<String>,
    /// How long each stream runs
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u32,
    /// How often each cell is tried
    #[arg(long, default_value_t = 1, value_name = "N")]
    runs: u32,
    /// The only cells: those whose name holds this
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
}

pub(crate) fn run_task(args: &Weather) -> Result<()> {
    setup::run_if_needed()?;
    javascript_peers()?;
    let mut weather = release(&[], "weather")?;
    weather.args(&args.parts);
    for (name, value) in [("--seconds", args.seconds), ("--runs", args.runs)] {
        weather.arg(name).arg(value.to_string());
    }
    if let Some(only) = &args.only {
        weather.args(["--only", only]);
    }
    if !weather.status()?.success() {
        bail!("the weather could not be made");
    }
    Ok(())
}
