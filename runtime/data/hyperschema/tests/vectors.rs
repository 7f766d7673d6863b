//! Values of every type are the bytes that npm hyperschema writes, and are read as it reads them (tests/vectors/scripts/hyperschema.js).

mod support;
#[path = "support/tag.rs"]
mod tag;

use base::wire::{Reader, Writer};
use hyperschema::{Builder, Schema, check};
use serde_json::Value as Json;

use support::untag;
use tag::tag;

const VECTORS: &str = include_str!("../../../../tests/vectors/hyperschema/values.json");

fn vectors() -> (Json, Schema) {
    let vectors: Json = serde_json::from_str(VECTORS).expect("vectors");
    let last = vectors["schemas"]
        .as_array()
        .expect("schemas")
        .last()
        .expect("one");
    let schema = Schema::from_json(last.as_str().expect("text")).expect("a schema");
    (vectors, schema)
}

fn text(json: &Json) -> &str {
    json.as_str().expect("text")
}

#[test]
fn values_are_the_bytes_of_javascript() {
    let (vectors, schema) = vectors();
    for case in vectors["cases"].as_array().expect("cases") {
        let (name, version) = (text(&case["type"]), case["version"].as_u64().expect("a version"));
        let mut out = Writer::new();
        schema
            .encode_to(name, &untag(&case["value"]), version, &mut out)
            .unwrap_or_else(|error| panic!("{error}: {}", case["value"]));
        assert_eq!(
            hex::encode(out.finish()),
            text(&case["bytes"]),
            "{name}: {}",
            case["value"]
        );
    }
}

#[test]
fn bytes_are_read_as_javascript_reads_them() {
    let (vectors, schema) = vectors();
    let lists = ["cases", "foreign"].map(|list| vectors[list].as_array().expect("a list"));
    for case in lists.into_iter().flatten() {
        let (name, version) = (text(&case["type"]), case["version"].as_u64().expect("a version"));
        let bytes = hex::decode(text(&case["bytes"])).expect("hex");
        let found = schema.decode_from(name, version, &mut Reader::new(&bytes));
        match (case.get("decoded"), found) {
            (Some(expected), Ok(found)) => {
                assert_eq!(tag(&found), tag(&untag(expected)), "{name}: {}", case["bytes"])
            }
            (None, Err(_)) => {}
            (expected, found) => panic!("{name} {}: {expected:?}, and not {found:?}", case["bytes"]),
        }
    }
}

#[test]
fn a_schema_is_the_same_file_after_it_was_read() {
    let (vectors, _) = vectors();
    for schema in vectors["schemas"].as_array().expect("schemas") {
        assert_eq!(
            Builder::from_json(text(schema)).expect("a schema").to_json(),
            text(schema)
        );
    }
}

#[test]
fn what_npm_let_grow_is_let_grow() {
    let (vectors, _) = vectors();
    let schemas: Vec<&str> = vectors["schemas"]
        .as_array()
        .expect("schemas")
        .iter()
        .map(text)
        .collect();
    for pair in schemas.windows(2) {
        check(pair[0], pair[1]).expect("it only grew");
        check(pair[1], pair[0]).expect_err("it shrank");
    }
}
