//! Hole punching payloads, sealed with a key from the Noise handshake (npm hyperdht lib/secure-payload.js).
//!
//! Sealed: 24 bytes of nonce, then libsodium's `crypto_secretbox` (XSalsa20-Poly1305: tag, ciphertext).

use std::net::{Ipv4Addr, SocketAddrV4};

use base::hash::blake2b_keyed;
use base::wire::{DecodeError, Reader, Writer};
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use rand::RngExt;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};

use super::Firewall;
use crate::id::Token;
use crate::wire::{ReadAddress, WriteAddress};

const NONCE: usize = 24;
const TAG: usize = 16;

/// State of one side's hole punching.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HolepunchPayload {
    /// 0 = fine, else why the sender gives up.
    pub error: u64,
    /// The sender's firewall.
    pub firewall: Firewall,
    /// Grows with each message of the client.
    pub round: u64,
    /// The sender got through already.
    pub connected: bool,
    /// The sender is punching.
    pub punching: bool,
    /// Where the sender may be reached.
    pub addresses: Option<Vec<SocketAddrV4>>,
    /// Where the sender just opened its NAT to.
    pub remote_address: Option<SocketAddrV4>,
    /// To be echoed, proving that the address is the receiver's.
    pub token: Option<Token>,
    /// The echo.
    pub remote_token: Option<Token>,
}

impl HolepunchPayload {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let flags = u64::from(self.connected)
            | u64::from(self.punching) << 1
            | u64::from(self.addresses.is_some()) << 2
            | u64::from(self.remote_address.is_some()) << 3
            | u64::from(self.token.is_some()) << 4
            | u64::from(self.remote_token.is_some()) << 5;
        w.uint(flags)
            .uint(self.error)
            .uint(self.firewall.to_wire())
            .uint(self.round);
        if let Some(addresses) = &self.addresses {
            w.addresses(addresses);
        }
        if let Some(address) = self.remote_address {
            w.address(address);
        }
        for token in [&self.token, &self.remote_token].into_iter().flatten() {
            w.raw(&token.0);
        }
        w.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let flags = r.uint()?;
        let has = |bit: u64| flags & (1 << bit) != 0;
        Ok(Self {
            error: r.uint()?,
            firewall: Firewall::from_wire(r.uint()?),
            round: r.uint()?,
            connected: has(0),
            punching: has(1),
            addresses: if has(2) { Some(r.addresses()?) } else { None },
            remote_address: if has(3) { Some(r.address()?) } else { None },
            token: if has(4) { Some(Token(r.fixed()?)) } else { None },
            remote_token: if has(5) { Some(Token(r.fixed()?)) } else { None },
        })
    }
}

/// Seals and opens payloads of one handshake.
pub struct SecurePayload {
    shared_secret: [u8; 32],
    local_secret: [u8; 32],
}

impl SecurePayload {
    /// For the handshake of that hash; both sides get the same key.
    pub fn new(handshake_hash: &[u8; 64]) -> Self {
        Self::with_secret(blake2b_keyed(handshake_hash, &[&super::sign::NS.peer_holepunch]))
    }

    /// With the key itself.
    pub fn with_secret(shared_secret: [u8; 32]) -> Self {
        Self {
            shared_secret,
            local_secret: rand::rng().random(),
        }
    }

    /// Seals a payload.
    pub fn seal(&self, payload: &HolepunchPayload) -> Vec<u8> {
        let nonce: [u8; NONCE] = rand::rng().random();
        let mut out = nonce.to_vec();
        let mut text = payload.encode();
        let tag = secretbox(&self.shared_secret, &nonce, &mut text, true);
        out.extend_from_slice(&tag);
        out.extend_from_slice(&text);
        out
    }

    /// Opens a payload; none if it is not for this handshake or malformed.
    pub fn open(&self, bytes: &[u8]) -> Option<HolepunchPayload> {
        let (nonce, rest) = bytes.split_first_chunk::<NONCE>()?;
        let (tag, text) = rest.split_first_chunk::<TAG>()?;
        let mut text = text.to_vec();
        let expected = secretbox(&self.shared_secret, nonce, &mut text, false);
        // Equal-time comparison: fold all differences before looking.
        let difference = expected.iter().zip(tag).fold(0, |acc, (a, b)| acc | (a ^ b));
        (difference == 0)
            .then(|| HolepunchPayload::decode(&text).ok())
            .flatten()
    }

    /// What the owner of `ip` must echo.
    pub fn token(&self, ip: &Ipv4Addr) -> Token {
        Token(blake2b_keyed(&self.local_secret, &[&ip.octets()]))
    }
}

/// XSalsa20 over `text` in place, from byte 32 of the key stream; returns the tag of the ciphertext.
fn secretbox(key: &[u8; 32], nonce: &[u8; NONCE], text: &mut [u8], seal: bool) -> [u8; TAG] {
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    let mut mac_key = [0; 32];
    stream.apply_keystream(&mut mac_key);
    let tag = |cipher: &[u8]| -> [u8; TAG] { Poly1305::new(&mac_key.into()).compute_unpadded(cipher).into() };
    if seal {
        stream.apply_keystream(text);
        tag(text)
    } else {
        let tag = tag(text);
        stream.apply_keystream(text);
        tag
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full() -> HolepunchPayload {
        HolepunchPayload {
            error: 3,
            firewall: Firewall::Consistent,
            round: 300,
            connected: true,
            punching: true,
            addresses: Some(vec!["1.2.3.4:5".parse().unwrap(), "6.7.8.9:10".parse().unwrap()]),
            remote_address: Some("9.9.9.9:9".parse().unwrap()),
            token: Some(Token([1; 32])),
            remote_token: Some(Token([2; 32])),
        }
    }

    #[test]
    fn sealed_payloads_open_only_with_the_same_handshake() {
        let (a, b, other) = (
            SecurePayload::new(&[1; 64]),
            SecurePayload::new(&[1; 64]),
            SecurePayload::new(&[2; 64]),
        );
        let sealed = a.seal(&full());
        assert_eq!(b.open(&sealed), Some(full()));
        assert_eq!(other.open(&sealed), None);
        for i in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[i] ^= 1;
            assert_eq!(b.open(&bent), None, "byte {i}");
        }
        assert_ne!(a.token(&Ipv4Addr::LOCALHOST), b.token(&Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn secretbox_is_that_of_nacl() {
        // The example of the NaCl paper: first key, nonce, 131 bytes (tests/secretbox.c there); its first 32 bytes.
        let key = hex::decode("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389").unwrap();
        let nonce = hex::decode("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37").unwrap();
        let mut text =
            hex::decode("be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc").unwrap();
        secretbox(
            &key.try_into().unwrap(),
            &nonce.try_into().unwrap(),
            &mut text,
            true,
        );
        assert_eq!(
            hex::encode(text),
            "8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a"
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = HolepunchPayload::decode(&bytes);
            prop_assert_eq!(SecurePayload::new(&[0; 64]).open(&bytes), None);
        }
    }
}
