//! Blocks that only some may read (npm `hypercore` lib/default-encryption.js): what a session puts between the blocks its caller sees
//! and those that are stored, hashed, signed and replicated. A peer without the key keeps and serves them like any others.
//!
//! A stored block is eight bytes longer than its plain text. Under the default scheme those are the fork, blinded, and
//! `index ‖ those eight bytes` is the nonce of XSalsa20. Nothing authenticates the plain text but the core's own tree: whoever may sign
//! the core decides what a block says.

use std::fmt;

use base::hash::{blake2b, blake2b_keyed};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

use crate::manifest::Manifest;
use crate::{Key, crypto};

/// Bytes by which a stored block is longer than its plain text, under every scheme there is.
pub const PADDING: usize = 8;
/// Bytes of XSalsa20's nonce.
const NONCE: usize = 24;

/// A block cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CipherError {
    /// It is shorter than what every sealed block begins with.
    #[error("it is too short to be encrypted")]
    TooShort,
    /// It says that it is encrypted in a way that nobody has written down yet.
    #[error("its encryption is of type {0}, which this version does not know; update")]
    UnknownType(u8),
    /// How it is encrypted depends on the core's manifest, which no peer has sent yet.
    #[error("the core's manifest is not known yet; wait for a peer that sends it")]
    NoManifest,
    /// It was encrypted under a key that was not given.
    #[error("it is encrypted under key {id}, which is not here yet")]
    NoKey {
        /// Which key, as the block names it.
        id: u32,
    },
}

/// Which core a block belongs to.
#[derive(Debug, Clone, Copy)]
pub struct BlockOf<'a> {
    /// The core's key.
    pub key: &'a Key,
    /// Its manifest, once known.
    pub manifest: Option<&'a Manifest>,
}

/// What makes stored blocks of plain ones and the other way round. Every scheme prepends [`PADDING`] bytes.
pub trait BlockCipher: Send + Sync + fmt::Debug {
    /// What is stored for `plain` as block `index` of a core at `fork`.
    ///
    /// # Errors
    /// If what the key depends on is not known.
    fn seal(&self, core: BlockOf<'_>, index: u64, fork: u64, plain: &[u8]) -> Result<Vec<u8>, CipherError>;

    /// The plain text of stored block `index`.
    ///
    /// # Errors
    /// If it is none that this cipher made, as far as that can be told, or what the key depends on is not known. A wrong key is
    /// not noticed.
    fn open(&self, core: BlockOf<'_>, index: u64, sealed: &[u8]) -> Result<Vec<u8>, CipherError>;
}

/// Hypercore's own scheme: one key for a core.
#[derive(Clone)]
pub struct DefaultCipher {
    block: Zeroizing<[u8; 32]>,
    blinding: Zeroizing<[u8; 32]>,
}

impl DefaultCipher {
    /// For the core `key` under an encryption key that several cores may share.
    pub fn new(encryption_key: &[u8; 32], key: &Key) -> Self {
        Self::from_block_key(blake2b(&[&*crypto::DEFAULT_ENCRYPTION, &key.0, encryption_key]))
    }

    /// For a core older than manifests, whose key is its signer's (`compat` in JavaScript).
    pub fn compat(encryption_key: &[u8; 32], key: &Key) -> Self {
        Self::from_block_key(blake2b_keyed(&key.0, &[encryption_key]))
    }

    /// Under a key made for this one core (`isBlockKey` in JavaScript).
    pub fn from_block_key(block: [u8; 32]) -> Self {
        Self {
            blinding: Zeroizing::new(blake2b(&[&block])),
            block: Zeroizing::new(block),
        }
    }

    /// The key of the core's blocks, for who may read this core and no other under the same encryption key.
    pub fn block_key(&self) -> &[u8; 32] {
        &self.block
    }

    /// What is stored for `plain`. The same for the same index and fork: at one fork an index must be written once.
    pub fn seal_block(&self, index: u64, fork: u64, plain: &[u8]) -> Vec<u8> {
        let mut head = fork.to_le_bytes();
        xor(&self.blinding, &nonce(index, &[0; PADDING]), &mut head);
        let mut sealed = Vec::with_capacity(PADDING + plain.len());
        sealed.extend_from_slice(&head);
        sealed.extend_from_slice(plain);
        if let Some(body) = sealed.get_mut(PADDING..) {
            xor(&self.block, &nonce(index, &head), body);
        }
        sealed
    }

    /// The plain text of a stored block.
    ///
    /// # Errors
    /// [`CipherError::TooShort`].
    pub fn open_block(&self, index: u64, sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        let (head, body) = split(sealed)?;
        let mut plain = body.to_vec();
        xor(&self.block, &nonce(index, &head), &mut plain);
        Ok(plain)
    }
}

impl BlockCipher for DefaultCipher {
    fn seal(&self, _: BlockOf<'_>, index: u64, fork: u64, plain: &[u8]) -> Result<Vec<u8>, CipherError> {
        Ok(self.seal_block(index, fork, plain))
    }

    fn open(&self, _: BlockOf<'_>, index: u64, sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        self.open_block(index, sealed)
    }
}

impl fmt::Debug for DefaultCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultCipher").finish_non_exhaustive()
    }
}

/// The eight bytes before a sealed block, and what follows them.
///
/// # Errors
/// [`CipherError::TooShort`].
pub fn split(sealed: &[u8]) -> Result<([u8; PADDING], &[u8]), CipherError> {
    let (head, body) = sealed.split_first_chunk().ok_or(CipherError::TooShort)?;
    Ok((*head, body))
}

/// The nonce of block `index`: its number, the eight bytes before it, and zeroes.
pub fn nonce(index: u64, head: &[u8; PADDING]) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    let parts = index.to_le_bytes().into_iter().chain(*head);
    nonce.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    nonce
}

/// libsodium's `crypto_stream_xor`: XSalsa20 over `bytes`, in place.
pub fn xor(key: &[u8; 32], nonce: &[u8; NONCE], bytes: &mut [u8]) {
    XSalsa20::new(key.into(), nonce.into()).apply_keystream(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_too_short_is_refused() {
        let cipher = DefaultCipher::from_block_key([1; 32]);
        for length in 0..PADDING {
            assert_eq!(cipher.open_block(0, &vec![0; length]), Err(CipherError::TooShort));
        }
        assert_eq!(cipher.open_block(0, &[0; PADDING]), Ok(Vec::new()));
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", DefaultCipher::from_block_key([0xab; 32]));
        assert!(!shown.contains("171") && !shown.contains("ab, "), "{shown}");
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_again(plain: Vec<u8>, index: u64, fork: u64, key: [u8; 32]) {
            let cipher = DefaultCipher::new(&key, &Key([9; 32]));
            let sealed = cipher.seal_block(index, fork, &plain);
            prop_assert_eq!(sealed.len(), plain.len() + PADDING);
            prop_assert_eq!(cipher.open_block(index, &sealed), Ok(plain.clone()));
            // Another fork, block or core gives another stream.
            if plain.len() >= 8 {
                prop_assert_ne!(&cipher.seal_block(index, fork ^ 1, &plain)[PADDING..], &sealed[PADDING..]);
                prop_assert_ne!(&cipher.seal_block(index ^ 1, fork, &plain)[PADDING..], &sealed[PADDING..]);
                let other = DefaultCipher::new(&key, &Key([8; 32]));
                prop_assert_ne!(other.open_block(index, &sealed), Ok(plain));
            }
        }
    }
}
