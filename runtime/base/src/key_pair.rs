//! The Ed25519 key pair that names a peer, as libsodium's `crypto_sign_seed_keypair` makes it.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::{Zeroize, Zeroizing};

use crate::PublicKey;

/// An Ed25519 key pair: the identity of a peer, and what signs its cores. The secret half is wiped on drop.
#[derive(Clone)]
pub struct KeyPair {
    /// The public key.
    pub public_key: PublicKey,
    signing: SigningKey,
}

impl KeyPair {
    /// A new random key pair from the operating system's randomness.
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0u8; 32]);
        rand::fill(seed.as_mut_slice());
        Self::from_seed(*seed)
    }

    /// The key pair that libsodium's `crypto_sign_seed_keypair` derives from `seed`.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self {
            public_key: PublicKey(signing.verifying_key().to_bytes()),
            signing,
        }
    }

    /// The key pair of a 64-byte libsodium secret key (seed, then public key); `None` if the halves disagree.
    pub fn from_secret_key(secret_key: &[u8; 64]) -> Option<Self> {
        let signing = SigningKey::from_keypair_bytes(secret_key).ok()?;
        Some(Self {
            public_key: PublicKey(signing.verifying_key().to_bytes()),
            signing,
        })
    }

    /// The 32-byte seed the pair was made from.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// libsodium's 64-byte secret key: the seed, then the public key.
    pub fn secret_key(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.signing.to_keypair_bytes())
    }

    /// The detached Ed25519 signature over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }

    /// Whether `signature` over `message` is by the holder of `public_key`. Refuses, as libsodium does,
    /// non-canonical scalars and keys or points of small order.
    pub fn verify(public_key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&public_key.0) else {
            return false;
        };
        key.verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(")?;
        for byte in self.public_key.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(", secret hidden)")
    }
}

impl PartialEq for KeyPair {
    fn eq(&self, other: &Self) -> bool {
        self.public_key == other.public_key
    }
}

impl Eq for KeyPair {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_verifies() {
        let pair = KeyPair::from_seed([7; 32]);
        let signature = pair.sign(b"hello");
        assert!(KeyPair::verify(&pair.public_key, b"hello", &signature));
        assert!(!KeyPair::verify(&pair.public_key, b"hullo", &signature));
        assert!(!KeyPair::verify(
            &KeyPair::generate().public_key,
            b"hello",
            &signature
        ));
        assert!(!KeyPair::verify(&PublicKey([0; 32]), b"hello", &signature));
    }

    #[test]
    fn the_secret_key_round_trips_and_is_checked() {
        let pair = KeyPair::generate();
        let mut secret = *pair.secret_key();
        assert_eq!(KeyPair::from_secret_key(&secret), Some(pair.clone()));
        assert_eq!(KeyPair::from_seed(*pair.seed()), pair);
        secret[40] ^= 1;
        assert_eq!(KeyPair::from_secret_key(&secret), None);
        assert!(!format!("{pair:?}").contains(&hex::encode(&secret[..32])));
    }
}
