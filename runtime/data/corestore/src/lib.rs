//! Corestore: many named cores in one storage folder, replicated over one connection.
//!
//! A [`Corestore`] is one folder with one SQLite file. It holds a primary key, from which the key pairs of named cores
//! are derived as npm `corestore` 7 does, and every core that was ever opened in it.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod error;
mod store;

pub use core_store::replication::Replication;
pub use core_store::replication::uplink::SharedUplink;
pub use core_store::storage::FindingPeers;
pub use error::CorestoreError;
pub use store::{Corestore, GetOptions, WriterLock};
