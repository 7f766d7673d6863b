//! What can be wrong with a definition, a value or bytes.

use std::borrow::Cow;
use std::fmt;

/// A value does not fit its type, or bytes are not of the type that they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecError {
    /// The type, as `@namespace/name`.
    pub type_name: String,
    /// Where in it, as field names and places in arrays; empty for the value itself.
    pub at: String,
    /// What is wrong.
    pub what: Cow<'static, str>,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.as_str() {
            "" => write!(f, "{}: {}", self.type_name, self.what),
            at => write!(f, "{}, field {at}: {}", self.type_name, self.what),
        }
    }
}

impl std::error::Error for CodecError {}

/// What is wrong at some place, while the place is still being told from inside out.
#[derive(Debug)]
pub(crate) struct Fault {
    what: Cow<'static, str>,
    /// Innermost first.
    at: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Element(usize),
}

impl Fault {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            what: what.into(),
            at: Vec::new(),
        }
    }

    pub(crate) fn field(mut self, name: &str) -> Self {
        self.at.push(Step::Field(name.to_owned()));
        self
    }

    pub(crate) fn element(mut self, number: usize) -> Self {
        self.at.push(Step::Element(number));
        self
    }

    pub(crate) fn of(self, type_name: &str) -> CodecError {
        let mut at = String::new();
        for step in self.at.iter().rev() {
            match step {
                Step::Field(name) if at.is_empty() => at.push_str(name),
                Step::Field(name) => at.push_str(&format!(".{name}")),
                Step::Element(number) => at.push_str(&format!("[{number}]")),
            }
        }
        CodecError {
            type_name: type_name.to_owned(),
            at,
            what: self.what,
        }
    }
}

impl From<base::wire::DecodeError> for Fault {
    fn from(_: base::wire::DecodeError) -> Self {
        Self::new("the bytes end too early, or a length in them is too large")
    }
}

/// A definition cannot be used, or would break what is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The file is not what npm's builder writes.
    #[error("the schema cannot be read: {0}")]
    Json(String),
    /// A definition contradicts itself or names what is not there.
    #[error("{type_name}: {what}")]
    Invalid {
        /// The type, as `@namespace/name`.
        type_name: String,
        /// What is wrong.
        what: String,
    },
    /// A definition differs from the one that stored data was written with.
    #[error(
        "{type_name} was changed in a way that breaks what is stored: {what}; put it back, and give what is new a new name"
    )]
    Breaks {
        /// The type, as `@namespace/name`.
        type_name: String,
        /// What was changed.
        what: String,
    },
    /// No type has that name.
    #[error("no type is named {0}; names are written @namespace/name")]
    Unknown(String),
}
