//! The same operations give the same blocks as npm hyperdb, and find the same records (tests/vectors/scripts/hyperdb.js).

#[path = "../../hyperbee/tests/support/mod.rs"]
mod bees;
#[path = "../../hyperschema/tests/support/mod.rs"]
mod support;
#[path = "../../hyperschema/tests/support/tag.rs"]
mod tag;

use hyperbee::{Bee, Metadata};
use hyperdb::{Builder, Definition, HyperDb, Query};
use hyperschema::{Object, Value};
use serde_json::{Value as Json, json};

use support::untag;
use tag::tag;

const VECTORS: &str = include_str!("../../../../tests/vectors/hyperdb/rooms.json");

fn text(json: &Json) -> &str {
    json.as_str().expect("text")
}

fn vectors() -> Json {
    serde_json::from_str(VECTORS).expect("vectors")
}

/// What `helpers.js` of the script does.
fn definition(files: &Json) -> Definition {
    let mut definition =
        Definition::from_json(text(&files["schema"]), text(&files["db"])).expect("a definition");
    let text = |record: &Value| {
        record
            .at("text")
            .and_then(Value::as_text)
            .unwrap_or_default()
            .to_owned()
    };
    definition.set_map("room", "words", move |record| {
        text(record)
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(Value::from)
            .collect()
    });
    definition.set_map("room", "length", move |record| {
        let units = record
            .at("text")
            .and_then(Value::as_text)
            .unwrap_or_default()
            .encode_utf16()
            .count();
        vec![Value::Uint(units as u64)]
    });
    definition.set_map("room", "place", |record| {
        let age = record.at("age").and_then(Value::as_uint).unwrap_or_default();
        let team = record.at("team").cloned().unwrap_or_default();
        match age {
            51.. => Vec::new(),
            _ => vec![Object::new().with("team", team).with("rank", age % 3).into()],
        }
    });
    definition
}

fn query(json: &Json) -> Query {
    let mut query = Query::new();
    for (name, value) in json.as_object().expect("a query") {
        query = match name.as_str() {
            "gt" => query.gt(untag(value)),
            "gte" => query.gte(untag(value)),
            "lt" => query.lt(untag(value)),
            "lte" => query.lte(untag(value)),
            "limit" => query.limit(value.as_u64().expect("a number") as usize),
            "reverse" => query.reverse(),
            other => panic!("{other}?"),
        };
    }
    query
}

fn same(found: &[Value], expected: &Json, what: &str) {
    let found: Vec<Json> = found.iter().map(tag).collect();
    let expected: Vec<Json> = expected
        .as_array()
        .expect("records")
        .iter()
        .map(|one| tag(&untag(one)))
        .collect();
    assert_eq!(found, expected, "{what}");
}

async fn run(bee: &Bee, case: &Json, definitions: &[Definition]) {
    let mut db = HyperDb::on(bee.clone(), definitions[0].clone());
    for (number, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
        let name = step[1].as_str().unwrap_or_default();
        let what = format!("{}, step {number}: {step}", case["name"]);
        match text(&step[0]) {
            "define" => {
                let newer = definitions[step[1].as_u64().expect("a number") as usize].clone();
                db = HyperDb::on(bee.clone(), newer);
            }
            "insert" => db.insert(name, untag(&step[2])).await.expect(&what),
            "delete" => db.delete(name, untag(&step[2])).await.expect(&what),
            "flush" => db.flush().await.expect(&what),
            "find" => {
                let rows = db.find(name, query(&step[2])).expect(&what);
                same(&rows.all().await.expect(&what), &step[3], &what);
            }
            "get" => {
                let found = db.get(name, untag(&step[2])).await.expect(&what);
                let expected = if step[3].is_null() {
                    json!([])
                } else {
                    json!([step[3]])
                };
                same(&found.into_iter().collect::<Vec<_>>(), &expected, &what);
            }
            "changes" => {
                let mut changes = db.changes(step[1].as_u64().expect("a number"));
                for expected in step[2].as_array().expect("changes") {
                    let change = changes.next().await.expect(&what).expect("a change");
                    let kind = if change.deleted { "delete" } else { "insert" };
                    let head = json!([kind, change.seq, change.collection]);
                    assert_eq!(head, json!([expected[0], expected[1], expected[2]]), "{what}");
                    assert_eq!(tag(&change.record), tag(&untag(&expected[3])), "{what}");
                }
                assert_eq!(changes.next().await.expect(&what), None);
            }
            other => panic!("{other}?"),
        }
    }
}

#[tokio::test]
async fn blocks_and_records_are_those_of_javascript() {
    let vectors = vectors();
    let definitions: Vec<Definition> = vectors["definitions"]
        .as_array()
        .expect("two")
        .iter()
        .map(definition)
        .collect();
    for case in vectors["cases"].as_array().expect("cases") {
        let bee = bees::memory_bee(text(&case["name"]));
        let bee = Bee::new(bee.core().clone(), None::<Metadata>);
        run(&bee, case, &definitions).await;
        let blocks = case["blocks"].as_array().expect("blocks");
        for (index, block) in blocks.iter().enumerate() {
            let ours = bee.core().get_local(index as u64).expect("read").expect("block");
            assert_eq!(hex::encode(ours), text(block), "{}: block {index}", case["name"]);
        }
        assert_eq!(bee.core().length(), blocks.len() as u64, "{}", case["name"]);
    }
}

#[test]
fn a_definition_is_the_same_file_after_it_was_read() {
    for files in vectors()["definitions"].as_array().expect("two") {
        let schema = hyperschema::Builder::from_json(text(&files["schema"])).expect("a schema");
        let builder = Builder::from_json(schema, text(&files["db"])).expect("a definition");
        assert_eq!(builder.to_json(), text(&files["db"]));
    }
}
