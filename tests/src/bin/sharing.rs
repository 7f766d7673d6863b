//! How much of an update a seed sends itself when a crowd of apps takes it at once: real runtimes, swarms and stores, on loopback.
//!
//! `sharing [apps] [megabytes] [seed's bytes a second] [alone]`; with `alone` the apps give nothing back. Prints what each sent.

use std::process::ExitCode;

use bosc_tests::args::begin;
use bosc_tests::sharing::{Crowd, meet};

fn main() -> ExitCode {
    let args = begin();
    let number = |at: usize, default: usize| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let crowd = Crowd {
        apps: number(0, 20),
        bytes: number(1, 20) * 1_000_000,
        seed_rate: number(2, 1_250_000) as u64,
        gives_back: args.last().is_none_or(|arg| arg != "alone"),
    };
    let runtime = tokio::runtime::Runtime::new();
    match runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(meet(&crowd)))
    {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sharing: {error:#}");
            ExitCode::FAILURE
        }
    }
}
