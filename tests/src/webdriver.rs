//! A small WebDriver client (W3C WebDriver, the parts we use) for WebKitWebDriver.
//!
//! Not `fantoccini` or `thirtyfour`: both are async and bring an HTTP stack, for the dozen calls that these tests make from their threads.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use serde_json::{Value, json};
use ureq::Agent;

use crate::process::{Process, wait_until};

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A WebDriver server with one session: one controlled window.
pub struct WebDriver {
    agent: Agent,
    session: String,
    process: Process,
}

/// An element of the page.
pub struct Element<'a> {
    driver: &'a WebDriver,
    id: String,
}

/// A free TCP port, as far as one can know.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl WebDriver {
    /// Starts a driver that starts `program`, in the given environment.
    pub fn launch(
        name: &str,
        program: &Path,
        args: &[String],
        env: &[(String, String)],
        logs: &Path,
    ) -> Result<Self> {
        let capabilities = json!({ "webkitgtk:browserOptions": { "binary": program, "args": args } });
        Self::start(name, &[], env, &capabilities, logs)
    }

    /// Starts a driver for a program that runs already and listens for automation at `target`.
    pub fn attach(name: &str, target: &str, logs: &Path) -> Result<Self> {
        Self::start(
            name,
            &[
                format!("--target={target}"),
                "--replace-on-new-session".to_owned(),
            ],
            &[],
            &json!({}),
            logs,
        )
    }

    fn start(
        name: &str,
        args: &[String],
        env: &[(String, String)],
        wanted: &Value,
        logs: &Path,
    ) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new("WebKitWebDriver");
        command
            .arg(format!("--port={port}"))
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)));
        let process = Process::start(name, &mut command, logs)?;
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let base = format!("http://127.0.0.1:{port}");
        wait_until("WebKitWebDriver answers", Duration::from_secs(20), || {
            Ok(agent.get(format!("{base}/status")).call().is_ok().then_some(()))
        })?;
        let body = json!({ "capabilities": { "alwaysMatch": wanted } });
        // A program that restarts just then leaves the driver waiting for good: give up soon, so that it can be tried again.
        let request = agent
            .post(format!("{base}/session"))
            .config()
            .timeout_global(Some(Duration::from_secs(15)))
            .build();
        let value = value_of(request.send_json(&body)?)?;
        let id = value
            .get("sessionId")
            .and_then(Value::as_str)
            .context("the driver gave no session")?;
        let session = format!("{base}/session/{id}");
        Ok(Self {
            agent,
            session,
            process,
        })
    }

    fn get(&self, path: &str) -> Result<Value> {
        value_of(self.agent.get(format!("{}{path}", self.session)).call()?)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        value_of(
            self.agent
                .post(format!("{}{path}", self.session))
                .send_json(body)?,
        )
    }

    /// Runs a script in the page; the value of its `return`.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The first element that a CSS selector finds.
    pub fn find(&self, selector: &str) -> Result<Element<'_>> {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }))?;
        let id = found
            .get(ELEMENT)
            .and_then(Value::as_str)
            .with_context(|| format!("no element {selector}"))?;
        Ok(Element {
            driver: self,
            id: id.to_owned(),
        })
    }

    /// The text of the first element that a CSS selector finds.
    pub fn text(&self, selector: &str) -> Result<String> {
        let script = format!(
            "const e = document.querySelector({}); return e && e.textContent",
            json!(selector)
        );
        self.run(&script)?
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("no element {selector}"))
    }

    /// Waits until the text of an element is `expected`.
    pub fn wait_text(&self, selector: &str, expected: &str, limit: Duration) -> Result<()> {
        let mut last = String::new();
        let waited = wait_until("text", limit, || {
            last = self.text(selector).unwrap_or_else(|error| format!("({error})"));
            Ok((last == expected).then_some(()))
        });
        waited.map_err(|_| anyhow!("{selector} never said \"{expected}\"; last it said \"{last}\""))
    }

    /// Writes a PNG of the window.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        // The view answers at its next paint: make sure that there is one.
        self.run(
            "document.body.animate([{ opacity: 1 }, { opacity: 0.99 }], { duration: 300, iterations: 10 })",
        )?;
        let shot = self.get("/screenshot")?;
        let encoded = shot.as_str().context("the driver sent no picture")?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, base64::engine::general_purpose::STANDARD.decode(encoded)?)?;
        Ok(())
    }

    /// Ends the session, which closes the window, and the driver.
    pub fn quit(mut self) {
        let _ = self.agent.delete(&self.session).call();
        self.process.stop();
    }

    /// Ends the driver alone; a window that lives on is left alone.
    pub fn abandon(mut self) {
        self.process.kill();
    }
}

impl Element<'_> {
    /// Clicks it, as a person would.
    pub fn click(&self) -> Result<()> {
        self.driver
            .post(&format!("/element/{}/click", self.id), &json!({}))
            .map(|_| ())
    }

    /// Types into it.
    pub fn type_text(&self, text: &str) -> Result<()> {
        self.driver
            .post(&format!("/element/{}/value", self.id), &json!({ "text": text }))
            .map(|_| ())
    }
}

fn value_of(mut response: ureq::http::Response<ureq::Body>) -> Result<Value> {
    let status = response.status();
    let mut body: Value = response
        .body_mut()
        .read_json()
        .with_context(|| format!("the driver answered {status}"))?;
    let value = body.get_mut("value").map(Value::take).unwrap_or_default();
    if !status.is_success() {
        let message = value.get("message").and_then(Value::as_str).unwrap_or_default();
        let error = value.get("error").and_then(Value::as_str).unwrap_or_default();
        bail!("WebDriver: {error}: {message}");
    }
    Ok(value)
}
