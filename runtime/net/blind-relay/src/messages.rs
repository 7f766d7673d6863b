//! The two messages of the protocol (npm blind-relay index.js): each begins with a byte of flags.

use base::wire::{DecodeError, Reader, Writer};

/// The name of the protocol's channel.
pub const PROTOCOL: &str = "blind-relay";
/// Message types on the channel.
pub(crate) const PAIR: u64 = 0;
pub(crate) const UNPAIR: u64 = 1;
/// A flag: the sender is the one of the two whose relay it is.
const INITIATOR: u8 = 1;

/// Names a pair; the two agreed on it when they shook hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; 32]);

/// To the relay: pair me. From it: you are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Which of the two asks or is told.
    pub is_initiator: bool,
    /// The pair.
    pub token: Token,
    /// To the relay: the stream id that packets for the sender carry. From it: the one that packets for the relay are to carry.
    pub id: u64,
    /// The first sequence number: 0.
    pub seq: u64,
}

/// To the relay: not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpair {
    /// The pair.
    pub token: Token,
}

/// The flags are a bit field of npm compact-encoding-bitfield: one byte, or one that says how many follow.
fn flags(r: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let first = r.u8()?;
    let more = match first {
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
        _ => return Ok(first),
    };
    Ok(r.raw(more)?.first().copied().unwrap_or_default())
}

impl Pair {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(if self.is_initiator { INITIATOR } else { 0 })
            .raw(&self.token.0)
            .uint(self.id)
            .uint(self.seq);
        w.finish()
    }

    /// Parses the bytes.
    ///
    /// # Errors
    /// If they end too early.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        Ok(Self {
            is_initiator: flags(&mut r)? & INITIATOR != 0,
            token: Token(r.fixed()?),
            id: r.uint()?,
            seq: r.uint()?,
        })
    }
}

impl Unpair {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(0).raw(&self.token.0);
        w.finish()
    }

    /// Parses the bytes.
    ///
    /// # Errors
    /// If they end too early.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        flags(&mut r)?;
        Ok(Self {
            token: Token(r.fixed()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_npm() {
        let recorded = include_str!("../../../../tests/vectors/blind-relay/messages.json");
        let recorded: serde_json::Value = serde_json::from_str(recorded).unwrap();
        let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
        let pairs = recorded["pair"].as_array().unwrap();
        assert!(pairs.len() >= 3);
        for vector in pairs {
            let pair = Pair {
                is_initiator: vector["isInitiator"].as_bool().unwrap(),
                token: Token(bytes(&vector["token"]).try_into().unwrap()),
                id: vector["id"].as_u64().unwrap(),
                seq: vector["seq"].as_u64().unwrap(),
            };
            assert_eq!(pair.encode(), bytes(&vector["wire"]));
            assert_eq!(Pair::decode(&bytes(&vector["wire"])).unwrap(), pair);
        }
        let unpair = &recorded["unpair"];
        let token = Token(bytes(&unpair["token"]).try_into().unwrap());
        assert_eq!(Unpair { token }.encode(), bytes(&unpair["wire"]));
        assert_eq!(Unpair::decode(&bytes(&unpair["wire"])).unwrap(), Unpair { token });
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_message(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(pair) = Pair::decode(&bytes) {
                prop_assert_eq!(Pair::decode(&pair.encode()).unwrap(), pair);
            }
            let _ = Unpair::decode(&bytes);
        }
    }
}
