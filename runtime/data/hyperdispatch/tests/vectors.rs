//! Messages and `dispatch.json` are those of npm hyperdispatch (tests/vectors/scripts/hyperdispatch.js), and what is none is refused.

use futures::executor::block_on;
use hyperdispatch::{BuildError, Builder, Dispatch, DispatchError, Router};
use hyperschema::{Object, Schema, Value};
use proptest::prelude::*;
use serde_json::Value as Json;

const VECTORS: &str = include_str!("../../../../tests/vectors/hyperdispatch/messages.json");

fn vectors() -> Vec<Json> {
    serde_json::from_str(VECTORS).expect("vectors")
}

fn text(json: &Json) -> &str {
    json.as_str().expect("text")
}

fn value(json: &Json) -> Value {
    let mut object = Object::new();
    for (name, value) in json.as_object().expect("a struct") {
        match value {
            Json::String(text) => object.set(name.as_str(), text.as_str()),
            Json::Number(number) => object.set(name.as_str(), number.as_u64()),
            Json::Bool(bool) => object.set(name.as_str(), *bool),
            _ => object.set(name.as_str(), Value::Null),
        }
    }
    object.into()
}

fn dispatch(case: &Json) -> Dispatch {
    let schema = Schema::from_json(text(&case["schema"])).expect("a schema");
    Dispatch::from_json(schema, text(&case["dispatch"])).expect("operations")
}

#[test]
fn messages_are_those_of_javascript() {
    for case in vectors() {
        let dispatch = dispatch(&case);
        for message in case["messages"].as_array().expect("messages") {
            let (name, version) = (
                text(&message["name"]),
                message["version"].as_u64().expect("a version"),
            );
            let bytes = dispatch
                .encode_version(name, &value(&message["value"]), version)
                .expect("bytes");
            assert_eq!(hex::encode(&bytes), text(&message["bytes"]));
            let read = dispatch.decode(&bytes).expect("a message");
            assert_eq!(
                (read.id, read.name.as_str()),
                (message["decoded"]["id"].as_u64().expect("a number"), name)
            );
            assert_eq!(read.value, value(&message["decoded"]["value"]));
        }
    }
}

#[test]
fn operations_are_registered_as_in_javascript() {
    for case in vectors() {
        let (old, new) = (text(&case["before"]["schema"]), text(&case["schema"]));
        let (old, new) = (
            Schema::from_json(old).expect("old"),
            Schema::from_json(new).expect("new"),
        );
        let mut builder = Builder::new(case["offset"].as_u64().expect("an offset"));
        builder
            .register("chat", "add-writer", "@chat/writer", &old)
            .expect("registered");
        builder
            .register("chat", "add-message", "@chat/message", &old)
            .expect("registered");
        let stored = builder.to_json().expect("text");
        assert_eq!(stored, text(&case["before"]["dispatch"]));
        let mut builder = Builder::from_json(&stored).expect("stored");
        for (name, of) in [
            ("add-message", "message"),
            ("drop-message", "message"),
            ("say", "writer"),
        ] {
            builder
                .register("chat", name, &format!("@chat/{of}"), &new)
                .expect("registered");
        }
        assert_eq!(builder.to_json().expect("text"), text(&case["dispatch"]));
        let error = builder
            .register("chat", "say", "@chat/message", &new)
            .expect_err("another type");
        assert!(matches!(error, BuildError::Breaks { .. }), "{error}");
        let error = builder
            .register("chat", "new", "@chat/nobody", &new)
            .expect_err("no type");
        assert!(matches!(error, BuildError::UnknownType { .. }), "{error}");
    }
}

#[test]
fn what_is_no_message_is_refused_by_number() {
    let dispatch = dispatch(&vectors()[0]);
    let error = dispatch.decode(&[200, 1]).expect_err("unknown");
    assert!(
        matches!(error, DispatchError::UnknownId(200)) && error.to_string().contains("200"),
        "{error}"
    );
    assert!(matches!(dispatch.decode(&[]), Err(DispatchError::NoNumber)));
    assert!(matches!(
        dispatch.decode(&[0, 9, b'k']),
        Err(DispatchError::Value { .. })
    ));
    let unknown = dispatch.encode("@chat/nothing", &Value::Null);
    assert!(matches!(unknown, Err(DispatchError::UnknownName(_))));
    let misfit = dispatch
        .encode("@chat/add-writer", &Value::Null)
        .expect_err("no struct");
    assert!(misfit.to_string().contains("@chat/add-writer"), "{misfit}");
    for text in ["", "{}", r#"{"version":1,"offset":0,"schema":[7]}"#] {
        Builder::from_json(text).expect_err(text);
    }
    let twice = r#"{"version":1,"offset":0,"schema":[{"id":0,"name":"@a/b","requestType":"string","version":1},
        {"id":0,"name":"@a/c","requestType":"string","version":1}]}"#;
    Builder::from_json(twice).expect_err("one number for two");
}

#[test]
fn each_message_reaches_its_handler() {
    let dispatch = dispatch(&vectors()[1]);
    let mut router: Router<Vec<String>> = Router::new(&dispatch);
    let hello = dispatch
        .encode("@chat/add-writer", &Object::new().with("key", "hello").into())
        .expect("bytes");
    let mut log = Vec::new();
    let none = |_: &DispatchError| ();
    router
        .add("@chat/nothing", |_, _| Box::pin(async { Ok(()) }))
        .as_ref()
        .map_err(none)
        .expect_err("no such operation");
    router
        .add("@chat/add-writer", |value, log| {
            Box::pin(async move {
                log.push(format!(
                    "writer {}",
                    value.at("key").and_then(Value::as_text).unwrap_or_default()
                ));
                Ok(())
            })
        })
        .expect("known");
    let early = block_on(router.dispatch(&hello, &mut log)).expect_err("handlers are missing");
    assert!(matches!(early, DispatchError::NoHandler(name) if name == "@chat/add-message"));
    for name in ["@chat/add-message", "@chat/drop-message", "@chat/say"] {
        router
            .add(name, |_, _| Box::pin(async { Err("not today".into()) }))
            .expect("known");
    }
    block_on(router.dispatch(&hello, &mut log)).expect("handled");
    assert_eq!(log, ["writer hello"]);
    let say = dispatch
        .encode("@chat/say", &Object::new().with("key", "").into())
        .expect("bytes");
    let failed = block_on(router.dispatch(&say, &mut log)).expect_err("it says so");
    assert_eq!(failed.to_string(), "@chat/say failed: not today");
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let dispatch = dispatch(&vectors()[0]);
        if let Ok(message) = dispatch.decode(&bytes) {
            let again = dispatch.encode(&message.name, &message.value).expect("bytes");
            prop_assert_eq!(dispatch.decode(&again).expect("a message"), message);
        }
    }
}
