//! Hyperschema: versioned definitions of structs, and their compact encodings, byte for byte those of npm `hyperschema` 1.
//!
//! A [`Schema`] comes from a `schema.json` that npm's builder wrote, or from a [`Builder`], which also refuses what would break
//! data that is stored already. It writes and reads [`Value`]s; Rust structs become values by `#[derive(Record)]`.
//!
//! ```
//! use hyperschema::{Builder, Definition, Field, Object, Value};
//!
//! let mut types = Builder::new();
//! let message = Definition::structure("message")
//!     .field(Field::new("id", "string").required())
//!     .field(Field::new("likes", "uint"));
//! types.register("chat", message)?;
//! let schema = types.finish()?;
//!
//! let value = Value::from(Object::new().with("id", "a").with("likes", 3u64));
//! let bytes = schema.encode("@chat/message", &value)?;
//! assert_eq!(bytes, [1, b'a', 1, 3]);
//! assert_eq!(schema.decode("@chat/message", &bytes)?, value);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same as a Rust struct; fields that may be absent are `Option`s, and names are those of JavaScript (`public_key` is `publicKey`):
//!
//! ```
//! use hyperschema::{Builder, Record};
//!
//! #[derive(Record, Debug, PartialEq)]
//! #[schema(name = "@chat/message")]
//! struct Message {
//!     id: String,
//!     likes: Option<u64>,
//! }
//!
//! let mut types = Builder::new();
//! types.record::<Message>()?;
//! let schema = types.finish()?;
//!
//! let bytes = schema.encode_record(Message { id: "a".into(), likes: Some(3) })?;
//! assert_eq!(bytes, [1, b'a', 1, 3]);
//! let read: Message = schema.decode_record(&bytes)?;
//! assert_eq!(read.likes, Some(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a reader of npm's takes for absent is not written, here as there: in an optional field, `0`, `false` and the empty text are
//! the same as nothing.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod builder;
mod changes;
mod decode;
mod definition;
mod encode;
mod error;
pub mod json;
mod lexint;
mod link;
mod primitive;
pub mod record;
mod schema;
mod value;

pub use builder::Builder;
pub use changes::check;
pub use definition::{Definition, EnumKey, Field, Version};
pub use error::{CodecError, SchemaError};
pub use hyperschema_derive::Record;
pub use primitive::Primitive;
pub use record::{FieldValue, FromValueError, Record};
pub use schema::{Schema, TypeRef};
pub use value::{Object, Value};
