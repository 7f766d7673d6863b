//! A display to open windows on: the one there is, or an Xvfb of our own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::Process;

/// Where windows go.
pub struct Display {
    /// `DISPLAY` for children, if it is our own.
    name: Option<String>,
    _server: Option<Process>,
}

impl Display {
    /// The display of this session if there is one, else an Xvfb.
    pub fn present_or_virtual(logs: &Path) -> Result<Self> {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if set("WAYLAND_DISPLAY") || set("DISPLAY") {
            return Ok(Self {
                name: None,
                _server: None,
            });
        }
        Self::own(logs)
    }

    /// An Xvfb of our own, on a free number.
    pub fn own(logs: &Path) -> Result<Self> {
        let mut command = Command::new("Xvfb");
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1280x900x24",
            "-nolisten",
            "tcp",
            "-noreset",
        ]);
        let mut server = Process::start("xvfb", &mut command, logs)?;
        let number = server.wait_for("its display number", Duration::from_secs(20), |line| {
            line.trim().parse::<u32>().ok()
        })?;
        Ok(Self {
            name: Some(format!(":{number}")),
            _server: Some(server),
        })
    }

    /// Whether nobody sees it.
    pub fn is_virtual(&self) -> bool {
        self.name.is_some()
    }

    /// What children need in their environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = Vec::new();
        if let Some(name) = &self.name {
            env.push(("DISPLAY".to_owned(), name.clone()));
            env.push(("GDK_BACKEND".to_owned(), "x11".to_owned()));
            env.push(("WAYLAND_DISPLAY".to_owned(), String::new()));
        }
        env
    }
}
