//! An app without a window that does around an update what the shell does; the bundles of `torture`'s update campaign run it.
//!
//! `torture-app <bundle>`; storage, link and DHT come from `TORTURE_STORAGE`, `TORTURE_LINK` and `TORTURE_BOOTSTRAP`. Lines on
//! standard output say how far it is.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use app::{Host, Layout, fit};
use bosc_runtime::bundle::{Decision, Startup, preflight};
use bosc_runtime::{Runtime, RuntimeConfig, UpdaterEvent};

fn main() -> ExitCode {
    let Some(bundle) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: torture-app <bundle>");
        return ExitCode::from(2);
    };
    if let Some(code) = preflight::answer(|| version(&bundle)) {
        return code;
    }
    match start(&bundle) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("torture-app: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn version(bundle: &Path) -> Result<String> {
    fit::version_of(bundle).with_context(|| format!("no version in {}", bundle.display()))
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

fn start(bundle: &Path) -> Result<()> {
    let storage = PathBuf::from(variable("TORTURE_STORAGE")?);
    bosc_runtime::private_dir(&storage)?;
    let startup = match Startup::begin(&storage, bundle) {
        Decision::Run(startup) => startup,
        Decision::RolledBack { from, to } => {
            println!("rolled back from {from} to {to}");
            return Err(again(bundle));
        }
    };
    let version = version(bundle)?;
    println!("start {version}");
    let config = RuntimeConfig {
        dir: storage,
        app: Some(bundle.to_owned()),
        name: Layout::at(&Host::current(), bundle).bundle_name("Cool"),
        version: version.parse()?,
        upgrade: variable("TORTURE_LINK")?.parse()?,
        updates: true,
        delay: Some(Duration::ZERO),
        bootstrap: Some(vec![variable("TORTURE_BOOTSTRAP")?]),
        relays: Vec::new(),
        seed: None,
    };
    startup.started_well();
    println!("well {version}");
    let runtime = tokio::runtime::Runtime::new()?;
    let applied = runtime.block_on(follow(config));
    runtime.shutdown_timeout(Duration::from_secs(2));
    applied?;
    Err(again(bundle))
}

/// Follows the link until an update is in place.
async fn follow(config: RuntimeConfig) -> Result<()> {
    let updater = Runtime::start(config).await?;
    let mut events = updater.events();
    loop {
        match events.recv().await? {
            UpdaterEvent::Updating { next_version } => println!("updating {next_version}"),
            UpdaterEvent::Error { message, .. } => println!("error {message}"),
            UpdaterEvent::Updated { next_version, .. } => {
                println!("updated {next_version}");
                match updater.apply_update().await {
                    Ok(true) => {
                        println!("applied {next_version}");
                        break;
                    }
                    Ok(false) => {}
                    Err(error) => println!("error {error}"),
                }
            }
            _ => {}
        }
    }
    updater.close().await;
    Ok(())
}

/// Becomes what is in the bundle now; returns only what kept it from that.
fn again(bundle: &Path) -> anyhow::Error {
    // A folder may have been installed under any name.
    let program = if bundle.is_file() {
        bundle.to_owned()
    } else {
        bundle.join("Cool")
    };
    anyhow::Error::new(Command::new(&program).exec()).context(program.display().to_string())
}
