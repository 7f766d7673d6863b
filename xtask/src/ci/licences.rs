//! Every dependency comes from the registry under a licence that deny.toml allows.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::items;
use crate::steps::root;

pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let rules = fs::read_to_string(root().join("deny.toml")).context("cannot read deny.toml")?;
    let allowed = allowed(&rules);
    ensure!(!allowed.is_empty(), "deny.toml allows no licence");
    let mut findings = Vec::new();
    for package in items(&metadata["packages"]) {
        let name = package["name"].as_str().unwrap_or("?");
        match package["license"].as_str() {
            None => findings.push(format!("{name} names no licence")),
            Some(licence) if !satisfied(licence, &allowed) => {
                findings.push(format!(
                    "{name}: licence {licence} is not among those of deny.toml"
                ));
            }
            Some(_) => {}
        }
        if let Some(source) = package["source"].as_str()
            && !source.starts_with("registry+")
        {
            findings.push(format!("{name} comes from {source}, not from a registry"));
        }
    }
    Ok(findings)
}

/// The strings of `allow = [ … ]` in `[licenses]`.
fn allowed(rules: &str) -> Vec<String> {
    rules
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[licenses]")
        .skip_while(|line| !line.starts_with("allow"))
        .skip(1)
        .take_while(|line| *line != "]")
        .filter_map(|line| {
            Some(
                line.trim_end_matches(',')
                    .strip_prefix('"')?
                    .strip_suffix('"')?
                    .to_owned(),
            )
        })
        .collect()
}

/// Whether an SPDX expression can be met with the allowed licences. The old `A/B` means `A OR B`.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut met = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = either(words, allowed);
        return words.next() == Some(")") && met;
    }
    let Some(name) = words.next() else { return false };
    let mut name = name.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let rules = "[bans]\n[licenses]\nallow = [\n  \"MIT\",\n  \"Apache-2.0 WITH LLVM-exception\",\n  \"Zlib\",\n]\nother = [\n \"GPL-3.0\",\n]\n";
        let allowed = allowed(rules);
        assert_eq!(allowed, ["MIT", "Apache-2.0 WITH LLVM-exception", "Zlib"]);
        for fine in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(GPL-3.0 OR MIT) AND Zlib",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(satisfied(fine, &allowed), "{fine}");
        }
        for not in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0",
            "(GPL-3.0 OR MIT) AND GPL-2.0",
            "MIT )",
        ] {
            assert!(!satisfied(not, &allowed), "{not}");
        }
    }
}
