//! Blind relaying (npm `blind-relay` 1.6): two peers that cannot reach each other both connect to a third, name the same token, and
//! it passes their UDX packets on. What it passes is encrypted between the two: it learns who they are to it, when and how much.
//!
//! [`pair`] is what either of the two does; [`Server`] is the third. Each has one Protomux channel `blind-relay` on its connection, whose
//! id is the public key of the one that asks.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod client;
mod messages;
mod pairings;
mod server;

pub use client::{PairError, Paired, Request, pair};
pub use messages::{PROTOCOL, Pair, Token, Unpair};
pub use server::{Limits, Server, Status};
