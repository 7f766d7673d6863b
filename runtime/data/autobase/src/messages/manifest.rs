//! What the manifests of views and writers carry as their user data, and the blocks of the core of encryption keys.

use base::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

use super::{flags, read_if, read_optional};

/// User data of a manifest of version 2 and up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManifestData {
    /// Version of this value.
    pub version: u64,
    /// Blocks at the start that were taken over from a core under the old encryption.
    pub legacy_blocks: u64,
    /// What the writer's block keys are made from instead of its key.
    pub namespace: Option<[u8; 32]>,
}

impl ManifestData {
    /// The bytes in the manifest.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.uint(self.version)
            .uint(flags(&[self.legacy_blocks != 0, self.namespace.is_some()]));
        if self.legacy_blocks != 0 {
            w.uint(self.legacy_blocks);
        }
        if let Some(namespace) = &self.namespace {
            w.raw(namespace);
        }
        w.finish()
    }

    /// Reads the bytes of a manifest.
    ///
    /// # Errors
    /// If they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(bytes);
        let version = r.uint()?;
        let set = r.uint()?;
        Ok(Self {
            version,
            legacy_blocks: read_if(set & 1 != 0, r, Reader::uint)?.unwrap_or(0),
            namespace: read_if(set & 2 != 0, r, Reader::fixed)?,
        })
    }
}

/// A block of the core of encryption keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncryptionDescriptor {
    /// How the payload is to be read; 0 is all there is: it is the entropy itself.
    pub kind: u64,
    /// The entropy.
    pub payload: Option<Bytes>,
}

impl EncryptionDescriptor {
    /// The block.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.uint(self.kind)
            .buffer(self.payload.as_deref().unwrap_or_default());
        w.finish()
    }

    /// Reads a block.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(block: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(block);
        Ok(Self {
            kind: r.uint()?,
            payload: read_optional(r)?,
        })
    }

    /// What block keys are made from under this descriptor.
    ///
    /// # Errors
    /// If it is of a later kind, or empty.
    pub fn entropy(&self) -> Result<&Bytes, DecodeError> {
        match (self.kind, &self.payload) {
            (0, Some(payload)) => Ok(payload),
            _ => Err(DecodeError),
        }
    }
}
