//! A database against a map: random writes, flushed or not, and ranges of a collection and its indexes.

#[path = "../../hyperbee/tests/support/mod.rs"]
mod bees;

use std::collections::BTreeMap;

use hyperdb::{Builder, Collection, HyperDb, Index, Query};
use hyperschema::{Field, Object, Value};
use proptest::prelude::*;

const ITEMS: &str = "@m/items";
const BY_GROUP: &str = "@m/by-group";
const BY_DIGIT: &str = "@m/by-digit";

/// The key of a record: a name and a number.
type Key = (String, i64);

#[derive(Debug, Clone)]
enum Op {
    Insert(Key, u64),
    Delete(Key),
    Flush,
    Look,
}

fn key() -> impl Strategy<Value = Key> {
    ("[\0a]{0,2}", prop_oneof![-2i64..3, Just(-300), Just(70_000)])
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (key(), 0u64..40).prop_map(|(key, group)| Op::Insert(key, group)),
        2 => key().prop_map(Op::Delete),
        1 => Just(Op::Flush),
        2 => Just(Op::Look),
    ]
}

fn database() -> HyperDb {
    let mut types = hyperschema::Builder::new();
    let item = hyperschema::Definition::structure("item")
        .field(Field::new("name", "string").required())
        .field(Field::new("at", "int").required())
        .field(Field::new("group", "uint"));
    types.register("m", item).expect("a type");
    let mut tables = Builder::new(types, 0);
    tables
        .collection("m", Collection::new("items", "@m/item", ["name", "at"]))
        .expect("a collection");
    tables
        .index("m", Index::new("by-group", ITEMS, ["group"]))
        .expect("an index");
    tables
        .index("m", Index::mapped("by-digit", ITEMS, "uint", "digits"))
        .expect("an index");
    let mut definition = tables.finish().expect("a definition");
    definition.set_map("m", "digits", |record| {
        let group = record.at("group").and_then(Value::as_uint).unwrap_or(0);
        digits(group).into_iter().map(Value::Uint).collect()
    });
    HyperDb::on(bees::memory_bee("model"), definition)
}

/// None of a number below 10.
fn digits(group: u64) -> Vec<u64> {
    match group {
        0..10 => Vec::new(),
        _ if group / 10 == group % 10 => vec![group % 10],
        _ => vec![group / 10, group % 10],
    }
}

fn record((name, at): &Key, group: u64) -> Object {
    Object::new()
        .with("name", name.as_str())
        .with("at", *at)
        .with("group", group)
}

async fn found(db: &HyperDb, name: &str, query: Query) -> Vec<(Key, u64)> {
    let all = db
        .find(name, query)
        .expect("a query")
        .all()
        .await
        .expect("records");
    let plain = |record: &Value| {
        let name = record
            .at("name")
            .and_then(Value::as_text)
            .expect("a name")
            .to_owned();
        let at = record.at("at").and_then(Value::as_int).expect("a number");
        (
            (name, at),
            record.at("group").and_then(Value::as_uint).expect("a group"),
        )
    };
    all.iter().map(plain).collect()
}

async fn compare(db: &HyperDb, model: &BTreeMap<Key, u64>, low: &Key, limit: usize, reverse: bool) {
    let finish = |mut expected: Vec<(Key, u64)>| {
        if reverse {
            expected.reverse();
        }
        expected.truncate(limit);
        expected
    };
    let query = |query: Query| {
        if reverse {
            query.limit(limit).reverse()
        } else {
            query.limit(limit)
        }
    };
    let all: Vec<(Key, u64)> = model.iter().map(|(key, group)| (key.clone(), *group)).collect();
    assert_eq!(found(db, ITEMS, query(Query::new())).await, finish(all.clone()));
    let from = query(Query::new().gte(record(low, 0)));
    let expected = all.iter().filter(|(key, _)| key >= low).cloned().collect();
    assert_eq!(found(db, ITEMS, from).await, finish(expected));
    let after = query(Query::new().gt(Object::new().with("name", low.0.as_str())));
    let expected = all.iter().filter(|(key, _)| key.0 > low.0).cloned().collect();
    assert_eq!(found(db, ITEMS, after).await, finish(expected));

    let mut by_group: Vec<(Key, u64)> = all.clone();
    by_group.sort_by_key(|(key, group)| (*group, key.clone()));
    let some = query(
        Query::new()
            .gte(Object::new().with("group", 3u64))
            .lt(Object::new().with("group", 30u64)),
    );
    let expected = by_group
        .iter()
        .filter(|(_, group)| (3..30).contains(group))
        .cloned()
        .collect();
    assert_eq!(found(db, BY_GROUP, some).await, finish(expected));

    let mut by_digit: Vec<(u64, Key, u64)> = Vec::new();
    for (key, group) in &all {
        by_digit.extend(
            digits(*group)
                .into_iter()
                .map(|digit| (digit, key.clone(), *group)),
        );
    }
    by_digit.sort();
    let some = query(Query::new().gte(2u64).lte(3u64));
    let expected = by_digit.iter().filter(|(digit, ..)| (2..=3).contains(digit));
    let expected = expected.map(|(_, key, group)| (key.clone(), *group)).collect();
    assert_eq!(found(db, BY_DIGIT, some).await, finish(expected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(4)))]

    #[test]
    fn behaves_like_a_map(ops in prop::collection::vec(op(), 1..60), low in key(), limit in 0usize..20, reverse: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let mut db = database();
            let mut model = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Insert(key, group) => {
                        db.insert(ITEMS, record(&key, group)).await.expect("insert");
                        model.insert(key, group);
                    }
                    Op::Delete(key) => {
                        db.delete(ITEMS, record(&key, 0)).await.expect("delete");
                        model.remove(&key);
                    }
                    Op::Flush => db.flush().await.expect("flush"),
                    Op::Look => compare(&db, &model, &low, limit, reverse).await,
                }
            }
            db.flush().await.expect("flush");
            compare(&db, &model, &low, limit, reverse).await;
            // Nothing is left of what went: each record has its entries, and there are no others.
            let bee = hyperbee::Bee::new(db.core().clone(), None);
            let entries: usize = model.values().map(|group| 2 + digits(*group).len()).sum();
            assert_eq!(bee.entries(hyperbee::Range::all()).await.expect("entries").len(), entries);
        });
    }
}
