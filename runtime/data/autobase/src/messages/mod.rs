//! What is written into cores, as bytes (npm `autobase` encoding/spec/autobase and encoding/legacy.js): oplog messages of versions 0 to
//! 2, the system core's values, what manifests carry, encryption descriptors.
//!
//! Everything is read with bounds; what follows a message is left alone, as in JavaScript, so that later versions may say more.

mod legacy;
mod manifest;
mod oplog;
mod system;

use base::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;
pub use hypercore::Key;
pub use manifest::{EncryptionDescriptor, ManifestData};
pub use oplog::{
    Checkpoint, Checkpointer, Digest, IndexCheckpoint, OplogMessage, OplogNode, Trace, ViewTrace,
};
pub use system::{Info, Member, info_key, member_key, member_of};

use crate::constants::MAX_HEADS;

/// A writer's log up to a length, or a core's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    /// The core's key.
    pub key: Key,
    /// Its length in blocks: of a writer, the number of its last node, counted from 1.
    pub length: u64,
}

/// Encoded size of the shortest head.
const HEAD_SIZE: usize = 33;

fn read_head(r: &mut Reader<'_>) -> Result<Head, DecodeError> {
    Ok(Head {
        key: Key(r.fixed()?),
        length: r.uint()?,
    })
}

fn put_head<'a>(w: &'a mut Writer, head: &Head) -> &'a mut Writer {
    w.raw(&head.key.0).uint(head.length)
}

/// A list of at most `max`, each of `min_size` bytes or more.
fn read_list<'a, T>(
    r: &mut Reader<'a>,
    min_size: usize,
    max: usize,
    one: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut ahead = *r;
    if ahead.count(min_size)? > max {
        return Err(DecodeError);
    }
    r.list(min_size, one)
}

fn read_heads(r: &mut Reader<'_>) -> Result<Vec<Head>, DecodeError> {
    read_list(r, HEAD_SIZE, MAX_HEADS, read_head)
}

/// Bytes, or nothing: JavaScript does not tell an empty value from none.
fn read_optional(r: &mut Reader<'_>) -> Result<Option<Bytes>, DecodeError> {
    let bytes = r.buffer()?;
    Ok((!bytes.is_empty()).then(|| Bytes::copy_from_slice(bytes)))
}

/// `one`, if the flag is set.
fn read_if<'a, T>(
    flag: bool,
    r: &mut Reader<'a>,
    one: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if flag { one(r).map(Some) } else { Ok(None) }
}

/// What a frame holds: its length stands before it, and what is beyond what is known is skipped.
fn read_frame<'a, T>(
    r: &mut Reader<'a>,
    one: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    one(&mut Reader::new(r.buffer()?))
}

fn flags(all: &[bool]) -> u64 {
    let bit = |(shift, set): (u32, &bool)| u64::from(*set) << shift;
    (0..).zip(all).map(bit).sum()
}
