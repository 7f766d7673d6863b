//! A view of the disk of its own for one program: a folder that cannot be written, or one that is full. That needs root.

use std::path::Path;
use std::process::Command;

use crate::process::run;
use crate::skip::skipped;

/// Whether programs can be given such a view here. Says that the test is skipped if not.
pub fn possible() -> bool {
    let possible = run(Command::new("unshare").args(["--mount", "true"])).is_ok();
    if !possible {
        skipped("a view of the disk of its own wants root");
    }
    possible
}

/// `inner`, in a view in which nothing in `folder` can be written.
pub fn read_only(folder: &Path, inner: &Command) -> Command {
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    under(mount, folder, inner)
}

/// `inner`, in a view in which `folder` is empty and takes 64 KiB.
pub fn tiny(folder: &Path, inner: &Command) -> Command {
    under("mount -t tmpfs -o size=64k none \"$0\"", folder, inner)
}

/// `inner` after `setup` was done, a line of the shell in which `$0` is the folder. Its arguments, its environment and its folder stay.
fn under(setup: &str, folder: &Path, inner: &Command) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &format!("{setup} && exec \"$@\"")])
        .arg(folder)
        .arg(inner.get_program())
        .args(inner.get_args());
    if let Some(folder) = inner.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}
