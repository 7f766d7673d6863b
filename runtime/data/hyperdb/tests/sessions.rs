//! What is written and not flushed, snapshots, transactions, changes of the bee by others, and what a stranger's bee may hold.

#[path = "../../hyperbee/tests/support/mod.rs"]
mod bees;

use std::time::Duration;

use hyperbee::{Bee, Metadata};
use hyperdb::{Builder, Collection, DbError, Definition, DefinitionError, HyperDb, Index, Query, Versions};
use hyperschema::{Field, Object, Value};

const NOTES: &str = "@t/notes";
const BY_TAG: &str = "@t/notes-by-tag";
const BY_RANK: &str = "@t/notes-by-rank";

fn tables() -> Builder {
    let mut types = hyperschema::Builder::new();
    let note = hyperschema::Definition::structure("note")
        .field(Field::new("id", "string").required())
        .field(Field::new("tag", "string").required())
        .field(Field::new("rank", "uint").required())
        .field(Field::new("text", "string"));
    types.register("t", note).expect("a type");
    let mut tables = Builder::new(types, 0);
    tables
        .collection("t", Collection::new("notes", "@t/note", ["id"]))
        .expect("a collection");
    tables
        .index("t", Index::new("notes-by-tag", NOTES, ["tag"]))
        .expect("an index");
    tables
        .index("t", Index::new("notes-by-rank", NOTES, ["rank"]).unique())
        .expect("an index");
    tables
}

fn definition() -> Definition {
    tables().finish().expect("a definition")
}

fn database(name: &str) -> HyperDb {
    HyperDb::on(bees::memory_bee(name), definition())
}

fn note(id: &str, tag: &str, rank: u64, text: &str) -> Object {
    Object::new()
        .with("id", id)
        .with("tag", tag)
        .with("rank", rank)
        .with("text", text)
}

fn id(id: &str) -> Object {
    Object::new().with("id", id)
}

async fn ids(db: &HyperDb, name: &str, query: Query) -> Vec<String> {
    let all = db
        .find(name, query)
        .expect("a query")
        .all()
        .await
        .expect("records");
    all.iter()
        .map(|record| {
            record
                .at("id")
                .and_then(Value::as_text)
                .expect("an id")
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn unflushed_writes_are_read_in_their_places() {
    let mut db = database("pending");
    for (name, tag, rank) in [("a", "x", 1), ("b", "y", 2), ("c", "x", 3)] {
        db.insert(NOTES, note(name, tag, rank, "old"))
            .await
            .expect("insert");
    }
    assert_eq!(
        ids(&db, NOTES, Query::new()).await,
        ["a", "b", "c"],
        "on an empty bee"
    );
    db.flush().await.expect("flush");
    let snapshot = db.snapshot();
    db.delete(NOTES, id("a")).await.expect("delete");
    db.insert(NOTES, note("b", "x", 2, "new")).await.expect("insert");
    db.insert(NOTES, note("c", "x", 3, "changed beside its index"))
        .await
        .expect("insert");
    db.insert(NOTES, note("d", "x", 0, "new")).await.expect("insert");
    assert!(db.updated() && db.updated_record(NOTES, id("b")).expect("known"));

    assert_eq!(ids(&db, NOTES, Query::new()).await, ["b", "c", "d"]);
    assert_eq!(ids(&db, NOTES, Query::new().reverse().limit(2)).await, ["d", "c"]);
    // The first stored record is gone, and the limit counts what is there.
    assert_eq!(ids(&db, NOTES, Query::new().limit(1)).await, ["b"]);
    let x = || Query::new().eq(Object::new().with("tag", "x"));
    assert_eq!(ids(&db, BY_TAG, x()).await, ["b", "c", "d"]);
    assert_eq!(ids(&db, BY_TAG, x().reverse()).await, ["d", "c", "b"]);
    assert!(
        ids(&db, BY_TAG, Query::new().eq(Object::new().with("tag", "y")))
            .await
            .is_empty()
    );
    let c = db
        .find_one(BY_TAG, x().gt(Object::new().with("tag", "x").with("id", "b")))
        .await
        .expect("read");
    assert_eq!(
        c.expect("c").at("text").and_then(Value::as_text),
        Some("changed beside its index")
    );
    let by_rank = |rank: u64| Object::new().with("rank", rank);
    let text = |found: Option<Value>| found.and_then(|found| Some(found.at("text")?.as_text()?.to_owned()));
    assert_eq!(text(db.get(BY_RANK, by_rank(1)).await.expect("read")), None);
    assert_eq!(
        text(db.get(BY_RANK, by_rank(0)).await.expect("read")).as_deref(),
        Some("new")
    );

    // The snapshot is as it was, before and after.
    for _ in 0..2 {
        assert_eq!(ids(&snapshot, NOTES, Query::new()).await, ["a", "b", "c"]);
        assert_eq!(ids(&snapshot, BY_TAG, x()).await, ["a", "c"]);
        db.flush().await.expect("flush");
    }
    assert_eq!(ids(&db, BY_TAG, x()).await, ["b", "c", "d"]);
    let mut snapshot = snapshot;
    let refused = snapshot
        .insert(NOTES, note("z", "", 9, ""))
        .await
        .expect_err("read only");
    assert!(matches!(refused, DbError::ReadOnly) && !snapshot.writable());
}

#[tokio::test]
async fn what_stays_the_same_writes_nothing() {
    let mut db = database("same");
    db.insert(NOTES, note("a", "x", 1, "t")).await.expect("insert");
    db.flush().await.expect("flush");
    let length = db.core().length();
    db.insert(NOTES, note("a", "y", 1, "t")).await.expect("insert");
    db.insert(NOTES, note("a", "x", 1, "t"))
        .await
        .expect("back again");
    db.delete(NOTES, id("nobody")).await.expect("nothing to delete");
    db.insert(NOTES, note("b", "x", 2, "t")).await.expect("insert");
    db.delete(NOTES, id("b")).await.expect("never stored");
    assert!(!db.updated());
    db.flush().await.expect("flush");
    assert_eq!(db.core().length(), length);
}

#[tokio::test]
async fn a_transaction_comes_as_a_whole_or_not_at_all() {
    let mut db = database("transaction");
    let mut dropped = db.transaction().expect("a transaction");
    dropped
        .insert(NOTES, note("a", "x", 1, ""))
        .await
        .expect("insert");
    assert_eq!(ids(&dropped, NOTES, Query::new()).await, ["a"]);
    drop(dropped);
    assert!(ids(&db, NOTES, Query::new()).await.is_empty() && !db.updated());
    let mut kept = db.transaction().expect("a transaction");
    kept.insert(NOTES, note("b", "x", 1, "")).await.expect("insert");
    kept.flush().await.expect("flush");
    assert_eq!(ids(&db, NOTES, Query::new()).await, ["b"]);
}

#[tokio::test]
async fn two_that_write_to_one_bee_do_not_overwrite_each_other() {
    let mut one = database("two");
    let mut other = one.clone();
    one.insert(NOTES, note("a", "x", 1, "")).await.expect("insert");
    other.insert(NOTES, note("b", "x", 2, "")).await.expect("insert");
    one.flush().await.expect("flush");
    assert!(matches!(other.flush().await, Err(DbError::Outdated)));
    assert!(
        matches!(other.transaction(), Err(DbError::Outdated)),
        "what was written would be lost"
    );
    assert_eq!(
        ids(&other, NOTES, Query::new()).await,
        ["b"],
        "it still looks at what it looked at"
    );
    tokio::time::timeout(Duration::from_secs(5), other.watch())
        .await
        .expect("it changed");
    assert!(other.update() && !other.update());
    assert_eq!(ids(&other, NOTES, Query::new()).await, ["a"]);
    let waiting = tokio::time::timeout(Duration::from_millis(50), other.watch()).await;
    assert!(waiting.is_err(), "nothing changed since");
    let (_, watched) = tokio::join!(
        async {
            one.insert(NOTES, note("c", "x", 3, "")).await.expect("insert");
            one.flush().await.expect("flush");
        },
        tokio::time::timeout(Duration::from_secs(5), other.watch())
    );
    watched.expect("it changed");
}

#[tokio::test]
async fn a_bee_that_was_truncated_shows_nothing_of_another_history() {
    let mut db = database("truncated");
    db.insert(NOTES, note("a", "x", 1, "")).await.expect("insert");
    db.flush().await.expect("flush");
    let length = db.core().length();
    db.insert(NOTES, note("b", "x", 2, "")).await.expect("insert");
    db.flush().await.expect("flush");
    let old = db.snapshot();
    let mut rows = old.find(NOTES, Query::new()).expect("a query");
    db.core().truncate(length, None).expect("truncated");
    assert!(db.update());
    assert_eq!(ids(&db, NOTES, Query::new()).await, ["a"]);
    db.insert(NOTES, note("c", "x", 2, "")).await.expect("insert");
    db.flush().await.expect("flush");
    assert_eq!(ids(&db, BY_TAG, Query::new()).await, ["a", "c"]);
    assert!(matches!(old.get(NOTES, id("a")).await, Err(DbError::Outdated)));
    assert!(matches!(rows.next().await, Err(DbError::Outdated)));
    assert!(matches!(old.changes(1).next().await, Err(DbError::Outdated)));
}

#[tokio::test]
async fn what_is_wrong_is_said_by_name() {
    let mut db = database("names");
    let error = db
        .insert("@t/nothing", note("a", "x", 1, ""))
        .await
        .expect_err("unknown");
    assert!(error.to_string().contains("@t/nothing"), "{error}");
    assert!(matches!(
        db.insert(BY_TAG, note("a", "x", 1, "")).await,
        Err(DbError::Unknown(_))
    ));
    assert!(matches!(
        db.find("nobody", Query::new()),
        Err(DbError::Unknown(_))
    ));
    let error = db
        .insert(NOTES, id("a").with("tag", "x"))
        .await
        .expect_err("no rank");
    assert!(error.to_string().contains("rank"), "{error}");
    let error = db
        .insert(NOTES, id("a").with("tag", 5u64).with("rank", 1u64))
        .await
        .expect_err("no text");
    assert!(error.to_string().contains("tag"), "{error}");
    let mut mapped = tables();
    mapped
        .index("t", Index::mapped("by-word", NOTES, "string", "words"))
        .expect("an index");
    let mut db = HyperDb::on(bees::memory_bee("map"), mapped.finish().expect("a definition"));
    let error = db
        .insert(NOTES, note("a", "x", 1, ""))
        .await
        .expect_err("no function");
    assert!(
        matches!(error, DbError::NoMap { .. }) && error.to_string().contains("words"),
        "{error}"
    );
}

#[tokio::test]
async fn a_trigger_of_javascript_is_not_passed_over() {
    let schema = tables().schema_json();
    let file = r#"{"version":0,"offset":0,"schema":[{"name":"notes","namespace":"t","id":0,"type":1,"version":0,
        "schema":"@t/note","key":["id"],"trigger":"count"}]}"#;
    let definition = Definition::from_json(&schema, file).expect("a definition");
    let mut db = HyperDb::on(bees::memory_bee("trigger"), definition);
    assert!(matches!(
        db.insert(NOTES, note("a", "x", 1, "")).await,
        Err(DbError::Trigger(_))
    ));
    assert!(matches!(
        db.delete(NOTES, id("a")).await,
        Err(DbError::Trigger(_))
    ));
    assert!(
        ids(&db, NOTES, Query::new()).await.is_empty(),
        "it is read all the same"
    );
}

#[tokio::test]
async fn a_bee_of_a_stranger_is_read_with_care() {
    let bee = Bee::new(bees::memory_bee("stranger").core().clone(), None::<Metadata>);
    let key = |id: &[u8]| [&[0, 0], id, &[0, 1]].concat();
    // A kind that nobody knows, a record cut short, an index that leads to a record without a value, and keys that are none.
    for (key, value) in [
        (key(b"newer"), vec![7, 1]),
        (key(b"short"), vec![0, 1, 200]),
        (key(b"none"), vec![]),
        (vec![0, 9], vec![0, 1]),
        (vec![1, 0, b'x', 0, 1], key(b"nowhere")),
        (vec![2, 0xff], vec![1, 2, 3]),
    ] {
        bee.put(&key, &value).await.expect("put");
    }
    let db = HyperDb::on(bee, definition());
    assert!(matches!(
        db.get(NOTES, id("newer")).await,
        Err(DbError::Newer { kind: 7, .. })
    ));
    assert!(matches!(
        db.get(NOTES, id("short")).await,
        Err(DbError::Record { .. })
    ));
    assert!(matches!(
        db.get(NOTES, id("none")).await,
        Err(DbError::Corrupt { .. })
    ));
    assert!(
        db.find(NOTES, Query::new())
            .expect("a query")
            .all()
            .await
            .is_err()
    );
    assert!(
        ids(&db, BY_TAG, Query::new()).await.is_empty(),
        "it leads nowhere"
    );
    assert!(
        db.find(BY_RANK, Query::new())
            .expect("a query")
            .all()
            .await
            .is_ok()
    );
    let mut changes = db.changes(1);
    assert!(changes.next().await.is_err());
}

#[tokio::test]
async fn a_definition_only_grows() {
    let mut grown = tables();
    let refused = grown
        .collection("t", Collection::new("notes", "@t/note", ["tag"]))
        .expect_err("another key");
    assert!(matches!(refused, DefinitionError::Breaks { .. }), "{refused}");
    grown
        .index("t", Index::new("notes-by-tag", NOTES, ["tag"]).unique())
        .expect_err("now unique");
    grown
        .collection("t", Collection::new("notes", "@t/note", ["id"]))
        .expect("the same");
    for (index, words) in [
        (Index::new("x", "@t/nothing", ["id"]), "collection is not known"),
        (Index::new("x", NOTES, ["nothing"]), "no field or type nothing"),
        (Index::mapped("x", NOTES, "json", "f"), "cannot hold"),
    ] {
        let mut tables = tables();
        let refused = tables
            .index("t", index)
            .and_then(|()| tables.finish().map(drop))
            .expect_err(words);
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let schema = || hyperschema::Builder::from_json(r#"{"version":1,"schema":[]}"#).expect("a schema");
    for text in [
        "",
        "{}",
        r#"{"version":1,"offset":0,"schema":[{"name":"a","namespace":"b","type":3}]}"#,
    ] {
        Builder::from_json(schema(), text).expect_err(text);
    }
}

#[tokio::test]
async fn records_are_written_for_older_programs_if_that_is_wished() {
    let mut db = database("versions");
    db.set_versions(Versions { schema: 1, db: 0 });
    db.insert(NOTES, note("a", "x", 1, "t")).await.expect("insert");
    db.flush().await.expect("flush");
    // It says that no index has it.
    let entry = db.core().get(1).await.expect("a block");
    assert!(!entry.is_empty());
    let stored = Bee::new(db.core().clone(), None::<Metadata>)
        .get(&[0, 0, b'a', 0, 1])
        .await
        .expect("read");
    assert_eq!(
        stored.and_then(|entry| entry.value).expect("a record")[..2],
        [0, 0]
    );
}
