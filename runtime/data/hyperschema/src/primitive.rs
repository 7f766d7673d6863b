//! The types that need no definition, in bytes: those of npm `compact-encoding` that npm `hyperschema` knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base::wire::{Reader, Writer};

use crate::error::Fault;
use crate::value::Value;
use crate::{json, lexint};

/// The largest number that JavaScript counts to without gaps; npm's packages read and write none beyond.
pub(crate) const MAX_SAFE: u64 = (1 << 53) - 1;
/// How many times 64 bits a `bigint` may take. JavaScript's have no end, and nobody should have to keep what a stranger makes of that.
const MAX_BIGINT_LIMBS: u64 = 2;

macro_rules! primitives {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// A type that needs no definition.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the variants are npm's names")]
        pub enum Primitive { $($variant),* }

        impl Primitive {
            /// All of them.
            pub const ALL: &'static [Primitive] = &[$(Primitive::$variant),*];

            /// The type of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

primitives! {
    Uint "uint", Uint1 "uint1", Uint2 "uint2", Uint3 "uint3", Uint4 "uint4", Uint5 "uint5", Uint6 "uint6", Uint7 "uint7",
    Uint8 "uint8", Uint16 "uint16", Uint24 "uint24", Uint32 "uint32", Uint40 "uint40", Uint48 "uint48", Uint56 "uint56",
    Uint64 "uint64", Int "int", Int8 "int8", Int16 "int16", Int24 "int24", Int32 "int32", Int40 "int40", Int48 "int48",
    Int56 "int56", Int64 "int64", Float32 "float32", Float64 "float64", Port "port", Lexint "lexint",
    String "string", Utf8 "utf8", Ascii "ascii", Hex "hex",
    Bigint "bigint", Biguint64 "biguint64", Bigint64 "bigint64",
    Fixed8 "fixed8", Fixed16 "fixed16", Fixed24 "fixed24", Fixed32 "fixed32", Fixed64 "fixed64",
    Buffer "buffer", OptionalBuffer "optionalBuffer", Date "date", Bool "bool",
    Ip "ip", Ipv4 "ipv4", Ipv6 "ipv6", IpAddress "ipAddress", Ipv4Address "ipv4Address", Ipv6Address "ipv6Address",
    None "none", Raw "raw", Json "json",
}

/// How a type is written, with sizes in bytes.
enum Shape {
    Uint(usize),
    Int(usize),
    Fixed(usize),
    Other,
}

impl Primitive {
    /// How many bits of its struct's flags a number of less than a byte takes; 0 for all that have bytes of their own.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Uint1 => 1,
            Self::Uint2 => 2,
            Self::Uint3 => 3,
            Self::Uint4 => 4,
            Self::Uint5 => 5,
            Self::Uint6 => 6,
            Self::Uint7 => 7,
            _ => 0,
        }
    }

    /// What an optional field holds when it was not written.
    pub(crate) fn default(self) -> Value {
        match self {
            Self::Float32 | Self::Float64 => Value::Float(0.0),
            Self::Bool => Value::Bool(false),
            Self::Bigint => Value::BigInt(0),
            Self::Bigint64 => Value::Int(0),
            Self::Uint | Self::Port | Self::Lexint | Self::Biguint64 => Value::Uint(0),
            Self::Int => Value::Int(0),
            _ if self.bits() > 0 => Value::Uint(0),
            _ => match self.shape() {
                Shape::Uint(_) => Value::Uint(0),
                Shape::Int(_) => Value::Int(0),
                _ => Value::Null,
            },
        }
    }

    fn shape(self) -> Shape {
        match self {
            Self::Uint8 => Shape::Uint(1),
            Self::Uint16 | Self::Port => Shape::Uint(2),
            Self::Uint24 => Shape::Uint(3),
            Self::Uint32 => Shape::Uint(4),
            Self::Uint40 => Shape::Uint(5),
            Self::Uint48 => Shape::Uint(6),
            Self::Uint56 => Shape::Uint(7),
            Self::Uint64 => Shape::Uint(8),
            Self::Int8 => Shape::Int(1),
            Self::Int16 => Shape::Int(2),
            Self::Int24 => Shape::Int(3),
            Self::Int32 => Shape::Int(4),
            Self::Int40 => Shape::Int(5),
            Self::Int48 => Shape::Int(6),
            Self::Int56 => Shape::Int(7),
            Self::Int64 => Shape::Int(8),
            Self::Fixed8 => Shape::Fixed(8),
            Self::Fixed16 => Shape::Fixed(16),
            Self::Fixed24 => Shape::Fixed(24),
            Self::Fixed32 => Shape::Fixed(32),
            Self::Fixed64 => Shape::Fixed(64),
            _ => Shape::Other,
        }
    }

    /// Writes a value.
    pub(crate) fn encode(self, value: &Value, out: &mut Writer) -> Result<(), Fault> {
        match self.shape() {
            Shape::Uint(bytes) => {
                let number = self.natural(value, max_of(bytes))?;
                little_endian(number, bytes, out);
                return Ok(());
            }
            Shape::Int(bytes) => {
                let number = self.zigzag(value, max_of(bytes))?;
                little_endian(number, bytes, out);
                return Ok(());
            }
            Shape::Fixed(bytes) => {
                let found = value.as_bytes().ok_or_else(|| self.wants(value))?;
                if found.len() != bytes {
                    let what = format!("{} wants {bytes} bytes and got {}", self.name(), found.len());
                    return Err(Fault::new(what));
                }
                out.raw(found);
                return Ok(());
            }
            Shape::Other => {}
        }
        match (self, value) {
            (Self::Uint, _) => drop(out.uint(self.natural(value, MAX_SAFE)?)),
            (Self::Int, _) => drop(out.uint(self.zigzag(value, MAX_SAFE)?)),
            (Self::Lexint, _) => lexint::encode(self.natural(value, MAX_SAFE)?, out)?,
            (Self::Float32, Value::Float(number)) => drop(out.raw(&(*number as f32).to_le_bytes())),
            (Self::Float64, Value::Float(number)) => drop(out.raw(&number.to_le_bytes())),
            (Self::Float32 | Self::Float64, _) => {
                let number = value.as_int().ok_or_else(|| self.wants(value))?;
                self.encode(&Value::Float(number as f64), out)?;
            }
            (Self::String | Self::Utf8, Value::Text(text)) => drop(out.buffer(text.as_bytes())),
            (Self::Ascii, Value::Text(text)) if text.is_ascii() => drop(out.buffer(text.as_bytes())),
            (Self::Hex, Value::Text(text)) => {
                let bytes = hex::decode(text)
                    .map_err(|_| Fault::new("hex wants pairs of the digits 0 to 9 and a to f"))?;
                out.buffer(&bytes);
            }
            (Self::Bigint, _) => {
                let number = match *value {
                    Value::BigInt(number) => number,
                    Value::Uint(number) => i128::from(number),
                    _ => i128::from(value.as_int().ok_or_else(|| self.wants(value))?),
                };
                let number = ((number << 1) ^ (number >> 127)) as u128;
                let limbs = u128::BITS.div_ceil(64) - number.leading_zeros() / 64;
                out.uint(u64::from(limbs));
                let bytes = number.to_le_bytes();
                out.raw(bytes.get(..8 * limbs as usize).unwrap_or(&bytes));
            }
            (Self::Biguint64, _) => drop(out.u64(self.natural(value, u64::MAX)?)),
            (Self::Bigint64, _) => {
                let number = value.as_int().ok_or_else(|| self.wants(value))?;
                out.u64(((number << 1) ^ (number >> 63)) as u64);
            }
            (Self::Buffer, Value::Bytes(bytes)) => drop(out.buffer(bytes)),
            (Self::OptionalBuffer, Value::Bytes(bytes)) => drop(out.buffer(bytes)),
            (Self::OptionalBuffer, Value::Null) => drop(out.u8(0)),
            (Self::Date, Value::Date(millis)) => Self::Int.encode(&Value::Int(*millis), out)?,
            (Self::Bool, Value::Bool(bool)) => drop(out.u8(u8::from(*bool))),
            (Self::Bool, Value::Null) => drop(out.u8(0)),
            (Self::Ip, _) => match self.ip(value)? {
                IpAddr::V4(ip) => drop(out.u8(4).raw(&ip.octets())),
                IpAddr::V6(ip) => drop(out.u8(6).raw(&ip.octets())),
            },
            (Self::Ipv4 | Self::Ipv6, _) => match (self, self.ip(value)?) {
                (Self::Ipv4, IpAddr::V4(ip)) => drop(out.raw(&ip.octets())),
                (Self::Ipv6, IpAddr::V6(ip)) => drop(out.raw(&ip.octets())),
                _ => return Err(self.wants(value)),
            },
            (Self::IpAddress | Self::Ipv4Address | Self::Ipv6Address, Value::Address(address)) => {
                let ip = match self {
                    Self::IpAddress => Self::Ip,
                    Self::Ipv4Address => Self::Ipv4,
                    _ => Self::Ipv6,
                };
                ip.encode(&Value::Ip(address.ip()), out)?;
                out.u16(address.port());
            }
            (Self::None, _) => {}
            (Self::Raw, Value::Bytes(bytes)) => drop(out.raw(bytes)),
            (Self::Json, Value::Json(value)) => drop(out.buffer(json::stringify(value).as_bytes())),
            (Self::Json, Value::Null) => drop(out.buffer(b"null")),
            _ => return Err(self.wants(value)),
        }
        Ok(())
    }

    /// Reads a value.
    pub(crate) fn decode(self, reader: &mut Reader<'_>) -> Result<Value, Fault> {
        match self.shape() {
            Shape::Uint(bytes) => return Ok(Value::Uint(safe(from_little_endian(reader, bytes)?)?)),
            Shape::Int(bytes) => {
                return Ok(Value::Int(unzigzag(safe(from_little_endian(reader, bytes)?)?)));
            }
            Shape::Fixed(bytes) => return Ok(Value::Bytes(reader.raw(bytes)?.to_vec())),
            Shape::Other => {}
        }
        Ok(match self {
            Self::Uint => Value::Uint(safe(reader.uint()?)?),
            Self::Int => Value::Int(unzigzag(safe(reader.uint()?)?)),
            Self::Lexint => Value::Uint(lexint::decode(reader)?),
            Self::Float32 => Value::Float(f64::from(f32::from_le_bytes(reader.fixed()?))),
            Self::Float64 => Value::Float(f64::from_le_bytes(reader.fixed()?)),
            // As JavaScript reads text: what is not UTF-8 becomes U+FFFD, and all sides go on with the same.
            Self::String | Self::Utf8 => Value::Text(text(reader.buffer()?)),
            Self::Ascii => {
                let bytes = reader.buffer()?.iter();
                Value::Text(bytes.map(|byte| char::from(byte & 0x7f)).collect())
            }
            Self::Hex => Value::Text(hex::encode(reader.buffer()?)),
            Self::Bigint => {
                let limbs = reader.uint()?;
                if limbs > MAX_BIGINT_LIMBS {
                    return Err(Fault::new("a bigint is longer than 128 bits"));
                }
                let bytes = reader.raw(8 * limbs as usize)?.iter().rev();
                let number = bytes.fold(0u128, |number, &byte| number << 8 | u128::from(byte));
                Value::BigInt((number >> 1) as i128 ^ -((number & 1) as i128))
            }
            Self::Biguint64 => Value::Uint(reader.u64()?),
            Self::Bigint64 => Value::Int(unzigzag(reader.u64()?)),
            Self::Buffer => Value::Bytes(reader.buffer()?.to_vec()),
            Self::OptionalBuffer => match reader.buffer()? {
                [] => Value::Null,
                bytes => Value::Bytes(bytes.to_vec()),
            },
            Self::Date => Value::Date(unzigzag(safe(reader.uint()?)?)),
            Self::Bool => Value::Bool(reader.u8()? == 1),
            Self::Ip => match reader.u8()? {
                4 => Self::Ipv4.decode(reader)?,
                6 => Self::Ipv6.decode(reader)?,
                _ => return Err(Fault::new("an IP address is neither of version 4 nor 6")),
            },
            Self::Ipv4 => Value::Ip(Ipv4Addr::from(reader.fixed::<4>()?).into()),
            Self::Ipv6 => Value::Ip(Ipv6Addr::from(reader.fixed::<16>()?).into()),
            Self::IpAddress | Self::Ipv4Address | Self::Ipv6Address => {
                let ip = match self {
                    Self::IpAddress => Self::Ip,
                    Self::Ipv4Address => Self::Ipv4,
                    _ => Self::Ipv6,
                };
                let Value::Ip(ip) = ip.decode(reader)? else {
                    return Err(Fault::new("an address has no host"));
                };
                Value::Address(SocketAddr::new(ip, reader.u16()?))
            }
            Self::None => Value::Null,
            Self::Raw => Value::Bytes(reader.raw(reader.rest().len())?.to_vec()),
            Self::Json => {
                let parsed = json::parse(&text(reader.buffer()?));
                Value::Json(parsed.map_err(|error| Fault::new(format!("no JSON that can be read: {error}")))?)
            }
            _ => return Err(self.no_bytes()),
        })
    }

    /// The number in a value, which must be at most `max`.
    pub(crate) fn natural(self, value: &Value, max: u64) -> Result<u64, Fault> {
        let number = value.as_uint().ok_or_else(|| self.wants(value))?;
        if number > max {
            let what = format!("{number} is too large for {}, which ends at {max}", self.name());
            return Err(Fault::new(what));
        }
        Ok(number)
    }

    /// A number with a sign as one without: 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 …
    fn zigzag(self, value: &Value, max: u64) -> Result<u64, Fault> {
        let number = value.as_int().ok_or_else(|| self.wants(value))?;
        let folded = ((number << 1) ^ (number >> 63)) as u64;
        let limit = (max / 2) as i64;
        if number > limit || number < -limit - 1 {
            let what = format!("{number} is out of range for {}", self.name());
            return Err(Fault::new(what));
        }
        Ok(folded)
    }

    fn ip(self, value: &Value) -> Result<IpAddr, Fault> {
        match value {
            Value::Ip(ip) => Ok(*ip),
            Value::Text(text) => text.parse().map_err(|_| self.wants(value)),
            _ => Err(self.wants(value)),
        }
    }

    fn wants(self, value: &Value) -> Fault {
        if self.bits() > 0 {
            return self.no_bytes();
        }
        Fault::new(format!("{} does not hold {}", self.name(), value.kind()))
    }

    fn no_bytes(self) -> Fault {
        Fault::new(format!("{} is only for fields of a struct", self.name()))
    }
}

fn max_of(bytes: usize) -> u64 {
    MAX_SAFE.min(u64::MAX >> (64 - 8 * bytes.clamp(1, 8)))
}

fn safe(number: u64) -> Result<u64, Fault> {
    if number > MAX_SAFE {
        return Err(Fault::new(
            "a number is larger than JavaScript's, which end at 2^53 - 1",
        ));
    }
    Ok(number)
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

pub(crate) fn little_endian(number: u64, bytes: usize, out: &mut Writer) {
    out.raw(number.to_le_bytes().get(..bytes).unwrap_or_default());
}

pub(crate) fn from_little_endian(reader: &mut Reader<'_>, bytes: usize) -> Result<u64, Fault> {
    let read = reader.raw(bytes)?.iter().rev();
    Ok(read.fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
