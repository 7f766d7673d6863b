//! Noise handshakes and the encrypted, message-framed stream that every Hyperswarm connection is.
//!
//! Wire compatible with npm `@hyperswarm/secret-stream` (framing, header, cipher), `noise-handshake` with
//! `noise-curve-ed` (the handshake) and libsodium's `crypto_secretstream_xchacha20poly1305`.
//!
//! The handshake ([`noise`]) and the cipher with its framing ([`SecretStream`]) do no I/O. [`over`] and
//! [`over_established_with`] pump them over any byte stream into a [`Connection`], which is what the layers above see.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod cipher;
mod connection;
mod driver;
mod framing;
pub mod noise;
mod secret_stream;

pub use base::{KeyPair, PublicKey};
pub use cipher::{Pull, Push};
pub use connection::{
    CloseReason, Closed, Closer, Connection, ConnectionDriverEnd, ConnectionInfo, ConnectionReceiver,
    ConnectionSender,
};
pub use driver::{StreamOptions, over, over_established_with, over_with};
pub use framing::{FrameDecoder, MAX_FRAME};
pub use secret_stream::{SecretStream, stream_id};

/// Why a secret stream could not be established or had to be torn down.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer's handshake message was malformed, forged or meant for another key.
    #[error("the Noise handshake with the peer failed: {0}")]
    Handshake(#[from] noise::NoiseError),
    /// The first encrypted frame was not the header this handshake demands.
    #[error(
        "the peer sent an invalid stream header; it may have another idea of this connection's handshake"
    )]
    InvalidHeader,
    /// A frame could not be decrypted, so it was changed on the way or sent out of order.
    #[error("a message from the peer failed authentication")]
    InvalidMessage,
    /// A message does not fit in a frame.
    #[error("a message of {size} bytes is over the limit of {max} bytes for one frame; split it")]
    TooLarge {
        /// Length of the refused message.
        size: usize,
        /// Largest allowed length.
        max: usize,
    },
    /// The transport below failed.
    #[error("the transport under the connection failed: {0}")]
    Io(std::sync::Arc<std::io::Error>),
    /// The transport ended before the handshake was done.
    #[error("the peer hung up during the handshake")]
    Ended,
    /// The peer said nothing for longer than the idle timeout.
    #[error("the peer did not answer in time")]
    TimedOut,
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Io(std::sync::Arc::new(error))
    }
}

/// The result of this crate's fallible operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
