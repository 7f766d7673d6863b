//! Starting the app again, after an update or when the page asks for it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bosc_runtime::bundle::{Decision, Startup};

use crate::error::ShellError;
use crate::package::Package;

/// Starts the app again in place of this process, with the same arguments. Returns only if that failed.
///
/// `updated` says that a new version was just put in place. It is first asked whether it can run at all; one that
/// cannot is taken back here, because it would never come to the point where it takes itself back.
pub(crate) fn restart(bundle: Option<&Path>, exe: &Path, storage: &Path, updated: bool) -> ShellError {
    if let Some(bundle) = bundle.filter(|_| updated)
        && let Err(why) = preflight(&mut command(Some(bundle), exe))
        && let Decision::RolledBack { from, to } = Startup::cannot_run(storage, bundle)
    {
        eprintln!("version {from} cannot run ({why}); going back to {to}");
    }
    let mut command = command(bundle, exe);
    command.args(std::env::args_os().skip(1).filter(|arg| arg != EXTRACT));
    ShellError::Restart {
        program: command.get_program().into(),
        source: replace_process(&mut command),
    }
}

/// What the AppImage runtime is told, so that it works where there is no FUSE.
const EXTRACT: &str = "--appimage-extract-and-run";

/// The environment variable by which a program is asked whether it can run, and its answer on standard output.
const PREFLIGHT: &str = "BOSC_PREFLIGHT";
const PREFLIGHT_ANSWER: &str = "bosc: ready";

/// How long the answer may take. A program that neither answers nor ends is not one of ours, and is given a chance.
const PREFLIGHT_WITHIN: Duration = Duration::from_secs(10);

/// The program of an installed app or of this process.
fn command(bundle: Option<&Path>, exe: &Path) -> Command {
    match bundle.filter(|bundle| bundle.is_file()) {
        Some(appimage) => {
            let mut command = Command::new(appimage);
            command.arg(EXTRACT);
            command
        }
        None => Command::new(exe),
    }
}

/// Answers the question of [`restart`], if it is asked: this program was loaded, and finds its app.
pub(crate) fn answer_preflight(found: impl FnOnce() -> Result<Package, ShellError>) -> Option<ExitCode> {
    std::env::var_os(PREFLIGHT)?;
    Some(match found() {
        Ok(_) => {
            println!("{PREFLIGHT_ANSWER}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Asks a program whether it can run: it must start, find its libraries and its app, and say so.
fn preflight(command: &mut Command) -> Result<(), String> {
    let child = command
        .env(PREFLIGHT, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let until = Instant::now() + PREFLIGHT_WITHIN;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(());
            }
        }
    };
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        let _ = output.take(1024).read_to_string(&mut said);
    }
    if status.success() && said.trim() == PREFLIGHT_ANSWER {
        Ok(())
    } else {
        Err(format!("it ended at once, {status}"))
    }
}

#[cfg(unix)]
fn replace_process(command: &mut Command) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    command.exec()
}

#[cfg(not(unix))]
fn replace_process(command: &mut Command) -> std::io::Error {
    match command.spawn() {
        Ok(_) => std::process::exit(0),
        Err(error) => error,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_run_is_found_out() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let ask = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            preflight(&mut command(None, &path))
        };
        assert_eq!(
            ask(
                "good",
                "#!/bin/sh\n[ \"$BOSC_PREFLIGHT\" = 1 ] && echo 'bosc: ready'\n",
                0o755
            ),
            Ok(())
        );
        assert!(ask("silent", "#!/bin/sh\nexit 0\n", 0o755).is_err());
        assert!(ask("failing", "#!/bin/sh\necho 'bosc: ready'; exit 1\n", 0o755).is_err());
        assert!(ask("text", "not a program", 0o755).is_err());
        assert!(ask("plain", "#!/bin/sh\n", 0o644).is_err());
        assert!(preflight(&mut command(None, Path::new("/nonexistent"))).is_err());
    }
}
