//! Releases that a quorum signs: the core of a team grows only by what enough of its signers approved.
//!
//! - [`Team`]: who signs, and the link that follows from it;
//! - [`Request`] and [`Response`]: what a signer is asked, and the answer;
//! - [`EncryptedKey`] and [`KeyRing`]: a signer's secret, under a passphrase, in files that `pear` and `hypercore-sign` read;
//! - [`Ballot`]: responses counted and assembled into the signatures of a drive's two cores;
//! - [`Release`]: one version of a source drive against what the team's drive holds: guards, changes, commit.
//!
//! Formats: npm `hyper-multisig` 2, `hypercore-signing-request` 5, `hypercore-sign-lib` 1. No sockets here: guards look at the
//! peers that the cores have.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod ballot;
mod error;
mod guard;
mod key_ring;
mod release;
mod request;
mod response;
mod secret_key;
mod team;
mod text;

pub use ballot::{Ballot, CoreSignatures};
pub use error::{MultisigError, Part};
pub use guard::{Holder, MIN_PEERS, Patience, holders};
pub use key_ring::{KeyFiles, KeyName, KeyRing, KeyRingError, NamedKey, decode_public_key};
pub use release::{Changes, Committed, FileChange, Release, Versions};
pub use request::{Content, Request, RequestError, Signable};
pub use response::{Response, ResponseError};
pub use secret_key::{EncryptedKey, SecretKeyError};
pub use team::{Team, TeamError};
