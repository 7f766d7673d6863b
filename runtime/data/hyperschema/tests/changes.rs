//! What breaks stored data is refused in words, and what does not is let through.

use hyperschema::{Builder, Definition, Field, SchemaError, check};
use serde_json::json;

/// A schema with one type, on which another is registered.
fn change(old: Definition, new: Definition) -> Result<String, String> {
    let mut stored = Builder::new();
    stored
        .register("test", Definition::structure("other").compact())
        .expect("other");
    stored.register("test", old).expect("the old one");
    stored.finish().expect("a schema");
    let stored = stored.to_json();
    let mut builder = Builder::from_json(&stored).expect("stored");
    let added = builder.register("test", new.clone());
    // A schema that was built without the stored one, and put in its place.
    let mut scratch = Builder::new();
    scratch
        .register("test", Definition::structure("other").compact())
        .expect("other");
    if scratch.register("test", new).is_ok() {
        let checked = check(&stored, &scratch.to_json());
        assert_eq!(checked.is_ok(), added.is_ok(), "{checked:?} {added:?}");
    }
    let refused = |error| match error {
        SchemaError::Breaks { type_name, what } => {
            assert_eq!(type_name, "@test/it");
            what
        }
        other => other.to_string(),
    };
    added.map(|()| builder.to_json()).map_err(refused)
}

fn base() -> Definition {
    Definition::structure("it")
        .field(Field::new("id", "uint").required())
        .field(Field::new("name", "string"))
        .field(Field::new("on", "bool"))
}

#[test]
fn a_struct_grows_at_its_end_only() {
    let refused = [
        (
            Definition::structure("it").field(Field::new("id", "uint").required()),
            "a field was removed",
        ),
        (
            base().field(Field::new("more", "uint").required()),
            "new and required",
        ),
        (base().compact(), "became compact"),
        (
            Definition::alias("it", "string"),
            "it was a struct and is an alias",
        ),
        (
            Definition::structure("it")
                .field(Field::new("id", "uint"))
                .field(Field::new("name", "string"))
                .field(Field::new("on", "bool")),
            "id became required, or is so no longer",
        ),
        (
            Definition::structure("it")
                .field(Field::new("id", "uint").required())
                .field(Field::new("on", "bool"))
                .field(Field::new("name", "string")),
            "in place of the field name stands on",
        ),
        (
            Definition::structure("it")
                .field(Field::new("id", "string").required())
                .field(Field::new("name", "string"))
                .field(Field::new("on", "bool")),
            "the field id has another type",
        ),
        (
            Definition::structure("it")
                .field(Field::new("id", "uint").required())
                .field(Field::new("name", "string").array())
                .field(Field::new("on", "bool")),
            "the field name has another type",
        ),
        (
            Definition::structure("it")
                .field(Field::new("id", "uint").required())
                .field(Field::new("name", "string").constant(json!("x")))
                .field(Field::new("on", "bool"))
                .field(Field::new("more", "uint")),
            "became a constant",
        ),
    ];
    for (new, words) in refused {
        let error = change(base(), new).expect_err(words);
        assert!(error.contains(words), "{error}");
    }
    // A required bool stands in the flags like an optional one.
    let grown = base()
        .field(Field::new("more", "uint"))
        .field(Field::new("also", "bool").required());
    let mut builder = Builder::new();
    builder.register("test", base()).expect("base");
    assert_eq!(builder.version(), 1);
    let mut builder = Builder::from_json(&builder.to_json()).expect("stored");
    builder.register("test", base()).expect("the same");
    assert_eq!(builder.version(), 1, "nothing new, no new version");
    builder.register("test", grown).expect("grown");
    assert_eq!(builder.version(), 2);
    builder.finish().expect("a schema");
}

#[test]
fn compact_structs_enums_and_the_rest_do_not_change() {
    let compact = || {
        Definition::structure("it")
            .compact()
            .field(Field::new("x", "uint"))
    };
    let enumeration = || Definition::enumeration("it", ["a", "b"]);
    let versioned = || Definition::versioned("it").at_version(1, "@test/other");
    let refused = [
        (
            compact(),
            compact().field(Field::new("y", "uint")),
            "got another field",
        ),
        (
            enumeration(),
            Definition::enumeration("it", ["a"]),
            "value b was removed",
        ),
        (
            enumeration(),
            Definition::enumeration("it", ["a", "c"]),
            "value b became c",
        ),
        (enumeration(), enumeration().offset(0), "other numbers"),
        (enumeration(), enumeration().strings(), "no longer what they were"),
        (
            Definition::alias("it", "uint"),
            Definition::alias("it", "int"),
            "alias of another type",
        ),
        (
            Definition::array("it", "uint"),
            Definition::array("it", "int"),
            "another type",
        ),
        (
            Definition::record("it", "string", "uint"),
            Definition::record("it", "string", "int"),
            "another type",
        ),
        (
            versioned(),
            Definition::versioned("it").at_version(2, "@test/other"),
            "version 1 is gone",
        ),
    ];
    for (old, new, words) in refused {
        let error = change(old, new).expect_err(words);
        assert!(error.contains(words), "{error}");
    }
    for (old, new) in [
        (enumeration(), Definition::enumeration("it", ["a", "b", "c"])),
        (versioned(), versioned().at_version(2, "@test/other")),
        (compact(), compact()),
    ] {
        let same = old == new;
        let mut builder = Builder::new();
        builder
            .register("test", Definition::structure("other").compact())
            .expect("other");
        builder.register("test", old).expect("old");
        builder.register("test", new).expect("grown");
        assert!(builder.version() == 1 && (same || builder.finish().is_ok()));
    }
}

#[test]
fn a_definition_that_cannot_be_written_is_refused() {
    let wide = (0..32).fold(Definition::structure("it"), |it, n| {
        it.field(Field::new(&format!("f{n}"), "bool"))
    });
    let inline = Definition::structure("it").field(Field::new("x", "@test/it").inline());
    for (definition, words) in [
        (Definition::alias("it", "@test/nobody"), "is not known"),
        (
            Definition::structure("it").field(Field::new("x", "@test/nobody")),
            "is not known",
        ),
        (Definition::array("it", "uint3"), "only for fields"),
        (
            Definition::structure("it").field(Field::new("x", "uint3").array()),
            "only for fields",
        ),
        (
            Definition::structure("it")
                .field(Field::new("x", "uint"))
                .field(Field::new("x", "uint")),
            "twice",
        ),
        (Definition::structure(""), "needs a name"),
        (wide, "no more than 31"),
        (inline, "only be inline"),
        (
            Definition::structure("it")
                .compact()
                .field(Field::new("x", "@test/it").inline()),
            "in itself",
        ),
        (
            Definition::structure("it")
                .compact()
                .field(Field::new("x", "@test/it").inline().required()),
            "too deep",
        ),
        (
            Definition::versioned("it")
                .at_version(2, "uint")
                .at_version(1, "uint"),
            "out of order",
        ),
        (
            Definition::structure("it").field(Field::new("x", "uint").constant(json!(1.5))),
            "whole number",
        ),
    ] {
        let mut builder = Builder::new();
        let error = builder
            .register("test", definition)
            .and_then(|()| builder.finish().map(drop))
            .expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn files_that_are_no_schema_are_refused() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"version":1}"#,
        r#"{"version":1,"schema":[{"name":"a","fields":7}]}"#,
    ] {
        Builder::from_json(text).expect_err(text);
    }
    let shrunk = check(r#"{"version":2,"schema":[]}"#, r#"{"version":1,"schema":[]}"#).expect_err("older");
    assert!(shrunk.to_string().contains("wrong way round"), "{shrunk}");
}
