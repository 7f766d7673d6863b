//! Keys of several fields whose bytes sort as the fields do: npm `index-encoder`.

use base::wire::{Reader, Writer};
use hyperschema::{Primitive, Value};

use crate::error::KeyError;

/// The largest number that JavaScript counts to without gaps.
const MAX_SAFE: u64 = (1 << 53) - 1;
/// What stands after the fields of a key to come after all longer keys that begin with them.
const AFTER_ALL: u8 = 0xff;

/// How a field of a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// A number without a sign.
    Uint,
    /// A number with a sign.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A date.
    Date,
    /// A bool.
    Bool,
}

impl KeyType {
    /// How a field of that type is written in a key; `None` where keys cannot hold it.
    pub fn of(primitive: Primitive) -> Option<Self> {
        use Primitive as P;
        Some(match primitive {
            P::Uint
            | P::Uint8
            | P::Uint16
            | P::Uint24
            | P::Uint32
            | P::Uint40
            | P::Uint48
            | P::Uint56
            | P::Uint64 => Self::Uint,
            P::Int | P::Int8 | P::Int16 | P::Int24 | P::Int32 | P::Int40 | P::Int48 | P::Int56 | P::Int64 => {
                Self::Int
            }
            P::String | P::Utf8 | P::Ascii | P::Hex => Self::Text,
            P::Fixed32 | P::Fixed64 | P::Buffer => Self::Bytes,
            P::Date => Self::Date,
            P::Bool => Self::Bool,
            _ => return None,
        })
    }

    fn encode(self, value: &Value, name: &str, out: &mut Writer) -> Result<(), KeyError> {
        let wrong = || match value {
            Value::Null => KeyError::Missing(name.to_owned()),
            _ => KeyError::Type(name.to_owned()),
        };
        match (self, value) {
            (Self::Uint, _) => uint(value.as_uint().ok_or_else(wrong)?, out)?,
            (Self::Int, _) => int(value.as_int().ok_or_else(wrong)?, out)?,
            (Self::Date, Value::Date(millis)) => int(*millis, out)?,
            (Self::Text, Value::Text(text)) => bytes(text.as_bytes(), out),
            (Self::Bytes, Value::Bytes(value)) => bytes(value, out),
            (Self::Bool, Value::Bool(bool)) => drop(out.u8(u8::from(*bool))),
            // Nothing is the same as the empty text, no bytes and false.
            (Self::Text | Self::Bytes, Value::Null) => bytes(&[], out),
            (Self::Bool, Value::Null) => drop(out.u8(0)),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    fn decode(self, reader: &mut Reader<'_>) -> Result<Value, KeyError> {
        Ok(match self {
            Self::Uint => Value::Uint(read_uint(reader)?),
            Self::Int => Value::Int(read_int(reader)?),
            Self::Date => Value::Date(read_int(reader)?),
            Self::Text => Value::Text(String::from_utf8_lossy(&read_bytes(reader)?).into_owned()),
            Self::Bytes => Value::Bytes(read_bytes(reader)?),
            Self::Bool => Value::Bool(read_uint(reader)? != 0),
        })
    }
}

/// The keys of a collection or index: its number, then fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEncoding {
    prefix: u64,
    types: Vec<KeyType>,
}

/// Which of two ends of a range a key is, and whether it is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl KeyEncoding {
    /// Keys that begin with the number `prefix`.
    pub fn new(prefix: u64, types: Vec<KeyType>) -> Self {
        Self { prefix, types }
    }

    pub(crate) fn types(&self) -> &[KeyType] {
        &self.types
    }

    /// The key of those fields, which may be fewer than the encoding has. Names are for errors.
    pub fn encode<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a str, &'a Value)>,
    ) -> Result<Vec<u8>, KeyError> {
        Ok(self.write(fields)?.0)
    }

    /// The fields of a key; fewer than the encoding has where it is shorter.
    pub fn decode(&self, key: &[u8]) -> Result<Vec<Value>, KeyError> {
        let mut reader = Reader::new(key);
        if read_uint(&mut reader)? != self.prefix {
            return Err(KeyError::Damaged);
        }
        let mut fields = Vec::with_capacity(self.types.len());
        for of in &self.types {
            if reader.is_empty() {
                fields.push(if *of == KeyType::Uint {
                    Value::Uint(0)
                } else {
                    Value::Null
                });
            } else {
                fields.push(of.decode(&mut reader)?);
            }
        }
        Ok(fields)
    }

    /// The number in front of a key.
    pub(crate) fn prefix_of(key: &[u8]) -> Option<u64> {
        read_uint(&mut Reader::new(key)).ok()
    }

    /// An end of a range: the key of fields, before or after all that begin with it.
    pub(crate) fn edge<'a>(
        &self,
        edge: Edge,
        fields: impl IntoIterator<Item = (&'a str, &'a Value)>,
    ) -> Result<Vec<u8>, KeyError> {
        let (mut key, written) = self.write(fields)?;
        if written < self.types.len() && matches!(edge, Edge::Gt | Edge::Lte) {
            key.push(AFTER_ALL);
        }
        Ok(key)
    }

    /// The range of all keys of this encoding: from its number up to the next.
    pub(crate) fn whole(&self) -> Result<(Vec<u8>, Vec<u8>), KeyError> {
        let number = |prefix| {
            let mut out = Writer::new();
            uint(prefix, &mut out)?;
            Ok::<_, KeyError>(out.finish())
        };
        Ok((number(self.prefix)?, number(self.prefix.saturating_add(1))?))
    }

    fn write<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a str, &'a Value)>,
    ) -> Result<(Vec<u8>, usize), KeyError> {
        let mut out = Writer::new();
        uint(self.prefix, &mut out)?;
        let mut written = 0;
        for (of, (name, value)) in self.types.iter().zip(fields) {
            of.encode(value, name, &mut out)?;
            written += 1;
        }
        Ok((out.finish(), written))
    }
}

fn uint(number: u64, out: &mut Writer) -> Result<(), KeyError> {
    match number {
        0..=0xfb => drop(out.u8(number as u8)),
        _ => wide(number, out)?,
    }
    Ok(())
}

fn int(number: i64, out: &mut Writer) -> Result<(), KeyError> {
    match number {
        0..=0xf6 => drop(out.u8(number as u8 + 5)),
        -0xff..=-1 => drop(out.u8(4).u8((number + 0xff) as u8)),
        -0xffff..=-0x100 => drop(out.u8(3).raw(&((number + 0xffff) as u16).to_be_bytes())),
        -0xffff_ffff..=-0x1_0000 => drop(out.u8(2).raw(&((number + 0xffff_ffff) as u32).to_be_bytes())),
        i64::MIN..0 => {
            let size = number.unsigned_abs();
            if size > MAX_SAFE {
                return Err(KeyError::Range(number.into()));
            }
            out.u8(1).raw(&(u64::MAX - size).to_be_bytes());
        }
        _ => wide(number.unsigned_abs(), out)?,
    }
    Ok(())
}

/// A number that does not fit into the first byte.
fn wide(number: u64, out: &mut Writer) -> Result<(), KeyError> {
    match number {
        0..=0xffff => drop(out.u8(0xfc).raw(&(number as u16).to_be_bytes())),
        0x1_0000..=0xffff_ffff => drop(out.u8(0xfd).raw(&(number as u32).to_be_bytes())),
        0x1_0000_0000..=MAX_SAFE => drop(out.u8(0xfe).raw(&number.to_be_bytes())),
        _ => return Err(KeyError::Range(number.into())),
    }
    Ok(())
}

/// Between two zero bytes, the latter followed by 1; zero bytes within are followed by 2.
fn bytes(value: &[u8], out: &mut Writer) {
    out.u8(0);
    for part in value.split_inclusive(|&byte| byte == 0) {
        out.raw(part);
        if part.last() == Some(&0) {
            out.u8(2);
        }
    }
    out.raw(&[0, 1]);
}

fn big_endian(reader: &mut Reader<'_>, bytes: usize) -> Result<u64, KeyError> {
    let read = reader.raw(bytes).map_err(|_| KeyError::Damaged)?;
    Ok(read.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn safe(number: u64) -> Result<u64, KeyError> {
    if number > MAX_SAFE {
        return Err(KeyError::Range(number.into()));
    }
    Ok(number)
}

fn read_uint(reader: &mut Reader<'_>) -> Result<u64, KeyError> {
    match big_endian(reader, 1)? {
        first @ 0..=0xfb => Ok(first),
        0xfc => big_endian(reader, 2),
        0xfd => big_endian(reader, 4),
        0xfe => safe(big_endian(reader, 8)?),
        _ => Err(KeyError::Damaged), // JavaScript's infinity
    }
}

fn read_int(reader: &mut Reader<'_>) -> Result<i64, KeyError> {
    Ok(match big_endian(reader, 1)? {
        0 => return Err(KeyError::Damaged), // JavaScript's negative infinity
        1 => -(safe(u64::MAX - big_endian(reader, 8)?)? as i64),
        2 => big_endian(reader, 4)? as i64 - 0xffff_ffff,
        3 => big_endian(reader, 2)? as i64 - 0xffff,
        4 => big_endian(reader, 1)? as i64 - 0xff,
        first @ 5..=0xfb => first as i64 - 5,
        0xfc => big_endian(reader, 2)? as i64,
        0xfd => big_endian(reader, 4)? as i64,
        0xfe => safe(big_endian(reader, 8)?)? as i64,
        _ => return Err(KeyError::Damaged),
    })
}

fn read_bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>, KeyError> {
    if big_endian(reader, 1)? != 0 {
        return Err(KeyError::Damaged);
    }
    let mut found = Vec::new();
    loop {
        let zero = reader
            .rest()
            .iter()
            .position(|&byte| byte == 0)
            .ok_or(KeyError::Damaged)?;
        found.extend_from_slice(reader.raw(zero).map_err(|_| KeyError::Damaged)?);
        match big_endian(reader, 2)? {
            1 => return Ok(found),
            2 => found.push(0),
            _ => return Err(KeyError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field() -> impl Strategy<Value = (KeyType, Value, Value)> {
        let small = prop_oneof![
            any::<u8>().prop_map(u64::from),
            any::<u32>().prop_map(u64::from),
            0..=MAX_SAFE
        ];
        let whole = (small.clone(), any::<bool>())
            .prop_map(|(size, negative)| if negative { -(size as i64) } else { size as i64 });
        let bytes = prop::collection::vec(
            prop_oneof![Just(0u8), Just(1), Just(2), Just(255), any::<u8>()],
            0..6,
        );
        prop_oneof![
            (small.clone(), small).prop_map(|(a, b)| (KeyType::Uint, a.into(), b.into())),
            (whole.clone(), whole.clone()).prop_map(|(a, b)| (KeyType::Int, a.into(), b.into())),
            (whole.clone(), whole).prop_map(|(a, b)| (KeyType::Date, Value::Date(a), Value::Date(b))),
            (bytes.clone(), bytes).prop_map(|(a, b)| (KeyType::Bytes, a.into(), b.into())),
            ("[\0ab]{0,4}", "[\0ab]{0,4}").prop_map(|(a, b)| (KeyType::Text, a.into(), b.into())),
            any::<(bool, bool)>().prop_map(|(a, b)| (KeyType::Bool, a.into(), b.into())),
        ]
    }

    fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
        match (a, b) {
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Date(a), Value::Date(b)) => a.cmp(b),
            _ => a.as_int().cmp(&b.as_int()),
        }
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_fields_do_and_are_read_again(fields in prop::collection::vec(field(), 0..4), prefix in 0u64..100_000) {
            let types: Vec<KeyType> = fields.iter().map(|field| field.0).collect();
            let encoding = KeyEncoding::new(prefix, types);
            let left = encoding.encode(fields.iter().map(|field| ("", &field.1))).expect("a key");
            let right = encoding.encode(fields.iter().map(|field| ("", &field.2))).expect("a key");
            let expected = fields.iter().map(|field| order(&field.1, &field.2)).find(|order| order.is_ne());
            prop_assert_eq!(left.cmp(&right), expected.unwrap_or(std::cmp::Ordering::Equal));
            let read = encoding.decode(&left).expect("fields");
            prop_assert_eq!(read, fields.iter().map(|field| field.1.clone()).collect::<Vec<_>>());
            let (start, end) = encoding.whole().expect("a range");
            prop_assert!(start <= left && left < end);
            // A range that begins after a part of the key begins after all of it.
            for shown in 0..fields.len() {
                let part = || fields.iter().take(shown).map(|field| ("", &field.1));
                prop_assert!(encoding.edge(Edge::Gt, part()).expect("an edge") > left);
                prop_assert!(encoding.edge(Edge::Lte, part()).expect("an edge") > left);
                prop_assert!(encoding.edge(Edge::Gte, part()).expect("an edge") <= left);
                prop_assert!(encoding.edge(Edge::Lt, part()).expect("an edge") <= left);
            }
        }

        #[test]
        fn garbage_is_no_key(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            use KeyType::*;
            for of in [Uint, Int, Text, Bytes, Date, Bool] {
                let encoding = KeyEncoding::new(1, vec![of, of]);
                let Ok(fields) = encoding.decode(&bytes) else { continue };
                let write = |fields: &[Value]| encoding.encode(fields.iter().map(|field| ("", field)));
                match write(&fields) {
                    Ok(key) => prop_assert_eq!(write(&encoding.decode(&key).expect("fields")), Ok(key)),
                    // A key that ends early lacks fields.
                    Err(error) => prop_assert_eq!(error, KeyError::Missing(String::new())),
                }
            }
        }
    }
}
