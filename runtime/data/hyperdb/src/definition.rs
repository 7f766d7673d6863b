//! Collections and indexes that are ready to make keys and values of records.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base::wire::{Reader, Writer};
use hyperschema::{Object, Schema, TypeRef, Value};

use crate::builder::{Builder, Key, MappedType, Part};
use crate::error::{DbError, DefinitionError, KeyError};
use crate::keys::{Edge, KeyEncoding, KeyType};

/// What stands in front of a record that says its version.
const RECORD_KIND: u64 = 0;

/// What an index makes of a record: the values under which it is found.
type Map = Arc<dyn Fn(&Value) -> Vec<Value> + Send + Sync>;

/// What a database is made of.
#[derive(Clone)]
pub struct Definition {
    pub(crate) schema: Schema,
    pub(crate) version: u64,
    pub(crate) collections: Vec<CollectionType>,
    pub(crate) indexes: Vec<IndexType>,
    maps: HashMap<String, Map>,
}

#[derive(Debug, Clone)]
pub(crate) struct CollectionType {
    pub(crate) name: String,
    pub(crate) id: u64,
    version: u64,
    version_field: Option<String>,
    keys: KeyEncoding,
    /// The fields of the key.
    paths: Vec<String>,
    /// The type of a record without its key.
    value_type: String,
    pub(crate) has_trigger: bool,
    /// The indexes that are written.
    pub(crate) indexes: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct IndexType {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) collection: usize,
    keys: KeyEncoding,
    source: Source,
    /// The key of the collection, which keeps entries apart unless they are unique.
    primary: Vec<String>,
}

#[derive(Debug, Clone)]
enum Source {
    Fields(Vec<String>),
    /// A function, and what is taken of each of its values: that field of it, or all of it.
    Mapped(String, Vec<Option<String>>),
}

/// Collection or index, by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Collection(usize),
    Index(usize),
}

/// A record as it was read, with the version of its collection that wrote it.
pub(crate) struct Stored {
    pub(crate) record: Value,
    pub(crate) version: u64,
}

impl Definition {
    /// The definition in a `schema.json` and a `db.json`.
    pub fn from_json(schema: &str, db: &str) -> Result<Self, DefinitionError> {
        Builder::from_json(hyperschema::Builder::from_json(schema)?, db)?.finish()
    }

    /// The types of all records.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Sets the function that indexes of `namespace` name as what fills them: it gives the values under which a record is found.
    pub fn set_map(
        &mut self,
        namespace: &str,
        function: &str,
        map: impl Fn(&Value) -> Vec<Value> + Send + Sync + 'static,
    ) {
        self.maps.insert(format!("{namespace}/{function}"), Arc::new(map));
    }

    /// Sets the function that a versioned type of the schema names, see [`Schema::set_map`].
    pub fn set_type_map(
        &mut self,
        namespace: &str,
        function: &str,
        map: impl Fn(Value) -> Value + Send + Sync + 'static,
    ) {
        self.schema.set_map(namespace, function, map);
    }

    pub(crate) fn link(builder: &Builder) -> Result<Self, DefinitionError> {
        let mut schema = builder.schema.clone();
        let mut value_types = Vec::new();
        for part in builder.parts.iter().filter(|part| part.is_collection()) {
            let Key::Fields(paths) = &part.key else { continue };
            value_types.push(schema.derive(&part.schema, paths, &format!("hyperdb#{}", part.id))?);
        }
        let schema = schema.finish()?;
        let mut definition = Self {
            version: builder.version,
            collections: Vec::new(),
            indexes: Vec::new(),
            maps: HashMap::new(),
            schema,
        };
        let mut types = HashMap::new();
        for part in &builder.parts {
            let linked = if part.is_collection() {
                let value_type = value_types.get(definition.collections.len()).cloned();
                types.insert(part.full_name(), part.schema.clone());
                definition.link_collection(part, value_type.unwrap_or_default())
            } else {
                definition.link_index(part, types.get(&part.of).map_or("", String::as_str))
            };
            linked.map_err(|what| DefinitionError::Invalid {
                name: part.full_name(),
                what,
            })?;
        }
        Ok(definition)
    }

    fn link_collection(&mut self, part: &Part, value_type: String) -> Result<(), String> {
        let Key::Fields(paths) = &part.key else {
            return Err("the key of a collection is made of fields".into());
        };
        if self.schema.resolve(&part.schema).is_none() {
            return Err(format!("the schema has no type {}", part.schema));
        }
        let types: Result<Vec<KeyType>, String> = paths
            .iter()
            .map(|path| self.key_type(self.schema.type_at(&part.schema, path), path))
            .collect();
        self.collections.push(CollectionType {
            name: part.full_name(),
            id: part.id,
            version: part.version,
            version_field: part.version_field.clone(),
            keys: KeyEncoding::new(part.id, types?),
            paths: paths.clone(),
            value_type,
            has_trigger: part.trigger.is_some(),
            indexes: Vec::new(),
        });
        Ok(())
    }

    fn link_index(&mut self, part: &Part, record_type: &str) -> Result<(), String> {
        let at = self
            .collections
            .iter()
            .position(|collection| collection.name == part.of);
        let at = at.ok_or("its collection is not known")?;
        let mut types = Vec::new();
        let source = match &part.key {
            Key::Fields(paths) => {
                for path in paths {
                    types.push(self.key_type(self.schema.type_at(record_type, path), path)?);
                }
                Source::Fields(paths.clone())
            }
            Key::Mapped { of, map } => {
                let fields = match of {
                    MappedType::One(of) => vec![(None, of)],
                    MappedType::Fields { fields } => fields
                        .iter()
                        .map(|field| (Some(field.name.clone()), &field.of))
                        .collect(),
                };
                let mut names = Vec::new();
                for (name, of) in fields {
                    types.push(self.key_type(self.schema.resolve(of), of)?);
                    names.push(name);
                }
                Source::Mapped(format!("{}/{map}", part.namespace), names)
            }
        };
        let place = self.indexes.len();
        let collection = self
            .collections
            .get_mut(at)
            .ok_or("its collection is not known")?;
        let primary = if part.unique {
            Vec::new()
        } else {
            collection.paths.clone()
        };
        if !part.unique {
            types.extend_from_slice(collection.keys.types());
        }
        if !part.deprecated {
            collection.indexes.push(place);
        }
        self.indexes.push(IndexType {
            name: part.full_name(),
            version: part.version,
            collection: at,
            keys: KeyEncoding::new(part.id, types),
            source,
            primary,
        });
        Ok(())
    }

    fn key_type(&self, of: Option<TypeRef>, name: &str) -> Result<KeyType, String> {
        let of = of.ok_or_else(|| format!("there is no field or type {name}"))?;
        let found = match of {
            TypeRef::Primitive(primitive) => KeyType::of(primitive),
            TypeRef::Defined(_) => self.schema.is_number_enum(of).then_some(KeyType::Uint),
        };
        found.ok_or_else(|| format!("{name} is of a type that keys cannot hold"))
    }

    pub(crate) fn named(&self, name: &str) -> Result<Named, DbError> {
        let index = self
            .indexes
            .iter()
            .position(|index| index.name == name)
            .map(Named::Index);
        let collection = || {
            let found = self
                .collections
                .iter()
                .position(|collection| collection.name == name);
            found.map(Named::Collection)
        };
        index
            .or_else(collection)
            .ok_or_else(|| DbError::Unknown(name.to_owned()))
    }

    /// The values of an index's function.
    fn mapped(&self, index: &IndexType, function: &str, record: &Value) -> Result<Vec<Value>, DbError> {
        let map = self.maps.get(function).ok_or_else(|| DbError::NoMap {
            index: index.name.clone(),
            function: function.to_owned(),
        })?;
        Ok(map(record))
    }

    /// The keys under which an index has a record.
    pub(crate) fn index_keys(&self, index: &IndexType, record: &Value) -> Result<Vec<Vec<u8>>, DbError> {
        let primary = || at_paths(record, &index.primary);
        let key = |fields: Vec<(&str, &Value)>| {
            let encoded = index.keys.encode(fields);
            encoded.map_err(|source| key_fault(&index.name, source))
        };
        match &index.source {
            Source::Fields(paths) => Ok(vec![key(at_paths(record, paths).chain(primary()).collect())?]),
            Source::Mapped(function, names) => {
                let values = self.mapped(index, function, record)?;
                let keys = values.iter().map(|value| {
                    let fields = names.iter().map(|name| match name {
                        None => ("", value),
                        Some(name) => (name.as_str(), value.at(name).unwrap_or(&Value::Null)),
                    });
                    key(fields.chain(primary()).collect())
                });
                keys.collect()
            }
        }
    }
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

fn at_paths<'a>(record: &'a Value, paths: &'a [String]) -> impl Iterator<Item = (&'a str, &'a Value)> {
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

fn key_fault(name: &str, source: KeyError) -> DbError {
    DbError::Key {
        name: name.to_owned(),
        source,
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("version", &self.version)
            .field("collections", &self.collections)
            .field("indexes", &self.indexes)
            .finish_non_exhaustive()
    }
}
