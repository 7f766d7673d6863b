//! A writable bee in memory.

use corestore::{Corestore, GetOptions};
use hyperbee::{Bee, Metadata};

/// An empty bee that this process may write to.
pub(crate) fn memory_bee(name: &str) -> Bee {
    let store = Corestore::in_memory().expect("a store in memory");
    let key_pair = store.create_key_pair(name).expect("a key pair");
    let core = store
        .get(GetOptions {
            key_pair: Some(key_pair),
            ..GetOptions::default()
        })
        .expect("a core");
    Bee::new(core, Metadata::default())
}
