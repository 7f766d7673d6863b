//! Rust structs are the structs that npm hyperschema writes.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use hyperschema::{Builder, Definition, Field, Object, Record, Value};
use serde_json::json;

#[derive(Record, Debug, Clone, PartialEq)]
#[schema(name = "@test/point", compact)]
struct Point {
    x: i64,
    #[schema(type = "int")]
    y: i32,
}

#[derive(Record, Debug, Clone, PartialEq, Default)]
#[schema(name = "@test/flags", compact)]
struct Flags {
    on: bool,
    #[schema(type = "uint3")]
    level: u8,
}

#[derive(Record, Debug, Clone, PartialEq)]
#[schema(name = "@test/all")]
struct All {
    id: String,
    public_key: [u8; 32],
    at: Point,
    when: std::time::SystemTime,
    r#type: u16,
    bytes: Vec<u8>,
    numbers: Vec<u64>,
    points: Vec<Point>,
    ratio: f64,
    info: Option<serde_json::Value>,
    done: bool,
    note: Option<String>,
    likes: Option<u64>,
    more: Option<Vec<String>>,
    other: Option<Point>,
    #[schema(inline)]
    flags: Option<Flags>,
    #[schema(name = "how-many", type = "@test/counts")]
    counts: BTreeMap<String, u64>,
    #[schema(optional)]
    small: u8,
}

fn builder() -> Builder {
    let mut types = Builder::new();
    types
        .register("test", Definition::record("counts", "string", "uint"))
        .expect("counts");
    types.record::<Point>().expect("a point");
    types.record::<Flags>().expect("flags");
    types.record::<All>().expect("all");
    types
}

fn all() -> All {
    All {
        id: "a".into(),
        public_key: [7; 32],
        at: Point { x: -1, y: 2 },
        when: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        r#type: 9,
        bytes: vec![1, 2],
        numbers: vec![1, 300],
        points: vec![Point { x: 0, y: 0 }],
        ratio: 0.5,
        info: Some(json!({ "a": 1 })),
        done: true,
        note: None,
        likes: Some(4),
        more: Some(vec!["x".into()]),
        other: Some(Point { x: 1, y: 1 }),
        flags: Some(Flags { on: true, level: 5 }),
        counts: [("k".to_owned(), 1)].into(),
        small: 0,
    }
}

#[test]
fn a_struct_is_read_as_it_was_written() {
    let schema = builder().finish().expect("a schema");
    let empty = All {
        info: None,
        likes: None,
        more: None,
        other: None,
        flags: None,
        done: false,
        when: UNIX_EPOCH - Duration::from_millis(5),
        ..all()
    };
    for record in [all(), empty] {
        let bytes = schema.encode_record(record.clone()).expect("bytes");
        assert_eq!(schema.decode_record::<All>(&bytes).expect("a record"), record);
    }
}

#[test]
fn its_definition_is_the_one_of_hand() {
    let field = Field::new;
    let by_hand = Definition::structure("all")
        .field(field("id", "string").required())
        .field(field("publicKey", "fixed32").required())
        .field(field("at", "@test/point").required())
        .field(field("when", "date").required())
        .field(field("type", "uint16").required())
        .field(field("bytes", "buffer").required())
        .field(field("numbers", "uint").required().array())
        .field(field("points", "@test/point").required().array())
        .field(field("ratio", "float64").required())
        .field(field("info", "json"))
        .field(field("done", "bool").required())
        .field(field("note", "string"))
        .field(field("likes", "uint"))
        .field(field("more", "string").array())
        .field(field("other", "@test/point"))
        .field(field("flags", "@test/flags").inline())
        .field(field("how-many", "@test/counts").required())
        .field(field("small", "uint8"));
    let mut types = builder();
    types.register("test", by_hand).expect("the same");
    assert_eq!(types.to_json(), builder().to_json());
}

#[test]
fn what_is_something_else_is_refused_by_name() {
    let inner = Object::new().with("x", 1i64).with("y", 1i64 << 40);
    let error = Point::from_value(inner.into()).expect_err("too large");
    assert_eq!(
        error.to_string(),
        "y: a whole number that fits is wanted, and it is a whole number"
    );
    let mut value = Record::into_value(all());
    if let Value::Object(object) = &mut value {
        object.set("at", Object::new().with("x", "text"));
    }
    let error = All::from_value(value).expect_err("text");
    assert_eq!(
        error.to_string(),
        "at.x: a whole number that fits is wanted, and it is text"
    );
}
