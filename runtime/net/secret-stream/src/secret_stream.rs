//! The encrypted stream over a finished handshake, without I/O: its header message, then sealed frames.
//! Source: npm `@hyperswarm/secret-stream` index.js.

use base::hash::{blake2b_keyed, namespace};
use bytes::{BufMut, Bytes, BytesMut};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::cipher::{HEADER, MAC, OVERHEAD, Pull, Push};
use crate::framing::{MAX_FRAME, put_frame};
use crate::noise::HandshakeResult;
use crate::{Error, Result};

/// Messages below this length are copied out of the buffer they arrived in, so that keeping one does not keep that.
const COPY_BELOW: usize = 4096;

/// The id with which the initiator (or the responder) of a connection opens its header message, from the handshake
/// hash both know.
pub fn stream_id(handshake_hash: &[u8; 64], is_initiator: bool) -> [u8; 32] {
    let domain = namespace("hyperswarm/secret-stream", if is_initiator { 0 } else { 1 });
    blake2b_keyed(handshake_hash, &[&domain])
}

/// Both directions of an encrypted stream.
pub struct SecretStream {
    sealer: Sealer,
    opener: Opener,
    header: Bytes,
}

impl SecretStream {
    /// The stream that follows a handshake, with a random header.
    pub fn new(handshake: &HandshakeResult) -> Self {
        let mut header = [0u8; HEADER];
        crate::noise::random(&mut header);
        Self::with_header(handshake, &header)
    }

    /// The stream with a given header, so that recorded frames can be replayed. Never reuse one.
    pub fn with_header(handshake: &HandshakeResult, header: &[u8; HEADER]) -> Self {
        let mut frame = BytesMut::with_capacity(3 + 32 + HEADER);
        let mut message = [0u8; 32 + HEADER];
        message[..32].copy_from_slice(&stream_id(&handshake.hash, handshake.is_initiator));
        message[32..].copy_from_slice(header);
        put_frame(&message, &mut frame);
        Self {
            sealer: Sealer {
                push: Push::new(&handshake.tx, header),
            },
            opener: Opener::Waiting {
                key: Zeroizing::new(handshake.rx),
                expected_id: stream_id(&handshake.hash, !handshake.is_initiator),
            },
            header: frame.freeze(),
        }
    }

    /// The framed header message: the first thing this side sends.
    pub fn header(&self) -> Bytes {
        self.header.clone()
    }

    /// Seals `message` and appends it to `out` as a frame.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if it does not fit in a frame.
    pub fn seal(&mut self, message: &[u8], out: &mut BytesMut) -> Result<()> {
        self.sealer.seal(message, out)
    }

    /// Opens the payload of the peer's next frame; `None` for its header message.
    ///
    /// # Errors
    /// [`Error::InvalidHeader`] or [`Error::InvalidMessage`]; the stream cannot go on after either.
    pub fn open(&mut self, frame: BytesMut) -> Result<Option<Bytes>> {
        self.opener.open(frame)
    }

    pub(crate) fn into_halves(self) -> (Sealer, Opener) {
        (self.sealer, self.opener)
    }
}

impl std::fmt::Debug for SecretStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretStream").finish_non_exhaustive()
    }
}

pub(crate) struct Sealer {
    push: Push,
}

impl Sealer {
    pub(crate) fn seal(&mut self, message: &[u8], out: &mut BytesMut) -> Result<()> {
        let max = MAX_FRAME - OVERHEAD;
        if message.len() > max {
            return Err(Error::TooLarge {
                size: message.len(),
                max,
            });
        }
        let length = message.len() + OVERHEAD;
        out.reserve(3 + length);
        out.put_uint_le(length as u64, 3);
        let start = out.len();
        out.put_u8(0);
        out.put_slice(message);
        out.put_bytes(0, MAC);
        if let Some(frame) = out.get_mut(start..) {
            self.push.seal(frame);
        }
        Ok(())
    }
}

pub(crate) enum Opener {
    Waiting {
        key: Zeroizing<[u8; 32]>,
        expected_id: [u8; 32],
    },
    Ready(Box<Pull>),
}

impl Opener {
    pub(crate) fn open(&mut self, mut frame: BytesMut) -> Result<Option<Bytes>> {
        match self {
            Opener::Waiting { key, expected_id } => {
                let (id, header) = frame.split_first_chunk::<32>().ok_or(Error::InvalidHeader)?;
                let header: &[u8; HEADER] = header.try_into().map_err(|_| Error::InvalidHeader)?;
                if !bool::from(id.ct_eq(expected_id)) {
                    return Err(Error::InvalidHeader);
                }
                *self = Opener::Ready(Box::new(Pull::new(key, header)));
                Ok(None)
            }
            Opener::Ready(pull) => {
                let length = pull.open(&mut frame)?.len();
                let mut message = frame.split_off(1);
                message.truncate(length);
                Ok(Some(if length < COPY_BELOW {
                    Bytes::copy_from_slice(&message)
                } else {
                    message.freeze()
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::FrameDecoder;

    fn pair() -> (SecretStream, SecretStream) {
        let a = HandshakeResult {
            tx: [1; 32],
            rx: [2; 32],
            hash: [3; 64],
            public_key: crate::PublicKey([4; 32]),
            remote_public_key: crate::PublicKey([5; 32]),
            is_initiator: true,
        };
        let b = HandshakeResult {
            tx: a.rx,
            rx: a.tx,
            is_initiator: false,
            ..a.clone()
        };
        (SecretStream::new(&a), SecretStream::new(&b))
    }

    fn frame(wire: &[u8]) -> BytesMut {
        FrameDecoder::default()
            .next(&mut BytesMut::from(wire))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_reflected_or_foreign_header_is_refused() {
        let (mut a, mut b) = pair();
        let own = frame(&a.header());
        assert!(matches!(a.open(own), Err(Error::InvalidHeader)));
        let mut long = frame(&a.header());
        long.put_u8(0);
        assert!(matches!(b.open(long), Err(Error::InvalidHeader)));
        assert!(b.open(frame(&a.header())).unwrap().is_none());
    }

    #[test]
    fn a_message_over_the_limit_is_refused() {
        let (mut a, _) = pair();
        let mut out = BytesMut::new();
        assert!(matches!(
            a.seal(&vec![0; MAX_FRAME - 16], &mut out),
            Err(Error::TooLarge { .. })
        ));
        assert!(out.is_empty());
        assert!(a.seal(&vec![0; MAX_FRAME - 17], &mut out).is_ok());
    }

    proptest! {
        #[test]
        fn messages_arrive_and_garbage_does_not(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6000), 1..6), garbage in proptest::collection::vec(any::<u8>(), 0..80)) {
            let (mut a, mut b) = pair();
            prop_assert!(b.open(BytesMut::from(&garbage[..])).is_err());
            prop_assert!(b.open(frame(&a.header())).unwrap().is_none());
            for message in messages {
                let mut out = BytesMut::new();
                a.seal(&message, &mut out).unwrap();
                prop_assert_eq!(b.open(frame(&out)).unwrap().unwrap(), message);
            }
            prop_assert!(b.open(BytesMut::from(&garbage[..])).is_err());
        }
    }
}
