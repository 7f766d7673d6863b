//! Where words go: results to stdout, everything else to stderr, or all of it as JSON lines.
//!
//! The JSON shape is the Pear CLI's: `{"cmd","tag","data"}`, ending with the tag `final` or, on failure, `error`.
//!
//! Much of what is printed was written by strangers: names in a drive, versions, errors that quote a file. So every line goes
//! through [`printable`] here, at the one way out, and no command has to think of it.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use hyperdrive::{Diff, DiffOp};
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
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

    /// Whether lines are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A step, for machines only.
    pub(crate) fn tag(&self, tag: &str, data: Value) {
        if self.json {
            let mut line = json!({ "cmd": self.cmd, "tag": tag });
            if let (Some(object), false) = (line.as_object_mut(), data.is_null()) {
                object.insert("data".to_owned(), data);
            }
            write_line(&spell_out(&line.to_string(), json_escape));
        }
    }

    /// A result, for people only: one line.
    pub(crate) fn result(&self, text: &str) {
        if !self.json {
            write_line(&printable(text));
        }
    }

    /// A place on this machine as a result, for people and their scripts: as it is.
    pub(crate) fn path(&self, path: &Path) {
        if !self.json {
            write_line(&path.display().to_string());
        }
    }

    /// A word to the person at the terminal: one line.
    pub(crate) fn say(&self, text: &str) {
        if !self.json {
            eprintln!("{}", printable(text));
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
        let message = sentence(error);
        if self.json {
            self.tag(
                "error",
                json!({ "success": false, "code": code(error), "message": message }),
            );
        } else {
            eprintln!("bosc {}: {}", self.cmd, printable(&message));
        }
        ExitCode::FAILURE
    }
}

/// Says what is wrong with the command line, or the help that was asked for; as JSON where `--json` is among the arguments.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json");
    if json && error.use_stderr() {
        let message = error.to_string();
        let message = message.lines().take_while(|line| !line.is_empty());
        let message = message.map(str::trim).collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let cmd = std::env::args().nth(1).filter(|first| !first.starts_with('-'));
        let line = json!({ "cmd": cmd, "tag": "error",
            "data": { "success": false, "code": "ERR_USAGE", "message": message } });
        write_line(&spell_out(&line.to_string(), json_escape));
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// An error and its causes, each said once: many errors quote their cause in their own sentence.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
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
    format!("{sign} {} ({amounts})", diff.key)
}

/// Text as a terminal may show it: characters that would move the cursor, end the line, turn the direction of reading, or
/// take part unseen, are written as `\u{…}`.
fn printable(text: &str) -> Cow<'_, str> {
    spell_out(text, |c, out| out.extend(c.escape_unicode()))
}

/// The same inside a line of JSON, where it changes nothing for who parses it: such characters are in strings alone.
fn json_escape(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

fn spell_out(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_hidden(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether a character does something else than to show itself, by Unicode's own tables.
fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(
        category,
        // Commands to the terminal, direction marks, line ends, and what no font shows: unassigned and private.
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::Unassigned
            | GeneralCategory::PrivateUse
    ) || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        // The empty Braille pattern is a symbol by its category, and blank.
        || c == '\u{2800}'
}

/// Upstream's code for an error, where it has one.
fn code(error: &anyhow::Error) -> &'static str {
    if let Some(error) = error.downcast_ref::<release::ReleaseError>() {
        error.code()
    } else if error.downcast_ref::<crate::interrupt::Stopped>().is_some() {
        "ERR_INTERRUPTED"
    } else if error.downcast_ref::<peers::PeersError>().is_some() {
        "ERR_NETWORK"
    } else if error.downcast_ref::<app::LinkError>().is_some() {
        "ERR_INVALID_LINK"
    } else if let Some(error) = error.downcast_ref::<app::ManifestError>() {
        match error {
            app::ManifestError::Missing { .. } => "ERR_INVALID_PROJECT_DIR",
            _ => "ERR_INVALID_MANIFEST",
        }
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

/// Prints a line. Whoever reads it may have gone away, and the disk may be full: the program then ends, and not as if all had gone
/// well; of the first nobody need be told.
fn write_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            eprintln!("bosc: cannot write the result: {error}; it was: {line}");
        }
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_spelled_out() {
        assert_eq!(printable("/ünï cödé.txt"), "/ünï cödé.txt");
        assert_eq!(printable("/evil\u{1b}[1A\u{1b}[2K"), "/evil\\u{1b}[1A\\u{1b}[2K");
        assert_eq!(printable("/\u{202e}txt.exe\n"), "/\\u{202e}txt.exe\\u{a}");
        for text in ["中文 → ✓ · “a” … 🦀", "עברית", "e\u{301}", "हिन्दी", "~ / \\ \""]
        {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || std::io::Error::other("no space left");
        let quoting = anyhow::Error::new(cause()).context("cannot write x: no space left");
        assert_eq!(sentence(&quoting), "cannot write x: no space left");
        let bare = anyhow::Error::new(cause()).context("cannot write x");
        assert_eq!(sentence(&bare), "cannot write x: no space left");
    }

    #[test]
    fn what_is_not_seen_is_spelled_out() {
        // C0, DEL and C1; direction; width; fillers; tags; blanks; variation selectors; nothing at all.
        let ranges = [
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{a0}',
            '\u{61c}'..='\u{61c}',
            '\u{115f}'..='\u{1160}',
            '\u{180b}'..='\u{180f}',
            '\u{2000}'..='\u{200f}',
            '\u{2028}'..='\u{202f}',
            '\u{205f}'..='\u{206f}',
            '\u{2800}'..='\u{2800}',
            '\u{3000}'..='\u{3000}',
            '\u{3164}'..='\u{3164}',
            '\u{e000}'..='\u{e001}',
            '\u{fe00}'..='\u{fe0f}',
            '\u{feff}'..='\u{feff}',
            '\u{fff9}'..='\u{fffb}',
            '\u{e0000}'..='\u{e01ef}',
        ];
        for c in ranges.into_iter().flatten() {
            let shown = printable(&format!("1.0{c}.0")).into_owned();
            assert_eq!(shown, format!("1.0{}.0", c.escape_unicode()));
            let line = json!({ "version": format!("1.0{c}.0") });
            let shown = spell_out(&line.to_string(), json_escape).into_owned();
            assert!(!shown.contains(c), "{shown}");
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), line, "{shown}");
        }
    }
}
