//! Messages of operations: what is read is written again to something that reads the same.

#![no_main]

use std::sync::LazyLock;

use bosc_fuzz::within;
use hyperdispatch::Dispatch;
use hyperschema::Schema;
use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;

const VECTORS: &str = include_str!("../../tests/vectors/hyperdispatch/messages.json");

static DISPATCH: LazyLock<Dispatch> = LazyLock::new(|| {
    let vectors: Json = serde_json::from_str(VECTORS).expect("vectors");
    let text = |name: &str| vectors[0][name].as_str().expect("text");
    let schema = Schema::from_json(text("schema")).expect("a schema");
    Dispatch::from_json(schema, text("dispatch")).expect("operations")
});

fuzz_target!(|input: &[u8]| {
    let dispatch = &*DISPATCH;
    within(4096 + 16 * input.len(), || {
        if let Ok(message) = dispatch.decode(input) {
            let bytes = dispatch
                .encode(&message.name, &message.value)
                .expect("what was read");
            assert_eq!(dispatch.decode(&bytes).expect("what was written"), message);
        }
    });
});
