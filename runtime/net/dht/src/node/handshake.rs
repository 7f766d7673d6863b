//! The Noise IK handshake that client and server exchange through relays (npm hyperdht lib/noise-wrap.js).

use base::wire::DecodeError;
use base::{KeyPair, PublicKey};
use secret_stream::noise::{Handshake, HandshakeResult, NoiseError, Pattern};

use crate::hyper::noise_payload::NoisePayload;
use crate::hyper::sign::NS;

/// A handshake message is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error(transparent)]
    Noise(#[from] NoiseError),
    #[error("its payload is malformed")]
    Payload(#[from] DecodeError),
}

/// The client's half. It sends one first message and may open any number of answers to it: most come through nodes that
/// anybody may run, and one that is garbage must not spoil the others.
pub(crate) struct ClientHandshake {
    key_pair: KeyPair,
    /// Used for this one first message only; each answer is opened with a copy of the state after it.
    ephemeral: KeyPair,
    server: PublicKey,
    payload: Vec<u8>,
}

impl ClientHandshake {
    /// Makes the first message.
    pub(crate) fn start(
        key_pair: &KeyPair,
        server: PublicKey,
        payload: &NoisePayload,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let half = Self {
            key_pair: key_pair.clone(),
            ephemeral: KeyPair::generate(),
            server,
            payload: payload.encode(),
        };
        let (_, message) = half.first_message()?;
        Ok((half, message))
    }

    /// The state after the first message, and the message, which is the same each time.
    fn first_message(&self) -> Result<(Handshake, Vec<u8>), NoiseError> {
        let server = Some(self.server);
        let mut noise = Handshake::new(Pattern::IK, true, &self.key_pair, &NS.peer_handshake, server)?
            .with_ephemeral(self.ephemeral.clone());
        let message = noise.send(&self.payload)?;
        Ok((noise, message))
    }

    /// Opens one answer.
    pub(crate) fn open(&self, answer: &[u8]) -> Result<(NoisePayload, HandshakeResult), HandshakeError> {
        let (mut noise, _) = self.first_message()?;
        let payload = NoisePayload::decode(&noise.recv(answer)?)?;
        Ok((payload, noise.finish()?))
    }
}

/// The server's half, after the client's message.
pub(crate) struct ServerHandshake {
    noise: Handshake,
    pub(crate) remote_public_key: PublicKey,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_does_not_spoil_the_answers_after_it() {
        let (client, server) = (KeyPair::from_seed([1; 32]), KeyPair::from_seed([2; 32]));
        let payload = NoisePayload::default();
        let (half, first) = ClientHandshake::start(&client, server.public_key, &payload).unwrap();
        let theirs = ServerHandshake::receive(&server, &first).unwrap();
        let (answer, _) = theirs.finish(&payload).unwrap();
        for garbage in [&[][..], &[0; 48], &[7; 100], &first] {
            assert!(half.open(garbage).is_err());
        }
        let mut bent = answer.clone();
        bent[40] ^= 1;
        assert!(half.open(&bent).is_err());
        assert_eq!(half.open(&answer).unwrap().1.remote_public_key, server.public_key);
    }
}
