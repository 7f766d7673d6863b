//! Entries: what a drive knows about a file, and its JSON (npm `hyperdrive`: the value of every key in `files`).

use hyperblobs::BlobId;
use serde_json::{Map, Value, json};

use crate::error::DriveError;

/// One file or link of a drive or of a local folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Block of the drive that wrote the entry; 0 for local files.
    pub seq: u64,
    /// Path, for example `/package.json`.
    pub key: String,
    /// The file may be run.
    pub executable: bool,
    /// Where a symbolic link leads; such an entry has no content.
    pub linkname: Option<String>,
    /// Where the content is. Of a local file only `byte_length` is set.
    pub blob: Option<BlobId>,
    /// Free for applications.
    pub metadata: Option<Value>,
}

/// What to store beside the content of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PutOptions {
    /// The file may be run.
    pub executable: bool,
    /// Free for applications; local folders drop it.
    pub metadata: Option<Value>,
    /// Cut the content into chunks and reuse those that the drive holds already; local folders do not care.
    pub dedup: bool,
}

impl Entry {
    /// The value as stored, with the fields in the order in which npm `hyperdrive` writes them.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let blob = self.blob.map(|id| {
            let mut blob = json!({
                "blockOffset": id.block_offset,
                "byteOffset": id.byte_offset,
                "blockLength": id.block_length,
                "byteLength": id.byte_length,
            });
            if let (true, Value::Object(fields)) = (id.block_map, &mut blob) {
                fields.insert("blockMap".into(), true.into());
            }
            blob
        });
        let value = json!({
            "executable": self.executable,
            "linkname": self.linkname,
            "blob": blob,
            "metadata": self.metadata,
        });
        value.to_string().into_bytes()
    }

    /// Reads a value. The key must be one that [`crate::path::normalize`] leaves as it is: hostile keys are the caller's
    /// to refuse, because a listing should still show them.
    pub(crate) fn decode(seq: u64, key: &[u8], value: &[u8]) -> Result<Self, DriveError> {
        let shown = || String::from_utf8_lossy(key).into_owned();
        let damaged = |reason| DriveError::Entry {
            path: shown(),
            reason,
        };
        let key = String::from_utf8(key.to_vec()).map_err(|_| damaged("its name is not text"))?;
        let value: Value = serde_json::from_slice(value).map_err(|_| damaged("its value is not JSON"))?;
        let Value::Object(fields) = value else {
            return Err(damaged("its value is not an object"));
        };
        let blob = match fields.get("blob") {
            None | Some(Value::Null) => None,
            Some(Value::Object(blob)) => Some(decode_blob(blob).ok_or(damaged("its content id is damaged"))?),
            Some(_) => return Err(damaged("its content id is damaged")),
        };
        let linkname = match fields.get("linkname") {
            Some(Value::String(link)) if !link.is_empty() => Some(link.clone()),
            _ => None,
        };
        let executable = fields.get("executable").and_then(Value::as_bool).unwrap_or(false);
        let metadata = fields
            .get("metadata")
            .filter(|metadata| !metadata.is_null())
            .cloned();
        Ok(Self {
            seq,
            key,
            executable,
            linkname,
            blob,
            metadata,
        })
    }

    /// What a copy of this entry stores beside the content.
    pub(crate) fn put_options(&self, dedup: bool) -> PutOptions {
        PutOptions {
            executable: self.executable,
            metadata: self.metadata.clone(),
            dedup,
        }
    }
}

fn decode_blob(blob: &Map<String, Value>) -> Option<BlobId> {
    let number = |name| blob.get(name).and_then(Value::as_u64);
    Some(BlobId {
        byte_offset: number("byteOffset")?,
        block_offset: number("blockOffset")?,
        block_length: number("blockLength")?,
        byte_length: number("byteLength")?,
        block_map: blob.get("blockMap").and_then(Value::as_bool).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_survive_the_round_trip(seq in any::<u64>(), key in "/[a-z \"\\\\é\u{1}]{1,9}", executable in any::<bool>(),
            linkname in prop::option::of(".{1,9}"), numbers in prop::option::of(any::<[u32; 4]>()), block_map in any::<bool>()) {
            let blob = numbers.map(|n| BlobId {
                byte_offset: n[0].into(), block_offset: n[1].into(), block_length: n[2].into(), byte_length: n[3].into(),
                block_map,
            });
            let entry = Entry { seq, key, executable, linkname, blob, metadata: Some(json!({ "a": [1, null] })) };
            prop_assert_eq!(Entry::decode(seq, entry.key.as_bytes(), &entry.encode()).unwrap(), entry);
        }

        #[test]
        fn garbage_never_panics(key in prop::collection::vec(any::<u8>(), 0..9), value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Entry::decode(0, &key, &value);
        }
    }

    #[test]
    fn damaged_values_name_their_entry() {
        for value in ["", "[]", r#"{"blob":3}"#, r#"{"blob":{"blockOffset":-1}}"#] {
            let error = Entry::decode(1, b"/x", value.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("/x"), "{error}");
        }
    }
}
