//! The candidate's side: a request, and what the answer to it gives.

use base::wire::{Reader, Writer};
use base::{DiscoveryKey, KeyPair};

use crate::error::PairingError;
use crate::invite::{Invite, InviteId};
use crate::messages::{Grant, decode_answer};
use crate::receipt::Receipt;
use crate::seal::{self, For, hash};

/// Somebody who was given an invite and asks to be let in.
#[derive(Debug, Clone)]
pub struct Candidate {
    key_pair: KeyPair,
    discovery_key: DiscoveryKey,
    session: [u8; 32],
    request: Vec<u8>,
}

impl Candidate {
    /// A candidate who brings `user_data`, such as the key of the core that they will write to.
    pub fn new(invite: &Invite, user_data: &[u8]) -> Result<Self, PairingError> {
        let discovery_key = invite.discovery_key.ok_or(PairingError::NoRoom)?;
        let key_pair = invite.key_pair();
        let session = seal::session(&key_pair.public_key, user_data);
        let receipt = Receipt::sign(&key_pair, session, user_data);
        let mut inner = Writer::new();
        inner.raw(&receipt.signature).buffer(user_data);
        let sealed = seal::seal(&inner.finish(), &key_pair.public_key.0, &session);
        let mut request = Writer::new();
        request
            .raw(&InviteId::of(&key_pair.public_key).0)
            .buffer(&session)
            .buffer(&sealed);
        Ok(Self {
            key_pair,
            discovery_key,
            session,
            request: request.finish(),
        })
    }

    /// What the request and the answer to it are known by.
    pub fn id(&self) -> [u8; 32] {
        request_id(&self.session)
    }

    /// Names the candidate with this invite and data, for whoever finds both by it.
    pub fn token(&self, user_data: &[u8]) -> [u8; 32] {
        hash(For::Token, &[&self.key_pair.public_key.0, user_data])
    }

    /// Where members of the room are found.
    pub fn discovery_key(&self) -> DiscoveryKey {
        self.discovery_key
    }

    /// The bytes of the request; the same each time.
    pub fn request(&self) -> Vec<u8> {
        self.request.clone()
    }

    /// What an answer gives. One that is not for this request, or leads elsewhere than the invite, is an error.
    pub fn open_response(&self, response: &[u8]) -> Result<Grant, PairingError> {
        let mut reader = Reader::new(response);
        let id: [u8; 32] = reader.fixed()?;
        if id != self.id() {
            return Err(PairingError::NotOfInvite);
        }
        self.open_payload(reader.buffer()?)
    }

    /// What the sealed part of an answer gives, where it came without the id around it.
    pub fn open_payload(&self, payload: &[u8]) -> Result<Grant, PairingError> {
        let key = seal::session_key(&self.key_pair.public_key, &self.session);
        let grant = decode_answer(&seal::open(payload, &key, &self.session)?)?;
        if grant.key.discovery_key() != self.discovery_key {
            return Err(PairingError::OtherRoom);
        }
        let signed = |additional: &crate::Additional| {
            KeyPair::verify(&self.key_pair.public_key, &additional.data, &additional.signature)
        };
        if !grant.additional.as_ref().is_none_or(signed) {
            return Err(PairingError::Additional);
        }
        Ok(grant)
    }
}

pub(crate) fn request_id(session: &[u8; 32]) -> [u8; 32] {
    hash(For::RequestId, &[session])
}
