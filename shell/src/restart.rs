//! Starting the app again, after an update or when the page asks for it.

use std::path::Path;
use std::process::Command;

use bosc_runtime::bundle::preflight::EXTRACT;
use bosc_runtime::bundle::{anew, program};

use crate::error::ShellError;

/// Starts the app again in place of this process, with the same arguments. Returns only if that failed.
pub(crate) fn restart(bundle: Option<&Path>, exe: &Path) -> ShellError {
    let mut command = match bundle.filter(|bundle| bundle.is_file()) {
        Some(appimage) => {
            let mut command = Command::new(appimage);
            if !is_mounted(exe) {
                command.arg(EXTRACT);
            }
            command
        }
        None => Command::new(bundle.map_or(exe.to_owned(), |bundle| program(bundle, exe))),
    };
    anew(&mut command);
    go_on_as(command)
}

/// Starts a program in place of this process, with the same arguments. Returns only if that failed.
pub(crate) fn go_on_as(mut command: Command) -> ShellError {
    command.args(std::env::args_os().skip(1).filter(|arg| arg != EXTRACT));
    ShellError::Restart {
        program: command.get_program().into(),
        source: replace_process(&mut command),
    }
}

/// Whether this program runs from a mounted AppImage: where one can be mounted, so can the next. Elsewhere it unpacked itself, and the
/// next is told to, as upstream tells each.
#[cfg(unix)]
fn is_mounted(exe: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).ok().map(|found| found.dev());
    let folder = exe.parent();
    folder
        .zip(folder.and_then(Path::parent))
        .is_some_and(|(folder, around)| {
            let (inside, outside) = (device(folder), device(around));
            inside.is_some() && outside.is_some() && inside != outside
        })
}

#[cfg(not(unix))]
fn is_mounted(_: &Path) -> bool {
    false
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
