//! What a schema leaves to code: functions that bring old versions to the newest, and types that JavaScript encodes.

use hyperschema::{Builder, Definition, Field, Object, Schema, Value};

fn text(object: &Object, name: &str) -> String {
    object
        .get(name)
        .and_then(Value::as_text)
        .unwrap_or_default()
        .to_owned()
}

fn schema() -> Schema {
    let mut types = Builder::new();
    let old = Definition::structure("old").field(Field::new("name", "string").required());
    let new = Definition::structure("new")
        .field(Field::new("first", "string").required())
        .field(Field::new("last", "string").required());
    let person = Definition::versioned("person")
        .at_version(1, "@p/old")
        .map("split")
        .at_version(2, "@p/new");
    for definition in [old, new, person] {
        types.register("p", definition).expect("a type");
    }
    types.finish().expect("a schema")
}

#[test]
fn an_old_version_becomes_the_newest() {
    let mut schema = schema();
    let ann = Object::new().with("version", 1u64).with("name", "Ann Lee");
    let bytes = schema.encode("@p/person", &ann.into()).expect("bytes");
    let error = schema
        .decode("@p/person", &bytes)
        .expect_err("the function is missing");
    assert!(error.to_string().contains("split"), "{error}");
    schema.set_map("p", "split", |value| {
        let Value::Object(object) = value else {
            return value;
        };
        let name = text(&object, "name");
        let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
        Object::new()
            .with("version", 2u64)
            .with("first", first)
            .with("last", last)
            .into()
    });
    let expected = Object::new()
        .with("version", 2u64)
        .with("first", "Ann")
        .with("last", "Lee");
    assert_eq!(
        schema.decode("@p/person", &bytes).expect("a person"),
        expected.clone().into()
    );
    // What does not say its version is of the newest.
    let unsaid = Object::new().with("first", "Ann").with("last", "Lee");
    let bytes = schema.encode("@p/person", &unsaid.into()).expect("bytes");
    assert_eq!(
        schema.decode("@p/person", &bytes).expect("a person"),
        expected.into()
    );
}

#[test]
fn what_javascript_encodes_is_refused_when_it_is_used() {
    let file = r#"{"version":1,"schema":[
        {"name":"theirs","namespace":"p","external":"Codec"},
        {"name":"it","namespace":"p","compact":false,"flagsPosition":0,"fields":[{"name":"a","type":"@p/theirs","version":1}]}],
        "namespaces":[{"name":"p","external":"codecs.js"}]}"#;
    let builder = Builder::from_json(file).expect("a schema");
    assert!(
        builder.to_json().contains("codecs.js"),
        "it is kept for npm's builder"
    );
    let schema = builder.finish().expect("a schema");
    assert_eq!(
        schema
            .encode("@p/it", &Object::new().into())
            .expect("nothing of it"),
        [0]
    );
    let used = Object::new().with("a", "x");
    for error in [
        schema.encode("@p/it", &used.into()).expect_err("theirs"),
        schema.decode("@p/it", &[1, 1]).expect_err("theirs"),
        schema.decode("@p/nothing", &[]).expect_err("unknown"),
    ] {
        assert!(
            ["JavaScript", "no such type"]
                .iter()
                .any(|words| error.to_string().contains(words)),
            "{error}"
        );
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused_by_its_place() {
    let mut types = Builder::new();
    let inner = Definition::structure("inner")
        .field(Field::new("n", "uint8").required())
        .field(Field::new("bits", "uint3"));
    let outer = Definition::structure("outer").field(Field::new("list", "@p/inner").array().required());
    types.register("p", inner).expect("a type");
    types.register("p", outer).expect("a type");
    let schema = types.finish().expect("a schema");
    let with = |value: Object| {
        let list: Vec<Value> = vec![Object::new().with("n", 1u64).into(), value.into()];
        schema
            .encode("@p/outer", &Object::new().with("list", list).into())
            .expect_err("it does not fit")
            .to_string()
    };
    for (value, words) in [
        (
            Object::new().with("n", 256u64),
            "@p/outer, field list[1].n: 256 is too large for uint8",
        ),
        (Object::new(), "field list[1].n: it is required and not there"),
        (
            Object::new().with("n", "x"),
            "list[1].n: uint8 does not hold text",
        ),
        (
            Object::new().with("n", 1u64).with("bits", 8u64),
            "list[1].bits: it has 3 bits",
        ),
    ] {
        let error = with(value);
        assert!(error.contains(words), "{error}");
    }
}
