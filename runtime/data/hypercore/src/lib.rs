//! Hypercore v11: a signed append-only log of blocks, its BLAKE2b Merkle tree, and the protocol that replicates it.
//!
//! A core is named by a [`Key`]: the hash of its [`manifest::Manifest`], which lists who may sign it. Each block is a leaf of
//! a Merkle tree; the signature covers the tree's roots, so a peer that holds only the key can verify any block it is
//! handed. The formats are those of npm `hypercore` 11.37.1 and `hypercore-crypto`.
//!
//! There is no IO here: no disk, no socket, no clock, no task. Where cores are kept and how they reach connections is the
//! business of `core-store`.
//!
//! Layers, low to high: [`crypto`], [`manifest`] and [`signature`], [`encryption`] (blocks that only some may read), [`merkle`] (pure tree arithmetic), [`proof`] (what peers
//! ask and answer), [`messages`], [`bitfield`], [`wants`] (what local readers wait for), and [`replication`] on top.

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
pub mod crypto;
pub mod encryption;
pub mod manifest;
pub mod merkle;
pub mod messages;
pub mod proof;
pub mod replication;
pub mod signature;
pub mod wants;

pub use base::{DiscoveryKey, InvalidKey, Key, KeyPair, PublicKey};
pub use replication::PeerInfo;
