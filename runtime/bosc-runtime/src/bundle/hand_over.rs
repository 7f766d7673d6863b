//! Where versions lie beside each other, the program that was installed starts the one in use.
//!
//! The start is counted by the first of the two, since the second may not come to that; a variable of the environment tells the second.

use std::path::{Path, PathBuf};
use std::process::Command;

use app::{Host, Layout, Versions};

use super::way::Way;

/// Names the installed bundle whose start was counted before this program was started.
const COUNTED: &str = "BOSC_START_COUNTED";

/// The installed bundle of the one that a program stands in: itself, or the one around it that holds its versions.
pub fn around(bundle: &Path) -> &Path {
    match Way::HERE {
        Way::Exchange => bundle,
        Way::Versions => Versions::around(bundle).0,
    }
}

/// The program that starts an installed bundle, whatever version of it is in use; `exe` is the one that runs.
pub fn program(installed: &Path, exe: &Path) -> PathBuf {
    match Way::HERE {
        Way::Exchange => exe.to_owned(),
        Way::Versions => Layout::at(&Host::current(), installed).program(installed),
    }
}

/// What starts the version in use, if that is another than the one `exe` is part of. Call it after [`begin`](super::Startup::begin),
/// start it with the arguments of this process once all that it claims is let go, and end. A process that starts other programs is to
/// take the variables of this command's environment from them.
pub fn handed_over(installed: &Path, exe: &Path) -> Option<Command> {
    if Way::HERE != Way::Versions {
        return None;
    }
    let bundle = Way::HERE.in_use(installed);
    let program = Layout::at(&Host::current(), &bundle).program(&bundle);
    if program == exe {
        return None;
    }
    let mut command = Command::new(program);
    command.env(COUNTED, installed);
    Some(command)
}

/// Makes a command that starts the installed bundle anew: its start will be counted.
pub fn anew(command: &mut Command) {
    command.env_remove(COUNTED);
}

/// Whether the start of this bundle was counted by the program that handed over to this one.
pub(super) fn was_counted(installed: &Path) -> bool {
    std::env::var_os(COUNTED).is_some_and(|counted| Path::new(&counted) == installed)
}
