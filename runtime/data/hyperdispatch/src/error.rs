//! What can be wrong with operations and their messages.

use hyperschema::CodecError;

/// A message cannot be written, read or handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// The bytes do not begin with a number.
    #[error("the message does not begin with the number of an operation")]
    NoNumber,
    /// It is an operation of a newer program, or of another app.
    #[error("no operation has the number {0}; whoever wrote the message may have a newer version of the app")]
    UnknownId(u64),
    /// The program names an operation that is not registered.
    #[error("no operation is named {0}; names are written @namespace/name")]
    UnknownName(String),
    /// The value does not fit the operation's type.
    #[error("{operation}: {source}")]
    Value {
        /// The operation.
        operation: String,
        /// What is wrong.
        source: CodecError,
    },
    /// The router knows the operation and was given no handler for it.
    #[error("the operation {0} has no handler; add one for each before messages are dispatched")]
    NoHandler(String),
    /// The handler failed.
    #[error("{operation} failed: {source}")]
    Handler {
        /// The operation.
        operation: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Operations cannot be registered as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The file is not what npm's builder writes.
    #[error("the operations cannot be read: {0}")]
    Json(String),
    /// The schema lacks a type.
    #[error("{operation}: the schema has no type {type_name}")]
    UnknownType {
        /// The operation.
        operation: String,
        /// The type that it names.
        type_name: String,
    },
    /// Messages that are stored would be read as something else.
    #[error(
        "{operation}: {what}, and messages that are stored could not be read any more; give what is new a new name"
    )]
    Breaks {
        /// The operation.
        operation: String,
        /// What was changed.
        what: String,
    },
}
