//! A stream from one host to another over hyperswarm, both ends of one stack, each in a process of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::RngExt;

use super::wan::Wan;
use crate::lab::meet::Stack;
use crate::peers::root;
use crate::process::Process;

/// How long the sender may take until it can be found.
const READY: Duration = Duration::from_secs(60);
/// How long the receiver may take until the first byte is there.
const FIRST: Duration = Duration::from_secs(60);
/// Longer than any time between two marks, unless the connection is dead.
const SILENCE: Duration = Duration::from_secs(30);

/// How much a receiver had at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// On the machine's clock.
    pub at: Duration,
    /// Bytes so far.
    pub bytes: u64,
}

impl Mark {
    fn parse(line: &str) -> Option<Self> {
        let (at, bytes) = line.strip_prefix("at ")?.split_once(' ')?;
        Some(Self {
            at: Duration::from_millis(at.parse().ok()?),
            bytes: bytes.parse().ok()?,
        })
    }
}

/// A running stream. It ends when this is dropped.
pub struct Flow {
    sender: Process,
    receiver: Process,
    marks: Vec<Mark>,
}

impl Flow {
    /// Starts a stream between two hosts, and waits for its first byte. `program` is the `weather` program, which is our peer.
    ///
    /// # Errors
    /// If a peer does not start, or nothing arrives.
    pub fn start(wan: &Wan, stack: Stack, from: usize, to: usize, program: &Path) -> Result<Self> {
        let topic = hex::encode(rand::rng().random::<[u8; 32]>());
        let run = |mode: &str, index: usize| -> Result<Process> {
            let host = wan.host(index)?;
            let mut command = match stack {
                Stack::Bosc => {
                    let mut command =
                        host.command(program.to_str().context("the path of a program is not text")?);
                    command.arg("peer");
                    command
                }
                Stack::Js => {
                    let folder = root().join("tests/interop");
                    ensure!(
                        folder.join("node_modules/hyperswarm").is_dir(),
                        "no hyperswarm in {}; run `npm ci` there",
                        folder.display()
                    );
                    let mut command = host.command("node");
                    command.arg(folder.join("stream.js"));
                    command
                }
            };
            command.args([mode, &wan.bootstrap(), &topic]);
            let logs: PathBuf = root().join("target/test-logs/weather");
            Process::start(&format!("{}-{mode}-{index}", stack.name()), &mut command, &logs)
        };
        let mut sender = run("send", from)?;
        sender.wait_for("that it is announced", READY, |line| {
            (line == "ready").then_some(())
        })?;
        let mut receiver = run("recv", to)?;
        let first = receiver.wait_for("that it has the first byte", FIRST, Mark::parse)?;
        Ok(Self {
            sender,
            receiver,
            marks: vec![first],
        })
    }

    /// Lets it run until so much time has passed since its first byte.
    ///
    /// # Errors
    /// If nothing more arrives for a long time.
    pub fn run(&mut self, time: Duration) -> Result<()> {
        let until = self.first().at + time;
        while self.last().at < until {
            let mark = self
                .receiver
                .wait_for("what it has", SILENCE + time, Mark::parse)?;
            self.marks.push(mark);
        }
        Ok(())
    }

    /// The first byte.
    pub fn first(&self) -> Mark {
        self.marks.first().copied().unwrap_or(NOTHING)
    }

    /// What it had in the end.
    pub fn last(&self) -> Mark {
        self.marks.last().copied().unwrap_or(NOTHING)
    }

    /// Bytes in a second between two times of the machine's clock.
    pub fn rate_within(&self, from: Duration, to: Duration) -> f64 {
        let within = |mark: &&Mark| (from..=to).contains(&mark.at);
        let first = self.marks.iter().find(within);
        let last = self.marks.iter().rev().find(within);
        match (first, last) {
            (Some(first), Some(last)) if last.at > first.at => {
                (last.bytes - first.bytes) as f64 / (last.at - first.at).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// Bytes in a second, from the first byte on.
    pub fn rate(&self) -> f64 {
        self.rate_within(self.first().at, self.last().at)
    }

    /// Ends both peers at once.
    pub fn end(mut self) {
        self.sender.kill();
        self.receiver.kill();
    }
}

const NOTHING: Mark = Mark {
    at: Duration::ZERO,
    bytes: 0,
};
