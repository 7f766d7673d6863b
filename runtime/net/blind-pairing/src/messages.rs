//! What candidate and member say to each other, in bytes.

use std::fmt;

use base::Key;
use base::wire::{DecodeError, Reader, Writer};

use crate::error::PairingError;

const HAS_ENCRYPTION_KEY: u64 = 1;
const HAS_ADDITIONAL: u64 = 2;

/// What a candidate gets who is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The key of the room.
    pub key: Key,
    /// What the room is read with, where it is encrypted.
    pub encryption_key: Option<[u8; 32]>,
    /// What the maker of the invite adds.
    pub additional: Option<Additional>,
}

/// Data of an invite's maker, see [`crate::Invite::sign`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Additional {
    /// The data.
    pub data: Vec<u8>,
    /// Over it, with the invite's key.
    pub signature: [u8; 64],
}

/// Why a candidate is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// A member said no.
    Rejected,
    /// Somebody else came with the invite.
    Used,
    /// The invite ended.
    Expired,
    /// A newer program's reason.
    Other(u64),
}

impl Denial {
    pub(crate) fn status(self) -> u64 {
        match self {
            Self::Rejected => 1,
            Self::Used => 2,
            Self::Expired => 3,
            // 0 would let the candidate in.
            Self::Other(status) => status.max(1),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected => f.write_str("a member of the room refused"),
            Self::Used => f.write_str("the invite was used by somebody else; ask for another"),
            Self::Expired => f.write_str("the invite has ended; ask for another"),
            Self::Other(status) => write!(
                f,
                "a member of the room refused, for reason {status}, which this program does not know"
            ),
        }
    }
}

/// The inner bytes of an answer.
pub(crate) fn encode_answer(answer: Result<&Grant, Denial>) -> Vec<u8> {
    let mut out = Writer::new();
    let grant = match answer {
        Ok(grant) => grant,
        Err(denial) => {
            out.uint(denial.status());
            return out.finish();
        }
    };
    let flag = |set: bool, flag: u64| if set { flag } else { 0 };
    out.uint(0).uint(
        flag(grant.encryption_key.is_some(), HAS_ENCRYPTION_KEY)
            | flag(grant.additional.is_some(), HAS_ADDITIONAL),
    );
    out.raw(&grant.key.0);
    if let Some(key) = &grant.encryption_key {
        out.raw(key);
    }
    if let Some(additional) = &grant.additional {
        out.buffer(&additional.data).raw(&additional.signature);
    }
    out.finish()
}

pub(crate) fn decode_answer(bytes: &[u8]) -> Result<Grant, PairingError> {
    let mut reader = Reader::new(bytes);
    let denial = match reader.uint()? {
        0 => return Ok(decode_grant(&mut reader)?),
        1 => Denial::Rejected,
        2 => Denial::Used,
        3 => Denial::Expired,
        other => Denial::Other(other),
    };
    Err(PairingError::Denied(denial))
}

fn decode_grant(reader: &mut Reader<'_>) -> Result<Grant, DecodeError> {
    let flags = reader.uint()?;
    let key = Key(reader.fixed()?);
    let mut encryption_key = None;
    if flags & HAS_ENCRYPTION_KEY != 0 {
        encryption_key = Some(reader.fixed()?);
    }
    let mut additional = None;
    if flags & HAS_ADDITIONAL != 0 {
        additional = Some(Additional {
            data: reader.buffer()?.to_vec(),
            signature: reader.fixed()?,
        });
    }
    Ok(Grant {
        key,
        encryption_key,
        additional,
    })
}
