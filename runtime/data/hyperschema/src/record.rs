//! Rust structs as values: what `#[derive(Record)]` makes use of.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use crate::definition::{Definition, Field};
use crate::value::{Object, Value};

/// A Rust struct that stands for a struct of a schema.
pub trait Record: Sized {
    /// Its full name, `@namespace/name`.
    const NAME: &'static str;

    /// Its definition, to register; its namespace is [`namespace`](Self::namespace).
    fn definition() -> Definition;

    /// As a value.
    fn into_value(self) -> Value;

    /// Out of a value that was read.
    fn from_value(value: Value) -> Result<Self, FromValueError>;

    /// The namespace in its name.
    fn namespace() -> &'static str {
        Self::NAME
            .trim_start_matches('@')
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }
}

/// A value is not what a Rust type wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {wanted} is wanted, and it is {found}")]
pub struct FromValueError {
    at: String,
    wanted: &'static str,
    found: &'static str,
}

impl FromValueError {
    /// `value` is not a `wanted`.
    pub fn new(wanted: &'static str, value: &Value) -> Self {
        Self {
            at: String::new(),
            wanted,
            found: value.kind(),
        }
    }

    /// In a field of that name.
    pub fn within(mut self, field: &str) -> Self {
        self.at = match self.at.as_str() {
            "" => field.to_owned(),
            inner => format!("{field}.{inner}"),
        };
        self
    }
}

/// A Rust type that a field can have.
pub trait FieldValue: Sized {
    /// The type of the schema, unless `#[schema(type = "…")]` says another.
    fn type_name() -> String;

    /// As a value.
    fn into_value(self) -> Value;

    /// Out of a value that was read.
    fn from_value(value: Value) -> Result<Self, FromValueError>;

    /// What is special about the field: that it is an array, or may be absent.
    fn describe(field: Field) -> Field {
        field.required()
    }
}

/// The definition of a field; for `#[derive(Record)]`.
pub fn field<T: FieldValue>(name: &str, type_name: Option<&str>) -> Field {
    let type_name = type_name.map_or_else(T::type_name, str::to_owned);
    T::describe(Field::new(name, &type_name))
}

/// Takes a field out of a struct; for `#[derive(Record)]`.
pub fn take<T: FieldValue>(object: &mut Object, name: &str) -> Result<T, FromValueError> {
    T::from_value(object.take(name)).map_err(|error| error.within(name))
}

macro_rules! numbers {
    ($as:ident, $wanted:literal: $($type:ty => $name:literal),*) => {
        $(impl FieldValue for $type {
            fn type_name() -> String {
                $name.into()
            }

            fn into_value(self) -> Value {
                self.into()
            }

            fn from_value(value: Value) -> Result<Self, FromValueError> {
                let number = value.$as().and_then(|number| number.try_into().ok());
                number.ok_or_else(|| FromValueError::new($wanted, &value))
            }
        })*
    };
}

numbers!(as_uint, "a number without a sign that fits": u8 => "uint8", u16 => "uint16", u32 => "uint32", u64 => "uint");
numbers!(as_int, "a whole number that fits": i8 => "int8", i16 => "int16", i32 => "int32", i64 => "int");

macro_rules! plain {
    ($($type:ty => $name:literal, $wanted:literal, $pattern:pat => $value:expr;)*) => {
        $(impl FieldValue for $type {
            fn type_name() -> String {
                $name.into()
            }

            fn into_value(self) -> Value {
                self.into()
            }

            fn from_value(value: Value) -> Result<Self, FromValueError> {
                match value {
                    $pattern => Ok($value),
                    other => Err(FromValueError::new($wanted, &other)),
                }
            }
        })*
    };
}

plain! {
    bool => "bool", "a bool", Value::Bool(bool) => bool;
    f64 => "float64", "a number", Value::Float(number) => number;
    f32 => "float32", "a number", Value::Float(number) => number as f32;
    String => "string", "text", Value::Text(text) => text;
    Vec<u8> => "buffer", "bytes", Value::Bytes(bytes) => bytes;
    Json => "json", "JSON", Value::Json(json) => json;
}

macro_rules! fixed {
    ($($bytes:literal => $name:literal),*) => {
        $(impl FieldValue for [u8; $bytes] {
            fn type_name() -> String {
                $name.into()
            }

            fn into_value(self) -> Value {
                self.into()
            }

            fn from_value(value: Value) -> Result<Self, FromValueError> {
                let bytes = value.as_bytes().and_then(|bytes| bytes.try_into().ok());
                bytes.ok_or_else(|| FromValueError::new(concat!($bytes, " bytes"), &value))
            }
        })*
    };
}

fixed!(8 => "fixed8", 16 => "fixed16", 24 => "fixed24", 32 => "fixed32", 64 => "fixed64");

/// To the millisecond.
impl FieldValue for SystemTime {
    fn type_name() -> String {
        "date".into()
    }

    fn into_value(self) -> Value {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Value::Date(match self.duration_since(UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }

    fn from_value(value: Value) -> Result<Self, FromValueError> {
        let Value::Date(millis) = value else {
            return Err(FromValueError::new("a date", &value));
        };
        let distance = Duration::from_millis(millis.unsigned_abs());
        let time = if millis < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        };
        time.ok_or_else(|| FromValueError::new("a date that this system knows", &value))
    }
}

/// May be absent. What the schema takes for absent is `None`: 0, false and the empty text, too.
impl<T: FieldValue> FieldValue for Option<T> {
    fn type_name() -> String {
        T::type_name()
    }

    fn into_value(self) -> Value {
        self.map_or(Value::Null, T::into_value)
    }

    fn from_value(value: Value) -> Result<Self, FromValueError> {
        value.is_truthy().then(|| T::from_value(value)).transpose()
    }

    fn describe(field: Field) -> Field {
        let described = T::describe(field);
        described.optional()
    }
}

/// An array.
impl<T: FieldValue + Element> FieldValue for Vec<T> {
    fn type_name() -> String {
        T::type_name()
    }

    fn into_value(self) -> Value {
        Value::Array(self.into_iter().map(T::into_value).collect())
    }

    fn from_value(value: Value) -> Result<Self, FromValueError> {
        match value {
            Value::Array(list) => list.into_iter().map(T::from_value).collect(),
            other => Err(FromValueError::new("an array", &other)),
        }
    }

    fn describe(field: Field) -> Field {
        field.required().array()
    }
}

/// What `Vec` is an array of; a `Vec` of bytes is bytes.
pub trait Element {}

macro_rules! elements {
    ($($type:ty),*) => { $(impl Element for $type {})* };
}

elements!(
    u16,
    u32,
    u64,
    i8,
    i16,
    i32,
    i64,
    bool,
    f32,
    f64,
    String,
    Vec<u8>,
    Json,
    SystemTime,
    [u8; 8],
    [u8; 16],
    [u8; 24],
    [u8; 32],
    [u8; 64]
);

/// A record type of the schema; name it with `#[schema(type = "…")]`.
impl<T: FieldValue> FieldValue for BTreeMap<String, T> {
    fn type_name() -> String {
        String::new()
    }

    fn into_value(self) -> Value {
        let pair = |(key, value): (String, T)| (Value::Text(key), value.into_value());
        Value::Record(self.into_iter().map(pair).collect())
    }

    fn from_value(value: Value) -> Result<Self, FromValueError> {
        let Value::Record(pairs) = value else {
            return Err(FromValueError::new("a record", &value));
        };
        let pair = |(key, value): (Value, Value)| {
            let Value::Text(key) = key else {
                return Err(FromValueError::new("text", &key));
            };
            let value = T::from_value(value).map_err(|error| error.within(&key))?;
            Ok((key, value))
        };
        pairs.into_iter().map(pair).collect()
    }
}
