//! Starting this program again for what must go on when the app has taken this process over.
//!
//! The helper is no child of the app, which would else find one that it did not start: it is started by a process between that ends at
//! once. It has a session of its own, so that Ctrl-C in a terminal reaches the app alone.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::options::SELF;

/// The process between. What the helper is to do, and with what, follows.
pub(crate) const BEGIN: &str = "--appimage-internal-begin";
/// Serve the files to the system: see [`crate::serve`].
pub(crate) const SERVE: &str = "--appimage-internal-serve";
/// Delete the unpacked files: see [`crate::cleaner`].
pub(crate) const CLEAN: &str = "--appimage-internal-clean";

/// What a helper says once it is at work. Anything else it says is why it is not.
const READY: &str = "ready";

/// More than a helper says, in bytes.
const MAX_SAID: u64 = 4096;

/// Starts a helper and waits until it is at work. What it returns is the end of the helper's standard input.
pub(crate) fn start(args: &[&OsStr]) -> io::Result<ChildStdin> {
    let mut between = Command::new(SELF)
        .arg0(std::env::args_os().next().unwrap_or_default())
        .arg(BEGIN)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let said = between.stdout.take();
    let held = between.stdin.take();
    between.wait()?;
    let mut line = String::new();
    if let Some(said) = said {
        BufReader::new(said.take(MAX_SAID)).read_line(&mut line)?;
    }
    match (line.trim_end(), held) {
        (READY, Some(held)) => Ok(held),
        ("", _) => Err(io::Error::other("the helper ended without a word")),
        (why, _) => Err(io::Error::other(why.to_owned())),
    }
}

/// The process between: starts the helper and ends.
pub(crate) fn detach(args: &[OsString]) -> io::Result<()> {
    Command::new(SELF)
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(args)
        .spawn()
        .map(|_| ())
}

/// The helper itself, first thing: takes leave of the terminal and the current folder.
pub(crate) fn begin() {
    // It leads no group yet, so that neither can fail; and if one does, the helper works all the same.
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
}

/// The process of that number, as a file which tells of its end.
pub(crate) fn process(id: &OsStr) -> Result<OwnedFd, String> {
    let id = id.to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
    let id = id.ok_or("there is no process to wait for")?;
    pidfd_open(id, PidfdFlags::empty()).map_err(|error| error.to_string())
}

/// Says that the helper is at work, and lets go of whoever started it.
pub(crate) fn ready() -> io::Result<()> {
    println!("{READY}");
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Says why the helper cannot do its work.
pub(crate) fn cannot(why: &dyn std::fmt::Display) {
    println!("{}", why.to_string().lines().next().unwrap_or_default());
}
