//! Frames as bytes.

use bytes::Bytes;
use compact_encoding::{decode_usize, encode_var_u64, encoded_size_var_u64};

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
}

/// A cursor over one frame that hands out slices without copying.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    frame: &'a Bytes,
    start: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(frame: &'a Bytes) -> Self {
        Self {
            frame,
            start: 0,
            end: frame.len(),
        }
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

    pub(crate) fn buffer(&mut self) -> Result<Bytes, MuxError> {
        let length = self.uint()?;
        Ok(self.take(length)?.rest())
    }

    pub(crate) fn string(&mut self) -> Result<String, MuxError> {
        String::from_utf8(self.buffer()?.to_vec()).map_err(|_| MuxError::Malformed)
    }

    pub(crate) fn rest(&self) -> Bytes {
        if self.is_empty() {
            Bytes::new()
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
