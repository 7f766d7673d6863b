//! Blind pairing: invites to a room, what a candidate asks with one, and what a member answers; as npm `blind-pairing-core` 2 has them.
//! Bytes in, bytes out: how they travel is for others.
//!
//! An [`Invite`] holds the seed of a key pair. Members keep its public key and its id; who holds the invite shows that by a signature,
//! inside a message that only who knows the public key can open.
//!
//! ```
//! use base::Key;
//! use blind_pairing::{Candidate, Grant, Invite, Request};
//!
//! let room = Key([7; 32]);
//! let invite = Invite::new(room.discovery_key());
//!
//! // The candidate, who was given the text of the invite, asks for what the room is read with.
//! let invited: Invite = invite.text().parse()?;
//! let candidate = Candidate::new(&invited, b"the candidate's core")?;
//!
//! // A member finds the invite by its id, and answers.
//! let request = Request::decode(&candidate.request())?;
//! assert_eq!(request.invite_id, invite.id());
//! let opened = request.open(&invite.public_key())?;
//! assert_eq!(opened.user_data, b"the candidate's core");
//! let answer = opened.confirm(&Grant { key: room, encryption_key: Some([9; 32]), additional: None });
//!
//! let grant = candidate.open_response(&answer)?;
//! assert_eq!(grant.key, room);
//! # Ok::<(), blind_pairing::PairingError>(())
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod candidate;
mod error;
mod invite;
mod member;
mod messages;
mod receipt;
mod seal;

pub use candidate::Candidate;
pub use error::PairingError;
pub use invite::{Invite, InviteId};
pub use member::{Opened, Request};
pub use messages::{Additional, Denial, Grant};
pub use receipt::Receipt;
