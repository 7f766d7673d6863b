//! `cargo xtask`: the habits of this repository. `demo` shows the walkthrough, `test` runs every test, `ci` checks everything a
//! change must pass, `fuzz` feeds it what strangers could send, `bench` measures, `crowd` has many clients fetch at once, `lab`
//! has peers meet behind NATs, `weather` has streams go through bad lines, `torture` kills and damages, `cross` compiles for Windows and
//! macOS and tries the first under Wine, `setup` installs what the machine lacks (the others do it by themselves).

mod bench;
mod ci;
mod cross;
mod crowd;
mod demo;
mod fuzz;
mod lab;
mod setup;
mod steps;
mod test;
mod torture;
mod weather;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Bosc's habits.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the whole over-the-air walkthrough on this machine, offline, with real programs
    Demo,
    /// Run every test; ends with a line of counts
    Test,
    /// Check everything a change must pass: tidiness, licences, dependencies, lints, documentation, tests
    Ci {
        /// Leave out the last step, the tests
        #[arg(long)]
        no_tests: bool,
    },
    /// Feed decoders and state machines what strangers, disks and people could give
    Fuzz(fuzz::Args),
    /// Measure beside the JavaScript stack, on the same work in the same run
    Bench,
    /// Have many clients fetch from one seed at once: when they are done, and what it costs the seed
    Crowd(crowd::Crowd),
    /// Let two peers meet behind NATs of all kinds, ours beside JavaScript's (needs root)
    Lab(lab::Lab),
    /// Kill programs, fill disks, flip bits, move clocks: everything must be before or after, and nothing may hang
    Torture(torture::Torture),
    /// Send streams through loss, delay, jitter and queues, ours beside JavaScript's (needs root)
    Weather(weather::Weather),
    /// Check the workspace for Windows and macOS, build bosc.exe and try it under Wine
    Cross(cross::Cross),
    /// Install what the machine lacks
    Setup,
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Demo => demo::run_task(),
        Task::Test => test::run_task(),
        Task::Ci { no_tests } => ci::run_task(!no_tests),
        Task::Fuzz(args) => fuzz::run_task(&args),
        Task::Bench => bench::run_task(),
        Task::Crowd(args) => crowd::run_task(&args),
        Task::Lab(args) => lab::run_task(&args),
        Task::Torture(args) => torture::run_task(&args),
        Task::Weather(args) => weather::run_task(&args),
        Task::Cross(args) => cross::run_task(&args),
        Task::Setup => setup::run_task(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
