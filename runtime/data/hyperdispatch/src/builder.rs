//! Registering operations, and `dispatch.json`.

use hyperschema::Schema;
use serde::{Deserialize, Serialize};

use crate::dispatch::Dispatch;
use crate::error::BuildError;

/// Operations on their way to a [`Dispatch`].
#[derive(Debug, Clone)]
pub struct Builder {
    file: File,
    next: u64,
    changed: bool,
}

/// `dispatch.json`.
#[derive(Debug, Clone, Deserialize, Serialize)]
struct File {
    version: u64,
    offset: u64,
    schema: Vec<Operation>,
}

/// An operation, as `dispatch.json` has it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) request_type: String,
    version: u64,
}

impl Builder {
    /// No operations; the first gets the number `offset`.
    pub fn new(offset: u64) -> Self {
        let file = File {
            version: 0,
            offset,
            schema: Vec::new(),
        };
        Self {
            file,
            next: offset,
            changed: false,
        }
    }

    /// What a `dispatch.json` holds, to go on from there.
    pub fn from_json(text: &str) -> Result<Self, BuildError> {
        let file: File = serde_json::from_str(text).map_err(|error| BuildError::Json(error.to_string()))?;
        for (number, operation) in file.schema.iter().enumerate() {
            let before = file.schema.iter().take(number);
            if before
                .clone()
                .any(|other| other.id == operation.id || other.name == operation.name)
            {
                return Err(BuildError::Json(format!(
                    "{} is there twice, or its number {} is",
                    operation.name, operation.id
                )));
            }
        }
        // npm's builder counts on from the offset by what it gave out; a number after all there are is the same where nobody chose numbers.
        let last = file
            .schema
            .iter()
            .map(|operation| operation.id.saturating_add(1))
            .max();
        Ok(Self {
            next: last.unwrap_or(file.offset).max(file.offset),
            file,
            changed: false,
        })
    }

    /// The version of the operations; registering new ones raises it, once for a builder.
    pub fn version(&self) -> u64 {
        self.file.version
    }

    /// Registers an operation whose messages hold a value of `type_name`, and returns its number. One that is there keeps what it has.
    pub fn register(
        &mut self,
        namespace: &str,
        name: &str,
        type_name: &str,
        schema: &Schema,
    ) -> Result<u64, BuildError> {
        let name = format!("@{namespace}/{name}");
        if schema.resolve(type_name).is_none() {
            return Err(BuildError::UnknownType {
                operation: name,
                type_name: type_name.to_owned(),
            });
        }
        if let Some(known) = self.file.schema.iter().find(|known| known.name == name) {
            if known.request_type != type_name {
                let what = format!("its type was {} and is {type_name}", known.request_type);
                return Err(BuildError::Breaks {
                    operation: name,
                    what,
                });
            }
            return Ok(known.id);
        }
        if !self.changed {
            self.changed = true;
            self.file.version = self.file.version.saturating_add(1);
        }
        let id = self.next;
        self.next = self.next.saturating_add(1);
        self.file.schema.push(Operation {
            id,
            name,
            request_type: type_name.to_owned(),
            version: self.file.version,
        });
        Ok(id)
    }

    /// The text of `dispatch.json`, as npm's builder writes it.
    pub fn to_json(&self) -> Result<String, BuildError> {
        serde_json::to_string_pretty(&self.file).map_err(|error| BuildError::Json(error.to_string()))
    }

    /// All operations, to write and read messages.
    pub fn finish(&self, schema: Schema) -> Result<Dispatch, BuildError> {
        for operation in &self.file.schema {
            if schema.resolve(&operation.request_type).is_none() {
                return Err(BuildError::UnknownType {
                    operation: operation.name.clone(),
                    type_name: operation.request_type.clone(),
                });
            }
        }
        Ok(Dispatch::new(schema, self.file.schema.clone()))
    }
}
