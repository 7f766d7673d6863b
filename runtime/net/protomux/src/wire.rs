//! Frames as bytes.

use bytes::Bytes;
use compact_encoding::{decode_usize, encode_var_u64, encoded_size_var_u64};

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

/// A cursor over one frame.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    frame: &'a Bytes,
    start: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// A part of a frame.
    pub(crate) fn part(frame: &'a Bytes, part: std::ops::Range<usize>) -> Self {
        Self {
            frame,
            start: part.start,
            end: part.end,
        }
    }

    /// Where in the frame it stands.
    pub(crate) fn position(&self) -> usize {
        self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    fn left(&self) -> &'a [u8] {
        self.frame.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn uint(&mut self) -> Result<usize, MuxError> {
        let (value, rest) = decode_usize(self.left()).map_err(|_| MuxError::Malformed)?;
        self.start = self.end - rest.len();
        Ok(value)
    }

    /// The next `length` bytes as a reader of their own.
    pub(crate) fn take(&mut self, length: usize) -> Result<Reader<'a>, MuxError> {
        let end = self
            .start
            .checked_add(length)
            .filter(|end| *end <= self.end)
            .ok_or(MuxError::Malformed)?;
        let part = Reader {
            frame: self.frame,
            start: self.start,
            end,
        };
        self.start = end;
        Ok(part)
    }

    fn buffer(&mut self) -> Result<Reader<'a>, MuxError> {
        let length = self.uint()?;
        self.take(length)
    }

    /// A buffer with its length before it, in memory of its own.
    pub(crate) fn copied_buffer(&mut self) -> Result<Bytes, MuxError> {
        Ok(self.buffer()?.copy())
    }

    pub(crate) fn string(&mut self) -> Result<String, MuxError> {
        String::from_utf8(self.buffer()?.left().to_vec()).map_err(|_| MuxError::Malformed)
    }

    /// What is left, in memory of its own.
    pub(crate) fn copy(&self) -> Bytes {
        Bytes::copy_from_slice(self.left())
    }

    /// What is left. A small part of a large frame is copied, so that keeping it does not keep the frame.
    pub(crate) fn rest(&self) -> Bytes {
        let left = self.left();
        if left.len() <= COPY_UP_TO && self.frame.len() > KEEP_FRAMES_UP_TO {
            Bytes::copy_from_slice(left)
        } else {
            self.frame.slice(self.start..self.end)
        }
    }
}

fn put_uint(out: &mut Vec<u8>, value: usize) {
    let start = out.len();
    out.resize(start + encoded_size_var_u64(value as u64), 0);
    if let Some(space) = out.get_mut(start..) {
        // The space was sized for this very value, so encoding cannot fail.
        let _ = encode_var_u64(value as u64, space);
    }
}

/// One message before it is framed: its channel, and `type ‖ payload`.
pub(crate) struct Frame {
    channel: usize,
    body: Vec<u8>,
}

impl Frame {
    pub(crate) fn message(channel: usize, kind: u64, payload: &[u8]) -> Self {
        let mut body = Vec::with_capacity(payload.len() + 2);
        put_uint(&mut body, kind as usize);
        body.extend_from_slice(payload);
        Self { channel, body }
    }

    fn control(kind: u8, number: usize) -> Self {
        let mut body = vec![kind];
        put_uint(&mut body, number);
        Self { channel: 0, body }
    }

    pub(crate) fn open(number: usize, protocol: &str, id: &[u8], handshake: &[u8]) -> Self {
        let mut frame = Self::control(1, number);
        put_uint(&mut frame.body, protocol.len());
        frame.body.extend_from_slice(protocol.as_bytes());
        put_uint(&mut frame.body, id.len());
        frame.body.extend_from_slice(id);
        frame.body.extend_from_slice(handshake);
        frame
    }

    pub(crate) fn reject(number: usize) -> Self {
        Self::control(2, number)
    }

    pub(crate) fn close(number: usize) -> Self {
        Self::control(3, number)
    }

    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }
}

/// Frames a batch; a single message goes without the batch's header.
pub(crate) fn encode_batch(batch: &[Frame]) -> Bytes {
    let mut out = Vec::with_capacity(batch.iter().map(|frame| frame.len() + 10).sum::<usize>() + 4);
    if let [frame] = batch {
        put_uint(&mut out, frame.channel);
        out.extend_from_slice(&frame.body);
        return out.into();
    }
    out.extend_from_slice(&[0, 0]);
    let mut channel = None;
    for frame in batch {
        if channel != Some(frame.channel) {
            if channel.is_some() {
                out.push(0);
            }
            put_uint(&mut out, frame.channel);
            channel = Some(frame.channel);
        }
        put_uint(&mut out, frame.body.len());
        out.extend_from_slice(&frame.body);
    }
    out.into()
}
