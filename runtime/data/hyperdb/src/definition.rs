//! Collections and indexes that are ready to make keys and values of records.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hyperschema::{Schema, TypeRef, Value};

use crate::builder::{Builder, Key, MappedType, Part};
use crate::error::{DbError, DefinitionError};
use crate::keys::{KeyEncoding, KeyType};
use crate::tables::{CollectionType, IndexType, Source, at_paths, key_fault};

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

/// Collection or index, by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Collection(usize),
    Index(usize),
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

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("version", &self.version)
            .field("collections", &self.collections)
            .field("indexes", &self.indexes)
            .finish_non_exhaustive()
    }
}
