//! Values of every type are the bytes that npm hyperschema writes, and are read as it reads them (tests/vectors/scripts/hyperschema.js).

mod support;

use std::net::IpAddr;

use base::wire::{Reader, Writer};
use hyperschema::{Builder, Schema, Value, check};
use serde_json::{Value as Json, json};
use support::untag;

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

/// The same value in one form, so that numbers of several types compare.
fn tag(value: &Value) -> Json {
    match value {
        // An absent `json` field and one that holds `null` look the same in JavaScript.
        Value::Null | Value::Json(Json::Null) => Json::Null,
        Value::Bool(bool) => json!(bool),
        Value::Uint(number) => json!(number.to_string()),
        Value::Int(number) => json!(number.to_string()),
        Value::BigInt(number) => json!(number.to_string()),
        Value::Float(number) => json!({ "$float": number.to_string() }),
        Value::Text(text) => match text.parse::<IpAddr>() {
            Ok(ip) => json!(ip.to_string()),
            Err(_) => json!(text),
        },
        Value::Bytes(bytes) => json!({ "$bytes": hex::encode(bytes) }),
        Value::Date(millis) => json!({ "$date": millis }),
        Value::Ip(ip) => json!(ip.to_string()),
        Value::Address(address) => json!({ "$address": address.to_string() }),
        Value::Json(json) => json!({ "$json": hyperschema::json::stringify(json) }),
        Value::Array(list) => list.iter().map(tag).collect(),
        Value::Object(object) => {
            let tagged = object.iter().map(|(name, value)| (name.to_owned(), tag(value)));
            tagged.filter(|(_, value)| !value.is_null()).collect()
        }
        Value::Record(pairs) => {
            json!({ "$record": pairs.iter().map(|(key, value)| (tag(key), tag(value))).collect::<Vec<_>>() })
        }
    }
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
