//! What can go wrong in a database, and with its definition.

use hyperbee::BeeError;
use hyperschema::{CodecError, SchemaError};

/// A key that cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes end too early, or are not what a key is made of.
    #[error("the key is damaged")]
    Damaged,
    /// A field of the key is not in the record.
    #[error("the key field {0} is missing")]
    Missing(String),
    /// A field of the key holds something else.
    #[error("the key field {0} does not hold what its type says")]
    Type(String),
    /// A number is beyond those of JavaScript.
    #[error("the number {0} is too large for a key: JavaScript's end at 2^53 - 1")]
    Range(i128),
}

/// An operation on a database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// The bee below failed.
    #[error(transparent)]
    Bee(#[from] BeeError),
    /// The definition has no such collection or index.
    #[error("no collection or index is named {0}; names are written @namespace/name")]
    Unknown(String),
    /// The record does not fit the collection, or what is stored is no record.
    #[error("{collection}: {source}")]
    Record {
        /// The collection.
        collection: String,
        /// What is wrong.
        source: CodecError,
    },
    /// The key does not fit the collection or index.
    #[error("{name}: {source}")]
    Key {
        /// The collection or index.
        name: String,
        /// What is wrong.
        source: KeyError,
    },
    /// What is stored contradicts itself.
    #[error("{collection}: what is stored is damaged: {what}")]
    Corrupt {
        /// The collection.
        collection: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A record was made by a newer definition of its collection.
    #[error("{collection}: the record is of a newer kind ({kind}) than this program knows")]
    Newer {
        /// The collection.
        collection: String,
        /// The kind.
        kind: u64,
    },
    /// An index is filled by a function that was not set.
    #[error("{index} is filled by the function {function}, which was not set: Definition::set_map takes it")]
    NoMap {
        /// The index.
        index: String,
        /// The function.
        function: String,
    },
    /// The collection has a trigger, which only npm's package runs.
    #[error("{0} has a trigger, which runs in JavaScript alone; write to it from there")]
    Trigger(String),
    /// It was made to be read only.
    #[error("a snapshot cannot be written to: write to the database that it was made of")]
    ReadOnly,
    /// The bee changed after the database looked at it last.
    #[error("the database was changed meanwhile; call update and write again")]
    Outdated,
    /// What was stored is not the type that was asked for.
    #[error(transparent)]
    Convert(#[from] hyperschema::FromValueError),
}

/// A definition cannot be used, or would break what is stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// The schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The file is not what npm's builder writes.
    #[error("the definition of the database cannot be read: {0}")]
    Json(String),
    /// A collection or index names what is not there, or contradicts itself.
    #[error("{name}: {what}")]
    Invalid {
        /// The collection or index.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A collection or index differs from the one that stored data was written with.
    #[error(
        "{name} was changed in a way that breaks what is stored: {what}; put it back, and give what is new a new name"
    )]
    Breaks {
        /// The collection or index.
        name: String,
        /// What was changed.
        what: String,
    },
}
