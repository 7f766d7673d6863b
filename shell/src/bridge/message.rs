//! The messages of the bridge, one place for both directions, and the checks every message of the page must pass.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest message from the page, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 24 * 1024 * 1024;

/// Longest command or event name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Longest worker specifier or link, in bytes.
const MAX_SPEC_BYTES: usize = 2048;

/// One message of the page.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The window's secret; only the injected script knows it, so frames of other origins cannot call.
    pub token: String,
    /// Which load of the page speaks; replies carry it back, so a reloaded page ignores its predecessor's replies.
    pub page: String,
    /// Set when a reply is expected.
    #[serde(default)]
    pub id: Option<u64>,
    /// What is asked.
    pub call: Call,
}

/// What a page can ask.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Call {
    /// The document is there.
    Hello {
        /// When the first script of the page ran, in milliseconds since 1970.
        started: f64,
    },
    /// The first frame that shows something has been painted.
    Painted {},
    /// The page failed before it showed anything.
    Broken {
        /// Why.
        reason: String,
    },
    /// Run one of the app's commands.
    Invoke {
        /// Its name.
        command: String,
        /// Its argument.
        #[serde(default)]
        args: Value,
    },
    /// What the updater is doing.
    UpdaterState {},
    /// Swap the bundle for the update that is ready.
    ApplyUpdate {},
    /// Install a version again that was taken back because it did not start.
    RetryUpdate {},
    /// Restart into the swapped bundle.
    AppAfterUpdate {},
    /// Start a worker, if it does not run yet.
    StartWorker {
        /// Its path in the app, `/workers/name`.
        spec: String,
    },
    /// Bytes for a worker.
    WriteWorker {
        /// Its path in the app.
        spec: String,
        /// The bytes, in base64.
        data: String,
    },
    /// The page called `window.close()`.
    Close {},
    /// A person clicked a link to another place.
    OpenExternal {
        /// The link.
        url: String,
    },
    /// Something went wrong in the page: for the log.
    Report {
        /// What.
        message: String,
    },
}

/// One message to the page.
#[derive(Debug, Clone, Serialize, PartialEq)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum ToPage {
    /// The answer to the page's message `id`; `error` is absent on success.
    Reply {
        /// The load of the page that asked.
        page: String,
        /// The message's number.
        id: u64,
        /// The result, `null` on failure.
        value: Value,
        /// What failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// An updater event (`updating`, `updated`, …).
    Pear {
        /// Its name.
        name: String,
        /// Its details.
        data: Value,
    },
    /// An event of the app's own code.
    Event {
        /// Its name.
        name: String,
        /// Its payload.
        data: Value,
    },
    /// Output of a worker.
    Worker {
        /// The worker's path.
        spec: String,
        /// `ipc` or `stderr`.
        stream: &'static str,
        /// The bytes, in base64.
        data: String,
    },
    /// A worker ended.
    WorkerExit {
        /// The worker's path.
        spec: String,
        /// Its exit code; `null` if a signal ended it.
        code: Option<i32>,
    },
}

/// An error as the page sees it: `new Error(message)` with `code`.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct Failure {
    /// A whole sentence.
    pub message: String,
    /// A short constant name, where the program may want to tell errors apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl ToPage {
    /// The script that hands this message to the page. The text travels as one JSON string, so that no key of the
    /// message (such as `__proto__`) is ever read as program text.
    pub fn script(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string(self)?;
        Ok(format!(
            "window.__boscReceive?.({})",
            serde_json::to_string(&text)?
        ))
    }
}

/// Why a message was not accepted. It is dropped and logged; nothing is answered to an unknown sender.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Rejected {
    /// It came from another origin.
    #[error("a message from {0:?} was refused; only the app's own page may use the bridge")]
    Origin(String),
    /// It did not carry the window's token: another frame sent it.
    #[error("a message without the page's token was refused; only the main frame may use the bridge")]
    Token,
    /// It is longer than [`MAX_MESSAGE_BYTES`].
    #[error("a message of {0} bytes was refused; at most {MAX_MESSAGE_BYTES} are accepted")]
    TooLarge(usize),
    /// It is not one of [`Call`], or a field is out of bounds.
    #[error("a malformed message was refused: {0}")]
    Malformed(String),
}

/// Checks a message: origin, size, form, token, bounds of its fields.
///
/// `url` is the address of the main frame when it was sent.
pub fn accept(raw: &str, url: &str, origin: &str, token: &str) -> Result<Envelope, Rejected> {
    let own = url
        .strip_prefix(origin)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
    if !own {
        return Err(Rejected::Origin(url.chars().take(200).collect()));
    }
    if raw.len() > MAX_MESSAGE_BYTES {
        return Err(Rejected::TooLarge(raw.len()));
    }
    let envelope: Envelope =
        serde_json::from_str(raw).map_err(|error| Rejected::Malformed(error.to_string()))?;
    if !same(envelope.token.as_bytes(), token.as_bytes()) {
        return Err(Rejected::Token);
    }
    let too_long = |text: &str, max: usize| text.len() > max;
    let bad = match &envelope.call {
        Call::Invoke { command, .. } if command.is_empty() || too_long(command, MAX_NAME_BYTES) => {
            "command name"
        }
        Call::StartWorker { spec } | Call::WriteWorker { spec, .. } if too_long(spec, MAX_SPEC_BYTES) => {
            "worker path"
        }
        Call::OpenExternal { url } if too_long(url, MAX_SPEC_BYTES) => "link",
        Call::Report { message } if too_long(message, 32 * 1024) => "report",
        _ if too_long(&envelope.page, 64) => "page id",
        _ => return Ok(envelope),
    };
    Err(Rejected::Malformed(format!("the {bad} is too long or empty")))
}

/// Compares without stopping at the first difference.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ORIGIN: &str = "app://localhost";
    const PAGE: &str = "app://localhost/renderer/index.html";

    fn envelope(call: Value) -> String {
        json!({ "token": "t0", "page": "p", "id": 7, "call": call }).to_string()
    }

    #[test]
    fn every_call_is_read() {
        for (call, expected) in [
            (
                json!({"kind":"hello","started":1.5}),
                Call::Hello { started: 1.5 },
            ),
            (json!({"kind":"painted"}), Call::Painted {}),
            (
                json!({"kind":"broken","reason":"x"}),
                Call::Broken { reason: "x".into() },
            ),
            (
                json!({"kind":"invoke","command":"a:b","args":{"x":1}}),
                Call::Invoke {
                    command: "a:b".into(),
                    args: json!({"x":1}),
                },
            ),
            (
                json!({"kind":"invoke","command":"a"}),
                Call::Invoke {
                    command: "a".into(),
                    args: Value::Null,
                },
            ),
            (json!({"kind":"applyUpdate"}), Call::ApplyUpdate {}),
            (json!({"kind":"retryUpdate"}), Call::RetryUpdate {}),
            (json!({"kind":"appAfterUpdate"}), Call::AppAfterUpdate {}),
            (json!({"kind":"close"}), Call::Close {}),
            (json!({"kind":"updaterState"}), Call::UpdaterState {}),
            (
                json!({"kind":"startWorker","spec":"/w"}),
                Call::StartWorker { spec: "/w".into() },
            ),
            (
                json!({"kind":"writeWorker","spec":"/w","data":"aGk="}),
                Call::WriteWorker {
                    spec: "/w".into(),
                    data: "aGk=".into(),
                },
            ),
        ] {
            let read = accept(&envelope(call.clone()), PAGE, ORIGIN, "t0").unwrap();
            assert_eq!((read.id, read.call), (Some(7), expected), "{call}");
        }
    }

    #[test]
    fn strangers_are_refused() {
        let good = envelope(json!({"kind":"painted"}));
        for url in [
            "https://example.com/",
            "app://localhost.evil/",
            "app://other/",
            "about:blank",
            "",
        ] {
            assert!(
                matches!(accept(&good, url, ORIGIN, "t0"), Err(Rejected::Origin(_))),
                "{url}"
            );
        }
        assert_eq!(accept(&good, PAGE, ORIGIN, "other"), Err(Rejected::Token));
        assert!(accept(&good, ORIGIN, ORIGIN, "t0").is_ok());
    }

    #[test]
    fn malformed_and_oversized_messages_are_refused() {
        for call in [
            json!({"kind":"format-disk"}),
            json!({"kind":"painted","more":1}),
            json!({"kind":"invoke"}),
            json!({"kind":"invoke","command":""}),
            json!({"kind":"invoke","command":"x".repeat(MAX_NAME_BYTES + 1)}),
            json!({"kind":"startWorker","spec":3}),
            json!(null),
        ] {
            let result = accept(&envelope(call.clone()), PAGE, ORIGIN, "t0");
            assert!(
                matches!(result, Err(Rejected::Malformed(_))),
                "{call}: {result:?}"
            );
        }
        let huge = "x".repeat(MAX_MESSAGE_BYTES + 1);
        assert_eq!(
            accept(&huge, PAGE, ORIGIN, "t0"),
            Err(Rejected::TooLarge(MAX_MESSAGE_BYTES + 1))
        );
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(
            accept(&deep, PAGE, ORIGIN, "t0"),
            Err(Rejected::Malformed(_))
        ));
    }

    #[test]
    fn messages_to_the_page_are_inert_text() {
        let message = ToPage::Event {
            name: "e".into(),
            data: json!({"__proto__": "\u{2028}</script>\"'"}),
        };
        let script = message.script().unwrap();
        let inner = script
            .strip_prefix("window.__boscReceive?.(")
            .and_then(|s| s.strip_suffix(')'))
            .unwrap();
        let text: String = serde_json::from_str(inner).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["kind"], "event");
        let reply = ToPage::Reply {
            page: "p".into(),
            id: 1,
            value: json!(2),
            error: None,
        };
        assert_eq!(
            serde_json::to_value(&reply).unwrap(),
            json!({"kind":"reply","page":"p","id":1,"value":2})
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(raw in ".{0,300}", url in ".{0,40}") {
            prop_assert!(accept(&raw, &url, ORIGIN, "t").is_err());
            let _ = accept(&raw, PAGE, ORIGIN, "t");
        }
    }
}
