//! How what a release tells is shown: every step as a line for a person, or as the Pear CLI's tag for a program.

use std::sync::Arc;

use hyperdrive::Meter;
use release::{DriveAt, Progress, Step};
use serde_json::{Value, json};

use crate::output::Output;
use crate::progress::Bar;

/// Shows steps as they come, and how far they are if a person watches.
pub(crate) struct View<'a> {
    output: &'a Output,
    bar: Option<Bar>,
}

impl<'a> View<'a> {
    pub(crate) fn new(output: &'a Output) -> Self {
        Self { output, bar: None }
    }
}

impl Progress for View<'_> {
    fn step(&mut self, step: Step<'_>) {
        match &self.bar {
            Some(bar) => bar.suspend(|| show(step, self.output)),
            None => show(step, self.output),
        }
    }

    fn meter(&mut self, what: &'static str) -> Option<Arc<Meter>> {
        // One at a time: the line of what is done is cleared first.
        self.bar = None;
        if !self.output.interactive() {
            return None;
        }
        let meter = Arc::default();
        self.bar = Some(Bar::show(what, Arc::clone(&meter)));
        Some(meter)
    }
}

fn show(step: Step<'_>, output: &Output) {
    match step {
        Step::Changes(diff) => output.diff(diff),
        Step::Listed(key) => {
            output.tag("file", json!({ "key": key }));
            output.result(key);
        }
        Step::Note(text) => note(text, output),
        Step::Gathered { file, origin } => output.tag(
            "executable",
            json!({ "file": file.display().to_string(), "origin": origin.display().to_string() }),
        ),
        Step::Compares => output.tag("diffing", Value::Null),
        Step::Compared { changes, version } => {
            output.tag("diffed", json!({ "changes": changes, "semver": version }));
        }
        Step::Copies { part, from, to } => {
            output.tag("syncing", json!({ "type": part }));
            output.tag(
                "blocks",
                json!({ "type": part, "targetLength": from, "productionLength": to }),
            );
        }
        Step::Copied { part } => output.tag("synced", json!({ "type": part })),
        Step::Cools(time) => {
            output.tag("cooldown", json!({ "time": time.as_millis() as u64 }));
            output.say(&format!("writing in {} s, stop with Ctrl-C...", time.as_secs()));
        }
        Step::Writes => output.tag("staging", Value::Null),
        Step::Wrote { changes } => output.tag("staged", json!({ "changes": changes })),
        Step::Sets(field) => output.tag("setting", json!({ "field": field })),
        Step::Unsets(field) => output.tag("unsetting", json!({ "field": field })),
        // A step of a later engine.
        _ => {}
    }
}

/// Says each note: what may not be meant as it is.
pub(crate) fn notes(notes: &[String], output: &Output) {
    for text in notes {
        note(text, output);
    }
}

fn note(text: &str, output: &Output) {
    output.tag("warning", json!({ "message": text }));
    output.say(text);
}

/// A drive at one length, in JSON.
pub(crate) fn drive(at: &DriveAt) -> Value {
    let core = |core: &release::CoreAt| json!({ "id": core.key.to_string(), "length": core.length, "hash": hypercore::Key(core.hash).to_string() });
    json!({
        "core": core(&at.core), "blobs": at.blobs.as_ref().map_or_else(|| json!({}), core),
        "link": app::Link::plain(at.verlink.key).to_string(),
        "verlink": at.verlink.to_string(), "hashlink": at.hashlink().to_string(),
    })
}
