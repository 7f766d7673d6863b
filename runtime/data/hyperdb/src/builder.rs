//! Registering collections and indexes, and `db.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::definition::Definition;
use crate::error::DefinitionError;

/// Collections and indexes on their way to a [`Definition`].
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) schema: hyperschema::Builder,
    pub(crate) version: u64,
    offset: u64,
    pub(crate) parts: Vec<Part>,
    next: u64,
    bumped: bool,
}

/// A collection or an index, as `db.json` has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Part {
    pub(crate) name: String,
    #[serde(rename = "unsafe")]
    unsafe_as_written: Option<Json>,
    pub(crate) namespace: String,
    pub(crate) id: u64,
    #[serde(rename = "type")]
    kind: u64,
    pub(crate) version: u64,
    // collection
    pub(crate) version_field: Option<String>,
    pub(crate) schema: String,
    derived: bool,
    pub(crate) trigger: Option<String>,
    // index
    #[serde(rename = "collection")]
    pub(crate) of: String,
    pub(crate) unique: bool,
    pub(crate) deprecated: bool,
    // both
    pub(crate) key: Key,
}

/// What a key is made of.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Key {
    /// Fields of the record.
    Fields(Vec<String>),
    /// What a function makes of the record.
    Mapped {
        #[serde(rename = "type")]
        of: MappedType,
        map: String,
    },
}

/// What a function gives: values of one type, or of several fields.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum MappedType {
    One(String),
    Fields { fields: Vec<MappedField> },
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct MappedField {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) of: String,
    /// What else npm's builder keeps of it.
    #[serde(flatten)]
    rest: serde_json::Map<String, Json>,
}

impl Default for Key {
    fn default() -> Self {
        Self::Fields(Vec::new())
    }
}

/// A collection: records of one type, each under its key.
#[derive(Debug, Clone, Default)]
pub struct Collection(Part);

/// An index: where the records of a collection are found by something else than their key.
#[derive(Debug, Clone, Default)]
pub struct Index(Part);

const COLLECTION: u64 = 1;
const INDEX: u64 = 2;

impl Collection {
    /// Records of the type `schema`, under the values of fields `key`: paths with dots, the least specific first. Without fields it holds one
    /// record.
    pub fn new<'a>(name: &str, schema: &str, key: impl IntoIterator<Item = &'a str>) -> Self {
        Self(Part {
            name: name.to_owned(),
            kind: COLLECTION,
            schema: schema.to_owned(),
            key: fields(key),
            ..Part::default()
        })
    }

    /// The version of a record stands in that field of it, rather than before it.
    pub fn version_field(mut self, field: &str) -> Self {
        self.0.version_field = Some(field.to_owned());
        self
    }
}

impl Index {
    /// Records of `collection` by fields of theirs.
    pub fn new<'a>(name: &str, collection: &str, key: impl IntoIterator<Item = &'a str>) -> Self {
        Self(Part {
            name: name.to_owned(),
            kind: INDEX,
            of: collection.to_owned(),
            key: fields(key),
            ..Part::default()
        })
    }

    /// Records of `collection` by values of `type_name` that a function makes of each, see [`Definition::set_map`].
    pub fn mapped(name: &str, collection: &str, type_name: &str, function: &str) -> Self {
        let mut index = Self::new(name, collection, []);
        index.0.key = Key::Mapped {
            of: MappedType::One(type_name.to_owned()),
            map: function.to_owned(),
        };
        index
    }

    /// As [`mapped`](Self::mapped), by structs of those fields, given as name and type.
    pub fn mapped_fields<'a>(
        name: &str,
        collection: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
        function: &str,
    ) -> Self {
        let mut index = Self::new(name, collection, []);
        let field = |(name, of): (&str, &str)| MappedField {
            name: name.to_owned(),
            of: of.to_owned(),
            rest: serde_json::Map::new(),
        };
        index.0.key = Key::Mapped {
            of: MappedType::Fields {
                fields: fields.into_iter().map(field).collect(),
            },
            map: function.to_owned(),
        };
        index
    }

    /// No two records have the same key; of two that do, the one written last is found.
    pub fn unique(mut self) -> Self {
        self.0.unique = true;
        self
    }

    /// It is no longer written, and can still be read.
    pub fn deprecated(mut self) -> Self {
        self.0.deprecated = true;
        self
    }
}

fn fields<'a>(names: impl IntoIterator<Item = &'a str>) -> Key {
    Key::Fields(names.into_iter().map(str::to_owned).collect())
}

impl Part {
    pub(crate) fn full_name(&self) -> String {
        format!("@{}/{}", self.namespace, self.name)
    }

    pub(crate) fn is_collection(&self) -> bool {
        self.kind == COLLECTION
    }

    fn to_json(&self, indexes: Vec<String>) -> Json {
        let mut json = serde_json::Map::new();
        let mut set = |name: &str, value: Json| drop(json.insert(name.to_owned(), value));
        set("name", json!(self.name));
        if let Some(written) = &self.unsafe_as_written {
            set("unsafe", written.clone());
        }
        set("namespace", json!(self.namespace));
        set("id", json!(self.id));
        set("type", json!(self.kind));
        set("version", json!(self.version));
        if self.is_collection() {
            set("versionField", json!(self.version_field));
            set("indexes", json!(indexes));
            set("schema", json!(self.schema));
            set("derived", json!(self.derived));
            set("key", json!(self.key));
            set("trigger", json!(self.trigger));
        } else {
            set("collection", json!(self.of));
            set("unique", json!(self.unique));
            set("deprecated", json!(self.deprecated));
            set("key", json!(self.key));
        }
        Json::Object(json)
    }
}

impl Builder {
    /// No collections, on the types of `schema`. The first one gets the number `offset`.
    pub fn new(schema: hyperschema::Builder, offset: u64) -> Self {
        Self {
            schema,
            version: 0,
            offset,
            parts: Vec::new(),
            next: offset,
            bumped: false,
        }
    }

    /// What a `db.json` holds, to go on from there.
    pub fn from_json(schema: hyperschema::Builder, text: &str) -> Result<Self, DefinitionError> {
        #[derive(Deserialize)]
        struct File {
            version: u64,
            offset: u64,
            schema: Vec<Part>,
        }
        let file: File =
            serde_json::from_str(text).map_err(|error| DefinitionError::Json(error.to_string()))?;
        let mut builder = Self::new(schema, file.offset);
        builder.version = file.version;
        for part in file.schema {
            builder.push(part)?;
        }
        Ok(builder)
    }

    /// The version of the definition; registering what is new raises it, once for a builder.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Registers a collection. One that is there stays as it is, and must be the same.
    pub fn collection(&mut self, namespace: &str, collection: Collection) -> Result<(), DefinitionError> {
        self.register(namespace, collection.0)
    }

    /// Registers an index of a collection. One that is there stays as it is, and must be the same; it may become deprecated.
    pub fn index(&mut self, namespace: &str, index: Index) -> Result<(), DefinitionError> {
        self.register(namespace, index.0)
    }

    /// The text of `db.json`, as npm's builder writes it.
    pub fn to_json(&self) -> String {
        let indexes_of = |name: String| {
            let indexes = self
                .parts
                .iter()
                .filter(|part| !part.is_collection() && part.of == name);
            indexes.map(Part::full_name).collect()
        };
        let parts: Vec<Json> = self
            .parts
            .iter()
            .map(|part| part.to_json(indexes_of(part.full_name())))
            .collect();
        format!(
            "{:#}",
            json!({ "version": self.version, "offset": self.offset, "schema": parts })
        )
    }

    /// The definition of a database.
    pub fn finish(&self) -> Result<Definition, DefinitionError> {
        Definition::link(self)
    }

    /// The text of `schema.json`, which goes with it.
    pub fn schema_json(&self) -> String {
        self.schema.to_json()
    }

    fn register(&mut self, namespace: &str, mut part: Part) -> Result<(), DefinitionError> {
        namespace.clone_into(&mut part.namespace);
        let name = part.full_name();
        if let Some(known) = self.parts.iter_mut().find(|known| known.full_name() == name) {
            let same = known.kind == part.kind
                && known.schema == part.schema
                && known.of == part.of
                && known.unique == part.unique
                && known.key == part.key;
            if !same {
                return Err(DefinitionError::Breaks {
                    name,
                    what: "its kind, type, key, collection or whether it is unique differs".into(),
                });
            }
            known.deprecated |= part.deprecated;
            if part.version_field.is_some() {
                known.version_field = part.version_field;
            }
            return Ok(());
        }
        if !self.bumped {
            self.bumped = true;
            self.version = self.version.saturating_add(1);
        }
        part.version = self.version;
        let (of, version) = (part.of.clone(), part.version);
        self.push(part)?;
        // Records say which indexes they are in by the version of their collection.
        for collection in self.parts.iter_mut().filter(|part| part.is_collection()) {
            if collection.full_name() == of {
                collection.version = version;
            }
        }
        Ok(())
    }

    fn push(&mut self, mut part: Part) -> Result<(), DefinitionError> {
        let name = part.full_name();
        let invalid = |what: &str| {
            Err(DefinitionError::Invalid {
                name: name.clone(),
                what: what.to_owned(),
            })
        };
        if part.name.is_empty() || part.namespace.is_empty() {
            return invalid("a collection or index needs a name and a namespace");
        }
        if self.parts.iter().any(|known| known.full_name() == name) {
            return invalid("it is there twice");
        }
        match (part.kind, &part.key) {
            (COLLECTION, Key::Mapped { .. }) => return invalid("the key of a collection is made of fields"),
            (COLLECTION | INDEX, _) => {}
            _ => return invalid("it is neither a collection nor an index"),
        }
        let named = |known: &Part| known.is_collection() && known.full_name() == part.of;
        if part.kind == INDEX && !self.parts.iter().any(named) {
            return invalid("its collection is not known; register it before");
        }
        let stated = part
            .unsafe_as_written
            .as_ref()
            .filter(|stated| stated.get("prefix").is_some());
        part.id = match stated.and_then(|stated| stated.get("id")?.as_u64()) {
            Some(id) => id,
            None if stated.is_some() => return invalid("it chooses a prefix and no number"),
            None => {
                let id = self.next;
                self.next = self.next.saturating_add(1);
                id
            }
        };
        if self.parts.iter().any(|known| known.id == part.id) {
            return invalid("its number is another's");
        }
        self.parts.push(part);
        Ok(())
    }
}
