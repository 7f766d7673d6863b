//! An app without a window: it follows its link, puts each new version in place and becomes it, as the shell does around a page. It is
//! what an author without a web view begins from, and what the tests of updates install.
//!
//! Its bundle is the one around this program, or the first argument; storage, link and DHT come from `HEADLESS_STORAGE`, `HEADLESS_LINK`
//! and `HEADLESS_BOOTSTRAP`. Lines on standard output say how far it is. A bundle with a file `resources/app/fails` has a version
//! that says that it can run, and then cannot.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use app::{Format, Host, Layout, fit};
use bosc_runtime::bundle::{self, Decision, Startup, preflight};
use bosc_runtime::{Runtime, RuntimeConfig, UpdaterEvent};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let found = bundles();
    if let Some(code) = preflight::answer(|| found.as_ref().map(drop).map_err(ToString::to_string)) {
        return code;
    }
    match found.and_then(|found| start(&found)) {
        Ok(command) => become_it(command),
        Err(error) => {
            eprintln!("headless: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where this program stands.
struct Bundles {
    exe: PathBuf,
    /// The bundle of this version.
    own: PathBuf,
    /// The installed one: the same, or the one that has this version in it.
    installed: PathBuf,
    version: semver::Version,
}

fn bundles() -> Result<Bundles> {
    let exe = std::env::current_exe()?;
    let around = || Layout::of(&Host::current(), Format::Folder).around(&exe);
    let own = std::env::args_os().nth(1).map(PathBuf::from).or_else(around);
    let own = own.ok_or("this program stands in no folder")?;
    let version = fit::version_of(&own).ok_or_else(|| format!("no version in {}", own.display()))?;
    Ok(Bundles {
        installed: bundle::around(&own).to_owned(),
        version: version.parse()?,
        own,
        exe,
    })
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

/// Says something at once: whoever listens may end this process at any moment.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
}

/// Runs until another version is in place; what starts that.
fn start(found: &Bundles) -> Result<Command> {
    let Bundles {
        installed, version, ..
    } = found;
    let storage = PathBuf::from(variable("HEADLESS_STORAGE")?);
    bosc_runtime::private_dir(&storage)?;
    let startup = match Startup::begin(&storage, installed) {
        Decision::Run(startup) => startup,
        Decision::RolledBack { from, to } => {
            say(&format!("rolled back from {from} to {to}"));
            return Ok(again(found));
        }
    };
    if let Some(command) = bundle::handed_over(installed, &found.exe) {
        return Ok(command);
    }
    say(&format!("start {version}"));
    if found.own.join("resources/app/fails").exists() {
        startup.failed();
        return Err("this version fails".into());
    }
    let config = RuntimeConfig {
        dir: storage,
        app: Some(installed.clone()),
        name: Layout::at(&Host::current(), installed).bundle_name("Cool"),
        version: version.clone(),
        upgrade: variable("HEADLESS_LINK")?.parse()?,
        updates: true,
        delay: Some(Duration::ZERO),
        bootstrap: Some(vec![variable("HEADLESS_BOOTSTRAP")?]),
        relays: Vec::new(),
        seed: None,
    };
    startup.started_well();
    say(&format!("well {version}"));
    let runtime = tokio::runtime::Runtime::new()?;
    let applied = runtime.block_on(follow(config));
    runtime.shutdown_timeout(Duration::from_secs(2));
    applied?;
    Ok(again(found))
}

/// Follows the link until an update is in place.
async fn follow(config: RuntimeConfig) -> Result<()> {
    let updater = Runtime::start(config).await?;
    let mut events = updater.events();
    loop {
        match events.recv().await? {
            UpdaterEvent::Updating { next_version } => say(&format!("updating {next_version}")),
            UpdaterEvent::Error { message, .. } => say(&format!("error {message}")),
            UpdaterEvent::Updated { next_version, .. } => {
                say(&format!("updated {next_version}"));
                match updater.apply_update().await {
                    Ok(true) => {
                        say(&format!("applied {next_version}"));
                        break;
                    }
                    Ok(false) => {}
                    Err(error) => say(&format!("error {error}")),
                }
            }
            _ => {}
        }
    }
    updater.close().await;
    Ok(())
}

/// What starts the version that is in place now.
fn again(found: &Bundles) -> Command {
    let installed = &found.installed;
    let program = if installed.is_file() {
        installed.clone()
    } else if cfg!(windows) {
        bundle::program(installed, &found.exe)
    } else {
        // A folder may have been installed under any name, and this program may stand elsewhere.
        installed.join("Cool")
    };
    let mut command = Command::new(program);
    bundle::anew(&mut command);
    command
}

/// Becomes another program; returns only what kept it from that, or where one cannot become another.
fn become_it(mut command: Command) -> ExitCode {
    #[cfg(unix)]
    let result: io::Result<()> = Err(std::os::unix::process::CommandExt::exec(&mut command));
    #[cfg(not(unix))]
    let result = command.spawn().map(drop);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "headless: {}: {error}",
                Path::new(command.get_program()).display()
            );
            ExitCode::FAILURE
        }
    }
}
