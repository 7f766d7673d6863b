//! One block of a writer's log: a node of the graph, and, from those that index, signatures over the views.

use base::wire::{DecodeError, Reader, Writer};
use bytes::Bytes;

use super::{Head, Key, flags, legacy, put_head, read_frame, read_heads, read_if, read_list, read_optional};
use crate::constants::{MAX_BATCH, MAX_TRACE, MAX_VIEWS};

/// A node of the graph: what one writer said, and what it had seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OplogNode {
    /// The newest nodes that the writer knew, apart from those that others of them link.
    pub heads: Vec<Head>,
    /// How many nodes, this one included, are left of the batch it belongs to: 1 for the last, or for one by itself.
    pub batch: u64,
    /// What the app said; none for a node that only acknowledges others.
    pub value: Option<Bytes>,
}

/// A signature over the first blocks of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexCheckpoint {
    /// Ed25519, by the writer's key.
    pub signature: [u8; 64],
    /// How many blocks it covers.
    pub length: u64,
}

/// A signature, or where the last one stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpointer {
    /// How many blocks back in the writer's log the signature is; 0: here.
    pub checkpointer: u64,
    /// The signature, if it is here.
    pub checkpoint: Option<IndexCheckpoint>,
}

/// Signatures over all views.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Over the system core.
    pub system: Option<Checkpointer>,
    /// Over the core of encryption keys.
    pub encryption: Option<Checkpointer>,
    /// Over the app's views, in the order in which the system core lists them.
    pub user: Option<Vec<Checkpointer>>,
}

/// Which system core the writer is at, or where that was said last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digest {
    /// How many blocks back in the writer's log it stands; 0: here.
    pub pointer: u64,
    /// The system core's key, if it is here.
    pub key: Option<Key>,
}

/// Blocks of one view that were read when the node was applied where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ViewTrace {
    /// Which view, by its place among the system core's.
    pub view: u64,
    /// The blocks' numbers.
    pub blocks: Vec<u64>,
}

/// Blocks that were read when the node was applied where it was written: others that lack them may fetch them in one go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// Of the system core.
    pub system: Vec<u64>,
    /// Of the core of encryption keys.
    pub encryption: Vec<u64>,
    /// Of the app's views.
    pub user: Vec<ViewTrace>,
}

/// A block of a writer's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OplogMessage {
    /// Which version it was read from; what is written is always the newest.
    pub version: u64,
    /// The newest version of the whole base that the writer understands; only versions 0 and 1 say it.
    pub max_supported_version: u64,
    /// The node.
    pub node: OplogNode,
    /// Signatures; from those that index.
    pub checkpoint: Option<Checkpoint>,
    /// The system core.
    pub digest: Option<Digest>,
    /// Whether the writer may not be a member, and asks for this node to be judged all the same.
    pub optimistic: bool,
    /// What was read for it.
    pub trace: Option<Trace>,
}

impl OplogMessage {
    /// A message of the present version that says nothing but the node.
    pub fn new(node: OplogNode) -> Self {
        Self {
            version: crate::constants::OPLOG_VERSION,
            max_supported_version: 0,
            node,
            checkpoint: None,
            digest: None,
            optimistic: false,
            trace: None,
        }
    }

    /// The block, in the present version.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(128 + self.node.value.as_ref().map_or(0, Bytes::len));
        w.uint(crate::constants::OPLOG_VERSION);
        put_node(&mut w, &self.node);
        w.uint(flags(&[
            self.checkpoint.is_some(),
            self.digest.is_some(),
            self.optimistic,
            self.trace.is_some(),
        ]));
        if let Some(checkpoint) = &self.checkpoint {
            frame(&mut w, |w| put_checkpoint(w, checkpoint));
        }
        if let Some(digest) = &self.digest {
            frame(&mut w, |w| put_digest(w, digest));
        }
        if let Some(trace) = &self.trace {
            frame(&mut w, |w| put_trace(w, trace));
        }
        w.finish()
    }

    /// Reads a block of any version.
    ///
    /// # Errors
    /// If it is none, is of a later version, or exceeds a bound of [`constants`](crate::constants).
    pub fn decode(block: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(block);
        let message = match r.uint()? {
            0 => legacy::read_v0(r)?,
            1 => legacy::read_v1(r)?,
            2 => read_v2(r)?,
            _ => return Err(DecodeError),
        };
        Ok(message)
    }
}

fn read_v2(r: &mut Reader<'_>) -> Result<OplogMessage, DecodeError> {
    let node = read_node(r)?;
    let set = r.uint()?;
    Ok(OplogMessage {
        checkpoint: read_if(set & 1 != 0, r, |r| read_frame(r, read_checkpoint))?,
        digest: read_if(set & 2 != 0, r, |r| read_frame(r, read_digest))?,
        optimistic: set & 4 != 0,
        trace: read_if(set & 8 != 0, r, |r| read_frame(r, read_trace))?,
        ..OplogMessage::new(node)
    })
}

pub(super) fn read_node(r: &mut Reader<'_>) -> Result<OplogNode, DecodeError> {
    let heads = read_heads(r)?;
    let batch = r.uint()?;
    if !(1..=MAX_BATCH).contains(&batch) {
        return Err(DecodeError);
    }
    Ok(OplogNode {
        heads,
        batch,
        value: read_optional(r)?,
    })
}

fn put_node(w: &mut Writer, node: &OplogNode) {
    w.list(&node.heads, put_head)
        .uint(node.batch)
        .buffer(node.value.as_deref().unwrap_or_default());
}

fn read_checkpointer(r: &mut Reader<'_>) -> Result<Checkpointer, DecodeError> {
    let set = r.u8()?;
    Ok(Checkpointer {
        checkpointer: read_if(set & 1 != 0, r, Reader::uint)?.unwrap_or(0),
        checkpoint: read_if(set & 2 != 0, r, read_index_checkpoint)?,
    })
}

fn put_checkpointer<'a>(w: &'a mut Writer, one: &Checkpointer) -> &'a mut Writer {
    // At most 3.
    w.u8(flags(&[one.checkpointer != 0, one.checkpoint.is_some()]) as u8);
    if one.checkpointer != 0 {
        w.uint(one.checkpointer);
    }
    if let Some(checkpoint) = &one.checkpoint {
        w.raw(&checkpoint.signature).uint(checkpoint.length);
    }
    w
}

pub(super) fn read_index_checkpoint(r: &mut Reader<'_>) -> Result<IndexCheckpoint, DecodeError> {
    Ok(IndexCheckpoint {
        signature: r.fixed()?,
        length: r.uint()?,
    })
}

fn read_checkpoint(r: &mut Reader<'_>) -> Result<Checkpoint, DecodeError> {
    let set = r.uint()?;
    Ok(Checkpoint {
        system: read_if(set & 1 != 0, r, read_checkpointer)?,
        encryption: read_if(set & 2 != 0, r, read_checkpointer)?,
        user: read_if(set & 4 != 0, r, |r| read_list(r, 1, MAX_VIEWS, read_checkpointer))?,
    })
}

fn put_checkpoint(w: &mut Writer, checkpoint: &Checkpoint) {
    let Checkpoint {
        system,
        encryption,
        user,
    } = checkpoint;
    w.uint(flags(&[system.is_some(), encryption.is_some(), user.is_some()]));
    for one in [system, encryption].into_iter().flatten() {
        put_checkpointer(w, one);
    }
    if let Some(user) = user {
        w.list(user, put_checkpointer);
    }
}

fn read_digest(r: &mut Reader<'_>) -> Result<Digest, DecodeError> {
    let set = r.uint()?;
    Ok(Digest {
        pointer: read_if(set & 1 != 0, r, Reader::uint)?.unwrap_or(0),
        key: read_if(set & 2 != 0, r, |r| r.fixed().map(Key))?,
    })
}

fn put_digest(w: &mut Writer, digest: &Digest) {
    w.uint(flags(&[digest.pointer != 0, digest.key.is_some()]));
    if digest.pointer != 0 {
        w.uint(digest.pointer);
    }
    if let Some(key) = &digest.key {
        w.raw(&key.0);
    }
}

fn read_blocks(r: &mut Reader<'_>) -> Result<Vec<u64>, DecodeError> {
    read_list(r, 1, MAX_TRACE, Reader::uint)
}

fn read_trace(r: &mut Reader<'_>) -> Result<Trace, DecodeError> {
    Ok(Trace {
        system: read_blocks(r)?,
        encryption: read_blocks(r)?,
        user: read_list(r, 2, MAX_VIEWS, |r| {
            Ok(ViewTrace {
                view: r.uint()?,
                blocks: read_blocks(r)?,
            })
        })?,
    })
}

fn put_trace(w: &mut Writer, trace: &Trace) {
    w.list(&trace.system, |w, block| w.uint(*block))
        .list(&trace.encryption, |w, block| w.uint(*block))
        .list(&trace.user, |w, view| {
            w.uint(view.view).list(&view.blocks, |w, block| w.uint(*block))
        });
}

fn frame(w: &mut Writer, put: impl FnOnce(&mut Writer)) {
    let mut inner = Writer::new();
    put(&mut inner);
    w.buffer(&inner.finish());
}
