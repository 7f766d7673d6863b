//! What a candidate signs: that they hold the invite, and with which data they come.

use base::wire::{Reader, Writer};
use base::{KeyPair, PublicKey};

use crate::error::PairingError;
use crate::invite::Invite;
use crate::seal::{self, For, space};

/// A candidate's signed data, which members can keep to show who came with an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The candidate's session.
    pub session: [u8; 32],
    /// With the invite's key, over session and data.
    pub signature: [u8; 64],
    /// What the candidate brings, such as the key of their core.
    pub user_data: Vec<u8>,
}

impl Receipt {
    /// The receipt of a candidate with that invite and data.
    pub fn create(invite: &Invite, user_data: &[u8]) -> Self {
        let key_pair = invite.key_pair();
        Self::sign(
            &key_pair,
            seal::session(&key_pair.public_key, user_data),
            user_data,
        )
    }

    pub(crate) fn sign(key_pair: &KeyPair, session: [u8; 32], user_data: &[u8]) -> Self {
        Self {
            session,
            signature: key_pair.sign(&signed(&session, user_data)),
            user_data: user_data.to_vec(),
        }
    }

    /// Whether it was made with the invite of that public key.
    pub fn verify(&self, invite: &PublicKey) -> bool {
        KeyPair::verify(invite, &signed(&self.session, &self.user_data), &self.signature)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&self.session)
            .raw(&self.signature)
            .buffer(&self.user_data);
        out.finish()
    }

    /// Reads a receipt; [`verify`](Self::verify) says whether to believe it.
    pub fn decode(bytes: &[u8]) -> Result<Self, PairingError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            session: reader.fixed()?,
            signature: reader.fixed()?,
            user_data: reader.buffer()?.to_vec(),
        })
    }
}

fn signed(session: &[u8; 32], user_data: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw(&space(For::Signature)).buffer(session).buffer(user_data);
    out.finish()
}
