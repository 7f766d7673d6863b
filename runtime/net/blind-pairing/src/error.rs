//! Why two do not come together.

use crate::messages::Denial;

/// An invite, a request or an answer is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingError {
    /// The text is no invite.
    #[error("this is no invite: {0}; copy all of it, and nothing else")]
    Invite(&'static str),
    /// The invite was made by a newer program.
    #[error("the invite is of version {0}, which is newer than this program; update the app")]
    InviteVersion(u64),
    /// The invite does not say which room it is for.
    #[error("the invite does not say which room it is for; ask for another")]
    NoRoom,
    /// The bytes are no message of the protocol.
    #[error("malformed or truncated message")]
    Malformed,
    /// It was not made with that invite, or changed on its way.
    #[error("the message was not made with this invite")]
    NotOfInvite,
    /// Members refuse.
    #[error("{0}")]
    Denied(Denial),
    /// The answer leads to another room than the invite.
    #[error("the answer is for another room than the invite")]
    OtherRoom,
    /// What the maker of the invite was to have signed was not signed by them.
    #[error("what came with the answer was not signed by who made the invite")]
    Additional,
}

impl From<base::wire::DecodeError> for PairingError {
    fn from(_: base::wire::DecodeError) -> Self {
        Self::Malformed
    }
}
