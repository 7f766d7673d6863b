//! The ground floor of the runtime: what a key, a hash, an encoded number and a lock are, once for all crates above, and how a program
//! keeps its heap.
//!
//! Nothing here waits, opens a socket or a file, or asks a clock.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod hash;
pub mod heap;
mod key_pair;
mod keys;
mod lock;
pub mod wire;

pub use key_pair::KeyPair;
pub use keys::{DiscoveryKey, InvalidKey, Key, PublicKey, Topic};
pub use lock::lock;
