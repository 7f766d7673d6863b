//! Where words go: results to stdout, everything else to stderr, or all of it as JSON lines.
//!
//! The JSON shape is the Pear CLI's: `{"cmd","tag","data"}`, ending with the tag `final` or, on failure, `error`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use hyperdrive::{Diff, DiffOp};
use indicatif::HumanBytes;
use serde_json::{Value, json};

/// The output of one command.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    cmd: &'static str,
    json: bool,
}

impl Output {
    pub(crate) fn new(cmd: &'static str, json: bool) -> Self {
        Self { cmd, json }
    }

    /// Whether a person watches: progress may be drawn.
    pub(crate) fn interactive(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// A step, for machines only.
    pub(crate) fn tag(&self, tag: &str, data: Value) {
        if self.json {
            let mut line = json!({ "cmd": self.cmd, "tag": tag });
            if let (Some(object), false) = (line.as_object_mut(), data.is_null()) {
                object.insert("data".to_owned(), data);
            }
            write_line(&line.to_string());
        }
    }

    /// A result, for people only.
    pub(crate) fn result(&self, text: &str) {
        if !self.json {
            write_line(text);
        }
    }

    /// A word to the person at the terminal.
    pub(crate) fn say(&self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    /// One changed path, as a result.
    pub(crate) fn diff(&self, diff: &Diff) {
        self.diff_with(diff, "");
    }

    /// One changed path with a note.
    pub(crate) fn diff_with(&self, diff: &Diff, note: &str) {
        self.tag("byte-diff", diff_data(diff));
        self.result(&(diff_line(diff) + note));
    }

    /// One changed path with a note, as a word to the person while the result is something else.
    pub(crate) fn say_diff_with(&self, diff: &Diff, note: &str) {
        self.tag("byte-diff", diff_data(diff));
        self.say(&(diff_line(diff) + note));
    }

    /// The last line of a command that went well.
    pub(crate) fn done(&self, mut data: Value) {
        if let Some(object) = data.as_object_mut() {
            let mut with_success = serde_json::Map::new();
            with_success.insert("success".to_owned(), Value::Bool(true));
            with_success.append(object);
            *object = with_success;
        }
        self.tag("final", data);
    }

    /// The last line of a command that failed.
    pub(crate) fn fail(&self, error: &anyhow::Error) -> ExitCode {
        let message = format!("{error:#}");
        if self.json {
            self.tag(
                "error",
                json!({ "success": false, "code": code(error), "message": message }),
            );
        } else {
            eprintln!("bosc {}: {message}", self.cmd);
        }
        ExitCode::FAILURE
    }
}

fn diff_data(diff: &Diff) -> Value {
    let (kind, sizes) = match diff.op {
        DiffOp::Add => (1, json!([diff.bytes_added])),
        DiffOp::Change => (0, json!([-(diff.bytes_removed as i64), diff.bytes_added])),
        DiffOp::Remove => (-1, json!([-(diff.bytes_removed as i64)])),
    };
    json!({ "type": kind, "sizes": sizes, "message": diff.key })
}

fn diff_line(diff: &Diff) -> String {
    let sign = match diff.op {
        DiffOp::Add => '+',
        DiffOp::Change => '~',
        DiffOp::Remove => '-',
    };
    let amounts: Vec<String> = [("-", diff.bytes_removed), ("+", diff.bytes_added)]
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(sign, bytes)| format!("{sign}{}", HumanBytes(bytes)))
        .collect();
    let amounts = if amounts.is_empty() {
        "0 B".to_owned()
    } else {
        amounts.join(", ")
    };
    format!("{sign} {} ({amounts})", printable(&diff.key))
}

/// Text of a peer's as a terminal may show it: characters that would move the cursor, hide what stands before them or turn
/// the direction of reading are written as `\u{…}`.
pub(crate) fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Upstream's code for an error, where it has one.
fn code(error: &anyhow::Error) -> &'static str {
    if error.downcast_ref::<bosc_runtime::LinkError>().is_some() {
        "ERR_INVALID_LINK"
    } else if let Some(error) = error.downcast_ref::<crate::package::PackageError>() {
        error.code()
    } else if let Some(error) = error.downcast_ref::<multisig::MultisigError>() {
        error.code()
    } else if error.downcast_ref::<multisig::TeamError>().is_some() {
        "ERR_INVALID_CONFIG"
    } else if error.downcast_ref::<multisig::RequestError>().is_some()
        || error.downcast_ref::<multisig::ResponseError>().is_some()
        || error.downcast_ref::<multisig::KeyRingError>().is_some()
    {
        "ERR_INVALID_INPUT"
    } else {
        "ERR_OPERATION_FAILED"
    }
}

/// Prints a line; a reader that went away (a closed pipe) ends the program quietly, as it should.
fn write_line(line: &str) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_act_on_is_spelled_out() {
        assert_eq!(printable("/ünï cödé.txt"), "/ünï cödé.txt");
        assert_eq!(printable("/evil\u{1b}[1A\u{1b}[2K"), "/evil\\u{1b}[1A\\u{1b}[2K");
        assert_eq!(printable("/\u{202e}txt.exe\n"), "/\\u{202e}txt.exe\\u{a}");
    }
}
