//! The ground floor of the runtime: what a key, a hash, an encoded number and a lock are, once for all crates above.
//!
//! Nothing here waits, opens a socket or a file, or asks a clock.

pub mod hash;
mod key_pair;
mod keys;
mod lock;
pub mod wire;

pub use key_pair::KeyPair;
pub use keys::{DiscoveryKey, InvalidKey, Key};
pub use lock::lock;
