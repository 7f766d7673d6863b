//! Names of 32 bytes: of cores, by the key, which lets its holder read, and the discovery key, which only finds peers; of peers; of
//! topics.

use std::fmt;
use std::str::FromStr;

use crate::hash::blake2b_keyed;

/// Names of 32 bytes are types of their own, so that none is taken for another. Their text, and what `Debug` shows, is z-base-32.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The first eight characters of its text: enough to tell it from others in a log, and too few to use it.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&z32::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}

names! {
    /// A core's key: the hash of its manifest (or, for old "compat" cores, the signer's public key).
    Key

    /// What a core is announced and replicated under: `BLAKE2b-256("hypercore", key)`. It does not reveal the key.
    DiscoveryKey

    /// An Ed25519 public key: what a peer is known by, and what its signatures are checked with.
    PublicKey

    /// What peers meet under on the swarm.
    Topic
}

/// The text is neither 52 characters of z-base-32 nor 64 of hex, as the text of a key is (npm `hypercore-id-encoding`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a key: expected 52 z-base-32 characters or 64 hex digits")]
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
    /// The topic under which whoever has the core is found.
    pub fn topic(&self) -> Topic {
        Topic(self.0)
    }

    /// The discovery key's bytes.
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
        parse(text).map(Self)
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        parse(text).map(Self)
    }
}

fn parse(text: &str) -> Result<[u8; 32], InvalidKey> {
    let bytes = match text.len() {
        52 => z32::decode(text.as_bytes()).ok(),
        64 => hex::decode(text).ok(),
        _ => None,
    };
    // 52 z-base-32 characters carry 260 bits: the four spare ones must be zero, or two texts would name one key.
    let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.get(..32)?).ok());
    key.filter(|key| text.len() == 64 || z32::encode(key) == text)
        .ok_or_else(|| InvalidKey(text.to_owned()))
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
        assert_eq!(key.to_string().parse(), Ok(PublicKey(key.0)));
        assert_eq!(format!("{key:?}"), format!("Key({key})"));
        assert!(key.short().len() == 8 && key.to_string().starts_with(&key.short()));
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
