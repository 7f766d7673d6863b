//! What a formatter does not see: every file says what it is for, none grows too long, imports have one style, lock files name the public
//! registry alone.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::imports;
use crate::steps::root;

/// The longest a source file may be, in lines.
const LONGEST: usize = 800;

/// The registry that a lock file may name.
const NPM: &str = "https://registry.npmjs.org/";

pub(super) fn check() -> Result<Vec<String>> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files failed");
    let mut findings = Vec::new();
    for name in String::from_utf8(output.stdout)?.split_terminator('\0') {
        let path = root().join(name);
        // Deleted, and not yet committed.
        if !path.is_file() {
            continue;
        }
        if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            findings.extend(source(&text).map(|finding| format!("{name} {finding}")));
            if is_product_root(name) {
                findings.extend(panics(&text).map(|finding| format!("{name} {finding}")));
            }
            findings.extend(
                imports::check(&text)
                    .into_iter()
                    .map(|finding| format!("{name}{finding}")),
            );
        } else if name.ends_with("package-lock.json") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            let lock = serde_json::from_str(&text).with_context(|| format!("{name} is not JSON"))?;
            findings.extend(
                foreign(&lock)
                    .into_iter()
                    .map(|finding| format!("{name} {finding}")),
            );
        }
    }
    Ok(findings)
}

/// Whether a file is the root of a crate whose code meets peers, files and people. `tests` and `xtask` may stop with a panic, and the
/// templates of new apps are of no crate here: their authors choose.
fn is_product_root(name: &str) -> bool {
    let exempt = ["tests/", "xtask/", "fuzz/", "cli/templates/"]
        .iter()
        .any(|folder| name.starts_with(folder));
    !exempt && (name.ends_with("src/lib.rs") || name.ends_with("src/main.rs"))
}

/// The lints against panics that the root of a crate does not turn on. They cannot be in Cargo.toml: there they would hold for the crate's
/// tests, too.
fn panics(text: &str) -> impl Iterator<Item = String> {
    let lints = ["unwrap_used", "expect_used", "panic", "indexing_slicing"];
    lints
        .into_iter()
        .map(|lint| format!("clippy::{lint}"))
        .filter(|lint| {
            let mut words = text.split(|sign: char| !sign.is_alphanumeric() && !"_:".contains(sign));
            !words.any(|word| word == lint)
        })
        .map(|lint| format!("does not warn of {lint}; see the roots of the other crates"))
}

/// What is wrong with a Rust file.
fn source(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().count();
    let long = (lines > LONGEST).then(|| format!("has {lines} lines; split it, {LONGEST} is the most"));
    let mute = (!text.starts_with("//! ")).then(|| "does not begin with `//!` and what it is for".to_owned());
    long.into_iter().chain(mute)
}

/// Packages of a lock file that come from somewhere else.
fn foreign(lock: &Value) -> Vec<String> {
    let packages = lock["packages"].as_object();
    packages
        .into_iter()
        .flatten()
        .filter_map(|(name, package)| {
            let from = package["resolved"].as_str()?;
            (!from.starts_with(NPM)).then(|| format!("takes {name} from {from}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_mute_files_are_found() {
        let count = |text: &str| source(text).count();
        assert_eq!(count("//! What it is.\nfn main() {}\n"), 0);
        assert_eq!(count("fn main() {}\n"), 1);
        assert_eq!(count(&"\n".repeat(LONGEST + 1)), 2);
    }

    #[test]
    fn a_crate_that_may_panic_is_found() {
        let attribute = "#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]";
        assert_eq!(panics(attribute).count(), 0);
        assert_eq!(panics(&attribute.replace("clippy::panic, ", "")).count(), 1);
        assert_eq!(panics("").count(), 4);
        assert!(is_product_root("runtime/base/src/lib.rs") && is_product_root("cli/src/main.rs"));
        assert!(!is_product_root("tests/src/lib.rs") && !is_product_root("xtask/src/main.rs"));
        assert!(!is_product_root("cli/src/output.rs"));
    }

    #[test]
    fn other_registries_are_found() {
        let lock = serde_json::json!({ "packages": {
            "": {},
            "a": { "resolved": "https://registry.npmjs.org/a/-/a-1.0.0.tgz" },
            "b": { "resolved": "https://mirror.example/b-1.0.0.tgz" },
        } });
        assert_eq!(foreign(&lock).len(), 1);
    }
}
