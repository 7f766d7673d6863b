//! One program at a time: killed after a delay, or given a hard limit.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::process::{end, processes_with};

/// How a program ended.
pub struct Ended {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it said.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Ended {
    /// Fails unless the program did what it was asked to.
    pub fn good(self, what: &str) -> Result<Self> {
        ensure!(
            self.code == Some(0),
            "{what} ended with {:?}: {}",
            self.code,
            self.stderr.trim()
        );
        Ok(self)
    }

    /// Whether it succeeded; fails unless it did, or said with exit status 1 why not.
    pub fn good_or_clean(&self, what: &str) -> Result<bool> {
        if self.code == Some(0) {
            return Ok(true);
        }
        ensure!(
            self.code == Some(1) && !self.stderr.trim().is_empty() && !self.stderr.contains("panicked"),
            "{what} ended with {:?} and said: {:?}",
            self.code,
            self.stderr.trim()
        );
        Ok(false)
    }
}

/// Kills a program when it goes out of scope, on every way out.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program that must end within `limit`. What it prints is kept beside `log`.
pub fn finish(command: &mut Command, limit: Duration, log: &Path) -> Result<Ended> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let stderr = log.with_extension("stderr");
    let start = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(File::create(log.with_extension("stdout"))?)
        .stderr(File::create(&stderr)?)
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let mut child = Killed(child);
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        ensure!(
            start.elapsed() < limit,
            "it did not end within {} s: {command:?}; it said: {:?}",
            limit.as_secs(),
            std::fs::read_to_string(&stderr).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(3));
    };
    let took = start.elapsed();
    let mut said = Vec::new();
    File::open(&stderr)?.read_to_end(&mut said)?;
    Ok(Ended {
        code: status.code(),
        stderr: String::from_utf8_lossy(&said).into_owned(),
        took,
    })
}

/// Runs a program and kills it (SIGKILL) after `delay`. Whether it still ran.
pub fn kill_after(command: &mut Command, delay: Duration) -> Result<bool> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let mut child = Killed(child);
    std::thread::sleep(delay);
    Ok(child.0.try_wait()?.is_none())
}

/// As [`kill_after`], with all that the program started and that has `mark` in its environment.
pub fn kill_all_after(command: &mut Command, delay: Duration, mark: &str) -> Result<bool> {
    let killed = kill_after(command, delay)?;
    for id in processes_with(mark) {
        end(id, Signal::KILL);
    }
    Ok(killed)
}
