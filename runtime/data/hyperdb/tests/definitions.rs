//! Definitions registered here are the files that npm's builders write for the same (tests/vectors/scripts/hyperdb.js), at first and after
//! they grew.

use hyperdb::{Builder, Collection, Index};
use hyperschema::{Definition, Field};
use serde_json::Value as Json;

const VECTORS: &str = include_str!("../../../../tests/vectors/hyperdb/rooms.json");

fn need(name: &str, of: &str) -> Field {
    Field::new(name, of).required()
}

fn may(name: &str, of: &str) -> Field {
    Field::new(name, of)
}

fn structure<const N: usize>(name: &str, fields: [Field; N]) -> Definition {
    fields
        .into_iter()
        .fold(Definition::structure(name), Definition::field)
}

/// The types of the script, in its order.
fn types(grown: bool) -> Vec<Definition> {
    let message = structure(
        "message",
        [need("id", "string"), need("text", "string"), may("info", "json")],
    );
    let newer = [may("likes", "uint"), may("pinned", "bool")];
    let message = newer
        .into_iter()
        .filter(|_| grown)
        .fold(message, Definition::field);
    let member = [
        need("team", "string"),
        need("age", "uint"),
        may("name", "string"),
        may("color", "@room/color"),
    ];
    let event = [
        may("done", "bool"),
        need("when", "date"),
        need("key", "fixed32"),
        may("what", "string"),
    ];
    vec![
        Definition::enumeration("color", ["red", "green"]),
        message,
        structure("member", member).compact(),
        structure("inner", [need("id", "buffer"), may("n", "int")]),
        structure(
            "outer",
            [
                need("inner", "@room/inner"),
                need("rank", "int"),
                may("note", "string"),
            ],
        ),
        structure("event", event),
        structure("setting", [may("dark", "bool"), may("size", "uint")]),
        structure("old", [need("id", "uint"), need("a", "string")]),
        structure("new", [need("id", "uint"), need("a", "string"), may("b", "uint")]),
        Definition::versioned("either")
            .at_version(1, "@room/old")
            .at_version(2, "@room/new"),
        structure(
            "stamped",
            [need("id", "uint"), need("version", "uint"), may("text", "string")],
        ),
    ]
}

/// The collections and indexes of the script, in its order.
fn tables(builder: &mut Builder, grown: bool) {
    let mut collection = |name: &str, of: &str, key: &[&str]| {
        let collection = Collection::new(name, &format!("@room/{of}"), key.iter().copied());
        builder.collection("room", collection).expect("a collection");
    };
    collection("messages", "message", &["id"]);
    collection("members", "member", &["team", "age"]);
    let mut index = |index: Index| builder.index("room", index).expect("an index");
    let (members, messages) = ("@room/members", "@room/messages");
    let place = [("team", "string"), ("rank", "uint")];
    index(Index::new("members-by-name", members, ["name"]));
    index(Index::new("members-by-color", members, ["color", "name"]).unique());
    index(Index::mapped_fields("members-by-place", members, place, "place"));
    let mut collection = |name: &str, of: &str, key: &[&str]| {
        let collection = Collection::new(name, &format!("@room/{of}"), key.iter().copied());
        builder.collection("room", collection).expect("a collection");
    };
    collection("outers", "outer", &["inner.id", "rank"]);
    collection("events", "event", &["done", "when", "key"]);
    collection("setting", "setting", &[]);
    collection("eithers", "either", &["id"]);
    let stamped = Collection::new("stampeds", "@room/stamped", ["id"]).version_field("version");
    builder.collection("room", stamped).expect("a collection");
    if grown {
        let mut index = |index: Index| builder.index("room", index).expect("an index");
        index(Index::mapped("messages-by-word", messages, "string", "words"));
        index(Index::mapped("messages-by-length", messages, "uint", "length"));
        index(Index::new("members-by-age", members, ["age"]).deprecated());
        index(Index::new("outers-by-rank", "@room/outers", ["rank"]).unique());
    }
}

/// The file, apart from what says no where nothing says the same.
fn plain(text: &str) -> Json {
    fn strip(json: &mut Json) {
        if let Json::Object(object) = json {
            object.retain(|name, value| name != "required" || *value != false);
        }
        match json {
            Json::Array(list) => list.iter_mut().for_each(strip),
            Json::Object(object) => object.values_mut().for_each(strip),
            _ => {}
        }
    }
    let mut json = serde_json::from_str(text).expect("JSON");
    strip(&mut json);
    json
}

#[test]
fn files_are_those_of_javascript() {
    let vectors: Json = serde_json::from_str(VECTORS).expect("vectors");
    let mut stored: Option<(String, String)> = None;
    for (number, files) in vectors["definitions"].as_array().expect("two").iter().enumerate() {
        let mut schema = match &stored {
            Some((schema, _)) => hyperschema::Builder::from_json(schema).expect("stored"),
            None => hyperschema::Builder::new(),
        };
        for definition in types(number == 1) {
            schema.register("room", definition).expect("a type");
        }
        let mut builder = match &stored {
            Some((_, db)) => Builder::from_json(schema, db).expect("stored"),
            None => Builder::new(schema, 0),
        };
        tables(&mut builder, number == 1);
        builder.finish().expect("a definition");
        let (schema, db) = (builder.schema_json(), builder.to_json());
        assert_eq!(
            plain(&schema),
            plain(files["schema"].as_str().expect("text")),
            "schema {number}"
        );
        assert_eq!(
            plain(&db),
            plain(files["db"].as_str().expect("text")),
            "db {number}"
        );
        stored = Some((schema, db));
    }
}
