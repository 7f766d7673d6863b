//! The member's side: a request is opened with the invite's public key, and answered.

use base::PublicKey;
use base::wire::{Reader, Writer};

use crate::candidate::request_id;
use crate::error::PairingError;
use crate::invite::InviteId;
use crate::messages::{Denial, Grant, encode_answer};
use crate::receipt::Receipt;
use crate::seal;

/// What a candidate asks, as long as it is not known with which invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The invite that it says it was made with.
    pub invite_id: InviteId,
    session: [u8; 32],
    sealed: Vec<u8>,
}

/// A request that was made with an invite of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the request and the answer to it are known by.
    pub id: [u8; 32],
    /// What the candidate brings, such as the key of their core.
    pub user_data: Vec<u8>,
    /// What shows that they hold the invite.
    pub receipt: Receipt,
    invite: PublicKey,
}

impl Request {
    /// Reads a request.
    pub fn decode(bytes: &[u8]) -> Result<Self, PairingError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            invite_id: InviteId(reader.fixed()?),
            session: reader.buffer()?.try_into().map_err(|_| PairingError::Malformed)?,
            sealed: reader.buffer()?.to_vec(),
        })
    }

    /// What is in it, if it was made with the invite of that public key.
    pub fn open(&self, invite: &PublicKey) -> Result<Opened, PairingError> {
        let plain = seal::open(&self.sealed, &invite.0, &self.session)?;
        let mut reader = Reader::new(&plain);
        let signature = reader.fixed()?;
        let receipt = Receipt {
            session: self.session,
            signature,
            user_data: reader.buffer()?.to_vec(),
        };
        if !receipt.verify(invite) {
            return Err(PairingError::NotOfInvite);
        }
        Ok(Opened {
            id: request_id(&self.session),
            user_data: receipt.user_data.clone(),
            receipt,
            invite: *invite,
        })
    }
}

impl Opened {
    /// The bytes of an answer that lets the candidate in.
    pub fn confirm(&self, grant: &Grant) -> Vec<u8> {
        self.answer(Ok(grant))
    }

    /// The bytes of an answer that does not.
    pub fn deny(&self, why: Denial) -> Vec<u8> {
        self.answer(Err(why))
    }

    fn answer(&self, answer: Result<&Grant, Denial>) -> Vec<u8> {
        let key = seal::session_key(&self.invite, &self.receipt.session);
        let sealed = seal::seal(&encode_answer(answer), &key, &self.receipt.session);
        let mut out = Writer::new();
        out.raw(&self.id).buffer(&sealed);
        out.finish()
    }
}
