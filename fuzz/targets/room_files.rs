//! `schema.json`, `dispatch.json` and `db.json`: what is read as one of them is written to a file that reads the same.

#![no_main]

use bosc_fuzz::within;
use libfuzzer_sys::fuzz_target;

const SCHEMA: &str = r#"{"version":1,"schema":[{"name":"a","namespace":"room","compact":false,"flagsPosition":-1,
    "fields":[{"name":"id","required":true,"type":"string","version":1}]}]}"#;

fuzz_target!(|text: &str| {
    within(8192 + 1000 * text.len(), || {
        if let Ok(builder) = hyperschema::Builder::from_json(text) {
            let written = builder.to_json();
            let again = hyperschema::Builder::from_json(&written).expect("what was written");
            assert_eq!(again.to_json(), written);
            assert_eq!(builder.finish().is_ok(), again.finish().is_ok());
            hyperschema::check(&written, &written).expect("nothing changed");
        }
        if let Ok(builder) = hyperdispatch::Builder::from_json(text) {
            let written = builder.to_json().expect("text");
            hyperdispatch::Builder::from_json(&written).expect("what was written");
        }
        let schema = hyperschema::Builder::from_json(SCHEMA).expect("a schema");
        if let Ok(builder) = hyperdb::Builder::from_json(schema.clone(), text) {
            let _ = builder.finish();
            hyperdb::Builder::from_json(schema, &builder.to_json()).expect("what was written");
        }
    });
});
