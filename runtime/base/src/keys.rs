//! The 32-byte names of cores: the key, which lets its holder read, and the discovery key, which only finds peers.

use std::fmt;
use std::str::FromStr;

use crate::hash::blake2b_keyed;

/// A core's key: the hash of its manifest (or, for old "compat" cores, the signer's public key).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

/// What a core is announced and replicated under: `BLAKE2b-256("hypercore", key)`. It does not reveal the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiscoveryKey(pub [u8; 32]);

/// The text is neither 52 characters of z-base-32 nor 64 of hex (npm `hypercore-id-encoding`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a core key: expected 52 z-base-32 characters or 64 hex digits")]
pub struct InvalidKey(pub String);

impl Key {
    /// The discovery key of this core.
    pub fn discovery_key(&self) -> DiscoveryKey {
        DiscoveryKey(blake2b_keyed(&self.0, &[b"hypercore"]))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl DiscoveryKey {
    /// The discovery key's bytes: the topic to join on the swarm.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Key {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let bytes = match text.len() {
            52 => z32::decode(text.as_bytes()).ok(),
            64 => hex::decode(text).ok(),
            _ => None,
        };
        // 52 z-base-32 characters carry 260 bits: the four spare ones must be zero, or two texts would name one key.
        let key = bytes.and_then(|bytes| bytes.get(..32)?.try_into().ok()).map(Key);
        key.filter(|key| text.len() == 64 || key.to_string() == text)
            .ok_or_else(|| InvalidKey(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&z32::encode(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl fmt::Display for DiscoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&z32::encode(&self.0))
    }
}

impl fmt::Debug for DiscoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiscoveryKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip() {
        let key = Key(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(key.to_string().len(), 52);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(hex::encode(key.0).parse(), Ok(key));
    }

    #[test]
    fn refuses_what_is_not_a_key() {
        let key = Key([0xab; 32]).to_string();
        assert!(key.to_uppercase().parse::<Key>().is_err());
        assert!(key[1..].parse::<Key>().is_err());
        assert!("".parse::<Key>().is_err());
        assert!("é".repeat(26).parse::<Key>().is_err());
        let spare_bits_set = format!("{}9", "y".repeat(51));
        assert!(spare_bits_set.parse::<Key>().is_err());
    }
}
