//! Values in a form in which they compare, whichever type their numbers have.

use std::net::IpAddr;

use hyperschema::Value;
use serde_json::{Value as Json, json};

/// The same value in one form, so that numbers of several types compare.
pub(crate) fn tag(value: &Value) -> Json {
    match value {
        // An absent `json` field and one that holds `null` look the same in JavaScript.
        Value::Null | Value::Json(Json::Null) => Json::Null,
        Value::Bool(bool) => json!(bool),
        Value::Uint(number) => json!(number.to_string()),
        Value::Int(number) => json!(number.to_string()),
        Value::BigInt(number) => json!(number.to_string()),
        Value::Float(number) => json!({ "$float": number.to_string() }),
        Value::Text(text) => match text.parse::<IpAddr>() {
            Ok(ip) => json!(ip.to_string()),
            Err(_) => json!(text),
        },
        Value::Bytes(bytes) => json!({ "$bytes": hex::encode(bytes) }),
        Value::Date(millis) => json!({ "$date": millis }),
        Value::Ip(ip) => json!(ip.to_string()),
        Value::Address(address) => json!({ "$address": address.to_string() }),
        Value::Json(json) => json!({ "$json": hyperschema::json::stringify(json) }),
        Value::Array(list) => list.iter().map(tag).collect(),
        Value::Object(object) => {
            let tagged = object.iter().map(|(name, value)| (name.to_owned(), tag(value)));
            tagged.filter(|(_, value)| !value.is_null()).collect()
        }
        Value::Record(pairs) => {
            json!({ "$record": pairs.iter().map(|(key, value)| (tag(key), tag(value))).collect::<Vec<_>>() })
        }
    }
}
