//! Oplog messages of versions 0 and 1, which are still in logs and are not written any more.

use base::wire::{DecodeError, Reader};

use super::oplog::{read_index_checkpoint, read_node};
use super::{Checkpoint, Checkpointer, Digest, Key, OplogMessage, read_if, read_list};
use crate::constants::{MAX_INDEXERS, MAX_VIEWS};

/// Encoded size of the shortest indexer of a version 0 digest: scheme, namespace, public key.
const INDEXER_SIZE: usize = 65;

pub(super) fn read_v0(r: &mut Reader<'_>) -> Result<OplogMessage, DecodeError> {
    let set = r.uint()?;
    let checkpoint = read_if(set & 1 != 0, r, |r| {
        skip_digest(r)?;
        read_checkpoint(r)
    })?;
    let node = read_node(r)?;
    skip_additional(r)?;
    let max_supported_version = read_if(!r.is_empty(), r, Reader::uint)?.unwrap_or(0);
    Ok(OplogMessage {
        version: 0,
        max_supported_version,
        checkpoint,
        ..OplogMessage::new(node)
    })
}

pub(super) fn read_v1(r: &mut Reader<'_>) -> Result<OplogMessage, DecodeError> {
    let max_supported_version = r.uint()?;
    let set = r.uint()?;
    let signed = read_if(set & 1 != 0, r, |r| Ok((read_checkpoint(r)?, read_digest(r)?)))?;
    let (checkpoint, digest) = signed.unzip();
    Ok(OplogMessage {
        version: 1,
        max_supported_version,
        checkpoint,
        digest,
        optimistic: set & 2 != 0,
        ..OplogMessage::new(read_node(r)?)
    })
}

/// One list: the system core's, then those of the app's views.
fn read_checkpoint(r: &mut Reader<'_>) -> Result<Checkpoint, DecodeError> {
    let all = read_list(r, 1, MAX_VIEWS, |r| {
        let checkpointer = r.uint()?;
        Ok(Checkpointer {
            checkpointer,
            checkpoint: read_if(checkpointer == 0, r, read_index_checkpoint)?,
        })
    })?;
    let mut all = all.into_iter();
    Ok(Checkpoint {
        system: all.next(),
        encryption: None,
        user: Some(all.collect()),
    })
}

fn read_digest(r: &mut Reader<'_>) -> Result<Digest, DecodeError> {
    let pointer = r.uint()?;
    Ok(Digest {
        pointer,
        key: read_if(pointer == 0, r, |r| r.fixed().map(Key))?,
    })
}

/// A digest of version 0 lists the indexers; nothing reads it.
fn skip_digest(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    if r.uint()? == 0 {
        read_list(r, INDEXER_SIZE, MAX_INDEXERS, |r| {
            r.uint()?;
            r.fixed::<64>()
        })?;
    }
    Ok(())
}

/// Fields for a future that went another way.
fn skip_additional(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    if r.uint()? == 0 {
        let set = r.uint()?;
        read_if(set & 1 != 0, r, Reader::fixed::<32>)?;
        read_if(set & 2 != 0, r, Reader::uint)?;
    }
    Ok(())
}
