//! Values of a schema that holds every type: what is read is written again to something that reads the same, within a bound of memory. The
//! first two bytes pick the type.

#![no_main]

use std::sync::LazyLock;

use bosc_fuzz::within;
use hyperschema::Schema;
use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;

const VECTORS: &str = include_str!("../../tests/vectors/hyperschema/values.json");

static KNOWN: LazyLock<(Schema, Vec<String>)> = LazyLock::new(|| {
    let vectors: Json = serde_json::from_str(VECTORS).expect("vectors");
    let schemas = vectors["schemas"].as_array().expect("schemas");
    let schema = schemas.last().and_then(Json::as_str).expect("text");
    let names = vectors["cases"].as_array().expect("cases").iter();
    let mut names: Vec<String> = names
        .map(|case| case["type"].as_str().expect("text").to_owned())
        .collect();
    names.dedup();
    (Schema::from_json(schema).expect("a schema"), names)
});

fuzz_target!(|input: &[u8]| {
    let Some((pick, rest)) = input.split_first_chunk::<2>() else {
        return;
    };
    let (schema, names) = &*KNOWN;
    let name = &names[usize::from(u16::from_le_bytes(*pick)) % names.len()];
    // 4096 elements may take no bytes, each of which is 80 here, in two values and a list that grows. A struct of 17 fields takes 2 kilobytes from 3 bytes, and a list of them doubles as it grows;
    // writing holds each level once more.
    within((2 << 20) + 4000 * rest.len(), || {
        if let Ok(value) = schema.decode(name, rest) {
            let bytes = match schema.encode(name, &value) {
                Ok(bytes) => bytes,
                Err(error) => {
                    // A number of an enum that the schema does not have is read, and not written; and a struct that is a version of
                    // another says that it has none.
                    let known = ["the enum has no such value", "newer than", "a lexint cannot hold"];
                    assert!(known.iter().any(|words| error.what.contains(words)), "{error}");
                    return;
                }
            };
            let again = schema.decode(name, &bytes).expect("what was written");
            assert_eq!(schema.encode(name, &again).expect("what was read"), bytes);
        }
    });
});
