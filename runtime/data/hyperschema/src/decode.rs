//! Reading values from bytes that a stranger wrote.

use base::wire::Reader;

use crate::encode::{MAX_DEPTH, MAX_ELEMENTS, ordered};
use crate::error::Fault;
use crate::primitive::from_little_endian;
use crate::schema::{Elements, FieldType, Place, Schema, StructType, Type, TypeRef, VersionType};
use crate::value::{Object, Value};

/// Elements that take no bytes, at most, of all arrays and records in one value: each takes memory here. Nobody has a use for more.
const MAX_EMPTY: usize = 4096;

pub(crate) struct Decoder<'a> {
    schema: &'a Schema,
    version: u64,
    depth: u32,
    empty: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(schema: &'a Schema, version: u64) -> Self {
        Self {
            schema,
            version,
            depth: 0,
            empty: 0,
        }
    }

    pub(crate) fn value(&mut self, of: TypeRef, reader: &mut Reader<'_>) -> Result<Value, Fault> {
        let defined = match of {
            TypeRef::Primitive(primitive) => return primitive.decode(reader),
            TypeRef::Defined(_) => self.schema.get(of).ok_or(Fault::new("the type is not known"))?,
        };
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(format!(
                "values lie more than {MAX_DEPTH} deep in each other"
            )));
        }
        self.depth += 1;
        let value = match defined {
            Type::Alias(target) => self.value(*target, reader)?,
            Type::Enum {
                offset,
                keys,
                strings,
            } => {
                let number = reader.uint()?;
                if *strings {
                    let at = number
                        .checked_sub(*offset)
                        .and_then(|at| usize::try_from(at).ok());
                    let key = at.and_then(|at| keys.get(at));
                    key.map_or(Value::Null, |key| Value::from(&**key))
                } else {
                    Value::Uint(number)
                }
            }
            Type::Array(elements) => self.array(*elements, reader)?,
            Type::Record { key, value } => self.record(*key, *value, reader)?,
            Type::External => return Err(Fault::new("it is encoded by JavaScript code, which is not here")),
            Type::Versioned { versions, namespace } => self.versioned(versions, namespace, reader)?,
            Type::Struct(of) => Value::Object(self.structure(of, None, reader)?),
        };
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self, elements: Elements, reader: &mut Reader<'_>) -> Result<Value, Fault> {
        let count = reader.uint()?;
        if count > MAX_ELEMENTS {
            return Err(Fault::new(format!(
                "an array has more than {MAX_ELEMENTS} elements"
            )));
        }
        if elements.bits {
            let bytes = reader.raw(count.div_ceil(8) as usize)?;
            let bits = bytes
                .iter()
                .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
            return Ok(Value::Array(bits.take(count as usize).map(Value::Bool).collect()));
        }
        let mut list = Vec::with_capacity(self.room(count, reader));
        for number in 0..count as usize {
            let left = reader.rest().len();
            let value = self.framed(elements.framed, elements.of, reader);
            list.push(value.map_err(|fault| fault.element(number))?);
            self.count_empty(left, reader)?;
        }
        Ok(Value::Array(list))
    }

    /// How many elements to make room for at first: no more than there are bytes, and never much.
    fn room(&self, count: u64, reader: &Reader<'_>) -> usize {
        (count as usize).min(reader.rest().len()).min(64)
    }

    fn count_empty(&mut self, left_before: usize, reader: &Reader<'_>) -> Result<(), Fault> {
        if reader.rest().len() == left_before {
            self.empty += 1;
        }
        if self.empty > MAX_EMPTY {
            return Err(Fault::new(format!(
                "there are more than {MAX_EMPTY} elements without bytes"
            )));
        }
        Ok(())
    }

    fn framed(&mut self, framed: bool, of: TypeRef, reader: &mut Reader<'_>) -> Result<Value, Fault> {
        if !framed {
            return self.value(of, reader);
        }
        // What a newer schema added at its end is passed over.
        self.value(of, &mut Reader::new(reader.buffer()?))
    }

    fn record(&mut self, key: TypeRef, of: TypeRef, reader: &mut Reader<'_>) -> Result<Value, Fault> {
        let count = reader.uint()?;
        if count > MAX_ELEMENTS {
            return Err(Fault::new(format!("a record has more than {MAX_ELEMENTS} keys")));
        }
        let mut pairs = Vec::with_capacity(self.room(count, reader));
        for number in 0..count as usize {
            let left = reader.rest().len();
            let key = self.value(key, reader).map_err(|fault| fault.element(number))?;
            let value = self.value(of, reader).map_err(|fault| fault.element(number))?;
            pairs.push((key, value));
            self.count_empty(left, reader)?;
        }
        let kept = ordered(&pairs);
        if kept.len() == pairs.len()
            && kept
                .iter()
                .zip(&pairs)
                .all(|(kept, pair)| std::ptr::eq(kept.0, &pair.0))
        {
            return Ok(Value::Record(pairs));
        }
        let kept = kept.into_iter().map(|(key, value)| (key.clone(), value.clone()));
        Ok(Value::Record(kept.collect()))
    }

    fn versioned(
        &mut self,
        versions: &[VersionType],
        namespace: &str,
        reader: &mut Reader<'_>,
    ) -> Result<Value, Fault> {
        let version = reader.uint()?;
        let of = versions.iter().find(|of| version <= of.version);
        let of = of.ok_or_else(|| {
            Fault::new(format!(
                "it has version {version}, which is newer than this program"
            ))
        })?;
        let mut value = self.framed(of.framed, of.of, reader)?;
        if let Value::Object(object) = &mut value {
            object.set("version", version);
        }
        let Some(name) = &of.map else { return Ok(value) };
        match self.schema.maps.get(&format!("{namespace}/{name}")) {
            Some(map) => Ok(map(value)),
            None => Err(Fault::new(format!(
                "it has version {version}, and the function {name} that brings it to the newest was not set"
            ))),
        }
    }

    /// Reads a struct. One that is inlined gets its flags from the struct around it.
    fn structure(
        &mut self,
        of: &StructType,
        inlined: Option<u64>,
        reader: &mut Reader<'_>,
    ) -> Result<Object, Fault> {
        let mut object = Object::with_capacity(of.fields.len() + usize::from(of.has_version));
        if of.has_version && !of.fields.iter().any(|field| &*field.name == "version") {
            object.push("version".into(), Value::Uint(0));
        }
        let mut flags = inlined.unwrap_or(0);
        for (number, field) in of.fields.iter().enumerate() {
            if of.flags_position == Some(number) && inlined.is_none() {
                flags = match of.flag_bytes {
                    // Who wrote it knew no optional fields.
                    _ if !of.always_flags && reader.is_empty() => 0,
                    None => reader.uint()?,
                    Some(bytes) => from_little_endian(reader, bytes)?,
                };
            }
            let value = self
                .field(field, flags, reader)
                .map_err(|fault| fault.field(&field.name))?;
            object.push(field.name.clone(), value);
        }
        Ok(object)
    }

    fn field(&mut self, field: &FieldType, flags: u64, reader: &mut Reader<'_>) -> Result<Value, Fault> {
        if let Some(constant) = &field.constant {
            return Ok(constant.clone());
        }
        if field.external {
            return Ok(field.default.clone());
        }
        let known = field.version <= 1 || self.version >= field.version;
        let set = known && flags >> field.bit & 1 == 1;
        match field.place {
            Place::Flag => return Ok(Value::Bool(set)),
            Place::Bits(bits) => {
                let number = flags >> field.bit & ((1 << bits) - 1);
                return Ok(Value::Uint(if known { number } else { 0 }));
            }
            _ if !field.required && !set => return Ok(field.default.clone()),
            _ => {}
        }
        match (field.place, field.elements, self.schema.get(field.of)) {
            (Place::Inline(first), _, Some(Type::Struct(inner))) => Ok(Value::Object(self.structure(
                inner,
                Some(flags >> first),
                reader,
            )?)),
            (_, Some(elements), _) => self.array(elements, reader),
            _ => self.framed(field.framed, field.of, reader),
        }
    }
}
