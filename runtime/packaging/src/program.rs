//! The app's program: given, or built with cargo from the app's folder.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command};

use app::{Host, fit};
use serde_json::Value;

use crate::PackagingError;
use crate::stop::Stop;

/// Where the app's program comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// It is built already.
    Built(PathBuf),
    /// cargo builds it from the app's folder, with this profile.
    Cargo {
        /// The profile, such as `release`.
        profile: String,
    },
}

impl Program {
    /// Whether it can be had, and runs on a machine as far as its first bytes tell.
    pub(crate) fn check(&self, dir: &Path, host: &Host) -> Result<(), PackagingError> {
        let here = Host::current();
        match self {
            Self::Built(path) if !path.is_file() => Err(PackagingError::NoProgram { path: path.clone() }),
            Self::Built(path) => check_host(path, host, &here),
            Self::Cargo { .. } if *host != here => {
                let host = host.clone();
                Err(PackagingError::OtherHost { host, here })
            }
            Self::Cargo { .. } if !sources(dir).is_file() => {
                Err(PackagingError::NoSources { path: sources(dir) })
            }
            Self::Cargo { .. } => Ok(()),
        }
    }

    /// Where it is; it is built first if it must be, for which this waits. What cargo says goes to standard error.
    ///
    /// # Errors
    /// If it is not there, or cargo builds none.
    pub fn get(&self, dir: &Path) -> Result<PathBuf, PackagingError> {
        self.get_until(dir, &Stop::default())
    }

    pub(crate) fn get_until(&self, dir: &Path, stop: &Stop) -> Result<PathBuf, PackagingError> {
        match self {
            Self::Built(path) => Ok(path.clone()),
            Self::Cargo { profile } => build(&sources(dir), profile, stop),
        }
    }
}

/// A script is a program of the machine that it is on, unless that is Windows.
fn check_host(path: &Path, host: &Host, here: &Host) -> Result<(), PackagingError> {
    let machines = fit::machines(path).map_err(PackagingError::io("read", path))?;
    let script = machines.is_empty() && host == here && host.platform() != "win32";
    if script || machines.contains(&host.to_string()) {
        return Ok(());
    }
    let found = if machines.is_empty() {
        "no program of a kind that is known".to_owned()
    } else {
        format!("a program for {}", machines.join(" and "))
    };
    Err(PackagingError::OtherProgram {
        path: path.to_owned(),
        found,
        host: host.clone(),
    })
}

fn sources(dir: &Path) -> PathBuf {
    dir.join("Cargo.toml")
}

fn build(sources: &Path, profile: &str, stop: &Stop) -> Result<PathBuf, PackagingError> {
    let no_cargo = |source| PackagingError::NoCargo { source };
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build
        .args(["build", "--bins", "--message-format=json-render-diagnostics"])
        .args(["--profile", profile, "--manifest-path"])
        .arg(sources);
    let mut said = Vec::new();
    let read = |mut stdout: ChildStdout| stdout.read_to_end(&mut said).map(drop);
    let status = stop.run(&mut build, read, no_cargo)?;
    let failed = |what, advice| PackagingError::Build {
        path: sources.to_owned(),
        what,
        advice,
    };
    if !status.success() {
        return Err(failed("nothing, as cargo failed", "see what it says above"));
    }
    let sources = std::fs::canonicalize(sources).map_err(PackagingError::io("read", sources))?;
    let text = String::from_utf8_lossy(&said);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<PathBuf> = messages
        .filter(|message| {
            let of = message.get("manifest_path").and_then(Value::as_str);
            of.map(Path::new) == Some(sources.as_path())
        })
        .filter_map(|message| {
            message
                .get("executable")
                .and_then(Value::as_str)
                .map(PathBuf::from)
        })
        .collect();
    match programs.as_slice() {
        [program] => Ok(program.clone()),
        [] => Err(failed("no program", "give it one, or name the app's with --bin")),
        _ => Err(failed("several programs", "name the app's with --bin")),
    }
}
