//! What collections and indexes make of records: keys and values in bytes, and records again.

use base::wire::{Reader, Writer};
use hyperschema::{Object, Schema, Value};

use crate::error::{DbError, KeyError};
use crate::keys::{Edge, KeyEncoding};

/// What stands in front of a record that says its version.
const RECORD_KIND: u64 = 0;

#[derive(Debug, Clone)]
pub(crate) struct CollectionType {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(super) version: u64,
    pub(super) version_field: Option<String>,
    pub(super) keys: KeyEncoding,
    /// The fields of the key.
    pub(super) paths: Vec<String>,
    /// The type of a record without its key.
    pub(super) value_type: String,
    pub(crate) has_trigger: bool,
    /// The indexes that are written.
    pub(crate) indexes: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct IndexType {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) collection: usize,
    pub(super) keys: KeyEncoding,
    pub(super) source: Source,
    /// The key of the collection, which keeps entries apart unless they are unique.
    pub(super) primary: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Fields(Vec<String>),
    /// A function, and what is taken of each of its values: that field of it, or all of it.
    Mapped(String, Vec<Option<String>>),
}

/// A record as it was read, with the version of its collection that wrote it.
pub(crate) struct Stored {
    pub(crate) record: Value,
    pub(crate) version: u64,
}

impl CollectionType {
    /// The key of a record, of which only the key's fields need be there.
    pub(crate) fn key(&self, record: &Value) -> Result<Vec<u8>, DbError> {
        let encoded = self.keys.encode(at_paths(record, &self.paths));
        encoded.map_err(|source| key_fault(&self.name, source))
    }

    /// The version that records are written with where the database has `version`.
    pub(crate) fn written_version(&self, version: u64) -> u64 {
        self.version.min(version)
    }

    /// The bytes of a record, without its key.
    pub(crate) fn value(
        &self,
        schema: &Schema,
        schema_version: u64,
        version: u64,
        record: &Value,
    ) -> Result<Vec<u8>, DbError> {
        let mut out = Writer::new();
        let fault = |source| DbError::Record {
            collection: self.name.clone(),
            source,
        };
        if let (Some(field), Value::Object(record)) = (&self.version_field, record) {
            let record = Value::Object(record.clone().with(field.as_str(), version));
            schema
                .encode_to(&self.value_type, &record, schema_version, &mut out)
                .map_err(fault)?;
            return Ok(out.finish());
        }
        if self.version > 0 && self.version_field.is_none() {
            out.uint(RECORD_KIND).uint(version);
        }
        schema
            .encode_to(&self.value_type, record, schema_version, &mut out)
            .map_err(fault)?;
        Ok(out.finish())
    }

    /// The record in a key and a value.
    pub(crate) fn record(
        &self,
        schema: &Schema,
        schema_version: u64,
        key: &[u8],
        value: &[u8],
    ) -> Result<Stored, DbError> {
        let corrupt = |what| DbError::Corrupt {
            collection: self.name.clone(),
            what,
        };
        let mut reader = Reader::new(value);
        let mut version = 0;
        if self.version > 0 && self.version_field.is_none() {
            let mut number = || reader.uint().map_err(|_| corrupt("a record has no version"));
            let kind = number()?;
            if kind != RECORD_KIND {
                return Err(DbError::Newer {
                    collection: self.name.clone(),
                    kind,
                });
            }
            version = number()?;
        }
        let mut record = schema
            .decode_from(&self.value_type, schema_version, &mut reader)
            .map_err(|source| DbError::Record {
                collection: self.name.clone(),
                source,
            })?;
        self.set_key(key, &mut record)?;
        if let Some(field) = &self.version_field {
            version = record.at(field).and_then(Value::as_uint).unwrap_or(0);
        }
        Ok(Stored { record, version })
    }

    /// A record of which only the key is known.
    pub(crate) fn key_record(&self, key: &[u8]) -> Result<Value, DbError> {
        let mut record = Object::new();
        for path in &self.paths {
            make_way(&mut record, path);
        }
        let mut record = Value::Object(record);
        self.set_key(key, &mut record)?;
        Ok(record)
    }

    fn set_key(&self, key: &[u8], record: &mut Value) -> Result<(), DbError> {
        let fields = self.keys.decode(key);
        let fields = fields.map_err(|source| key_fault(&self.name, source))?;
        let Value::Object(record) = record else {
            return Err(DbError::Corrupt {
                collection: self.name.clone(),
                what: "a record is no struct",
            });
        };
        for (path, field) in self.paths.iter().zip(fields) {
            if !record.set_at(path, field) {
                return Err(DbError::Corrupt {
                    collection: self.name.clone(),
                    what: "a struct that holds a field of the key is not there",
                });
            }
        }
        Ok(())
    }

    /// The key of an end of a range, of which the fields given stand first.
    pub(crate) fn edge(&self, edge: Edge, at: &Value) -> Result<Vec<u8>, DbError> {
        let encoded = self.keys.edge(edge, leading(at_paths(at, &self.paths)));
        encoded.map_err(|source| key_fault(&self.name, source))
    }

    pub(crate) fn keys(&self) -> &KeyEncoding {
        &self.keys
    }
}

impl IndexType {
    /// As [`CollectionType::edge`]; of an index that a function fills, in what the function gives.
    pub(crate) fn edge(&self, edge: Edge, at: &Value) -> Result<Vec<u8>, DbError> {
        let encoded = self.keys.edge(edge, leading(self.fields(at).into_iter()));
        encoded.map_err(|source| key_fault(&self.name, source))
    }

    /// The key under which a unique index has what is asked for.
    pub(crate) fn key(&self, at: &Value) -> Result<Vec<u8>, DbError> {
        let encoded = self.keys.encode(leading(self.fields(at).into_iter()));
        encoded.map_err(|source| key_fault(&self.name, source))
    }

    fn fields<'a>(&'a self, at: &'a Value) -> Vec<(&'a str, &'a Value)> {
        match &self.source {
            Source::Fields(paths) => at_paths(at, paths).chain(at_paths(at, &self.primary)).collect(),
            Source::Mapped(_, names) => names
                .iter()
                .map(|name| match name {
                    None => ("", at),
                    Some(name) => (name.as_str(), at.at(name).unwrap_or(&Value::Null)),
                })
                .collect(),
        }
    }

    pub(crate) fn keys(&self) -> &KeyEncoding {
        &self.keys
    }
}

pub(super) fn at_paths<'a>(
    record: &'a Value,
    paths: &'a [String],
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    paths
        .iter()
        .map(move |path| (path.as_str(), record.at(path).unwrap_or(&Value::Null)))
}

/// The fields up to the first that was not given.
fn leading<'a>(
    fields: impl Iterator<Item = (&'a str, &'a Value)>,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    fields.take_while(|(_, value)| **value != Value::Null)
}

/// Structs for all but the last name of a path.
fn make_way(record: &mut Object, path: &str) {
    let Some((first, rest)) = path.split_once('.') else {
        return;
    };
    let mut inner = match record.take(first) {
        Value::Object(inner) => inner,
        _ => Object::new(),
    };
    make_way(&mut inner, rest);
    record.set(first, inner);
}

pub(super) fn key_fault(name: &str, source: KeyError) -> DbError {
    DbError::Key {
        name: name.to_owned(),
        source,
    }
}
