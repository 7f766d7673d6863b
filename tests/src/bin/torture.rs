//! Kills, fills, flips and stops real programs, and prints a line for each campaign; started by `cargo xtask torture`.
//!
//! `torture [--kills N] [--flips N] [--only NAME] [--seed S]`

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bosc_tests::torture::{Options, run};

fn main() -> ExitCode {
    match options() {
        Ok(options) if run(&options) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options {
        kills: 1000,
        flips: 300,
        only: None,
        seed: 1,
        long: true,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().with_context(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--kills" => options.kills = value.parse()?,
            "--flips" => options.flips = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            "--only" => options.only = Some(value),
            _ => bail!("{name} is not known"),
        }
    }
    Ok(options)
}
