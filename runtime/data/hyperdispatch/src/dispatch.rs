//! Messages in bytes.

use std::sync::Arc;

use base::wire::{Reader, Writer};
use hyperschema::{Schema, Value};

use crate::builder::{Builder, Operation};
use crate::error::{BuildError, DispatchError};

/// The operations of an app. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dispatch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    schema: Schema,
    operations: Vec<Operation>,
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The operation's number.
    pub id: u64,
    /// Its name, `@namespace/name`.
    pub name: String,
    /// What it says.
    pub value: Value,
}

impl Dispatch {
    /// The operations of a `schema.json` and a `dispatch.json`.
    pub fn from_json(schema: Schema, dispatch: &str) -> Result<Self, BuildError> {
        Builder::from_json(dispatch)?.finish(schema)
    }

    pub(crate) fn new(schema: Schema, operations: Vec<Operation>) -> Self {
        Self {
            inner: Arc::new(Inner { schema, operations }),
        }
    }

    /// The types of the messages.
    pub fn schema(&self) -> &Schema {
        &self.inner.schema
    }

    /// The names of all operations, in the order in which they were registered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.inner.operations.iter().map(|operation| &*operation.name)
    }

    /// The bytes of a message.
    pub fn encode(&self, name: &str, value: &Value) -> Result<Vec<u8>, DispatchError> {
        self.encode_version(name, value, self.schema().version())
    }

    /// The bytes of a message as an app with that older version of the schema wrote it.
    pub fn encode_version(&self, name: &str, value: &Value, version: u64) -> Result<Vec<u8>, DispatchError> {
        let known = self.inner.operations.iter().find(|known| known.name == name);
        let operation = known.ok_or_else(|| DispatchError::UnknownName(name.to_owned()))?;
        let mut out = Writer::new();
        out.uint(operation.id);
        self.schema()
            .encode_to(&operation.request_type, value, version, &mut out)
            .map_err(|source| fault(operation, source))?;
        Ok(out.finish())
    }

    /// Reads a message.
    pub fn decode(&self, bytes: &[u8]) -> Result<Message, DispatchError> {
        let mut reader = Reader::new(bytes);
        let id = reader.uint().map_err(|_| DispatchError::NoNumber)?;
        let known = self.inner.operations.iter().find(|known| known.id == id);
        let operation = known.ok_or(DispatchError::UnknownId(id))?;
        let schema = self.schema();
        let value = schema
            .decode_from(&operation.request_type, schema.version(), &mut reader)
            .map_err(|source| fault(operation, source))?;
        Ok(Message {
            id,
            name: operation.name.clone(),
            value,
        })
    }
}

fn fault(operation: &Operation, source: hyperschema::CodecError) -> DispatchError {
    DispatchError::Value {
        operation: operation.name.clone(),
        source,
    }
}
