//! A signer's answer (npm `hypercore-signing-request` index.js, `Response`; rules: `hypercore-sign-lib` index.js, `verify`).

use std::fmt;
use std::str::FromStr;

use base::wire::{DecodeError, Reader, Writer};
use hypercore::{KeyPair, PublicKey};

use crate::request::{LEGACY_VERSION, Request, RequestError, VERSION};
use crate::text;

const TYPE_RESPONSE: u8 = 1;

/// The signatures of one signer over one request: of the entries, then of the contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    version: u64,
    request_hash: [u8; 32],
    public_key: PublicKey,
    signatures: Vec<[u8; 64]>,
}

/// Not a response, or not one to this request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The text is not z-base-32.
    #[error(
        "Invalid data: it is cut short or no z-base-32 text; pass on all of what `bosc multisig sign` printed"
    )]
    Text,
    /// The bytes end too early, go on too long, or hold impossible values.
    #[error("Invalid data: it is cut short or altered; pass on all of what `bosc multisig sign` printed")]
    Malformed,
    /// A version that this program does not know.
    #[error("Response version is not supported, please upgrade")]
    Version,
    /// A request was given in the place of a response.
    #[error("Invalid data: Expected an encoded response, this is a request")]
    IsRequest,
    /// It answers another request.
    #[error("Signature was not made over this request: it answers another one")]
    OtherRequest,
    /// The signer is not one of the team.
    #[error("Public key does not match: {0} is none of the signers")]
    Stranger(PublicKey),
    /// A drive needs two signatures.
    #[error("Invalid response: signature count does not match")]
    Count,
    /// A signature does not hold.
    #[error("Invalid signature!")]
    Signature,
}

impl From<DecodeError> for ResponseError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

impl Response {
    /// Signs a request.
    ///
    /// # Errors
    /// [`RequestError::NotASigner`] if the pair is not one of the request's signers.
    pub fn sign(request: &Request, key_pair: &KeyPair) -> Result<Self, RequestError> {
        let signables = request.signables(&key_pair.public_key)?;
        Ok(Self {
            version: request.version(),
            request_hash: request.hash(),
            public_key: key_pair.public_key,
            signatures: signables.iter().map(|signable| key_pair.sign(signable)).collect(),
        })
    }

    /// The encoded response.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(68 + 64 * self.signatures.len());
        w.uint(self.version);
        if self.version > LEGACY_VERSION {
            w.u8(TYPE_RESPONSE);
        }
        w.raw(&self.request_hash)
            .raw(&self.public_key.0)
            .list(&self.signatures, |w, signature| w.raw(signature));
        w.finish()
    }

    /// Reads a response that must fill `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, ResponseError> {
        let mut reader = Reader::new(bytes);
        let version = reader.uint()?;
        if version > VERSION {
            return Err(ResponseError::Version);
        }
        if version > LEGACY_VERSION && reader.u8()? != TYPE_RESPONSE {
            return Err(ResponseError::IsRequest);
        }
        let request_hash = reader.fixed()?;
        let public_key = PublicKey(reader.fixed()?);
        let signatures = reader.list(64, Reader::fixed)?;
        if !reader.is_empty() {
            return Err(ResponseError::Malformed);
        }
        Ok(Self {
            version,
            request_hash,
            public_key,
            signatures,
        })
    }

    /// Checks that this is a good answer to `request` by one of its signers.
    pub fn verify(&self, request: &Request) -> Result<(), ResponseError> {
        if self.request_hash != request.hash() {
            return Err(ResponseError::OtherRequest);
        }
        let signables = request
            .signables(&self.public_key)
            .map_err(|_| ResponseError::Stranger(self.public_key()))?;
        if signables.len() != self.signatures.len() {
            return Err(ResponseError::Count);
        }
        let good = signables
            .iter()
            .zip(&self.signatures)
            .all(|(signable, signature)| KeyPair::verify(&self.public_key, signable, signature));
        if good {
            Ok(())
        } else {
            Err(ResponseError::Signature)
        }
    }

    /// Who signed.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// One over the entries and one over the contents, if [`Self::verify`] found the answer good.
    pub(crate) fn signatures(&self) -> &[[u8; 64]] {
        &self.signatures
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&z32::encode(&self.encode()))
    }
}

impl FromStr for Response {
    type Err = ResponseError;

    fn from_str(text: &str) -> Result<Self, ResponseError> {
        Self::decode(&text::decode(text.trim()).ok_or(ResponseError::Text)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trips(
            version in 2u64..=3,
            request_hash: [u8; 32],
            public_key: [u8; 32],
            signatures in proptest::collection::vec(any::<[u8; 32]>(), 0..3),
        ) {
            let signatures = signatures.iter().map(|half| {
                let mut whole = [0; 64];
                whole[..32].copy_from_slice(half);
                whole
            });
            let public_key = PublicKey(public_key);
            let response = Response { version, request_hash, public_key, signatures: signatures.collect() };
            prop_assert_eq!(response.to_string().parse(), Ok(response.clone()));
            let bytes = response.encode();
            for end in 0..bytes.len() {
                prop_assert!(Response::decode(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = Response::decode(&bytes);
        }
    }
}
