//! A signer's secret key under a passphrase (npm `hypercore-sign-lib` lib/encoding.js and index.js).
//!
//! Layout, 186 bytes: version 1 · ops u64 LE · mem u64 LE · salt 32 · payload 104, length-prefixed · public key 32. Version 0
//! has neither the version byte nor the public key: 153 bytes. The payload is `id 8 ‖ secret key 64 ‖ BLAKE2b-256 of both`, XORed
//! with 104 bytes of scrypt-salsa208-sha256.

use base::wire::{DecodeError, Reader, Writer};
use hypercore::{KeyPair, PublicKey};
use zeroize::Zeroizing;

use crate::text;

const PAYLOAD: usize = 104;
/// Size of a version 0 key, which is told by it.
const V0_SIZE: usize = 153;
/// libsodium's `crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_SENSITIVE`.
const OPS_SENSITIVE: u64 = 33_554_432;
/// libsodium's `crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_SENSITIVE`: 1 GiB.
const MEM_SENSITIVE: u64 = 1_073_741_824;
/// What a key file may ask for at most: 4 GiB (N = 2^22), 16 passes.
const MAX_LOG_N: u8 = 22;
const MAX_PASSES: u32 = 16;
/// `hypercore-sign` takes no shorter passphrase.
const MIN_PASSPHRASE: usize = 8;

/// A secret key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedKey {
    ops: u64,
    mem: u64,
    salt: [u8; 32],
    payload: [u8; PAYLOAD],
    public_key: Option<PublicKey>,
}

/// The secret key cannot be read, or not with this passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretKeyError {
    /// The bytes are not an encrypted key.
    #[error("Invalid key: the file is cut short or altered; restore it from your backup")]
    Invalid,
    /// A newer version.
    #[error("Key version not supported, please update")]
    Version,
    /// It asks for more memory or time than any known tool would.
    #[error("Invalid key: opening it would take more than 4 GiB of memory or a minute")]
    Cost,
    /// The passphrase is wrong. (A damaged payload looks the same.)
    #[error("Key decryption failed: wrong password")]
    Password,
    /// The secret inside is not the one of the public key beside it.
    #[error("Invalid key: the secret does not belong to its public key; restore both from your backup")]
    PublicKey,
    /// A new passphrase that another tool would not take.
    #[error("the password must have at least 8 characters")]
    TooShort,
    /// A new passphrase that other tools would read as another.
    #[error("use letters, digits and signs of ASCII alone: tools differ in how they encode other characters")]
    NotAscii,
}

impl From<DecodeError> for SecretKeyError {
    fn from(_: DecodeError) -> Self {
        Self::Invalid
    }
}

impl EncryptedKey {
    /// A new random key under `passphrase`. Takes 1 GiB of memory and a few seconds, as opening it will.
    ///
    /// # Errors
    /// If the passphrase is one that another tool would refuse or read differently.
    pub fn generate(passphrase: &[u8]) -> Result<Self, SecretKeyError> {
        if passphrase.len() < MIN_PASSPHRASE {
            return Err(SecretKeyError::TooShort);
        }
        if !passphrase.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(SecretKeyError::NotAscii);
        }
        Self::seal(&KeyPair::generate(), passphrase, OPS_SENSITIVE, MEM_SENSITIVE)
    }

    fn seal(key_pair: &KeyPair, passphrase: &[u8], ops: u64, mem: u64) -> Result<Self, SecretKeyError> {
        let id: [u8; 8] = rand::random();
        let secret = key_pair.secret_key();
        let sum = base::hash::blake2b(&[&id, &secret[..]]);
        let salt = rand::random();
        let mut payload = *derive(passphrase, &salt, ops, mem)?;
        let plain = id.iter().chain(secret.iter()).chain(&sum);
        payload.iter_mut().zip(plain).for_each(|(to, from)| *to ^= from);
        Ok(Self {
            ops,
            mem,
            salt,
            payload,
            public_key: Some(key_pair.public_key),
        })
    }

    /// The key pair. Takes as much memory and time as the file says, usually 1 GiB and a few seconds.
    ///
    /// # Errors
    /// [`SecretKeyError::Password`] for a wrong passphrase.
    pub fn open(&self, passphrase: &[u8]) -> Result<KeyPair, SecretKeyError> {
        match self.open_exactly(passphrase) {
            Err(SecretKeyError::Password) if !passphrase.is_ascii() => {
                // The Pear CLI takes each byte that is typed for a character, and encodes those as UTF-8 again.
                let mut twice = Zeroizing::new(Vec::with_capacity(2 * passphrase.len()));
                for byte in passphrase {
                    let mut space = Zeroizing::new([0; 2]);
                    let encoded = char::from(*byte).encode_utf8(&mut space[..]);
                    twice.extend_from_slice(encoded.as_bytes());
                }
                self.open_exactly(&twice)
            }
            other => other,
        }
    }

    fn open_exactly(&self, passphrase: &[u8]) -> Result<KeyPair, SecretKeyError> {
        let mut plain = derive(passphrase, &self.salt, self.ops, self.mem)?;
        plain
            .iter_mut()
            .zip(&self.payload)
            .for_each(|(to, from)| *to ^= from);
        let (labelled, sum) = plain.split_at(PAYLOAD - 32);
        if base::hash::blake2b(&[labelled]) != sum {
            return Err(SecretKeyError::Password);
        }
        let mut secret = Zeroizing::new([0; 64]);
        secret
            .iter_mut()
            .zip(labelled.iter().skip(8))
            .for_each(|(to, from)| *to = *from);
        let pair = KeyPair::from_secret_key(&secret).ok_or(SecretKeyError::Invalid)?;
        match self.public_key {
            Some(public_key) if public_key != pair.public_key => Err(SecretKeyError::PublicKey),
            _ => Ok(pair),
        }
    }

    /// The public key, which version 0 does not hold.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.public_key
    }

    /// The same with its public key, as version 1 stores it.
    pub fn with_public_key(self, public_key: PublicKey) -> Self {
        Self {
            public_key: Some(public_key),
            ..self
        }
    }

    /// Reads the bytes of a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, SecretKeyError> {
        let mut reader = Reader::new(bytes);
        let version = if bytes.len() == V0_SIZE { 0 } else { reader.uint()? };
        if version > 1 {
            return Err(SecretKeyError::Version);
        }
        let (ops, mem) = (reader.u64()?, reader.u64()?);
        let salt = reader.fixed()?;
        let payload = reader.buffer()?.try_into().map_err(|_| SecretKeyError::Invalid)?;
        let public_key = if version > 0 {
            Some(PublicKey(reader.fixed()?))
        } else {
            None
        };
        if !reader.is_empty() {
            return Err(SecretKeyError::Invalid);
        }
        Ok(Self {
            ops,
            mem,
            salt,
            payload,
            public_key,
        })
    }

    /// Reads a key file: its bytes, as `pear` stores them, or z-base-32 text, as `hypercore-sign` does.
    pub fn read(file: &[u8]) -> Result<Self, SecretKeyError> {
        let text = std::str::from_utf8(file).ok().map(str::trim);
        match text.and_then(text::decode) {
            Some(bytes) => Self::decode(&bytes),
            None => Self::decode(file),
        }
    }

    /// The bytes: version 1 when the public key is known, else version 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(186);
        if self.public_key.is_some() {
            w.uint(1);
        }
        w.u64(self.ops)
            .u64(self.mem)
            .raw(&self.salt)
            .buffer(&self.payload);
        if let Some(public_key) = &self.public_key {
            w.raw(&public_key.0);
        }
        w.finish()
    }

    /// The bytes as version 0, the only one that `hypercore-sign` 3 reads.
    pub fn encode_legacy(&self) -> Vec<u8> {
        Self {
            public_key: None,
            ..self.clone()
        }
        .encode()
    }
}

/// What the payload is XORed with.
fn derive(
    passphrase: &[u8],
    salt: &[u8; 32],
    ops: u64,
    mem: u64,
) -> Result<Zeroizing<[u8; PAYLOAD]>, SecretKeyError> {
    let (log_n, passes) = cost(ops, mem);
    if log_n > MAX_LOG_N || passes > MAX_PASSES {
        return Err(SecretKeyError::Cost);
    }
    let params = scrypt::Params::new(log_n, 8, passes).map_err(|_| SecretKeyError::Cost)?;
    let mut out = Zeroizing::new([0; PAYLOAD]);
    scrypt::scrypt(passphrase, salt, &params, &mut out[..]).map_err(|_| SecretKeyError::Cost)?;
    Ok(out)
}

/// libsodium's choice of N (as its logarithm) and p for given limits; r is 8 (crypto_pwhash_scryptsalsa208sha256, `pickparams`).
fn cost(ops: u64, mem: u64) -> (u8, u32) {
    const R: u64 = 8;
    let ops = ops.max(32_768);
    let cpu_bound = ops < mem / 32;
    let max_n = if cpu_bound { ops / (R * 4) } else { mem / (R * 128) };
    let log_n = (1..63u8).find(|log_n| 1u64 << log_n > max_n / 2).unwrap_or(63);
    let passes = if cpu_bound {
        1
    } else {
        (ops / 4 / (1 << log_n)).min(0x3fff_ffff) / R
    };
    (log_n, u32::try_from(passes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// libsodium's INTERACTIVE limits: 16 MiB.
    const LOW: (u64, u64) = (524_288, 16_777_216);

    #[test]
    fn costs_are_libsodiums() {
        assert_eq!(cost(OPS_SENSITIVE, MEM_SENSITIVE), (20, 1));
        assert_eq!(cost(LOW.0, LOW.1), (14, 1));
        assert_eq!(cost(0, 0).0, 1);
        assert!(cost(u64::MAX, u64::MAX).0 > MAX_LOG_N);
    }

    #[test]
    fn seals_and_opens() {
        let pair = KeyPair::generate();
        let key = EncryptedKey::seal(&pair, b"pass phrase", LOW.0, LOW.1).unwrap();
        assert_eq!((key.encode().len(), key.encode_legacy().len()), (186, 153));
        assert_eq!(key.open(b"pass phrase").unwrap(), pair);
        assert_eq!(key.open(b"pass phrase "), Err(SecretKeyError::Password));
        let file = key.encode();
        assert_eq!(EncryptedKey::read(&file), Ok(key.clone()));
        let text = format!("{}\n", z32::encode(&file));
        assert_eq!(EncryptedKey::read(text.as_bytes()), Ok(key.clone()));
        let legacy = EncryptedKey::read(&key.encode_legacy()).unwrap();
        assert_eq!(legacy.public_key(), None);
        assert_eq!(legacy.open(b"pass phrase").unwrap(), pair);
        assert_eq!(legacy.with_public_key(pair.public_key), key);
        let swapped = key.clone().with_public_key(PublicKey([9; 32]));
        assert_eq!(swapped.open(b"pass phrase"), Err(SecretKeyError::PublicKey));
        let secret = pair.secret_key();
        assert!(!file.windows(32).any(|window| window == &secret[..32]));
    }

    #[test]
    fn a_new_passphrase_is_one_that_other_tools_take() {
        assert_eq!(EncryptedKey::generate(b"short"), Err(SecretKeyError::TooShort));
        let foreign = "pässwörter".as_bytes();
        assert_eq!(EncryptedKey::generate(foreign), Err(SecretKeyError::NotAscii));
    }

    #[test]
    fn a_file_cannot_ask_for_the_whole_machine() {
        let mut key = EncryptedKey::seal(&KeyPair::generate(), b"pass phrase", LOW.0, LOW.1).unwrap();
        (key.ops, key.mem) = (u64::MAX, u64::MAX);
        assert_eq!(key.open(b"pass phrase"), Err(SecretKeyError::Cost));
        let mut file = key.encode();
        file[0] = 2;
        assert_eq!(EncryptedKey::read(&file), Err(SecretKeyError::Version));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, cut in 0usize..186) {
            let _ = EncryptedKey::read(&bytes);
            let whole = EncryptedKey { ops: 1, mem: 2, salt: [3; 32], payload: [4; PAYLOAD], public_key: Some(PublicKey([5; 32])) };
            let encoded = whole.encode();
            prop_assert_eq!(EncryptedKey::decode(&encoded), Ok(whole));
            prop_assert!(EncryptedKey::decode(&encoded[..cut]).is_err());
        }
    }
}
