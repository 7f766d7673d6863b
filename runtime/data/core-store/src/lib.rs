//! Where cores live: one SQLite file for many of them, and the driver that replicates them over connections.
//!
//! [`hypercore`] says what a core is and how peers speak of it, without a disk, a socket or a clock; this crate has all three.
//! A [`Core`] is a handle; everything that reads or writes the disk may wait, so it belongs on a thread that may. What a core
//! looks like from outside (its head, which blocks are stored) is answered at once from a copy in memory.
//!
//! Layers, low to high: [`storage`] (rows), `core` (one core: append, read, verify, heal), [`replication`] (connections).

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod core;
mod counters;
mod error;
mod hunger;
pub mod replication;
pub mod storage;

pub use core::{
    Applied, BlockHealth, Core, CoreEvent, CoreOptions, Download, DownloadRange, GetOptions, MAX_BLOCK,
    PATIENCE,
};

pub use counters::Stats;
pub use error::{CoreError, ProofError};
pub use storage::{Storage, StorageError};
