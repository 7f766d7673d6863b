//! Frames as bytes.

use std::ops::Range;

use base::wire::{self, DecodeError, Writer};
use bytes::Bytes;

/// Messages up to this size are copied out of frames above the other: a copy costs little more than sharing does.
const COPY_UP_TO: usize = 512;
const KEEP_FRAMES_UP_TO: usize = 4096;

/// The peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// A frame ends early or holds values out of range.
    #[error("the peer sent a malformed protomux frame")]
    Malformed,
    /// A channel number that cannot be.
    #[error("the peer named a protomux channel that does not exist")]
    BadChannel,
    /// A batch inside a batch.
    #[error("the peer nested protomux batches")]
    NestedBatch,
    /// It opens channels faster than they are answered.
    #[error("the peer opened too many protomux channels at once")]
    TooMuchPending,
    /// Frames were fed in while earlier ones were not looked at.
    #[error("more protomux frames arrived than were looked at")]
    Overrun,
}

impl From<DecodeError> for MuxError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

/// A cursor over one frame, or a part of it. What it cuts out shares the frame's memory where that is worth it.
pub(crate) struct Reader<'a> {
    frame: &'a Bytes,
    end: usize,
    left: wire::Reader<'a>,
}

impl<'a> Reader<'a> {
    /// A part of a frame.
    pub(crate) fn part(frame: &'a Bytes, part: Range<usize>) -> Self {
        Self {
            frame,
            end: part.end,
            left: wire::Reader::new(frame.get(part).unwrap_or_default()),
        }
    }

    /// Where in the frame it stands.
    pub(crate) fn position(&self) -> usize {
        self.end - self.left.rest().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn uint(&mut self) -> Result<u64, MuxError> {
        Ok(self.left.uint()?)
    }

    /// The number of a channel, or a length.
    pub(crate) fn number(&mut self) -> Result<usize, MuxError> {
        usize::try_from(self.uint()?).map_err(|_| MuxError::Malformed)
    }

    pub(crate) fn skip(&mut self, length: usize) -> Result<(), MuxError> {
        self.left.raw(length)?;
        Ok(())
    }

    /// A buffer with its length before it, in memory of its own.
    pub(crate) fn copied_buffer(&mut self) -> Result<Bytes, MuxError> {
        Ok(Bytes::copy_from_slice(self.left.buffer()?))
    }

    pub(crate) fn string(&mut self) -> Result<String, MuxError> {
        String::from_utf8(self.left.buffer()?.to_vec()).map_err(|_| MuxError::Malformed)
    }

    /// What is left, in memory of its own.
    pub(crate) fn copy(&self) -> Bytes {
        Bytes::copy_from_slice(self.left.rest())
    }

    /// What is left. A small part of a large frame is copied, so that keeping it does not keep the frame.
    pub(crate) fn rest(&self) -> Bytes {
        if self.left.rest().len() <= COPY_UP_TO && self.frame.len() > KEEP_FRAMES_UP_TO {
            self.copy()
        } else {
            self.frame.slice_ref(self.left.rest())
        }
    }
}

/// One message before it is framed.
pub(crate) struct Frame {
    channel: usize,
    kind: u64,
    payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn message(channel: usize, kind: u64, payload: Vec<u8>) -> Self {
        Self {
            channel,
            kind,
            payload,
        }
    }

    pub(crate) fn open(number: usize, protocol: &str, id: &[u8], handshake: &[u8]) -> Self {
        let mut payload = Writer::new();
        payload
            .uint(number as u64)
            .buffer(protocol.as_bytes())
            .buffer(id)
            .raw(handshake);
        Self::message(0, 1, payload.finish())
    }

    pub(crate) fn reject(number: usize) -> Self {
        Self::message(0, 2, numbered(number))
    }

    pub(crate) fn close(number: usize) -> Self {
        Self::message(0, 3, numbered(number))
    }

    /// Bytes of `type ‖ payload`.
    pub(crate) fn len(&self) -> usize {
        wire::uint_bytes(self.kind) + self.payload.len()
    }
}

/// What a control message about the channel of that number says.
fn numbered(number: usize) -> Vec<u8> {
    let mut payload = Writer::new();
    payload.uint(number as u64);
    payload.finish()
}

/// Frames a batch; a single message goes without the batch's header.
pub(crate) fn encode_batch(batch: &[Frame]) -> Bytes {
    let room = batch.iter().map(|frame| frame.len() + 18).sum::<usize>() + 4;
    let mut w = Writer::with_capacity(room);
    if let [frame] = batch {
        w.uint(frame.channel as u64).uint(frame.kind).raw(&frame.payload);
        return w.finish().into();
    }
    w.raw(&[0, 0]);
    let mut channel = None;
    for frame in batch {
        if channel != Some(frame.channel) {
            if channel.is_some() {
                w.u8(0);
            }
            w.uint(frame.channel as u64);
            channel = Some(frame.channel);
        }
        w.uint(frame.len() as u64).uint(frame.kind).raw(&frame.payload);
    }
    w.finish().into()
}
