//! Values survive the round trip, and garbage neither panics nor takes memory.

mod support;

use std::sync::LazyLock;

use hyperschema::{Schema, Value};
use proptest::prelude::*;
use serde_json::Value as Json;

use support::untag;

const VECTORS: &str = include_str!("../../../../tests/vectors/hyperschema/values.json");

struct Known {
    schema: Schema,
    names: Vec<String>,
    values: Vec<(String, Value, Vec<u8>)>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(known);

fn known() -> Known {
    let vectors: Json = serde_json::from_str(VECTORS).expect("vectors");
    let schemas = vectors["schemas"].as_array().expect("schemas");
    let schema = Schema::from_json(schemas.last().and_then(Json::as_str).expect("text")).expect("a schema");
    let text = |json: &Json| json.as_str().expect("text").to_owned();
    let cases = vectors["cases"].as_array().expect("cases");
    let value = |case: &Json| {
        let bytes = hex::decode(text(&case["bytes"])).expect("hex");
        (text(&case["type"]), untag(&case["value"]), bytes)
    };
    let mut names: Vec<String> = cases.iter().map(|case| text(&case["type"])).collect();
    names.dedup();
    Known {
        schema,
        names,
        values: cases.iter().map(value).collect(),
    }
}

/// How many values are in a value.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(size).sum(),
        Value::Object(object) => object.iter().map(|(_, value)| size(value)).sum(),
        Value::Record(pairs) => pairs.iter().map(|(key, value)| size(key) + size(value)).sum(),
        _ => 0,
    }
}

#[test]
fn every_value_is_read_as_it_was_written() {
    let known = &*KNOWN;
    for (name, value, _) in &known.values {
        let bytes = known.schema.encode(name, value).expect("bytes");
        let read = known.schema.decode(name, &bytes).expect("a value");
        assert_eq!(
            known.schema.encode(name, &read).expect("bytes"),
            bytes,
            "{name}: {value:?}"
        );
    }
}

#[test]
fn values_that_take_no_bytes_are_counted() {
    let known = &*KNOWN;
    // A million times nothing, in five bytes.
    let error = known
        .schema
        .decode("@test/list-none", &[0xfe, 0, 0, 0x10, 0])
        .expect_err("too many");
    assert!(error.to_string().contains("without bytes"), "{error}");
    known
        .schema
        .decode("@test/list-none", &[0xfd, 0, 0x10])
        .expect("some");
}

#[test]
fn what_lies_too_deep_is_refused() {
    let known = &*KNOWN;
    // `child` is there (flag 1), and in it another.
    let mut bytes = vec![0, 0];
    for _ in 0..3000 {
        let mut outer = vec![0, 1];
        let mut framed = base::wire::Writer::new();
        framed.buffer(&bytes);
        outer.extend(framed.finish());
        bytes = outer;
    }
    let error = known.schema.decode("@test/deep", &bytes).expect_err("too deep");
    assert!(error.to_string().contains("deep"), "{error}");
}

proptest! {
    #[test]
    fn garbage_is_bounded(bytes in prop::collection::vec(any::<u8>(), 0..200), pick in any::<prop::sample::Index>()) {
        let known = &*KNOWN;
        let name = pick.get(&known.names);
        if let Ok(value) = known.schema.decode(name, &bytes) {
            // 17 fields of `nest` from each byte at most, besides what is allowed to take none.
            prop_assert!(size(&value) < 5000 + 40 * bytes.len());
            if let Ok(again) = known.schema.encode(name, &value) {
                let read = known.schema.decode(name, &again).expect("what was written");
                prop_assert_eq!(known.schema.encode(name, &read).expect("again"), again);
            }
        }
    }

    #[test]
    fn damage_is_bounded(pick in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8) {
        let known = &*KNOWN;
        let (name, _, bytes) = pick.get(&known.values);
        if !bytes.is_empty() {
            let mut bytes = bytes.clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = known.schema.decode(name, &bytes);
            let _ = known.schema.decode(name, &bytes[..at]);
        }
    }

    #[test]
    fn json_is_written_as_it_is_read(number: f64, text: String, whole: i64) {
        let value = serde_json::json!({ "a": [number, whole], "b": text });
        let once = hyperschema::json::stringify(&value);
        let read = hyperschema::json::parse(&once).expect("JSON");
        prop_assert_eq!(hyperschema::json::stringify(&read), once);
        if number.is_finite() {
            prop_assert_eq!(read["a"][0].as_f64(), Some(number));
        }
    }
}
