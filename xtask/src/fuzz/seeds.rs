//! Where a fuzz target starts from: what the npm packages wrote, out of the vectors in `tests/vectors`, and a few files of the
//! repository. Targets that build their own sessions out of the fuzzer's bytes need none.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// What is taken of the vectors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Take {
    /// Bytes, which vectors write in hex.
    Bytes,
    /// Bytes, and all texts as they are.
    BytesAndTexts,
}

/// The vectors of a target, what is taken of them, and how many kinds of messages its first byte picks from (0: there is no such byte).
fn sources(target: &str) -> (&'static [&'static str], Take, u8) {
    match target {
        "hypercore_messages" => (
            &["hypercore/messages.json", "hypercore/core.json"],
            Take::Bytes,
            9,
        ),
        "manifest" => (&["hypercore/core.json", "multisig/vectors.json"], Take::Bytes, 0),
        "dht_messages" => (&["dht/messages.json", "dht/keys.json"], Take::Bytes, 11),
        "autobase_messages" => (&["autobase/messages.json", "autobase/rooms.json"], Take::Bytes, 5),
        "hyperbee_blocks" => (&["hyperbee/blocks.json", "hyperdrive/drive.json"], Take::Bytes, 2),
        "hyperschema_values" => (&["hyperschema/values.json"], Take::Bytes, 8),
        "hyperdispatch_messages" => (&["hyperdispatch/messages.json"], Take::Bytes, 0),
        "blind_pairing" => (&["blind-pairing/messages.json"], Take::Bytes, 0),
        "hyperdb_keys" => (&["hyperdb/rooms.json"], Take::Bytes, 0),
        "room_files" => (
            &[
                "hyperschema/values.json",
                "hyperdispatch/messages.json",
                "hyperdb/rooms.json",
            ],
            Take::BytesAndTexts,
            0,
        ),
        "hyperblobs_map" => (&["hyperdrive/drive.json"], Take::Bytes, 0),
        "multisig_files" => (&["multisig/vectors.json"], Take::BytesAndTexts, 8),
        "links" => (&["multisig/vectors.json"], Take::BytesAndTexts, 0),
        _ => (&[], Take::Bytes, 0),
    }
}

/// Other seeds of a target, as text.
fn texts(target: &str, root: &Path) -> Result<Vec<String>> {
    let read =
        |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
    let key = "ipn81s3nung689qb91wyy74y8pz1iecakz5uzp3td1x7cqjz9ogy";
    Ok(match target {
        "package_json" => vec![
            read("template-app/package.json")?,
            read("tests/interop/package.json")?,
            format!(
                r##"{{"name":"@a/b","productName":"B","version":"1.0.0","upgrade":"pear://{key}","pear":{{"stage":{{"ignore":["/c"]}}}},
                "bosc":{{"page":"./d.html","files":["d.html"],"permissions":["camera"],"relays":["{key}"],"seed":{{"rate":"2mb"}},
                "window":{{"width":500,"backgroundColor":"#fa0"}},"pages":1}}}}"##
            ),
            "linux-x64".to_owned(),
        ],
        "multisig_files" => vec![format!(
            "\u{7}{}",
            serde_json::json!({ "multisig": { "publicKeys": [key], "quorum": 1, "namespace": "my-org/my-app" } })
        )],
        "links" => vec![
            format!("pear://{key}"),
            format!("pear://0.3.{key}/path?search#fragment"),
            format!("\"pear://1.2.{key}.{key}\""),
            r#"{"update":{"from":"1.0.0","to":"1.0.1","old":["/a"],"starts":1},"bad":["1.0.2"]}"#.to_owned(),
        ],
        "bridge" => {
            let message = |call: &str| format!(r#"{{"token":"secret","page":"p","id":1,"call":{call}}}"#);
            vec![
                "app://bundle/index.html".to_owned(),
                "/renderer/a%20b.js".to_owned(),
                message(r#"{"kind":"hello","started":1.5}"#),
                message(r#"{"kind":"invoke","command":"send","args":{"a":[1,null]}}"#),
                message(r#"{"kind":"startWorker","spec":"/workers/main.js"}"#),
            ]
        }
        _ => Vec::new(),
    })
}

/// Seeds for a target that makes long sessions of its bytes, which the fuzzer comes to by itself only after hours.
fn noise(target: &str) -> Vec<Vec<u8>> {
    let mut state: u64 = 1;
    let mut bytes = |count: usize| -> Vec<u8> {
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..count).map(step).collect()
    };
    match target {
        "store_rows" => (1..=64).map(|number| bytes(4 * number)).collect(),
        _ => Vec::new(),
    }
}

/// Writes the seeds of `target` into `folder`, and takes out those of an earlier run.
pub(super) fn write(target: &str, root: &Path, folder: &Path) -> Result<()> {
    let mut seeds = BTreeSet::new();
    let (files, take, picks) = sources(target);
    for file in files {
        let path = root.join("tests/vectors").join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let vectors = serde_json::from_str(&text).with_context(|| format!("{file} is not JSON"))?;
        let mut found = BTreeSet::new();
        collect(&vectors, take, &mut found);
        for bytes in found {
            match picks {
                0 => drop(seeds.insert(bytes)),
                _ => seeds.extend((0..picks).map(|pick| [&[pick][..], &bytes].concat())),
            }
        }
    }
    seeds.extend(texts(target, root)?.into_iter().map(String::into_bytes));
    seeds.extend(noise(target));
    fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (number, bytes) in seeds.iter().enumerate() {
        let path = folder.join(format!("{number:04}"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// All texts of a document, those in hex as bytes.
fn collect(value: &Value, take: Take, into: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::String(text) => {
            into.extend(from_hex(text));
            if take == Take::BytesAndTexts {
                into.insert(text.clone().into_bytes());
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, take, into)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, take, into)),
        _ => {}
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let pairs = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    Some(pairs.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::root;

    #[test]
    fn seeds_come_from_the_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let count = |target: &str| {
            write(target, &root(), folder.path()).unwrap();
            fs::read_dir(folder.path()).unwrap().count()
        };
        for target in [
            "hypercore_messages",
            "dht_messages",
            "multisig_files",
            "hyperbee_blocks",
            "hyperschema_values",
            "hyperdb_keys",
            "room_files",
            "autobase_messages",
        ] {
            assert!(count(target) > 50, "{target}: {}", count(target));
        }
        for target in [
            "blind_pairing",
            "hyperdispatch_messages",
            "manifest",
            "hyperblobs_map",
            "links",
            "bridge",
            "package_json",
        ] {
            assert!(count(target) > 1, "{target}: {}", count(target));
        }
        assert_eq!((count("protomux"), count("store_rows")), (0, 64));
        assert_eq!(from_hex("00ff7a"), Some(vec![0, 255, 0x7a]));
        assert_eq!(from_hex("0"), None);
    }
}
