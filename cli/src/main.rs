//! `bosc`, the release tool: version → make → build → stage → provision, and `seed` to serve the result to peers.
//!
//! Results go to stdout, words for people to stderr; `--json` makes stdout one JSON object a line. Exit status: 0 ok, 1 failed,
//! 2 wrong usage, 130 and 143 stopped by Ctrl-C or SIGTERM.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod args;
mod commands;
mod interrupt;
mod key_file;
mod network;
mod output;
mod password;
mod progress;
mod store;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};
use interrupt::{Stopped, or_stop};
use output::Output;

fn main() -> ExitCode {
    base::heap::share();
    let args = match Args::try_parse().and_then(Args::with_environment) {
        Ok(args) => args,
        Err(error) => return output::usage(&error),
    };
    // What a disk spoils is said even if it could be mended: the disk is to be looked at.
    let filter = match args.global.log_level {
        Some(level) => EnvFilter::new(level.to_string()),
        None => {
            EnvFilter::try_from_env("BOSC_LOG").unwrap_or_else(|_| "error,core_store::core::heal=warn".into())
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let output = Output::new(args.command.name(), args.global.json);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&anyhow::anyhow!("cannot start: {error}")),
    };
    let result = runtime.block_on(run(&args, &output));
    let stopped = result
        .as_ref()
        .err()
        .and_then(|error| error.downcast_ref::<Stopped>());
    let stopped = stopped.copied();
    // Whatever still waits for the network must not hold up the end.
    runtime.shutdown_timeout(match stopped {
        Some(_) => interrupt::PUTTING_AWAY,
        None => std::time::Duration::from_millis(200),
    });
    match (result, stopped) {
        (Ok(()), _) => ExitCode::SUCCESS,
        (Err(error), Some(stopped)) => {
            output.fail(&error);
            stopped.status()
        }
        (Err(error), None) => output.fail(&error),
    }
}

async fn run(args: &Args, output: &Output) -> anyhow::Result<()> {
    let global = &args.global;
    match &args.command {
        Command::Init(init) => commands::init::run(init, output),
        Command::Dev(dev) => commands::dev::run(dev, output).await,
        Command::Touch(touch) => commands::touch::run(touch, global, output).await,
        Command::Changelog(changelog) => commands::changelog::run(changelog, global, output).await,
        Command::Completions(completions) => commands::shell::completions(completions, output),
        Command::Man(man) => commands::shell::man(man, output),
        Command::Version(version) => commands::version::run(version, output),
        Command::Make(make) => or_stop(commands::make::run(make, output)).await,
        Command::Build(build) => or_stop(commands::build::run(build, output)).await,
        Command::Stage(stage) => or_stop(commands::stage::run(stage, global, output)).await,
        Command::Provision(provision) => or_stop(commands::provision::run(provision, global, output)).await,
        Command::Release(release) => commands::release::run(release, global, output).await,
        Command::Multisig(multisig) => commands::multisig::run(multisig, global, output).await,
        Command::Seed(seed) => commands::seed::run(seed, global, output).await,
        Command::Info(info) => commands::info::run(info, global, output).await,
        Command::Dump(dump) => or_stop(commands::dump::run(dump, global, output)).await,
        Command::Check(check) => commands::check::run(check, global, output).await,
        Command::Doctor(doctor) => commands::doctor::run(doctor, global, output).await,
        Command::Dht(dht) => commands::dht::run(dht, output).await,
        Command::Relay(relay) => commands::relay::run(global, relay, output).await,
    }
}
