//! Values of every type that a schema can describe.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value as Json;

/// A value, as it is written and read.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing: JavaScript's `null` and `undefined`.
    #[default]
    Null,
    /// A `bool`.
    Bool(bool),
    /// A number of an unsigned type. JavaScript's end at 2^53 - 1, those of `biguint64` at 2^64 - 1.
    Uint(u64),
    /// A number of a signed type.
    Int(i64),
    /// A `bigint`. JavaScript's know no end; these do.
    BigInt(i128),
    /// A `float32` or `float64`.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A `date`, in milliseconds since 1970.
    Date(i64),
    /// An `ip`, `ipv4` or `ipv6`.
    Ip(IpAddr),
    /// An `ipAddress`, `ipv4Address` or `ipv6Address`: with a port.
    Address(SocketAddr),
    /// What `json` holds.
    Json(Json),
    /// An array.
    Array(Vec<Value>),
    /// A struct.
    Object(Object),
    /// A record: keys and values of one type each.
    Record(Vec<(Value, Value)>),
}

impl Value {
    /// Whether JavaScript takes it for true; an optional field is written only then.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) | Self::Uint(0) | Self::Int(0) | Self::BigInt(0) => false,
            Self::Float(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Json(Json::Null | Json::Bool(false)) => false,
            Self::Json(Json::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
            Self::Json(Json::String(text)) => !text.is_empty(),
            _ => true,
        }
    }

    /// The struct, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is such.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number, if it is one without a sign.
    pub fn as_uint(&self) -> Option<u64> {
        match *self {
            Self::Uint(number) => Some(number),
            Self::Int(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// The number, if it is a whole one.
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            Self::Int(number) => Some(number),
            Self::Uint(number) => i64::try_from(number).ok(),
            _ => None,
        }
    }

    /// The value at a path of field names with dots between; `None` where one is missing.
    pub fn at(&self, path: &str) -> Option<&Value> {
        path.split('.')
            .try_fold(self, |value, name| value.as_object()?.get(name))
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a bool",
            Self::Uint(_) | Self::Int(_) | Self::BigInt(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "a date",
            Self::Ip(_) => "an IP address",
            Self::Address(_) => "an address with a port",
            Self::Json(_) => "JSON",
            Self::Array(_) => "an array",
            Self::Object(_) => "a struct",
            Self::Record(_) => "a record",
        }
    }
}

/// The fields of a struct, in the order in which they were set.
#[derive(Debug, Clone, Default)]
pub struct Object {
    fields: Vec<(Arc<str>, Value)>,
}

impl Object {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.fields.iter().find(|(field, _)| &**field == name);
        found.map(|(_, value)| value)
    }

    /// Takes the field of that name out, leaving nothing in its place.
    pub fn take(&mut self, name: &str) -> Value {
        let found = self.fields.iter_mut().find(|(field, _)| &**field == name);
        found.map(|(_, value)| std::mem::take(value)).unwrap_or_default()
    }

    /// Sets a field.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.fields.iter_mut().find(|(field, _)| *field == name) {
            Some((_, slot)) => *slot = value,
            None => self.fields.push((name, value)),
        }
    }

    /// Sets a field at a path of names with dots between; false where something on the way is no struct.
    #[must_use]
    pub fn set_at(&mut self, path: &str, value: Value) -> bool {
        let Some((first, rest)) = path.split_once('.') else {
            self.set(path, value);
            return true;
        };
        match self.fields.iter_mut().find(|(field, _)| &**field == first) {
            Some((_, Value::Object(inner))) => inner.set_at(rest, value),
            _ => false,
        }
    }

    /// With a field set.
    pub fn with(mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (&**name, value))
    }

    /// Adds a field that is known not to be there.
    pub(crate) fn push(&mut self, name: Arc<str>, value: Value) {
        self.fields.push((name, value));
    }

    pub(crate) fn with_capacity(fields: usize) -> Self {
        Self {
            fields: Vec::with_capacity(fields),
        }
    }
}

/// Two are equal when they have the same fields, in whatever order; one that is nothing counts as one that is not there.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        let covers = |one: &Self, other: &Self| {
            let same = |(name, value): (&str, &Value)| other.get(name).unwrap_or(&Value::Null) == value;
            one.iter().all(same)
        };
        covers(self, other) && covers(other, self)
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! {
    bool => Bool,
    u8 => Uint, u16 => Uint, u32 => Uint, u64 => Uint,
    i8 => Int, i16 => Int, i32 => Int, i64 => Int,
    i128 => BigInt,
    f32 => Float, f64 => Float,
    String => Text, &str => Text,
    Vec<u8> => Bytes, &[u8] => Bytes,
    IpAddr => Ip,
    SocketAddr => Address,
    Json => Json,
    Vec<Value> => Array,
    Object => Object,
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
