//! The cryptography: names by hashes, and messages sealed with XChaCha20-Poly1305 under keys that follow from the invite's public key.

use base::PublicKey;
use base::hash::{blake2b, blake2b_sized, namespace};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::error::PairingError;

/// What a hash is for, by its place among npm's namespaces of `blind-pairing`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum For {
    Signature = 0,
    Token = 1,
    InviteId = 2,
    RequestId = 3,
    Session = 4,
    SessionKey = 5,
    Encrypt = 6,
    Nonce = 7,
}

pub(crate) fn space(of: For) -> [u8; 32] {
    namespace("blind-pairing", of as u8)
}

pub(crate) fn hash(of: For, parts: &[&[u8]]) -> [u8; 32] {
    let space = space(of);
    let parts: Vec<&[u8]> = std::iter::once(&space[..]).chain(parts.iter().copied()).collect();
    blake2b(&parts)
}

/// The session of a candidate: the same for the same invite and data, so that a request that is sent again is the same.
pub(crate) fn session(invite: &PublicKey, user_data: &[u8]) -> [u8; 32] {
    let token = hash(For::Token, &[&invite.0, user_data]);
    hash(For::Session, &[&token])
}

/// The key that an answer is sealed under.
pub(crate) fn session_key(invite: &PublicKey, session: &[u8; 32]) -> [u8; 32] {
    hash(For::SessionKey, &[&invite.0, session])
}

pub(crate) fn seal(plain: &[u8], key: &[u8; 32], session: &[u8; 32]) -> Vec<u8> {
    let (cipher, nonce) = cipher(key, session);
    let payload = Payload {
        msg: plain,
        aad: &nonce,
    };
    // It fails for messages of 256 GiB and more; an empty answer is refused by whoever reads it.
    cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default()
}

pub(crate) fn open(sealed: &[u8], key: &[u8; 32], session: &[u8; 32]) -> Result<Vec<u8>, PairingError> {
    let (cipher, nonce) = cipher(key, session);
    let payload = Payload {
        msg: sealed,
        aad: &nonce,
    };
    let opened = cipher.decrypt(&XNonce::from(nonce), payload);
    opened.map_err(|_| PairingError::NotOfInvite)
}

fn cipher(key: &[u8; 32], session: &[u8; 32]) -> (XChaCha20Poly1305, [u8; 24]) {
    let secret = hash(For::Encrypt, &[key]);
    let nonce = blake2b_sized(&[&space(For::Nonce), key, session]);
    (XChaCha20Poly1305::new(&secret.into()), nonce)
}
