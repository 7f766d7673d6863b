//! Writing values.

use base::wire::Writer;

use crate::error::Fault;
use crate::json;
use crate::primitive::little_endian;
use crate::schema::{Elements, FieldType, Place, Schema, StructType, Type, TypeRef, VersionType};
use crate::value::{Object, Value};

/// How deep values may lie in each other; nobody reads what is deeper.
pub(crate) const MAX_DEPTH: u32 = 100;
/// Elements of an array, at most, as npm's readers have it.
pub(crate) const MAX_ELEMENTS: u64 = 0x10_0000;

pub(crate) struct Encoder<'a> {
    schema: &'a Schema,
    version: u64,
    depth: u32,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(schema: &'a Schema, version: u64) -> Self {
        Self {
            schema,
            version,
            depth: 0,
        }
    }

    pub(crate) fn value(&mut self, of: TypeRef, value: &Value, out: &mut Writer) -> Result<(), Fault> {
        let defined = match of {
            TypeRef::Primitive(primitive) => return primitive.encode(value, out),
            TypeRef::Defined(_) => self.schema.get(of).ok_or(Fault::new("the type is not known"))?,
        };
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(format!(
                "values lie more than {MAX_DEPTH} deep in each other"
            )));
        }
        self.depth += 1;
        match defined {
            Type::Alias(target) => self.value(*target, value, out)?,
            Type::Enum { .. } => encode_enum(defined, value, out)?,
            Type::Array(elements) => self.array(*elements, value, out)?,
            Type::Record { key, value: of } => self.record(*key, *of, value, out)?,
            Type::External => return Err(Fault::new("it is encoded by JavaScript code, which is not here")),
            Type::Versioned { versions, .. } => self.versioned(versions, value, out)?,
            Type::Struct(of) => self.structure(of, object(value)?, true, out)?,
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, elements: Elements, value: &Value, out: &mut Writer) -> Result<(), Fault> {
        let Value::Array(list) = value else {
            return Err(Fault::new(format!(
                "an array is wanted, and it is {}",
                value.kind()
            )));
        };
        if list.len() as u64 > MAX_ELEMENTS {
            return Err(Fault::new(format!(
                "an array has more than {MAX_ELEMENTS} elements"
            )));
        }
        out.uint(list.len() as u64);
        if elements.bits {
            for eight in list.chunks(8) {
                let bit = |(number, value): (usize, &Value)| u8::from(value.is_truthy()) << number;
                out.u8(eight.iter().enumerate().map(bit).fold(0, |byte, bit| byte | bit));
            }
            return Ok(());
        }
        for (number, value) in list.iter().enumerate() {
            self.framed(elements.framed, elements.of, value, out)
                .map_err(|fault| fault.element(number))?;
        }
        Ok(())
    }

    fn framed(&mut self, framed: bool, of: TypeRef, value: &Value, out: &mut Writer) -> Result<(), Fault> {
        if !framed {
            return self.value(of, value, out);
        }
        let mut inner = Writer::new();
        self.value(of, value, &mut inner)?;
        out.buffer(&inner.finish());
        Ok(())
    }

    fn record(&mut self, key: TypeRef, of: TypeRef, value: &Value, out: &mut Writer) -> Result<(), Fault> {
        let Value::Record(pairs) = value else {
            return Err(Fault::new(format!(
                "a record is wanted, and it is {}",
                value.kind()
            )));
        };
        let pairs = ordered(pairs);
        out.uint(pairs.len() as u64);
        for (name, value) in pairs {
            self.value(key, name, out)?;
            self.value(of, value, out)
                .map_err(|fault| fault.field(&key_text(name)))?;
        }
        Ok(())
    }

    fn versioned(&mut self, versions: &[VersionType], value: &Value, out: &mut Writer) -> Result<(), Fault> {
        let stated = object(value)?.get("version").and_then(Value::as_uint);
        let newest = versions.last().map_or(0, |last| last.version);
        let version = stated.unwrap_or(newest);
        let of = versions.iter().find(|of| version <= of.version);
        let of =
            of.ok_or_else(|| Fault::new(format!("version {version} is newer than {newest}, the newest")))?;
        out.uint(version);
        self.framed(of.framed, of.of, value, out)
    }

    fn structure(
        &mut self,
        of: &StructType,
        object: &Object,
        with_flags: bool,
        out: &mut Writer,
    ) -> Result<(), Fault> {
        for (number, field) in of.fields.iter().enumerate() {
            if of.flags_position == Some(number) && with_flags {
                let flags = self.flags(of, object)?;
                match of.flag_bytes {
                    None => drop(out.uint(flags)),
                    Some(bytes) => little_endian(flags, bytes, out),
                }
            }
            let in_flags = matches!(field.place, Place::Flag | Place::Bits(_));
            if field.external || field.constant.is_some() || in_flags {
                continue;
            }
            let value = object.get(&field.name).unwrap_or(&Value::Null);
            if field.required || self.is_set(field, value) {
                self.field(field, value, out)
                    .map_err(|fault| fault.field(&field.name))?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldType, value: &Value, out: &mut Writer) -> Result<(), Fault> {
        if field.required && *value == Value::Null && !self.holds_null(field) {
            return Err(Fault::new("it is required and not there"));
        }
        match (field.place, field.elements, self.schema.get(field.of)) {
            (Place::Inline(_), _, Some(Type::Struct(inner))) => {
                self.structure(inner, object(value)?, false, out)
            }
            (_, Some(elements), _) => self.array(elements, value, out),
            _ => self.framed(field.framed, field.of, value, out),
        }
    }

    fn holds_null(&self, field: &FieldType) -> bool {
        use crate::primitive::Primitive::{Json, None, OptionalBuffer};
        let of = self.schema.without_aliases(field.of);
        field.elements.is_none() && matches!(of, TypeRef::Primitive(None | OptionalBuffer | Json))
    }

    /// The flags of a struct, with those of the structs inlined in it.
    fn flags(&self, of: &StructType, object: &Object) -> Result<u64, Fault> {
        let mut flags = 0;
        for field in &of.fields {
            if field.external || field.constant.is_some() {
                continue;
            }
            let value = object.get(&field.name).unwrap_or(&Value::Null);
            let inner = match (field.place, self.schema.get(field.of)) {
                (Place::Bits(_), _) if *value == Value::Null || !self.knows(field) => 0,
                (Place::Bits(bits), _) => {
                    let number = value.as_uint().filter(|number| number >> bits == 0);
                    let what = || Fault::new(format!("it has {bits} bits, and the value does not fit"));
                    number.ok_or_else(|| what().field(&field.name))? << field.bit
                }
                (Place::Inline(first), Some(Type::Struct(inner))) if value.is_truthy() => {
                    self.flags(inner, crate::encode::object(value)?)
                        .map_err(|fault| fault.field(&field.name))?
                        << first
                }
                _ => 0,
            };
            let set = !field.required && !matches!(field.place, Place::Bits(_)) && self.is_set(field, value);
            flags |= inner | u64::from(set) << field.bit;
        }
        Ok(flags)
    }

    /// Whether the schema of the version that is written has the field.
    fn knows(&self, field: &FieldType) -> bool {
        field.version <= 1 || self.version >= field.version
    }

    fn is_set(&self, field: &FieldType, value: &Value) -> bool {
        self.knows(field) && value.is_truthy()
    }
}

fn object(value: &Value) -> Result<&Object, Fault> {
    value
        .as_object()
        .ok_or_else(|| Fault::new(format!("a struct is wanted, and it is {}", value.kind())))
}

fn encode_enum(of: &Type, value: &Value, out: &mut Writer) -> Result<(), Fault> {
    let Type::Enum {
        offset,
        keys,
        strings,
    } = of
    else {
        return Err(Fault::new("it is no enum"));
    };
    let unknown = || Fault::new("the enum has no such value");
    let number = match value {
        Value::Text(text) => {
            let at = keys.iter().position(|key| **key == **text).ok_or_else(unknown)?;
            offset.saturating_add(at as u64)
        }
        _ if *strings => return Err(unknown()),
        _ => {
            let number = value.as_uint().ok_or_else(unknown)?;
            // 0 is what npm's readers give for a value that is not there.
            Some(number)
                .filter(|&number| number < offset.saturating_add(keys.len() as u64))
                .ok_or_else(unknown)?
        }
    };
    out.uint(number);
    Ok(())
}

/// The pairs of a record as an object of JavaScript holds them: each key once, with its last value, array indices first.
pub(crate) fn ordered(pairs: &[(Value, Value)]) -> Vec<(&Value, &Value)> {
    let mut places = std::collections::HashMap::with_capacity(pairs.len());
    let mut kept: Vec<(String, &Value, &Value)> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let text = key_text(key);
        match places.get(&text).and_then(|&at: &usize| kept.get_mut(at)) {
            Some(slot) => slot.2 = value,
            None => {
                places.insert(text.clone(), kept.len());
                kept.push((text, key, value));
            }
        }
    }
    kept.sort_by(|a, b| json::key_order(&a.0, &b.0));
    kept.into_iter().map(|(_, key, value)| (key, value)).collect()
}

/// What JavaScript makes of a value that becomes a key.
fn key_text(key: &Value) -> String {
    match key {
        Value::Text(text) => text.clone(),
        Value::Uint(number) => number.to_string(),
        Value::Int(number) => number.to_string(),
        Value::BigInt(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
