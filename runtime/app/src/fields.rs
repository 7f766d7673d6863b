//! The fields of one object in a `package.json`, each of the type that it must have; `null` counts as not there.

use serde_json::{Map, Value};

use crate::error::short;
use crate::{Document, ManifestError};

/// An object of a document.
pub(crate) struct Fields<'a> {
    document: &'a Document,
    /// What its fields are called in messages, with the dot: `bosc.window.`; empty for the outermost.
    prefix: String,
    object: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    /// The outermost.
    pub(crate) fn of(document: &'a Document) -> Self {
        Self {
            document,
            prefix: String::new(),
            object: document.value().as_object(),
        }
    }

    /// The value of a field.
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.object?.get(name).filter(|value| !value.is_null())
    }

    /// An object in this one; one without fields if it is not there.
    pub(crate) fn inner(&self, name: &str) -> Result<Self, ManifestError> {
        let object = self.typed(name, Value::as_object, "an object, { … }")?;
        Ok(Self {
            document: self.document,
            prefix: format!("{}{name}.", self.prefix),
            object,
        })
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, ManifestError> {
        self.typed(name, Value::as_str, "a text in quotes")
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>, ManifestError> {
        self.typed(name, Value::as_f64, "a number")
    }

    /// A list of texts; none if it is not there.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'a str>, ManifestError> {
        let texts = |value: &'a Value| value.as_array()?.iter().map(Value::as_str).collect();
        let list = self.typed(name, texts, "a list of texts, such as [\"a\", \"b\"]")?;
        Ok(list.unwrap_or_default())
    }

    /// That a field cannot be used: what it is, and what to write.
    pub(crate) fn refuse(&self, name: &str, what: &str) -> ManifestError {
        self.document.wrong(&format!("\"{}{name}\" {what}", self.prefix))
    }

    fn typed<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
        wanted: &str,
    ) -> Result<Option<T>, ManifestError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let read = read(value);
        read.map(Some)
            .ok_or_else(|| self.refuse(name, &format!("is {}; write {wanted}", short(value))))
    }
}
