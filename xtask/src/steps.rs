//! Running the programs that tasks are made of.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo, in the repository's root. Always the lock file's versions.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Arguments by which `bosc` is built.
pub(crate) const BOSC: &[&str] = &["-p", "bosc-cli", "--bin", "bosc"];
/// Arguments by which the chat is built.
pub(crate) const CHAT: &[&str] = &["-p", "pear-chat", "--bin", "pear-chat"];
/// Arguments by which the app without a window is built.
pub(crate) const HEADLESS: &[&str] = &["-p", "bosc-runtime", "--example", "headless"];
/// Lets a driver look at the window of the installed chat.
pub(crate) const DRIVEN: &[&str] = &["--features", "pear-chat/dev"];

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Builds for release in one call, so that nothing is built twice with other features: what `programs` asks for, and `name` of
/// `bosc-tests`, whose command is returned.
pub(crate) fn release(programs: &[&str], name: &str) -> Result<Command> {
    println!("building the release (the first time takes some minutes)...");
    run(cargo(&["build", "--quiet", "--locked", "--release"])
        .args(programs)
        .args(["-p", "bosc-tests", "--bin", name]))?;
    Ok(Command::new(target().join("release").join(name)))
}

/// Runs a command with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{} {}", command.get_program().to_string_lossy(), words(command));
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

fn words(command: &Command) -> String {
    command
        .get_args()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a program is on the PATH.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Says which step of a task runs, and how long the last one took.
#[derive(Default)]
pub(crate) struct Steps {
    since: Option<Instant>,
}

impl Steps {
    /// Begins another step.
    pub(crate) fn next(&mut self, name: &str) -> Result<()> {
        use std::io::Write;
        self.end()?;
        self.since = Some(Instant::now());
        let mut out = std::io::stdout().lock();
        writeln!(out, "== {name}")?;
        out.flush()?;
        Ok(())
    }

    /// Ends the step that runs, if one does.
    pub(crate) fn end(&mut self) -> Result<()> {
        use std::io::Write;
        if let Some(since) = self.since.take() {
            writeln!(std::io::stdout(), "   {:.1} s", since.elapsed().as_secs_f32())?;
        }
        Ok(())
    }
}
