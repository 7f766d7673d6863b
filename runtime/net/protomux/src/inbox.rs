//! Frames that arrived and are not decoded to the end.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use crate::wire::{MuxError, Reader};

/// Bytes of frames that wait: two of the largest that the stream carries. A driver that looks at one frame before it
/// feeds the next never has more than one.
const MAX_WAITING: usize = 32 * 1024 * 1024;

/// Frames, and how far the first was decoded.
#[derive(Default)]
pub(crate) struct Inbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
    cursor: Cursor,
    /// Requests for channels in the first frame so far.
    opens: usize,
}

#[derive(Default, Clone, Copy)]
enum Cursor {
    /// At the start of a frame.
    #[default]
    Start,
    /// Within a batch: where, and for which channel.
    Batch(usize, usize),
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Puts a frame at the end of the queue.
    pub(crate) fn push(&mut self, frame: &Bytes) -> Result<(), MuxError> {
        if !self.frames.is_empty() && self.bytes + frame.len() > MAX_WAITING {
            return Err(MuxError::Overrun);
        }
        self.bytes += frame.len();
        self.frames.push_back(frame.clone());
        Ok(())
    }

    /// Counts a request for a channel within the frame under way.
    pub(crate) fn count_open(&mut self, most: usize) -> Result<(), MuxError> {
        self.opens += 1;
        if self.opens > most {
            return Err(MuxError::TooMuchPending);
        }
        Ok(())
    }

    /// The next message: its frame, its channel, and where its type and payload lie. Costs the same wherever in a frame it is.
    pub(crate) fn next_message(&mut self) -> Result<Option<(Bytes, usize, Range<usize>)>, MuxError> {
        loop {
            let Some(frame) = self.frames.front() else {
                return Ok(None);
            };
            let frame = frame.clone();
            let (position, mut channel) = match self.cursor {
                Cursor::Batch(position, channel) => (position, channel),
                Cursor::Start => {
                    self.opens = 0;
                    let mut reader = Reader::part(&frame, 0..frame.len());
                    let channel = reader.number()?;
                    let body = reader.position()..frame.len();
                    if channel != 0 || reader.uint()? != 0 {
                        self.drop_first();
                        return Ok(Some((frame, channel, body)));
                    }
                    let channel = reader.number()?;
                    (reader.position(), channel)
                }
            };
            let mut reader = Reader::part(&frame, position..frame.len());
            while !reader.is_empty() {
                let length = reader.number()?;
                if length == 0 {
                    channel = reader.number()?;
                    continue;
                }
                let start = reader.position();
                reader.skip(length)?;
                self.cursor = Cursor::Batch(reader.position(), channel);
                return Ok(Some((frame, channel, start..start + length)));
            }
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        self.cursor = Cursor::Start;
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.len();
        }
    }
}
