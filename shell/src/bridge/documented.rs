//! Holds what is written of the bridge, `docs/bridge.md` and `bridge.d.ts`, against the program.

use std::collections::BTreeSet;
use std::path::Path;

use bosc_runtime::{UpdaterEvent, UpdaterState};
use serde_json::Value;

const SCRIPT: &str = include_str!("bridge.js");
const TYPES: &str = include_str!("bridge.d.ts");
const PAGE: &str = include_str!("../../../docs/bridge.md");

/// The words of a text in single quotes, or in other such marks.
fn quoted(text: &str, mark: char) -> BTreeSet<&str> {
    text.split(mark).skip(1).step_by(2).collect()
}

/// The part of a text between two of its lines' beginnings.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?}"));
    rest.split_once(to)
        .unwrap_or_else(|| panic!("no {to:?} after {from:?}"))
        .0
}

/// Names at the beginning of lines of that indentation, up to a `(`, `<`, `:` or `?`.
fn members<'a>(text: &'a str, indent: &str) -> BTreeSet<&'a str> {
    let name = |line: &'a str| {
        let rest = line.strip_prefix(indent)?;
        let end = rest.find(['(', '<', ':', '?'])?;
        let name = rest[..end].trim_matches('\'');
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        is_name.then_some(name)
    };
    text.lines().filter_map(name).collect()
}

/// First cells of the table beneath a heading, up to a bracket.
fn table<'a>(heading: &str) -> BTreeSet<&'a str> {
    let section = between(PAGE, heading, "\n\n##").lines();
    let cells = section.filter_map(|line| line.strip_prefix("| `")?.split(['`', '(']).next());
    cells.collect()
}

#[test]
fn every_call_is_written_down() {
    let calls = members(between(SCRIPT, "const bridge = {", "\n  }"), "    ");
    assert!(calls.len() > 10, "{calls:?}");
    assert_eq!(members(between(TYPES, "interface Bridge {", "\n}"), "  "), calls);
    assert_eq!(table("## Calls"), calls);
}

/// Constants that are given to `CommandError::new` somewhere in the shell.
fn codes(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            codes(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]").next().unwrap();
            let calls = product.split("CommandError::new(").skip(1);
            let code = |call: &str| Some(call.trim_start().strip_prefix('"')?.split('"').next()?.to_owned());
            found.extend(calls.filter_map(code));
        }
    }
}

#[test]
fn every_error_code_is_written_down() {
    let mut found = BTreeSet::new();
    codes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.retain(|code| code.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    assert!(found.len() > 8, "{found:?}");
    let of = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(of(quoted(between(TYPES, "code?:", "(string"), '\'')), found);
    let (_, section) = PAGE.split_once("## Error codes").unwrap();
    let cells = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(of(cells.collect()), found);
}

#[test]
fn every_event_and_its_data_are_written_down() {
    let version = || "1.0.1".to_owned();
    let events = [
        UpdaterEvent::UpdateScheduled { delay: 1 },
        UpdaterEvent::Updating {
            next_version: version(),
        },
        UpdaterEvent::UpdatingDelta {
            op: "add".into(),
            key: "/a".into(),
            bytes_added: 1,
            bytes: 1,
            total_bytes: 1,
        },
        UpdaterEvent::Updated {
            next_version: version(),
            length: 1,
            fork: 0,
        },
        UpdaterEvent::Forked { fork: 1, before: 0 },
        UpdaterEvent::Error {
            message: version(),
            code: version(),
        },
    ];
    let names: Vec<String> = events
        .iter()
        .map(|event| {
            let data: Value = serde_json::to_value(event).unwrap();
            let name = data["name"].as_str().unwrap().to_owned();
            let row = PAGE
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("{name} has no row"));
            let types = between(TYPES, "interface PearEvents {", "\n}");
            let typed = types
                .lines()
                .skip_while(|line| !line.trim_start().trim_matches('\'').starts_with(&name));
            let typed: String = typed.take_while(|line| !line.starts_with("  /** ")).collect();
            for field in data.as_object().unwrap().keys().filter(|field| *field != "name") {
                assert!(row.contains(&format!("`{field}`")), "{name}: {field}");
                assert!(
                    typed.contains(&format!("{field}:")) || typed.contains(&format!("{field}?:")),
                    "{name}: {field} in {typed}"
                );
            }
            name
        })
        .collect();
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(table("## Events of the updater"), names);
    assert_eq!(
        members(between(TYPES, "interface PearEvents {", "\n}"), "  "),
        names
    );
}

#[test]
fn what_an_update_fails_with_is_written_down() {
    let codes = BTreeSet::from(bosc_runtime::Told::CODES);
    assert_eq!(table("## What an update fails with"), codes);
}

#[test]
fn the_state_is_written_down() {
    let state = UpdaterState {
        version: "1.0.0".into(),
        updating: false,
        updated: false,
        applied: false,
        next_version: None,
        taken_back: None,
        last_contact: None,
        last_error: None,
    };
    let state = serde_json::to_value(state).unwrap();
    let mut fields: BTreeSet<&str> = state.as_object().unwrap().keys().map(String::as_str).collect();
    // The host adds it.
    fields.insert("enabled");
    assert_eq!(
        members(between(TYPES, "interface UpdaterState {", "\n}"), "  "),
        fields
    );
    let words = quoted(between(PAGE, "## The state of the updater", "\n\n##"), '`');
    for field in fields {
        assert!(words.contains(field), "{field}");
    }
}
