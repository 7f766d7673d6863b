//! Every dependency comes from the registry under a licence that deny.toml allows.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

use super::items;
use crate::steps::root;

pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let rules = fs::read_to_string(root().join("deny.toml")).context("cannot read deny.toml")?;
    let allowed = allowed(&rules)?;
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

/// What `allow` in `[licenses]` lists.
fn allowed(rules: &str) -> Result<Vec<Licensee>> {
    let rules: Rules = toml::from_str(rules).context("deny.toml is not usable")?;
    let licences = rules.licenses.allow.iter();
    licences
        .map(|name| {
            Licensee::parse(name).with_context(|| format!("deny.toml allows {name}, which is no licence"))
        })
        .collect()
}

/// deny.toml, as far as it is checked here.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

/// Whether an SPDX expression can be met with the allowed licences. The old `A/B` means `A OR B`.
fn satisfied(expression: &str, allowed: &[Licensee]) -> bool {
    Expression::parse_mode(expression, ParseMode::LAX).is_ok_and(|expression| {
        expression.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let rules = "[bans]\n[licenses]\nallow = [\n  \"MIT\",\n  \"Apache-2.0 WITH LLVM-exception\",\n  \"Zlib\",\n]\nother = [\n \"GPL-3.0\",\n]\n";
        let allowed = allowed(rules).unwrap();
        assert_eq!(allowed.len(), 3);
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
        assert!(super::allowed("[licenses]\nallow = [\"MTI\"]").is_err());
        assert!(super::allowed("[licenses]\nalow = [\"MIT\"]").is_err());
    }
}
