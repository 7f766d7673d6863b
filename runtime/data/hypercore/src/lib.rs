//! Hypercore v11: a signed append-only log of blocks, its BLAKE2b Merkle tree, storage and replication.
//!
//! A [`Core`] is named by a [`Key`]: the hash of its [`manifest::Manifest`], which lists who may sign it. Each block is
//! a leaf of a Merkle tree; the signature covers the tree's roots, so a peer that holds only the key can verify any block
//! it is handed. The formats are those of npm `hypercore` 11.37.1 and `hypercore-crypto`; the storage (one SQLite file
//! for many cores) is ours.
//!
//! Layers, low to high: [`crypto`], [`manifest`] and [`signature`], [`merkle`] (pure tree arithmetic),
//! [`proof`] (what peers ask and answer), [`storage`], [`bitfield`], [`wants`] (what local readers wait for), [`Core`],
//! and [`replication`] on top.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod bitfield;
mod core;
pub mod crypto;
mod error;
pub mod manifest;
pub mod merkle;
pub mod messages;
pub mod proof;
pub mod replication;
pub mod signature;
pub mod storage;
pub mod wants;

pub use base::{DiscoveryKey, InvalidKey, Key, KeyPair};
pub use core::{
    Applied, BlockHealth, Core, CoreEvent, CoreOptions, Download, DownloadRange, GetOptions, MAX_BLOCK,
    PATIENCE, PeerInfo,
};
pub use error::{CoreError, ProofError};
pub use storage::{Storage, StorageError};
