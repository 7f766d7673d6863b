//! `bosc dev`: an app runs while it is written. Its page is loaded anew when it changes, its program built and started anew.

mod changes;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use app::{Manifest, layout};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use self::changes::{Change, Changes};
use crate::args;
use crate::commands::make;
use crate::interrupt::stop_signal;
use crate::output::Output;

/// How long an app may take to close before it is ended: longer than it gives its own store and workers.
const CLOSING: Duration = Duration::from_secs(8);

pub(crate) async fn run(args: &args::Dev, output: &Output) -> anyhow::Result<()> {
    let dir = std::fs::canonicalize(&args.dir)
        .with_context(|| format!("there is no folder {}", args.dir.display()))?;
    let manifest = Manifest::read(&layout::manifest(&dir))?;
    for unknown in manifest.unknown() {
        output.say(&format!("package.json: {unknown}"));
    }
    // What changes while it is built counts already.
    let mut changes = Changes::watch(&dir, &manifest)?;
    let served = args.url.is_some() || manifest.dev_url.is_some();
    let program = build(&dir, &args.profile, output).await?;
    let mut app = Some(Running::start(&program, &dir, args, output)?);
    let stop = stop_signal();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            ended = ended(&mut app) => {
                let status = ended?;
                app = None;
                if status.success() {
                    break;
                }
                output.say(&format!("the app ended with {status}; it is started again when something changes"));
            }
            change = changes.next() => match (change?, &mut app) {
                // Its server shows that by itself.
                (Change::Page, Some(_)) if served => {}
                (Change::Page, Some(running)) => {
                    running.reload().await;
                    output.tag("reload", json!({}));
                    output.say("the page changed: loaded anew");
                }
                (Change::Page | Change::Program, _) => {
                    // A running program's file cannot be written everywhere.
                    if cfg!(windows) && let Some(running) = app.take() {
                        running.close().await;
                    }
                    match build(&dir, &args.profile, output).await {
                        Ok(program) => {
                            if let Some(running) = app.take() {
                                running.close().await;
                            }
                            app = Some(Running::start(&program, &dir, args, output)?);
                        }
                        Err(error) => output.say(&format!("{error:#}; what runs goes on")),
                    }
                }
            },
        }
    }
    if let Some(running) = app {
        running.close().await;
    }
    output.done(json!({}));
    Ok(())
}

/// Builds the program, on a thread that may wait for it.
async fn build(dir: &Path, profile: &str, output: &Output) -> anyhow::Result<PathBuf> {
    output.tag("building", json!({ "dir": dir.display().to_string() }));
    let (dir, profile) = (dir.to_owned(), profile.to_owned());
    let built = tokio::task::spawn_blocking(move || make::program(None, &profile).get(&dir)).await?;
    Ok(built?)
}

/// How the app ended; waits for ever if none runs.
async fn ended(app: &mut Option<Running>) -> std::io::Result<std::process::ExitStatus> {
    match app {
        Some(running) => running.child.wait().await,
        None => std::future::pending().await,
    }
}

/// An app that was started, and the pipe that it listens to.
struct Running {
    child: Child,
    pipe: ChildStdin,
}

impl Running {
    fn start(program: &Path, dir: &Path, args: &args::Dev, output: &Output) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg("--dev").arg(dir).args(["--no-updates", "--dev-pipe"]);
        if let Some(url) = &args.url {
            command.args(["--dev-url", url]);
        }
        let child = command.args(&args.args).stdin(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("cannot start {}", program.display()))?;
        let Some(pipe) = child.stdin.take() else {
            bail!("cannot speak with {}", program.display())
        };
        output.tag("started", json!({ "program": program.display().to_string() }));
        Ok(Self { child, pipe })
    }

    /// Has the page loaded anew. An app that is about to end does not hear it.
    async fn reload(&mut self) {
        let _ = self.pipe.write_all(b"reload\n").await;
    }

    /// Ends it: at once when it closes by itself, by force when it does not.
    async fn close(self) {
        let Self { mut child, pipe } = self;
        drop(pipe);
        if tokio::time::timeout(CLOSING, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}
