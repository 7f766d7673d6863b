//! An installed app that follows a link over the weather: `bosc seed` on one host, the app (the example `headless`) on another.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::link::Weather;
use super::wan::Wan;
use crate::peers::{PATIENCE, fresh_home, program};
use crate::process::{Process, run};
use crate::torture::deployment;

/// The host of the seeder, and that of the app.
const SEEDER: usize = 0;
const APP: usize = 1;
/// A connection through which a release takes about ten seconds, so that there is a middle of it.
const RATE: u64 = 500_000;

/// Both hosts, with version 1.0.0 released and installed.
pub struct Journey {
    wan: Wan,
    home: PathBuf,
    bosc: PathBuf,
    link: String,
    number: u64,
    seed: Option<Process>,
    app: Option<Process>,
}

impl Journey {
    /// Releases and installs in `target/test-logs/<name>`. Nobody runs yet.
    ///
    /// # Errors
    /// If the machine gives no weather, or `bosc` does not do what it is told.
    pub fn new(name: &str) -> Result<Self> {
        let weather = Weather {
            rate: Some(RATE),
            queue: RATE / 10,
            ..Weather::round_trip(Duration::from_millis(20))
        };
        let mut journey = Self {
            wan: Wan::new(
                &[weather.clone(), weather],
                Some(Weather::round_trip(Duration::from_millis(20))),
            )?,
            home: fresh_home(name)?,
            bosc: program("bosc")?,
            link: String::new(),
            number: 0,
            seed: None,
            app: None,
        };
        journey.link = run(&mut journey.bosc(&["touch"])?)?.trim().to_owned();
        let bundle = journey.stage()?;
        let copied = Command::new("cp")
            .arg("-a")
            .args([&bundle, &journey.home.join("installed")])
            .status()?;
        ensure!(copied.success(), "cp failed");
        Ok(journey)
    }

    fn command(&self, host: usize, program: &Path) -> Result<Command> {
        let mut command = self
            .wan
            .host(host)?
            .command(program.to_str().context("the path of a program is not text")?);
        command
            .current_dir(&self.home)
            .env("BOSC_STORAGE", self.home.join("store"))
            .env("BOSC_BOOTSTRAP", self.wan.bootstrap())
            .env("HEADLESS_STORAGE", self.home.join("storage"))
            .env("HEADLESS_LINK", &self.link)
            .env("HEADLESS_BOOTSTRAP", self.wan.bootstrap());
        Ok(command)
    }

    fn bosc(&self, args: &[&str]) -> Result<Command> {
        let mut command = self.command(SEEDER, &self.bosc)?;
        command.args(args);
        Ok(command)
    }

    /// Stages the version of that number; its bundle.
    fn stage(&self) -> Result<PathBuf> {
        let bundle = deployment(&self.home.join("tree"), &self.link, self.number)?;
        let app = program("examples/headless")?;
        let app = app
            .to_str()
            .context("the path of the app without a window is not text")?;
        let script = format!("#!/bin/sh\nexec '{app}' \"$(dirname \"$0\")\"\n");
        std::fs::write(bundle.join("Cool"), script)?;
        run(&mut self.bosc(&["stage", &self.link, "tree"])?)?;
        Ok(bundle)
    }

    /// Releases the next version.
    ///
    /// # Errors
    /// What `bosc stage` says.
    pub fn release(&mut self) -> Result<()> {
        self.number += 1;
        self.stage().map(drop)
    }

    /// Starts `bosc seed`, until it is announced.
    ///
    /// # Errors
    /// If it is not.
    pub fn seed(&mut self) -> Result<()> {
        let mut command = self.bosc(&["seed", &self.link, "--no-tty"])?;
        let mut seed = Process::start("seed", &mut command, &self.home.join("logs"))?;
        seed.wait_for("that it is announced", PATIENCE, |line| {
            line.contains("announced").then_some(())
        })?;
        self.seed = Some(seed);
        Ok(())
    }

    /// Ends `bosc seed` as a power cut would.
    pub fn kill_seed(&mut self) {
        if let Some(mut seed) = self.seed.take() {
            seed.kill();
        }
    }

    /// Starts the app.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&mut self) -> Result<()> {
        let program = self.home.join("installed/Cool");
        let mut command = self.command(APP, &program)?;
        self.app = Some(Process::start("app", &mut command, &self.home.join("logs"))?);
        Ok(())
    }

    fn app_says(&mut self, line: &str, limit: Duration) -> Result<()> {
        let app = self.app.as_mut().context("the app does not run")?;
        app.wait_for(line, limit, |said| (said == line).then_some(()))
    }

    /// Waits until the app is in the midst of an update.
    ///
    /// # Errors
    /// If none begins.
    pub fn midst(&mut self) -> Result<()> {
        self.app_says(&format!("updating 1.0.{}", self.number), PATIENCE)?;
        // A third of it.
        std::thread::sleep(Duration::from_secs(3));
        Ok(())
    }

    /// How long it takes until the newest version is installed and runs.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub fn arrives(&mut self, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        self.app_says(&format!("well 1.0.{}", self.number), limit)?;
        Ok(start.elapsed())
    }

    /// The network between the hosts.
    pub fn wan(&mut self) -> &mut Wan {
        &mut self.wan
    }

    /// Takes the app's host off the network, or brings it back.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn plug(&self, is_in: bool) -> Result<()> {
        self.wan.plug(APP, is_in)
    }
}
