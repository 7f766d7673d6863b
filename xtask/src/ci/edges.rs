//! Which crate may know which: the arrows of ARCHITECTURE.md that a careless dependency would turn around.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::items;

/// Everything that needs a display.
const WINDOWS: &[&str] = &["wry", "tao", "gtk", "webkit2gtk", "bosc-shell"];
/// Everything that opens sockets.
const NETWORK: &[&str] = &["bosc-hyperswarm", "bosc-dht", "bosc-udx"];
/// Everything that keeps data.
const DATA: &[&str] = &[
    "bosc-hypercore",
    "bosc-core-store",
    "bosc-corestore",
    "bosc-hyperdrive",
    "rusqlite",
];

/// Everything that waits, keeps or sends: what a pure crate lives without.
const IO: &[&str] = &["tokio", "rusqlite", "socket2", "quinn-udp"];

/// A crate, and what it must not reach.
const RULES: [(&str, &[&str]); 30] = [
    ("bosc-cli", WINDOWS),
    ("bosc-runtime", WINDOWS),
    ("bosc-release", WINDOWS),
    ("bosc-peers", &["bosc-runtime", "bosc-multisig"]),
    ("bosc-multisig", NETWORK),
    ("bosc-runtime", &["bosc-multisig", "bosc-cli"]),
    ("bosc-hyperdrive", NETWORK),
    ("bosc-corestore", NETWORK),
    ("bosc-hypercore", IO),
    ("bosc-hypercore", &["bosc-secret-stream"]),
    ("bosc-hyperschema", IO),
    ("bosc-hyperdispatch", IO),
    ("bosc-hyperdb", NETWORK),
    ("bosc-autobase", IO),
    ("bosc-autobase", &["bosc-core-store", "bosc-secret-stream"]),
    ("bosc-core-store", NETWORK),
    ("bosc-hyperswarm", DATA),
    ("bosc-dht", DATA),
    ("bosc-blind-relay", DATA),
    ("bosc-blind-pairing", IO),
    ("bosc-protomux", IO),
    ("bosc-base", IO),
    ("bosc-app", IO),
    ("bosc-app", NETWORK),
    ("bosc-app", DATA),
    // It stands before every app, and starts before anything else is there.
    ("bosc-appimage-runtime", IO),
    ("bosc-appimage", IO),
    ("bosc-packaging", IO),
    ("bosc-packaging", DATA),
    ("xtask", &["wry", "tokio", "bosc-runtime"]),
];

pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let graph = Graph::read(metadata);
    for (from, forbidden) in RULES {
        ensure!(
            graph.needs.contains_key(from),
            "there is a rule about {from}, which is no crate"
        );
        for to in forbidden {
            if let Some(path) = graph.path(from, to) {
                findings.push(format!(
                    "{from} must not depend on {to}, and does: {}",
                    path.join(" -> ")
                ));
            }
        }
    }
    Ok(findings)
}

/// Which package needs which, by name, for a build (not for tests).
struct Graph {
    needs: HashMap<String, Vec<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Self {
        let names: HashMap<&str, &str> = items(&metadata["packages"])
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect();
        let mut needs: HashMap<String, Vec<String>> = HashMap::new();
        for node in items(&metadata["resolve"]["nodes"]) {
            let Some(name) = node["id"].as_str().and_then(|id| names.get(id)) else {
                continue;
            };
            let built = items(&node["deps"])
                .filter(|dep| items(&dep["dep_kinds"]).any(|kind| kind["kind"].as_str() != Some("dev")))
                .filter_map(|dep| names.get(dep["pkg"].as_str()?))
                .map(|name| (*name).to_owned());
            needs.entry((*name).to_owned()).or_default().extend(built);
        }
        Self { needs }
    }

    /// One way from a package to another.
    fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut seen = HashSet::from([from]);
        let mut ways = vec![vec![from]];
        while let Some(way) = ways.pop() {
            let last = way.last()?;
            if *last == to {
                return Some(way.into_iter().map(str::to_owned).collect());
            }
            for next in self.needs.get(*last).into_iter().flatten() {
                if seen.insert(next) {
                    let mut longer = way.clone();
                    longer.push(next);
                    ways.push(longer);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_dependencies_do_not_count_and_others_are_followed() {
        let package = |name: &str| serde_json::json!({ "id": name, "name": name });
        let dep =
            |name: &str, kind: Value| serde_json::json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = serde_json::json!({
            "packages": [package("a"), package("b"), package("c"), package("d")],
            "resolve": { "nodes": [
                { "id": "a", "deps": [dep("b", Value::Null), dep("d", "dev".into())] },
                { "id": "b", "deps": [dep("c", "build".into())] },
                { "id": "c", "deps": [] },
                { "id": "d", "deps": [] },
            ] },
        });
        let graph = Graph::read(&metadata);
        assert_eq!(
            graph.path("a", "c"),
            Some(["a", "b", "c"].map(str::to_owned).to_vec())
        );
        assert_eq!(graph.path("a", "d"), None);
        assert_eq!(graph.path("c", "a"), None);
    }
}
