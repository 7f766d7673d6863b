//! Drives in memory and trees of files.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use core_store::Core;
use corestore::{Corestore, GetOptions};
use hyperdrive::{Drive, Hyperdrive, MirrorOptions, mirror};

/// A store in memory.
pub(crate) fn memory_store() -> Corestore {
    Corestore::in_memory().expect("a store in memory")
}

/// An empty drive that this process may write to.
pub(crate) async fn memory_drive(name: &str) -> Hyperdrive {
    Hyperdrive::create(&memory_store(), name).await.expect("a drive")
}

/// An empty core that this process may write to.
pub(crate) fn memory_core(store: &Corestore, name: &str) -> Core {
    let key_pair = store.create_key_pair(name).expect("a key pair");
    store
        .get(GetOptions {
            key_pair: Some(key_pair),
            ..GetOptions::default()
        })
        .expect("a core")
}

/// Everything that counts about an entry: executable, link, content.
pub(crate) type Contents = BTreeMap<String, (bool, Option<String>, Vec<u8>)>;

/// All of a drive.
pub(crate) async fn contents(drive: &dyn Drive) -> Contents {
    let mut all = Contents::new();
    for entry in drive.list("/").await.expect("list") {
        let bytes = match entry.linkname {
            Some(_) => Vec::new(),
            None => drive
                .get(&entry.key)
                .await
                .expect("get")
                .expect("content")
                .to_vec(),
        };
        all.insert(entry.key, (entry.executable, entry.linkname, bytes));
    }
    all
}

/// Mirrors and returns how many paths changed.
pub(crate) async fn sync(src: &dyn Drive, dst: &dyn Drive, options: MirrorOptions) -> u64 {
    let totals = mirror(src, dst, options).finish().await.expect("mirror");
    totals.add + totals.change + totals.remove
}

/// Bytes that look random and never change.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}
