//! Where the host meets `bosc-runtime`: storage folders, the rollback marker, the updater, and the restart.

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::error::ShellError;
use crate::locate::Located;
use crate::package::Package;
use crate::updater::StartUpdater;

/// The folder of this instance: `--storage`, else the system's place for an installed app's data, else (development) a
/// folder among the temporary files.
pub(crate) fn storage_dir(args: &Args, located: &Located, package: &Package) -> PathBuf {
    if let Some(dir) = &args.storage {
        return std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
    }
    if located.bundle.is_none() {
        return std::env::temp_dir().join("pear").join(&package.product_name);
    }
    std::env::home_dir()
        .unwrap_or_default()
        .join(".config")
        .join(&package.product_name)
}

/// This start of a bundle, for rolling back one that cannot start.
pub(crate) struct Boot {}

impl Boot {
    pub(crate) fn begin(_located: &Located, _storage: &Path, _package: &Package) -> Result<Self, ShellError> {
        Ok(Self {})
    }

    /// The page is on the screen and talks with the host: this bundle is good.
    pub(crate) fn started_well(self) {}
}

/// The updater of an installed app, unless updates are off.
pub(crate) fn updater(
    _args: &Args,
    _located: &Located,
    _package: &Package,
    _storage: &Path,
) -> Option<StartUpdater> {
    None
}

/// Starts the app again in place of this process, with the same arguments. Returns only if that failed.
pub(crate) fn restart(bundle: Option<&Path>, exe: &Path) -> ShellError {
    const EXTRACT: &str = "--appimage-extract-and-run";
    let appimage = bundle.filter(|bundle| bundle.is_file());
    let program = appimage.unwrap_or(exe);
    let mut command = std::process::Command::new(program);
    if appimage.is_some() {
        command.arg(EXTRACT);
    }
    command.args(std::env::args_os().skip(1).filter(|arg| arg != EXTRACT));
    ShellError::Restart {
        program: program.to_owned(),
        source: replace_process(&mut command),
    }
}

#[cfg(unix)]
fn replace_process(command: &mut std::process::Command) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    command.exec()
}

#[cfg(not(unix))]
fn replace_process(command: &mut std::process::Command) -> std::io::Error {
    match command.spawn() {
        Ok(_) => std::process::exit(0),
        Err(error) => error,
    }
}
