//! Values as the vectors write them: JSON, with `{"$bytes": …}` and its like for what JSON lacks.

use std::net::IpAddr;

use hyperschema::{Object, Value};
use serde_json::Value as Json;

/// The value that a vector writes.
pub(crate) fn untag(tagged: &Json) -> Value {
    match tagged {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::Number(number) => match number.as_u64() {
            Some(number) => Value::Uint(number),
            None => Value::Int(number.as_i64().expect("a whole number")),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(list) => Value::Array(list.iter().map(untag).collect()),
        Json::Object(object) => match object.iter().next() {
            Some((key, value)) if key.starts_with('$') => special(key, value),
            _ => {
                let mut fields = Object::new();
                object
                    .iter()
                    .for_each(|(name, value)| fields.set(name.as_str(), untag(value)));
                Value::Object(fields)
            }
        },
    }
}

fn special(key: &str, value: &Json) -> Value {
    let text = || value.as_str().expect("text");
    match key {
        "$bytes" => Value::Bytes(hex::decode(text()).expect("hex")),
        "$bigint" => match text().parse::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => match text().parse::<u64>() {
                Ok(number) => Value::Uint(number),
                Err(_) => Value::BigInt(text().parse().expect("a whole number")),
            },
        },
        "$float" => Value::Float(text().parse().expect("a number")),
        "$date" => Value::Date(value.as_i64().expect("milliseconds")),
        "$json" => Value::Json(value.clone()),
        "$address" => {
            let (host, port) = text().split_once(' ').expect("host and port");
            let ip: IpAddr = host.parse().expect("an IP address");
            Value::Address((ip, port.parse().expect("a port")).into())
        }
        "$record" => {
            let pair = |pair: &Json| (untag(&pair[0]), untag(&pair[1]));
            Value::Record(value.as_array().expect("pairs").iter().map(pair).collect())
        }
        other => panic!("{other} is unknown"),
    }
}
