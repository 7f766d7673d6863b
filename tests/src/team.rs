//! A team that releases by quorum: signers with keys and stores of their own, and the machines that seed for them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::peers::Place;
use crate::process::Process;

/// Signers by name, and the link that follows from them.
pub struct Team<'a> {
    place: &'a Place,
    /// The names.
    pub signers: Vec<String>,
    /// The team's link.
    pub link: String,
}

impl<'a> Team<'a> {
    /// Makes a key for each signer, each in a folder of its own, and `pear.json` in the place.
    pub fn new(place: &'a Place, signers: &[&str], quorum: u64) -> Result<Self> {
        let mut team = Self {
            place,
            signers: signers.iter().map(|name| (*name).to_owned()).collect(),
            link: String::new(),
        };
        let mut keys = Vec::new();
        for name in signers {
            keys.push(team.as_signer(name, &["keys", "get", name, "--password-fd", "0"])?);
        }
        write_config(place, &keys, quorum)?;
        team.link = place.run("release", &["multisig", "link"])?.trim().to_owned();
        Ok(team)
    }

    /// Signs a request as one of the team.
    pub fn sign(&self, name: &str, request: &str) -> Result<String> {
        self.as_signer(name, &["sign", request, name, "--password-fd", "0"])
    }

    /// Runs `bosc multisig` with a signer's keys and store, and the password on stdin.
    fn as_signer(&self, name: &str, args: &[&str]) -> Result<String> {
        let args = [&["multisig"], args].concat();
        let mut command = self.place.bosc(name, &args);
        command.env("BOSC_KEYS", self.place.home.join(format!("keys-{name}")));
        with_stdin(&mut command, &format!("password of {name}\n"))
    }
}

/// Writes `pear.json` for these public keys.
pub fn write_config(place: &Place, keys: &[String], quorum: u64) -> Result<()> {
    let team = json!({ "publicKeys": keys, "quorum": quorum, "namespace": "my-org/my-app" });
    fs::write(
        place.home.join("pear.json"),
        json!({ "multisig": team }).to_string(),
    )?;
    Ok(())
}

/// Seeds a link from stores of these names, each as a machine of its own.
pub fn seeders(place: &Place, names: &[&str], link: &str) -> Result<Vec<Process>> {
    names.iter().map(|name| place.seed(name, link)).collect()
}

/// The versioned link in what `bosc` printed.
pub fn verlink(printed: &str) -> Result<String> {
    let line = printed.lines().find(|line| line.starts_with("pear://"));
    Ok(line.context("no link was printed")?.to_owned())
}

/// Runs a command with `input` on stdin; its stdout, trimmed.
pub fn with_stdin(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

/// Runs a command that must fail with exit status 1; its stderr.
pub fn refused(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(1) {
        bail!(
            "{command:?} should have failed with status 1, and ended with {}:\n{stderr}",
            output.status
        );
    }
    Ok(stderr)
}
