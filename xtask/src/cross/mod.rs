//! `cargo xtask cross`: the workspace checked for Windows and macOS on a Linux machine, `bosc.exe` built and tried under Wine.
//!
//! Nobody needs this to work on Bosc: what a machine lacks and cannot get is said in one line, and the steps that want it are left out.

mod compiler;
mod systems;
mod wine;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::setup;
use crate::steps::{Steps, run, target};
use compiler::Compiler;
use systems::{Environment, System, WINDOWS};

/// Which part of it.
#[derive(Debug, Args)]
pub(crate) struct Cross {
    /// Only check types and lints, for both systems
    #[arg(long, conflicts_with = "wine")]
    check: bool,
    /// Only build bosc.exe and run the tests under Wine
    #[arg(long)]
    wine: bool,
}

/// Where everything of this task lies; the compiled files of other systems beside those of this one.
fn folder() -> PathBuf {
    target().join("cross")
}

pub(crate) fn run_task(args: &Cross) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!(
            "left out: this compiles on Linux for the other systems; on them `cargo xtask test` tells more"
        );
        return Ok(());
    }
    let mut steps = Steps::default();
    let (mut built, mut failed) = (None, Vec::new());
    for system in systems::ALL {
        let windows = system.triple == WINDOWS.triple;
        if args.wine && !windows {
            continue;
        }
        steps.next(&format!("tools for {}", system.name))?;
        let Some(tools) = left_out(system.name, tools(system)) else {
            continue;
        };
        if !args.wine {
            steps.next(&format!("types and lints for {}", system.name))?;
            // One system's faults are not to hide another's.
            if let Err(error) = run(&mut tools.lints()) {
                println!("{error:#}");
                failed.push(system.name);
            }
        }
        if windows && !args.check {
            steps.next("bosc.exe and an app without a window")?;
            built = Some(tools.program()?);
        }
    }
    if let Some(program) = built {
        steps.next("tools for Wine")?;
        if let Some(wine) = left_out("Wine", wine::Wine::ready(&folder())) {
            steps.next("tests under Wine")?;
            wine.test(&program)?;
        }
    }
    steps.end()?;
    ensure!(
        failed.is_empty(),
        "types or lints are not in order for {}",
        failed.join(" and ")
    );
    Ok(())
}

/// What a system is compiled with.
struct Tools {
    compiler: Compiler,
    system: &'static System,
    /// What cargo's build scripts are told of the C compiler.
    environment: Environment,
}

fn tools(system: &'static System) -> Result<Tools> {
    setup::run_if_needed()?;
    Ok(Tools {
        environment: (system.prepare)(&folder())?,
        compiler: Compiler::find(system.triple)?,
        system,
    })
}

impl Tools {
    fn cargo(&self, command: &str) -> std::process::Command {
        let mut cargo = self.compiler.cargo(command, self.system.triple, &folder());
        cargo.envs(self.environment.iter().map(|(name, value)| (name, value)));
        cargo
    }

    /// Types are checked on the way: clippy is the compiler's front with more lints.
    fn lints(&self) -> std::process::Command {
        let mut clippy = self.cargo("clippy");
        clippy.args(["--workspace", "--all-targets", "--keep-going"]);
        for (package, why) in systems::LINUX_ONLY {
            println!("left out: {package}: {why}");
            clippy.args(["--exclude", package]);
        }
        clippy.args(["--", "-D", "warnings"]);
        clippy
    }

    /// Builds `bosc` for the system, and the app without a window; where the first lies, in whose `examples` the second is.
    fn program(&self) -> Result<PathBuf> {
        run(self
            .cargo("build")
            .args(crate::steps::BOSC)
            .args(crate::steps::HEADLESS))?;
        let built = self.compiler.target(&folder()).join(self.system.triple);
        Ok(built.join("debug/bosc.exe"))
    }
}

/// Says in one line what is left out, and why.
fn left_out<T>(what: &str, result: Result<T>) -> Option<T> {
    result
        .inspect_err(|error| {
            let why = format!("{error:#}");
            let words: Vec<&str> = why.split_whitespace().collect();
            println!("left out: {what}: {}", words.join(" "));
        })
        .ok()
}
