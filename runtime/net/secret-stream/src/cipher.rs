//! The cipher of libsodium's `crypto_secretstream_xchacha20poly1305`, in place and without additional data, and the
//! IETF ChaCha20-Poly1305 that the Noise handshake uses.
//!
//! A sealed message is one encrypted tag byte, the ciphertext, and a 16-byte authenticator. The authenticator
//! covers a 64-byte block whose first byte is the tag, then the ciphertext. libsodium pads that ciphertext with
//! `length mod 16` zero bytes where rounding up to 16 was meant; the wire format keeps the slip.

use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20::{ChaCha20, R20, hchacha};
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Error;

/// Bytes a sealed message is longer than its plaintext: the tag byte and the authenticator.
pub(crate) const OVERHEAD: usize = 1 + MAC;
/// Length of the header that starts a stream.
pub(crate) const HEADER: usize = 24;
pub(crate) const MAC: usize = 16;

const TAG_MESSAGE: u8 = 0;
const TAG_REKEY: u8 = 2;

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct State {
    key: [u8; 32],
    /// A little-endian 32-bit message counter, then 8 bytes chained from message to message.
    nonce: [u8; 12],
}

impl State {
    fn new(key: &[u8; 32], header: &[u8; HEADER]) -> Self {
        let mut salt = [0u8; 16];
        let mut chained = [0u8; 8];
        salt.copy_from_slice(&header[..16]);
        chained.copy_from_slice(&header[16..]);
        let mut state = State {
            key: hchacha::<R20>(key.into(), &salt.into()).into(),
            nonce: [0; 12],
        };
        state.restart(&chained);
        state
    }

    fn restart(&mut self, chained: &[u8; 8]) {
        self.nonce[..4].copy_from_slice(&1u32.to_le_bytes());
        self.nonce[4..].copy_from_slice(chained);
    }

    /// The keystream from block 2 on, the authenticator key, and block 1 of the keystream.
    #[expect(clippy::indexing_slicing, reason = "all lengths are constants")]
    fn begin(&self) -> (ChaCha20, Poly1305, [u8; 64]) {
        let mut cipher = ChaCha20::new(&self.key.into(), &self.nonce.into());
        let mut first = Zeroizing::new([0u8; 128]);
        cipher.apply_keystream(first.as_mut());
        let mut poly_key = Zeroizing::new([0u8; 32]);
        poly_key.copy_from_slice(&first[..32]);
        let poly = Poly1305::new((&*poly_key).into());
        let mut block = [0u8; 64];
        block.copy_from_slice(&first[64..]);
        (cipher, poly, block)
    }

    fn advance(&mut self, tag: u8, mac: &[u8; MAC]) {
        for (n, m) in self.nonce[4..].iter_mut().zip(mac) {
            *n ^= m;
        }
        let mut counter = [0u8; 4];
        counter.copy_from_slice(&self.nonce[..4]);
        let counter = u32::from_le_bytes(counter).wrapping_add(1);
        self.nonce[..4].copy_from_slice(&counter.to_le_bytes());
        if tag & TAG_REKEY != 0 || counter == 0 {
            self.rekey();
        }
    }

    #[expect(clippy::indexing_slicing, reason = "all lengths are constants")]
    fn rekey(&mut self) {
        let mut material = Zeroizing::new([0u8; 40]);
        material[..32].copy_from_slice(&self.key);
        material[32..].copy_from_slice(&self.nonce[4..]);
        ChaCha20::new(&self.key.into(), &self.nonce.into()).apply_keystream(material.as_mut());
        self.key.copy_from_slice(&material[..32]);
        let mut chained = [0u8; 8];
        chained.copy_from_slice(&material[32..]);
        self.restart(&chained);
    }
}

#[expect(clippy::indexing_slicing, reason = "a rest is below 16")]
fn authenticate(mut poly: Poly1305, block: &[u8; 64], ciphertext: &[u8]) -> [u8; MAC] {
    poly.update_padded(block);
    let rest = ciphertext.len() % 16;
    let (whole, partial) = ciphertext.split_at(ciphertext.len() - rest);
    poly.update_padded(whole);
    // The partial block, as many zeros again, and the two lengths.
    let mut tail = [0u8; 15 + 15 + 16];
    tail[..rest].copy_from_slice(partial);
    let end = rest * 2 + 16;
    tail[end - 8..end].copy_from_slice(&(64 + ciphertext.len() as u64).to_le_bytes());
    poly.compute_unpadded(&tail[..end]).into()
}

/// The sealing direction of a secret stream.
#[derive(Clone)]
pub struct Push(State);

impl Push {
    /// A stream under `key`, started by the random 24-byte `header` the peer must be given.
    pub fn new(key: &[u8; 32], header: &[u8; HEADER]) -> Self {
        Self(State::new(key, header))
    }

    /// Seals a message in place. `buffer` is one byte, the plaintext, and 16 bytes for the authenticator;
    /// a shorter buffer than these 17 bytes is left alone.
    pub fn seal(&mut self, buffer: &mut [u8]) {
        self.seal_tagged(TAG_MESSAGE, buffer);
    }

    fn seal_tagged(&mut self, tag: u8, buffer: &mut [u8]) {
        let Some((first, rest)) = buffer.split_first_mut() else {
            return;
        };
        let Some((body, mac_out)) = rest.split_last_chunk_mut::<MAC>() else {
            return;
        };
        let (mut cipher, poly, mut block) = self.0.begin();
        block[0] ^= tag;
        *first = block[0];
        cipher.apply_keystream(body);
        *mac_out = authenticate(poly, &block, body);
        self.0.advance(tag, mac_out);
    }
}

/// The opening direction of a secret stream.
#[derive(Clone)]
pub struct Pull(State);

impl Pull {
    /// The stream under `key` that the peer started with `header`.
    pub fn new(key: &[u8; 32], header: &[u8; HEADER]) -> Self {
        Self(State::new(key, header))
    }

    /// Opens a sealed message in place and gives its plaintext, which is `buffer` without its first byte and its
    /// last 16.
    ///
    /// # Errors
    /// [`Error::InvalidMessage`] if it is too short or its authenticator is wrong.
    pub fn open<'a>(&mut self, buffer: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let (first, rest) = buffer.split_first_mut().ok_or(Error::InvalidMessage)?;
        let (body, mac) = rest.split_last_chunk_mut::<MAC>().ok_or(Error::InvalidMessage)?;
        let (mut cipher, poly, mut block) = self.0.begin();
        let tag = block[0] ^ *first;
        block[0] = *first;
        let expected = authenticate(poly, &block, body);
        if !bool::from(expected.ct_eq(mac)) {
            return Err(Error::InvalidMessage);
        }
        cipher.apply_keystream(body);
        self.0.advance(tag, &expected);
        Ok(body)
    }
}

/// IETF ChaCha20-Poly1305 with Noise's counter nonce: the ciphertext and its authenticator.
pub(crate) fn aead_seal(key: &[u8; 32], counter: u32, ad: &[u8], plain: &[u8]) -> Vec<u8> {
    let (mut cipher, poly) = aead_begin(key, counter);
    let mut out = Vec::with_capacity(plain.len() + MAC);
    out.extend_from_slice(plain);
    cipher.apply_keystream(&mut out);
    let mac = aead_mac(poly, ad, &out);
    out.extend_from_slice(&mac);
    out
}

/// The plaintext of [`aead_seal`]; `None` if the authenticator is wrong.
pub(crate) fn aead_open(key: &[u8; 32], counter: u32, ad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (body, mac) = sealed.split_last_chunk::<MAC>()?;
    let (mut cipher, poly) = aead_begin(key, counter);
    if !bool::from(aead_mac(poly, ad, body).ct_eq(mac)) {
        return None;
    }
    let mut out = body.to_vec();
    cipher.apply_keystream(&mut out);
    Some(out)
}

fn aead_begin(key: &[u8; 32], counter: u32) -> (ChaCha20, Poly1305) {
    let mut nonce = [0u8; 12];
    nonce[4..8].copy_from_slice(&counter.to_le_bytes());
    let mut cipher = ChaCha20::new(key.into(), &nonce.into());
    let mut poly_key = Zeroizing::new([0u8; 32]);
    cipher.apply_keystream(poly_key.as_mut());
    cipher.seek(64u32);
    (cipher, Poly1305::new((&*poly_key).into()))
}

fn aead_mac(mut poly: Poly1305, ad: &[u8], ciphertext: &[u8]) -> [u8; MAC] {
    poly.update_padded(ad);
    poly.update_padded(ciphertext);
    let mut lengths = [0u8; 16];
    lengths[..8].copy_from_slice(&(ad.len() as u64).to_le_bytes());
    lengths[8..].copy_from_slice(&(ciphertext.len() as u64).to_le_bytes());
    poly.update_padded(&lengths);
    poly.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(push: &mut Push, tag: u8, plain: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; plain.len() + OVERHEAD];
        buffer[1..=plain.len()].copy_from_slice(plain);
        push.seal_tagged(tag, &mut buffer);
        buffer
    }

    #[test]
    fn the_counter_wrap_rekeys_on_both_sides() {
        let (mut push, mut pull) = (Push::new(&[1; 32], &[2; 24]), Pull::new(&[1; 32], &[2; 24]));
        push.0.nonce[..4].fill(0xff);
        pull.0.nonce[..4].fill(0xff);
        let key = push.0.key;
        assert_eq!(pull.open(&mut sealed(&mut push, 0, b"last")).unwrap(), b"last");
        assert_ne!(push.0.key, key);
        assert_eq!(pull.open(&mut sealed(&mut push, 0, b"first")).unwrap(), b"first");
    }

    proptest! {
        #[test]
        fn round_trips(messages in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0u8..4), 1..8), key: [u8; 32], header: [u8; 24]) {
            let (mut push, mut pull) = (Push::new(&key, &header), Pull::new(&key, &header));
            for (plain, tag) in messages {
                let mut buffer = sealed(&mut push, tag, &plain);
                prop_assert_eq!(&*pull.open(&mut buffer).unwrap(), &plain[..]);
            }
        }

        #[test]
        fn any_flipped_bit_is_refused(plain in proptest::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index, bit in 0..8) {
            let (mut push, mut pull) = (Push::new(&[9; 32], &[8; 24]), Pull::new(&[9; 32], &[8; 24]));
            let good = sealed(&mut push, 0, &plain);
            let mut bad = good.clone();
            bad[at.index(good.len())] ^= 1u8 << bit;
            prop_assert!(pull.open(&mut bad).is_err());
            prop_assert!(pull.open(&mut good.clone()).is_ok(), "a refused message must not move the state");
        }

        #[test]
        fn garbage_is_refused(mut garbage in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(Pull::new(&[0; 32], &[0; 24]).open(&mut garbage).is_err());
            prop_assert!(aead_open(&[0; 32], 0, b"", &garbage).is_none());
        }

        #[test]
        fn aead_round_trips(plain in proptest::collection::vec(any::<u8>(), 0..100), ad in proptest::collection::vec(any::<u8>(), 0..70), counter: u32) {
            let sealed = aead_seal(&[4; 32], counter, &ad, &plain);
            prop_assert_eq!(aead_open(&[4; 32], counter, &ad, &sealed).unwrap(), plain);
            prop_assert!(aead_open(&[4; 32], counter.wrapping_add(1), &ad, &sealed).is_none());
        }
    }
}
