//! The framing under a secret stream: a 24-bit little-endian length, then that many bytes.
//! Source: npm `@hyperswarm/secret-stream` index.js.

use bytes::{Buf, BufMut, BytesMut};

use crate::Error;

/// The largest frame a 24-bit length can describe.
pub const MAX_FRAME: usize = (1 << 24) - 1;

/// Cuts a byte stream into frames.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    max: usize,
    length: Option<usize>,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new(MAX_FRAME)
    }
}

impl FrameDecoder {
    /// A decoder that refuses frames over `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { max, length: None }
    }

    /// Takes the next whole frame off the front of `buffer`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the peer announces a frame over the limit.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, Error> {
        let length = match self.length {
            Some(length) => length,
            None => {
                if buffer.len() < 3 {
                    return Ok(None);
                }
                let length = buffer.get_uint_le(3) as usize;
                if length > self.max {
                    return Err(Error::TooLarge {
                        size: length,
                        max: self.max,
                    });
                }
                self.length = Some(length);
                length
            }
        };
        if buffer.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(buffer.split_to(length)))
    }

    /// How many bytes the frame under way still lacks beyond the `buffered` ones; 0 if none is under way.
    pub fn missing(&self, buffered: usize) -> usize {
        self.length.map_or(0, |length| length.saturating_sub(buffered))
    }
}

/// Appends `payload` as one frame. The caller keeps to [`MAX_FRAME`].
pub(crate) fn put_frame(payload: &[u8], out: &mut BytesMut) {
    out.reserve(3 + payload.len());
    out.put_uint_le(payload.len() as u64, 3);
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_oversized_frame_is_refused_before_its_bytes_arrive() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0x00][..]);
        assert!(matches!(
            FrameDecoder::new(1000).next(&mut buffer),
            Err(Error::TooLarge {
                size: 65535,
                max: 1000
            })
        ));
    }

    proptest! {
        #[test]
        fn frames_survive_any_chunking(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..10), chunk in 1usize..50) {
            let mut wire = BytesMut::new();
            for frame in &frames {
                put_frame(frame, &mut wire);
            }
            let (mut decoder, mut buffer, mut got) = (FrameDecoder::default(), BytesMut::new(), Vec::new());
            for part in wire.chunks(chunk) {
                buffer.extend_from_slice(part);
                while let Some(frame) = decoder.next(&mut buffer).unwrap() {
                    got.push(frame.to_vec());
                }
            }
            prop_assert_eq!(got, frames);
            prop_assert!(buffer.is_empty());
        }
    }
}
