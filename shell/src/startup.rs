//! Where the host meets `bosc-runtime`: storage folders, the rollback marker, the updater, and the restart.

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::error::ShellError;
use crate::locate::Located;
use crate::package::Package;
use crate::updater::StartUpdater;

/// The folder of this instance: `--storage`; in development `<temporary files>/pear/<product name>`; for an installed app
/// the system's place for application data, as in `hello-pear-electron` and pear-chat:
/// Linux `$SNAP_USER_COMMON`, `$XDG_CONFIG_HOME` or `~/.config`, macOS `~/Library/Application Support`,
/// Windows `~\\AppData\\Local`, each with the product name.
pub(crate) fn storage_dir(args: &Args, located: &Located, package: &Package) -> PathBuf {
    if let Some(dir) = &args.storage {
        return std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
    }
    let home = std::env::home_dir().unwrap_or_default();
    let base = match &located.bundle {
        None => std::env::temp_dir().join("pear"),
        Some(_) => data_dir(&home, |name| std::env::var_os(name).map(PathBuf::from)),
    };
    base.join(&package.product_name)
}

fn data_dir(home: &Path, var: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if cfg!(target_os = "macos") {
        return home.join("Library/Application Support");
    }
    if cfg!(windows) {
        return home.join("AppData").join("Local");
    }
    let set = |name| var(name).filter(|dir: &PathBuf| dir.is_absolute());
    set("SNAP_USER_COMMON")
        .or_else(|| set("XDG_CONFIG_HOME"))
        .unwrap_or_else(|| home.join(".config"))
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

/// Whether this start looks for updates: only an installed bundle can be swapped, and `--no-updates` switches them off.
fn updates_wanted(args: &Args, located: &Located) -> bool {
    let choice = args.updates_choice();
    if located.bundle.is_none() && choice == Some(true) {
        tracing::warn!("--updates has no effect in development: only an installed app can be updated");
    }
    located.bundle.is_some() && choice != Some(false)
}

/// The updater of an installed app, unless updates are off.
pub(crate) fn updater(
    args: &Args,
    located: &Located,
    package: &Package,
    _storage: &Path,
) -> Option<StartUpdater> {
    if !updates_wanted(args, located) {
        return None;
    }
    let Some(upgrade) = &package.upgrade else {
        tracing::warn!("package.json has no \"upgrade\" link, so this app cannot update itself");
        return None;
    };
    tracing::warn!(%upgrade, "this build has no updater; the app runs without updates");
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn data_folders_on_linux() {
        let home = Path::new("/home/a");
        assert_eq!(data_dir(home, |_| None), Path::new("/home/a/.config"));
        let xdg = |name: &str| (name == "XDG_CONFIG_HOME").then(|| PathBuf::from("/x"));
        assert_eq!(data_dir(home, xdg), Path::new("/x"));
        assert_eq!(
            data_dir(home, |_| Some("relative".into())),
            Path::new("/home/a/.config")
        );
    }

    #[test]
    fn only_an_installed_app_updates_unless_told_not_to() {
        let mut located = Located {
            app: "/app".into(),
            bundle: None,
        };
        let mut args = Args {
            updates: true,
            ..Args::default()
        };
        assert!(!updates_wanted(&args, &located));
        located.bundle = Some("/app".into());
        assert!(updates_wanted(&args, &located));
        args = Args::default();
        assert!(updates_wanted(&args, &located));
        args.no_updates = true;
        assert!(!updates_wanted(&args, &located));
    }

    #[test]
    fn storage_is_the_flags_the_systems_or_a_temporary_folder() {
        let package = Package::parse(
            br#"{"name":"pear-chat","productName":"PearChat","version":"1.0.0"}"#,
            Path::new("p"),
        );
        let package = package.unwrap();
        let mut located = Located {
            app: "/app".into(),
            bundle: None,
        };
        let mut args = Args::default();
        assert_eq!(
            storage_dir(&args, &located, &package),
            std::env::temp_dir().join("pear/PearChat")
        );
        located.bundle = Some("/app".into());
        assert!(storage_dir(&args, &located, &package).ends_with("PearChat"));
        args.storage = Some("/s".into());
        assert_eq!(storage_dir(&args, &located, &package), Path::new("/s"));
    }
}
