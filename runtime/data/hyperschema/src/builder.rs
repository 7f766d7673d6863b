//! Registering definitions, with the versions they get. What would break data that is stored already is refused (`changes.rs`).

use std::collections::{HashMap, HashSet};

use serde_json::{Value as Json, json};

use crate::changes;
use crate::definition::{Definition, Field};
use crate::error::SchemaError;
use crate::link::link;
use crate::primitive::Primitive;
use crate::record::Record;
use crate::schema::Schema;

/// Definitions on their way to a [`Schema`].
#[derive(Debug, Clone)]
pub struct Builder {
    version: u64,
    definitions: Vec<Definition>,
    positions: HashMap<String, usize>,
    /// The version was raised for what is registered now.
    changed: bool,
    /// What is registered comes from a file and has its versions.
    loading: bool,
    /// Where npm's builder finds JavaScript code, kept as it is.
    namespaces: Option<Json>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// No types, version 0.
    pub fn new() -> Self {
        Self {
            version: 0,
            definitions: Vec::new(),
            positions: HashMap::new(),
            changed: false,
            loading: false,
            namespaces: None,
        }
    }

    /// What a `schema.json` holds, to go on from there.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        let unreadable = |error: serde_json::Error| SchemaError::Json(error.to_string());
        let mut file: Json = serde_json::from_str(text).map_err(unreadable)?;
        let mut builder = Self::new();
        let version = file.get("version").and_then(Json::as_u64);
        builder.version = version.ok_or(SchemaError::Json("it has no version".into()))?;
        builder.namespaces = file.get("namespaces").cloned();
        let Some(Json::Array(list)) = file.get_mut("schema").map(Json::take) else {
            return Err(SchemaError::Json("it has no list named schema".into()));
        };
        builder.loading = true;
        for definition in list {
            builder.add(serde_json::from_value(definition).map_err(unreadable)?)?;
        }
        builder.loading = false;
        Ok(builder)
    }

    /// The version of the schema; registering what is new raises it, once for a builder.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Registers a type, or the same type with more in it. Types that it names must be registered before, those of a struct's fields
    /// at some time.
    pub fn register(&mut self, namespace: &str, mut definition: Definition) -> Result<(), SchemaError> {
        namespace.clone_into(&mut definition.namespace);
        self.add(definition)
    }

    /// Registers the type of a Rust struct.
    pub fn record<R: Record>(&mut self) -> Result<(), SchemaError> {
        self.register(R::namespace(), R::definition())
    }

    /// All types, to write and read values.
    pub fn finish(&self) -> Result<Schema, SchemaError> {
        link(self.version, &self.definitions)
    }

    /// The text of `schema.json`, as npm's builder writes it.
    pub fn to_json(&self) -> String {
        let own = self.definitions.iter().filter(|definition| !definition.derived);
        let list: Vec<Json> = own.map(Definition::to_json).collect();
        let mut file = json!({ "version": self.version, "schema": list });
        if let (Some(namespaces), Some(file)) = (&self.namespaces, file.as_object_mut()) {
            file.insert("namespaces".into(), namespaces.clone());
        }
        format!("{file:#}\n")
    }

    /// A type without those of its fields that are kept elsewhere, such as in a key; they are given as paths with dots. Returns the name of
    /// the derived type, `name/suffix`, or of the type itself when all of it stays. Derived types are not part of
    /// [`to_json`](Self::to_json).
    pub fn derive(
        &mut self,
        type_name: &str,
        elsewhere: &[String],
        suffix: &str,
    ) -> Result<String, SchemaError> {
        let derived = self.derive_below(type_name, "", elsewhere, suffix, &HashSet::new())?;
        Ok(derived.unwrap_or_else(|| type_name.to_owned()))
    }

    /// `None` where nothing is kept elsewhere.
    fn derive_below(
        &mut self,
        type_name: &str,
        prefix: &str,
        elsewhere: &[String],
        suffix: &str,
        parents: &HashSet<String>,
    ) -> Result<Option<String>, SchemaError> {
        let Some(mut definition) = self.get(type_name).cloned() else {
            return Ok(None);
        };
        if parents.contains(type_name) {
            return Ok(None);
        }
        let mut parents = parents.clone();
        parents.insert(type_name.to_owned());
        let mut external = false;
        if let Some(versions) = &mut definition.versions {
            for version in versions {
                let name = version.type_name.clone();
                if let Some(derived) = self.derive_below(&name, prefix, elsewhere, suffix, &parents)? {
                    version.type_name = derived;
                    external = true;
                }
            }
            // As npm's builder has it: whatever the type itself says.
            definition.framed = Some(true);
        } else if let Some(fields) = &mut definition.fields {
            for field in fields {
                let path = match prefix {
                    "" => field.name.clone(),
                    _ => format!("{prefix}.{}", field.name),
                };
                if elsewhere.contains(&path) {
                    field.external = true;
                    external = true;
                    continue;
                }
                let below = format!("{path}.");
                if elsewhere.iter().any(|path| path.starts_with(&below)) {
                    let inner = self.derive_below(&field.type_name, &path, elsewhere, suffix, &parents)?;
                    external |= inner.is_some();
                }
            }
            definition.flags_position = None;
        }
        if !external {
            return Ok(None);
        }
        definition.name = format!("{}/{suffix}", definition.name);
        definition.derived = true;
        let name = definition.full_name();
        self.add(definition)?;
        Ok(Some(name))
    }

    pub(crate) fn get(&self, type_name: &str) -> Option<&Definition> {
        self.definitions.get(*self.positions.get(type_name)?)
    }

    pub(crate) fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    fn add(&mut self, mut definition: Definition) -> Result<(), SchemaError> {
        let type_name = definition.full_name();
        let invalid = |what: &str| SchemaError::Invalid {
            type_name: type_name.clone(),
            what: what.to_owned(),
        };
        if definition.name.is_empty() || definition.namespace.is_empty() {
            return Err(invalid("a type needs a name and a namespace"));
        }
        let existing = self.get(&type_name).cloned();
        if let Some(existing) = &existing {
            changes::compare(existing, &mut definition)?;
        }
        let named = [
            &definition.alias,
            &definition.element,
            &definition.key,
            &definition.value,
        ];
        for name in named.into_iter().flatten() {
            self.must_exist(&type_name, name)?;
        }
        match definition.kind() {
            "an alias" => match &existing {
                Some(existing) => definition.version = existing.version,
                None => definition.version = self.fresh(definition.version),
            },
            "an enum" => {
                definition.offset.get_or_insert(1);
                let old = existing.as_ref().and_then(|existing| existing.keys.as_deref());
                let old = old.unwrap_or_default();
                for (number, key) in definition.keys.iter_mut().flatten().enumerate() {
                    key.version = match old.get(number) {
                        Some(old) => old.version,
                        None => self.fresh(key.version),
                    };
                }
            }
            "an array" if definition.element.is_none() => return Err(invalid("an array needs a type")),
            "a record" if definition.key.is_none() || definition.value.is_none() => {
                return Err(invalid("a record needs a key and a value"));
            }
            "a versioned type" => {
                definition.framed.get_or_insert(!self.loading);
            }
            "a struct" => self.add_fields(&type_name, &mut definition, existing.as_ref())?,
            _ => {}
        }
        match self
            .positions
            .get(&type_name)
            .and_then(|&at| self.definitions.get_mut(at))
        {
            Some(slot) => *slot = definition,
            None => {
                self.positions.insert(type_name, self.definitions.len());
                self.definitions.push(definition);
            }
        }
        Ok(())
    }

    /// What fields get on the way in: versions, and where the flags stand.
    fn add_fields(
        &mut self,
        type_name: &str,
        definition: &mut Definition,
        existing: Option<&Definition>,
    ) -> Result<(), SchemaError> {
        let invalid = |what: String| SchemaError::Invalid {
            type_name: type_name.to_owned(),
            what,
        };
        let derived = definition.derived;
        if existing.is_none() && !derived {
            self.fresh(None);
        }
        let fields = definition
            .fields
            .as_mut()
            .ok_or_else(|| invalid("a struct needs fields".into()))?;
        let old = existing
            .and_then(|existing| existing.fields.as_deref())
            .unwrap_or_default();
        let mut names = HashSet::new();
        for (position, field) in fields.iter_mut().enumerate() {
            let name = &field.name;
            if name.is_empty() || field.type_name.is_empty() {
                return Err(invalid(format!(
                    "field number {position} needs a name and a type"
                )));
            }
            if !names.insert(name.clone()) {
                return Err(invalid(format!("the field {name} is there twice")));
            }
            if field.record == Some(true) {
                return Err(invalid(format!(
                    "the field {name} must name a record type of its own"
                )));
            }
            if lives_in_flags(field) && field.is_required() {
                field.required = Some(false);
            }
            if let Some(constant) = &field.constant {
                let whole = |number: &serde_json::Number| number.is_i64() || number.is_u64();
                let plain = match constant {
                    Json::Null | Json::Bool(_) | Json::String(_) => true,
                    Json::Number(number) => whole(number),
                    _ => false,
                };
                if !plain || field.is_required() || field.is_array() || field.is_inline() {
                    return Err(invalid(format!(
                        "the constant {name} must be a bool, a whole number, text or null, and neither required, an array nor inline"
                    )));
                }
            }
            field.version = match old.get(position) {
                Some(old) => old.version,
                None if existing.is_some() && !derived && field.constant.is_none() => {
                    self.fresh(field.version)
                }
                None => field
                    .version
                    .filter(|&version| version > 0)
                    .or(Some(self.version)),
            };
        }
        let first = |field: &Field| field.is_optional() || field.is_inline();
        let first = fields.iter().position(first).map_or(-1, |at| at as i64);
        let flags = *match definition.flags_position.filter(|&at| at != -1) {
            Some(at) => definition.flags_position.insert(at),
            None => definition.flags_position.insert(first),
        };
        if flags > first || flags < -1 {
            return Err(invalid(format!(
                "flagsPosition is {flags}: the flags stand before the first optional field, which is number {first}"
            )));
        }
        Ok(())
    }

    /// The version of something new: from the file while loading, else the schema's next.
    fn fresh(&mut self, stated: Option<u64>) -> Option<u64> {
        if self.loading {
            return stated;
        }
        if !self.changed {
            self.changed = true;
            self.version = self.version.saturating_add(1);
        }
        Some(self.version)
    }

    fn must_exist(&self, type_name: &str, named: &str) -> Result<(), SchemaError> {
        if Primitive::from_name(named).is_none() && self.get(named).is_none() {
            return Err(SchemaError::Invalid {
                type_name: type_name.to_owned(),
                what: format!("the type {named} is not known; register it before"),
            });
        }
        Ok(())
    }
}

/// Bools and numbers of less than a byte stand in the flags, unless in an array or behind an alias.
pub(crate) fn lives_in_flags(field: &Field) -> bool {
    let primitive = Primitive::from_name(&field.type_name);
    !field.is_array()
        && primitive.is_some_and(|primitive| primitive == Primitive::Bool || primitive.bits() > 0)
}
