//! Asking a new version whether it can run, before it takes the old one's place.
//!
//! A program that cannot be loaded cannot take itself back either, so it must not get in. It is started with `BOSC_PREFLIGHT`
//! in its environment; one of ours looks for its app, says so on standard output and ends ([`answer`]).

use std::fmt::Display;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use app::{Host, Layout};

/// The environment variable by which a program is asked, and its answer on standard output.
const QUESTION: &str = "BOSC_PREFLIGHT";
const ANSWER: &str = "bosc: ready";

/// What the AppImage runtime is told, so that it works where there is no FUSE.
pub const EXTRACT: &str = "--appimage-extract-and-run";

/// How long the answer may take. A program that neither answers nor ends may be waiting for something that it finds later (an
/// AppImage unpacks itself): it is given a chance, and taken back if it does not start.
const WITHIN: Duration = Duration::from_secs(10);

/// After the program has ended, how long its last words may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// More than the answer, in bytes; the rest is not read.
const MAX_ANSWER_BYTES: u64 = 1024;

/// Answers the question, if this process was started to be asked: `found` says whether its app is there. The caller must end
/// with the exit code.
pub fn answer<T, E: Display>(found: impl FnOnce() -> Result<T, E>) -> Option<ExitCode> {
    std::env::var_os(QUESTION)?;
    Some(match found() {
        Ok(_) => {
            println!("{ANSWER}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Asks the program of a bundle whether it can run: it must start, find its libraries and its app, and say so. Blocks, but not
/// for longer than 11 seconds. The error says what happened instead.
pub(super) fn ask(bundle: &Path) -> Result<(), String> {
    let mut command = Command::new(Layout::at(&Host::current(), bundle).program(bundle));
    if bundle.is_file() {
        command.arg(EXTRACT);
    }
    command
        .env(QUESTION, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    // A group of its own, so that nothing it started outlives the question.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = spawn(&mut command).map_err(|error| error.to_string())?;
    let output = child.stdout.take();
    let (sender, said) = mpsc::channel();
    // What it started may hold the pipe open for ever: only this thread waits for that.
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut output) = output.map(|output| output.take(MAX_ANSWER_BYTES)) {
            let mut part = [0; 128];
            while let Ok(n @ 1..) = output.read(&mut part) {
                text.extend_from_slice(part.get(..n).unwrap_or_default());
                let _ = sender.send(String::from_utf8_lossy(&text).trim().to_owned());
            }
        }
    });
    let until = Instant::now() + WITHIN;
    let status = loop {
        match ended(&mut child) {
            Ok(true) => break Some(end(&mut child)),
            Ok(false) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            Ok(false) => {
                let _ = end(&mut child);
                break None;
            }
            Err(error) => break Some(Err(error)),
        }
    };
    let Some(status) = status else { return Ok(()) };
    let status = status.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("it ended at once, {status}"));
    }
    let until = Instant::now() + LAST_WORDS;
    while let Ok(text) = said.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if text == ANSWER {
            return Ok(());
        }
    }
    Err("it ended at once and did not answer".to_owned())
}

/// Starts a program. Another thread that starts a program of its own at the wrong moment holds a just written file open for
/// writing a little longer; then the system says that the file is busy.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let until = Instant::now() + LAST_WORDS;
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == std::io::ErrorKind::ExecutableFileBusy && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// Whether a program has ended. It is not collected yet, so that its number still names its group.
#[cfg(unix)]
fn ended(child: &mut Child) -> std::io::Result<bool> {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(std::io::ErrorKind::InvalidInput)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(pid), options)?.is_some())
}

#[cfg(not(unix))]
fn ended(child: &mut Child) -> std::io::Result<bool> {
    Ok(child.try_wait()?.is_some())
}

/// Ends a program, if it runs, and what it started; its exit code.
fn end(child: &mut Child) -> std::io::Result<ExitStatus> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    let _ = child.kill();
    child.wait()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ask_script(text: &str, mode: u32) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("App");
        std::fs::create_dir(&bundle).unwrap();
        let program = bundle.join("App");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
        ask(&bundle)
    }

    #[test]
    fn a_program_that_cannot_run_is_found_out() {
        let good = "#!/bin/sh\n[ \"$BOSC_PREFLIGHT\" = 1 ] && echo 'bosc: ready'\n";
        assert_eq!(ask_script(good, 0o755), Ok(()));
        for (text, mode) in [
            ("#!/bin/sh\nexit 0\n", 0o755),
            ("#!/bin/sh\necho 'bosc: ready'; exit 1\n", 0o755),
            ("#!/bin/sh\necho 'bosc: readying'\n", 0o755),
            ("not a program", 0o755),
            (good, 0o644),
        ] {
            assert!(ask_script(text, mode).is_err(), "{text:?} {mode:o}");
        }
        assert!(ask(Path::new("/nonexistent/App")).is_err());
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_open_does_not_hold_the_answer_up() {
        let started = Instant::now();
        let script = "#!/bin/sh\nsleep 600 &\necho $! >\"$0.pid\"\necho 'bosc: ready'\n";
        assert_eq!(ask_script(script, 0o755), Ok(()));
        assert!(ask_script("#!/bin/sh\nsleep 600 &\nexit 3\n", 0o755).is_err());
        assert!(started.elapsed() < WITHIN, "{:?}", started.elapsed());
    }

    #[test]
    fn the_question_is_over_in_time_and_nothing_is_left_running() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let started = Instant::now();
        let script = format!("#!/bin/sh\nsleep 600 &\necho $! >{}\nwait\n", pid.display());
        assert_eq!(ask_script(&script, 0o755), Ok(()));
        assert!(started.elapsed() < WITHIN + Duration::from_secs(5));
        let pid = std::fs::read_to_string(pid).unwrap();
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(" Z "), "{state}");
    }
}
