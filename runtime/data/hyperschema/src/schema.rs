//! Types that are ready to write and read values.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base::wire::{Reader, Writer};

use crate::builder::Builder;
use crate::decode::Decoder;
use crate::encode::Encoder;
use crate::error::{CodecError, Fault, SchemaError};
use crate::primitive::Primitive;
use crate::record::Record;
use crate::value::Value;

/// A type, by its place in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeRef {
    /// One that needs no definition.
    Primitive(Primitive),
    /// A defined one.
    Defined(usize),
}

/// What brings a value that was read as an older version to the newest.
type Map = Arc<dyn Fn(Value) -> Value + Send + Sync>;

/// Types that are ready to write and read values.
#[derive(Clone)]
pub struct Schema {
    pub(crate) version: u64,
    pub(crate) types: Vec<Type>,
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) positions: HashMap<Arc<str>, usize>,
    pub(crate) maps: HashMap<String, Map>,
}

#[derive(Debug, Clone)]
pub(crate) enum Type {
    Alias(TypeRef),
    Enum {
        offset: u64,
        keys: Vec<Arc<str>>,
        strings: bool,
    },
    Array(Elements),
    Record {
        key: TypeRef,
        value: TypeRef,
    },
    External,
    Versioned {
        namespace: String,
        versions: Vec<VersionType>,
    },
    Struct(StructType),
}

/// What an array holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements {
    pub(crate) of: TypeRef,
    /// Each has its length in front, so that it may grow.
    pub(crate) framed: bool,
    /// They are bools, eight to a byte.
    pub(crate) bits: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct VersionType {
    pub(crate) of: TypeRef,
    pub(crate) version: u64,
    pub(crate) framed: bool,
    pub(crate) map: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct StructType {
    pub(crate) fields: Vec<FieldType>,
    /// The field that the flags stand before.
    pub(crate) flags_position: Option<usize>,
    /// How many bytes the flags take; `None` for a number of variable length.
    pub(crate) flag_bytes: Option<usize>,
    /// The flags were there from the first version on.
    pub(crate) always_flags: bool,
    /// It is a version of a versioned type: who reads it alone is told version 0.
    pub(crate) has_version: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct FieldType {
    pub(crate) name: Arc<str>,
    pub(crate) of: TypeRef,
    pub(crate) required: bool,
    pub(crate) external: bool,
    pub(crate) constant: Option<Value>,
    pub(crate) version: u64,
    /// Of an array: what it holds.
    pub(crate) elements: Option<Elements>,
    pub(crate) framed: bool,
    pub(crate) default: Value,
    /// Of an optional field: its bit in the flags.
    pub(crate) bit: u32,
    pub(crate) place: Place,
}

/// Where a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among the bytes of its struct.
    Bytes,
    /// A bool: its bit of the flags is all of it.
    Flag,
    /// A number of that many bits of the flags, from its bit on.
    Bits(u32),
    /// Among the bytes, without flags of its own: they begin at that bit.
    Inline(u32),
}

impl Schema {
    /// The types of a `schema.json`.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        Builder::from_json(text)?.finish()
    }

    /// The version of the schema.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Sets the function that a versioned type of `namespace` names in its `map`; without it, what needs it cannot be read.
    pub fn set_map(
        &mut self,
        namespace: &str,
        name: &str,
        map: impl Fn(Value) -> Value + Send + Sync + 'static,
    ) {
        self.maps.insert(format!("{namespace}/{name}"), Arc::new(map));
    }

    /// The type of that name, primitive or defined.
    pub fn resolve(&self, name: &str) -> Option<TypeRef> {
        if let Some(primitive) = Primitive::from_name(name) {
            return Some(TypeRef::Primitive(primitive));
        }
        self.positions.get(name).map(|&at| TypeRef::Defined(at))
    }

    /// The type at a path of field names with dots between, aliases followed; of a versioned type the newest version counts.
    pub fn type_at(&self, name: &str, path: &str) -> Option<TypeRef> {
        let start = self.resolve(name)?;
        let step = |at: TypeRef, name: &str| {
            let mut at = at;
            if let Some(Type::Versioned { versions, .. }) = self.get(at) {
                at = versions.last()?.of;
            }
            let Some(Type::Struct(of)) = self.get(at) else {
                return None;
            };
            let field = of.fields.iter().find(|field| &*field.name == name)?;
            Some(field.of)
        };
        let found = path.split('.').try_fold(start, step)?;
        Some(self.without_aliases(found))
    }

    /// True for an enum whose values are numbers.
    pub fn is_number_enum(&self, of: TypeRef) -> bool {
        matches!(self.get(of), Some(Type::Enum { strings: false, .. }))
    }

    /// The number that stands for a value of an enum.
    pub fn enum_number(&self, name: &str, key: &str) -> Option<u64> {
        let Some(Type::Enum { offset, keys, .. }) = self.get(self.resolve(name)?) else {
            return None;
        };
        let at = keys.iter().position(|found| &**found == key)?;
        offset.checked_add(at as u64)
    }

    /// The bytes of a value, in the newest version.
    pub fn encode(&self, name: &str, value: &Value) -> Result<Vec<u8>, CodecError> {
        let mut out = Writer::new();
        self.encode_to(name, value, self.version, &mut out)?;
        Ok(out.finish())
    }

    /// Writes a value as the schema of that version did: without the fields that came later.
    pub fn encode_to(
        &self,
        name: &str,
        value: &Value,
        version: u64,
        out: &mut Writer,
    ) -> Result<(), CodecError> {
        let of = self.known(name)?;
        let mut encoder = Encoder::new(self, version);
        encoder.value(of, value, out).map_err(|fault| fault.of(name))
    }

    /// The value in bytes, in the newest version. What comes after it is left alone, as a newer schema may have put it there.
    pub fn decode(&self, name: &str, bytes: &[u8]) -> Result<Value, CodecError> {
        self.decode_from(name, self.version, &mut Reader::new(bytes))
    }

    /// Reads a value as the schema of that version does.
    pub fn decode_from(
        &self,
        name: &str,
        version: u64,
        reader: &mut Reader<'_>,
    ) -> Result<Value, CodecError> {
        let of = self.known(name)?;
        let mut decoder = Decoder::new(self, version);
        decoder.value(of, reader).map_err(|fault| fault.of(name))
    }

    /// The bytes of a Rust struct, in the newest version.
    pub fn encode_record<R: Record>(&self, record: R) -> Result<Vec<u8>, CodecError> {
        self.encode(R::NAME, &record.into_value())
    }

    /// The Rust struct in bytes, in the newest version.
    pub fn decode_record<R: Record>(&self, bytes: &[u8]) -> Result<R, CodecError> {
        let value = self.decode(R::NAME, bytes)?;
        R::from_value(value).map_err(|error| Fault::new(error.to_string()).of(R::NAME))
    }

    pub(crate) fn get(&self, of: TypeRef) -> Option<&Type> {
        match of {
            TypeRef::Primitive(_) => None,
            TypeRef::Defined(at) => self.types.get(at),
        }
    }

    /// What the aliases at `of` lead to. They can only name what was registered before them.
    pub(crate) fn without_aliases(&self, mut of: TypeRef) -> TypeRef {
        while let Some(Type::Alias(target)) = self.get(of) {
            of = *target;
        }
        of
    }

    fn known(&self, name: &str) -> Result<TypeRef, CodecError> {
        self.resolve(name).ok_or_else(|| CodecError {
            type_name: name.to_owned(),
            at: String::new(),
            what: "the schema has no such type".into(),
        })
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("version", &self.version)
            .field("types", &self.names)
            .finish_non_exhaustive()
    }
}
