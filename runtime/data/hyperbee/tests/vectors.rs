//! The same operations give the same blocks as npm hyperbee (tests/vectors/scripts/hyperbee.js).

mod support;

use hyperbee::{Batch, Bee, Range};
use serde_json::Value;

const VECTORS: &str = include_str!("../../../../tests/vectors/hyperbee/blocks.json");

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

async fn apply(batch: &mut Batch, op: &Value) {
    match text(&op[0]) {
        "put" => batch
            .put(text(&op[1]).as_bytes(), text(&op[2]).as_bytes())
            .await
            .expect("put"),
        _ => drop(batch.del(text(&op[1]).as_bytes()).await.expect("del")),
    }
}

async fn run(bee: &Bee, step: &Value) {
    let mut batch = bee.batch().await.expect("batch");
    if step[0].is_string() {
        apply(&mut batch, step).await
    } else {
        for op in step.as_array().expect("a batch") {
            apply(&mut batch, op).await;
        }
    }
    batch.flush().expect("flush");
}

#[tokio::test]
async fn blocks_are_those_of_javascript() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("vectors");
    for case in vectors["cases"].as_array().expect("cases") {
        let name = text(&case["name"]);
        let bee = support::memory_bee(name);
        for step in case["steps"].as_array().expect("steps") {
            run(&bee, step).await;
        }
        let expected = case["blocks"].as_array().expect("blocks");
        assert_eq!(bee.core().length(), expected.len() as u64, "{name}: length");
        for (index, block) in expected.iter().enumerate() {
            let ours = bee.core().get_local(index as u64).expect("read").expect("block");
            assert_eq!(hex::encode(ours), text(block), "{name}: block {index}");
        }
        let entries = bee.entries(Range::all()).await.expect("entries");
        let ours: Vec<Value> = entries
            .iter()
            .map(|entry| {
                let value = entry.value.clone().unwrap_or_default();
                let (key, value) = (
                    String::from_utf8_lossy(&entry.key),
                    String::from_utf8_lossy(&value),
                );
                serde_json::json!([entry.seq, key, value])
            })
            .collect();
        assert_eq!(Value::Array(ours), case["entries"], "{name}: entries");
    }
}
