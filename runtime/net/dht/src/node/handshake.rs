//! The Noise IK handshake that client and server exchange through relays (npm hyperdht lib/noise-wrap.js).

use secret_stream::KeyPair;
use secret_stream::noise::{Handshake, HandshakeResult, NoiseError, Pattern};

use crate::hyper::noise_payload::NoisePayload;
use crate::hyper::sign::NS;
use crate::wire::Malformed;

/// A handshake message is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error(transparent)]
    Noise(#[from] NoiseError),
    #[error("its payload is malformed")]
    Payload(#[from] Malformed),
}

/// The client's half.
pub(crate) struct ClientHandshake(Handshake);

impl ClientHandshake {
    /// Makes the first message.
    pub(crate) fn start(
        key_pair: &KeyPair,
        server: [u8; 32],
        payload: &NoisePayload,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let mut noise = Handshake::new(Pattern::IK, true, key_pair, &NS.peer_handshake, Some(server))?;
        let message = noise.send(&payload.encode())?;
        Ok((Self(noise), message))
    }

    /// Takes the server's answer.
    pub(crate) fn finish(
        mut self,
        message: &[u8],
    ) -> Result<(NoisePayload, HandshakeResult), HandshakeError> {
        let payload = NoisePayload::decode(&self.0.recv(message)?)?;
        Ok((payload, self.0.finish()?))
    }
}

/// The server's half, after the client's message.
pub(crate) struct ServerHandshake {
    noise: Handshake,
    pub(crate) remote_public_key: [u8; 32],
    pub(crate) payload: NoisePayload,
}

impl ServerHandshake {
    /// Takes the client's message.
    pub(crate) fn receive(key_pair: &KeyPair, message: &[u8]) -> Result<Self, HandshakeError> {
        let mut noise = Handshake::new(Pattern::IK, false, key_pair, &NS.peer_handshake, None)?;
        let payload = NoisePayload::decode(&noise.recv(message)?)?;
        let remote_public_key = noise.remote_public_key().ok_or(NoiseError::OutOfTurn)?;
        Ok(Self {
            noise,
            remote_public_key,
            payload,
        })
    }

    /// Makes the answer.
    pub(crate) fn finish(
        mut self,
        payload: &NoisePayload,
    ) -> Result<(Vec<u8>, HandshakeResult), HandshakeError> {
        let message = self.noise.send(&payload.encode())?;
        Ok((message, self.noise.finish()?))
    }
}
