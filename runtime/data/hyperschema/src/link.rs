//! From definitions to types: names become places, and each struct gets the layout of its flags.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::definition::{Definition, Field};
use crate::error::SchemaError;
use crate::primitive::Primitive;
use crate::schema::{Elements, FieldType, Place, Schema, StructType, Type, TypeRef, VersionType};
use crate::value::Value;

/// Bits of a struct's flags, at most: npm's writers combine them in 32 bits with a sign, and damage what has more.
const MAX_FLAG_BITS: u32 = 31;
/// How deep structs may be inlined in each other: each level holds a bit at least where that is of use.
const MAX_INLINE_DEPTH: u32 = MAX_FLAG_BITS;

pub(crate) fn link(version: u64, definitions: &[Definition]) -> Result<Schema, SchemaError> {
    let names: Vec<Arc<str>> = definitions.iter().map(|one| one.full_name().into()).collect();
    let positions: HashMap<Arc<str>, usize> = names.iter().cloned().zip(0..).collect();
    let linker = Linker {
        definitions,
        positions: &positions,
        flag_bits: RefCell::default(),
    };
    let mut types = Vec::with_capacity(definitions.len());
    for (definition, name) in definitions.iter().zip(&names) {
        let linked = linker.one(definition).map_err(|what| SchemaError::Invalid {
            type_name: name.to_string(),
            what,
        })?;
        types.push(linked);
    }
    for definition in definitions {
        for version in definition.versions.iter().flatten() {
            let at = positions.get(version.type_name.as_str());
            if let Some(Type::Struct(of)) = at.and_then(|&at| types.get_mut(at)) {
                of.has_version = true;
            }
        }
    }
    Ok(Schema {
        version,
        types,
        names,
        positions,
        maps: HashMap::new(),
    })
}

struct Linker<'a> {
    definitions: &'a [Definition],
    positions: &'a HashMap<Arc<str>, usize>,
    /// Of structs that were inlined: many may inline one.
    flag_bits: RefCell<HashMap<usize, u32>>,
}

impl Linker<'_> {
    fn one(&self, definition: &Definition) -> Result<Type, String> {
        if let Some(target) = &definition.alias {
            let target = self.resolve(target)?;
            self.has_bytes(target)?;
            return Ok(Type::Alias(target));
        }
        if let Some(keys) = &definition.keys {
            return Ok(Type::Enum {
                offset: definition.offset.unwrap_or(1),
                keys: keys.iter().map(|key| key.key.as_str().into()).collect(),
                strings: definition.strings,
            });
        }
        if definition.array {
            let element = definition.element.as_deref().unwrap_or_default();
            return Ok(Type::Array(self.elements(self.resolve(element)?)?));
        }
        if definition.record {
            let side = |name: &Option<String>| {
                let of = self.resolve(name.as_deref().unwrap_or_default())?;
                self.has_bytes(of)?;
                Ok::<_, String>(of)
            };
            return Ok(Type::Record {
                key: side(&definition.key)?,
                value: side(&definition.value)?,
            });
        }
        if definition.external.is_some() {
            return Ok(Type::External);
        }
        if let Some(versions) = &definition.versions {
            return self.versioned(definition, versions);
        }
        Ok(Type::Struct(self.structure(definition)?))
    }

    fn versioned(
        &self,
        definition: &Definition,
        versions: &[crate::definition::Version],
    ) -> Result<Type, String> {
        let framed = definition.framed == Some(true);
        let mut linked: Vec<VersionType> = Vec::with_capacity(versions.len());
        for version in versions {
            let of = self.resolve(&version.type_name)?;
            if linked.last().is_some_and(|last| last.version >= version.version) {
                return Err(format!("version {} is out of order", version.version));
            }
            linked.push(VersionType {
                of,
                version: version.version,
                framed: framed && self.frameable(of),
                map: version.map.clone(),
            });
        }
        if linked.is_empty() {
            return Err("a versioned type needs a version".into());
        }
        Ok(Type::Versioned {
            namespace: definition.namespace.clone(),
            versions: linked,
        })
    }

    fn structure(&self, definition: &Definition) -> Result<StructType, String> {
        let described = definition.fields.as_deref().unwrap_or_default();
        let mut fields = Vec::with_capacity(described.len());
        let mut bits = 0;
        for field in described {
            let of = self.resolve(&field.type_name)?;
            let bit = bits;
            bits += u32::from(field.is_optional());
            let place = self.place(field, of, &mut bits)?;
            let (elements, default) = if field.is_array() {
                (Some(self.elements(of)?), Value::Null)
            } else {
                (None, self.default(of))
            };
            fields.push(FieldType {
                name: field.name.as_str().into(),
                of,
                required: field.is_required(),
                external: field.external,
                constant: field.constant.as_ref().map(constant),
                version: field.version.unwrap_or(1),
                elements,
                framed: self.frameable(of),
                default,
                bit,
                place,
            });
        }
        if bits > MAX_FLAG_BITS {
            return Err(format!(
                "its optional fields take {bits} bits of flags, and npm's packages write no more than {MAX_FLAG_BITS} \
                 without damage; put some of them into a struct of their own"
            ));
        }
        let optional = described.iter().any(Field::is_optional);
        let flag_bytes = match (definition.compact, optional) {
            (false, _) => None,
            (true, false) => Some(1),
            (true, true) => Some(bits.div_ceil(8) as usize),
        };
        Ok(StructType {
            flags_position: definition.flags_position.and_then(|at| usize::try_from(at).ok()),
            flag_bytes,
            always_flags: always_flags(described),
            has_version: false,
            fields,
        })
    }

    /// Where a field is written; counts the bits it takes besides that of an optional field.
    fn place(&self, field: &Field, of: TypeRef, bits: &mut u32) -> Result<Place, String> {
        if field.is_inline() {
            let inlined = match of {
                TypeRef::Defined(at) => self.definitions.get(at).map(|inlined| (at, inlined)),
                TypeRef::Primitive(_) => None,
            };
            let inlined = inlined.filter(|(_, inlined)| inlined.kind() == "a struct" && inlined.compact);
            let Some((at, _)) = inlined.filter(|_| !field.is_array()) else {
                return Err(format!(
                    "the field {} can only be inline if it is one compact struct",
                    field.name
                ));
            };
            let first = *bits;
            *bits += self.flag_bits(at, 0)?;
            return Ok(Place::Inline(first));
        }
        Ok(match of {
            TypeRef::Primitive(_) if field.is_array() => Place::Bytes,
            TypeRef::Primitive(Primitive::Bool) => Place::Flag,
            TypeRef::Primitive(primitive) if primitive.bits() > 0 && field.constant.is_none() => {
                *bits += primitive.bits() - 1;
                Place::Bits(primitive.bits())
            }
            _ => Place::Bytes,
        })
    }

    /// Bits of a struct's flags, with those of inlined structs.
    fn flag_bits(&self, at: usize, depth: u32) -> Result<u32, String> {
        if let Some(&known) = self.flag_bits.borrow().get(&at) {
            return Ok(known);
        }
        let definition = self.definitions.get(at).ok_or("an inlined type is not known")?;
        if depth > MAX_INLINE_DEPTH {
            return Err(format!(
                "{} is inlined too deep, or in itself",
                definition.full_name()
            ));
        }
        let mut bits = 0u32;
        for field in definition.fields.iter().flatten() {
            bits += u32::from(field.is_optional());
            if field.constant.is_some() {
                continue;
            }
            match self.resolve(&field.type_name)? {
                TypeRef::Primitive(primitive) => bits += primitive.bits().saturating_sub(1),
                TypeRef::Defined(at) if field.is_inline() => bits += self.flag_bits(at, depth + 1)?,
                TypeRef::Defined(_) => {}
            }
            if bits > MAX_FLAG_BITS {
                return Err(format!(
                    "{} has too many optional fields to be inlined",
                    definition.full_name()
                ));
            }
        }
        self.flag_bits.borrow_mut().insert(at, bits);
        Ok(bits)
    }

    fn elements(&self, of: TypeRef) -> Result<Elements, String> {
        self.has_bytes(of)?;
        Ok(Elements {
            of,
            framed: self.frameable(of),
            bits: self.target(of) == TypeRef::Primitive(Primitive::Bool),
        })
    }

    /// Numbers of less than a byte exist in flags alone.
    fn has_bytes(&self, of: TypeRef) -> Result<(), String> {
        match of {
            TypeRef::Primitive(primitive) if primitive.bits() > 0 => {
                Err(format!("{} is only for fields of a struct", primitive.name()))
            }
            _ => Ok(()),
        }
    }

    fn frameable(&self, of: TypeRef) -> bool {
        match self.target(of) {
            TypeRef::Primitive(_) => false,
            TypeRef::Defined(at) => {
                let of = self.definitions.get(at);
                of.is_some_and(|of| of.kind() == "a struct" && !of.compact)
            }
        }
    }

    fn default(&self, of: TypeRef) -> Value {
        match self.target(of) {
            TypeRef::Primitive(primitive) => primitive.default(),
            TypeRef::Defined(at) => match self.definitions.get(at) {
                Some(of) if of.keys.is_some() && !of.strings => Value::Uint(0),
                _ => Value::Null,
            },
        }
    }

    /// What aliases lead to; they name what was registered before them, so that there is an end.
    fn target(&self, mut of: TypeRef) -> TypeRef {
        while let TypeRef::Defined(at) = of {
            let alias = self.definitions.get(at).and_then(|of| of.alias.as_deref());
            match alias.and_then(|alias| self.resolve(alias).ok()) {
                Some(TypeRef::Defined(next)) if next >= at => break,
                Some(next) => of = next,
                None => break,
            }
        }
        of
    }

    fn resolve(&self, name: &str) -> Result<TypeRef, String> {
        if let Some(primitive) = Primitive::from_name(name) {
            return Ok(TypeRef::Primitive(primitive));
        }
        let at = self.positions.get(name).copied();
        at.map(TypeRef::Defined)
            .ok_or_else(|| format!("the type {name} is not known; names are written @namespace/name"))
    }
}

/// Whether the flags are there whoever wrote it: its first optional field is as old as all before it.
fn always_flags(fields: &[Field]) -> bool {
    let Some(at) = fields.iter().position(Field::is_optional) else {
        return false;
    };
    let (before, rest) = fields.split_at(at);
    let version = rest.first().and_then(|field| field.version);
    before.iter().all(|field| field.version == version)
}

fn constant(json: &Json) -> Value {
    match json {
        Json::Bool(bool) => Value::Bool(*bool),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::Uint(number),
            (_, Some(number)) => Value::Int(number),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}
