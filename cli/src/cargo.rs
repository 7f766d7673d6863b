//! An app's program, built with cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

/// Builds the app's program with cargo and returns where it is.
pub(crate) fn build(dir: &Path, profile: &str) -> anyhow::Result<PathBuf> {
    let manifest = dir.join("Cargo.toml");
    if !manifest.is_file() {
        bail!(
            "{} is missing: name the app's program with --bin",
            manifest.display()
        );
    }
    let built = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "build",
            "--bins",
            "--message-format=json-render-diagnostics",
            "--profile",
            profile,
            "--manifest-path",
        ])
        .arg(&manifest)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo: install Rust, or name the app's program with --bin")?;
    if !built.status.success() {
        bail!("cargo could not build {}", manifest.display());
    }
    let manifest = std::fs::canonicalize(&manifest)?;
    let programs: Vec<PathBuf> = String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message
                .get("manifest_path")
                .and_then(Value::as_str)
                .map(Path::new)
                == Some(manifest.as_path())
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
        [] => bail!("{} builds no program", manifest.display()),
        _ => bail!(
            "{} builds several programs: name the app's with --bin",
            manifest.display()
        ),
    }
}
