//! Definitions of types, as `schema.json` holds them.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value as Json, json};

/// A type: a struct, alias, enum, array, record, versioned type, or one that JavaScript code encodes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Definition {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) version: Option<u64>,
    pub(crate) derived: bool,
    // alias
    pub(crate) alias: Option<String>,
    // enum
    #[serde(rename = "enum")]
    pub(crate) keys: Option<Vec<EnumKey>>,
    pub(crate) offset: Option<u64>,
    pub(crate) strings: bool,
    // array
    pub(crate) array: bool,
    #[serde(rename = "type")]
    pub(crate) element: Option<String>,
    // record
    pub(crate) record: bool,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    // external
    pub(crate) external: Option<String>,
    // versioned
    pub(crate) versions: Option<Vec<Version>>,
    pub(crate) framed: Option<bool>,
    // struct
    pub(crate) compact: bool,
    pub(crate) flags_position: Option<i64>,
    pub(crate) fields: Option<Vec<Field>>,
}

/// A field of a struct.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Field {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) array: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inline: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub(crate) constant: Option<Json>,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    /// It is kept elsewhere (in a key), and not written.
    #[serde(skip_serializing)]
    pub(crate) external: bool,
}

/// One value of an enum.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnumKey {
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
}

/// One version of a versioned type.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Version {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    #[serde(default)]
    pub(crate) map: Option<String>,
    pub(crate) version: u64,
}

impl<'de> Deserialize<'de> for EnumKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Name(String),
            Full { key: String, version: Option<u64> },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Name(key) => Self { key, version: None },
            Form::Full { key, version } => Self { key, version },
        })
    }
}

/// `null` is a constant, too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl Definition {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// A struct without fields; add them with [`field`](Self::field).
    pub fn structure(name: &str) -> Self {
        Self {
            fields: Some(Vec::new()),
            ..Self::named(name)
        }
    }

    /// Another name for a type.
    pub fn alias(name: &str, target: &str) -> Self {
        Self {
            alias: Some(target.to_owned()),
            ..Self::named(name)
        }
    }

    /// An enum whose values are numbers, from 1 on.
    pub fn enumeration<'a>(name: &str, keys: impl IntoIterator<Item = &'a str>) -> Self {
        let keys = keys.into_iter().map(|key| EnumKey {
            key: key.to_owned(),
            version: None,
        });
        Self {
            keys: Some(keys.collect()),
            ..Self::named(name)
        }
    }

    /// Of an enum: its values are texts.
    pub fn strings(mut self) -> Self {
        self.strings = true;
        self
    }

    /// Of an enum: the number of its first value.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// An array of a type.
    pub fn array(name: &str, element: &str) -> Self {
        Self {
            array: true,
            element: Some(element.to_owned()),
            ..Self::named(name)
        }
    }

    /// Keys of one type, values of another.
    pub fn record(name: &str, key: &str, value: &str) -> Self {
        Self {
            record: true,
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
            ..Self::named(name)
        }
    }

    /// A struct that says in front of its bytes which of several it is; add them with [`at_version`](Self::at_version).
    pub fn versioned(name: &str) -> Self {
        Self {
            versions: Some(Vec::new()),
            ..Self::named(name)
        }
    }

    /// Of a versioned type: up to this version it is that struct.
    pub fn at_version(mut self, version: u64, type_name: &str) -> Self {
        self.versions.get_or_insert_default().push(Version {
            type_name: type_name.to_owned(),
            map: None,
            version,
        });
        self
    }

    /// Of a versioned type: what was read as the version added last goes through that function (see [`crate::Schema::set_map`]).
    pub fn map(mut self, function: &str) -> Self {
        if let Some(last) = self.versions.get_or_insert_default().last_mut() {
            last.map = Some(function.to_owned());
        }
        self
    }

    /// Of a struct: it never gets another field, and carries no length where it stands in another.
    pub fn compact(mut self) -> Self {
        self.compact = true;
        self
    }

    /// Of a struct: one more field.
    pub fn field(mut self, field: Field) -> Self {
        self.fields.get_or_insert_default().push(field);
        self
    }

    /// Its full name: `@namespace/name`.
    pub fn full_name(&self) -> String {
        format!("@{}/{}", self.namespace, self.name)
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        if self.alias.is_some() {
            "an alias"
        } else if self.keys.is_some() {
            "an enum"
        } else if self.array {
            "an array"
        } else if self.record {
            "a record"
        } else if self.external.is_some() {
            "an external type"
        } else if self.versions.is_some() {
            "a versioned type"
        } else {
            "a struct"
        }
    }

    /// As `schema.json` has it, keys in npm's order.
    pub(crate) fn to_json(&self) -> Json {
        let (name, namespace) = (&self.name, &self.namespace);
        match self.kind() {
            "an alias" => {
                json!({ "name": name, "namespace": namespace, "alias": self.alias, "version": self.version })
            }
            "an enum" => json!({
                "name": name, "namespace": namespace, "offset": self.offset, "enum": self.keys, "strings": self.strings,
            }),
            "an array" => {
                json!({ "name": name, "namespace": namespace, "array": true, "type": self.element })
            }
            "a record" => json!({
                "name": name, "namespace": namespace, "record": true, "key": self.key, "value": self.value,
            }),
            "an external type" => json!({ "name": name, "namespace": namespace, "external": self.external }),
            "a versioned type" => json!({
                "name": name, "namespace": namespace, "framed": self.framed, "versions": self.versions,
            }),
            _ => json!({
                "name": name, "namespace": namespace, "compact": self.compact, "flagsPosition": self.flags_position,
                "fields": self.fields,
            }),
        }
    }
}

impl Field {
    /// A field that may be absent.
    pub fn new(name: &str, type_name: &str) -> Self {
        Self {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            ..Self::default()
        }
    }

    /// It is always there. (A `bool`, and a number of less than a byte, is so in any case.)
    pub fn required(mut self) -> Self {
        self.required = Some(true);
        self
    }

    /// It may be absent, as a new field is.
    pub fn optional(mut self) -> Self {
        self.required = None;
        self
    }

    /// An array of its type.
    pub fn array(mut self) -> Self {
        self.array = Some(true);
        self
    }

    /// A compact struct whose flags stand among those of the struct around it.
    pub fn inline(mut self) -> Self {
        self.inline = Some(true);
        self
    }

    /// Never written; whoever reads gets this value: a bool, a whole number, text or null.
    pub fn constant(mut self, value: Json) -> Self {
        self.constant = Some(value);
        self
    }

    pub(crate) fn is_required(&self) -> bool {
        self.required == Some(true)
    }

    pub(crate) fn is_array(&self) -> bool {
        self.array == Some(true)
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.inline == Some(true)
    }

    /// Whether its struct's flags have a bit for it.
    pub(crate) fn is_optional(&self) -> bool {
        !self.is_required() && self.constant.is_none()
    }
}
