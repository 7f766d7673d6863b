//! What everybody may look at without waiting for the disk: a copy of a core's head and of what it holds, renewed whenever the
//! state behind it was changed.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

use hypercore::bitfield::Bitfield;
use hypercore::manifest::Manifest;
use hypercore::replication::Head;
use hypercore::{Key, KeyPair};

use super::shared::{Shared, State};
use crate::storage::lock;

/// The copy. Its lock is held for moments only, never over IO.
#[derive(Default)]
pub(crate) struct Front {
    pub(crate) head: Head,
    pub(crate) byte_length: u64,
    pub(crate) bitfield: Bitfield,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) key_pair: Option<KeyPair>,
}

impl Front {
    /// Takes over the state; true if the head changed.
    pub(crate) fn renew(&mut self, key: &Key, state: &mut State) -> bool {
        if self.manifest != state.manifest {
            self.manifest.clone_from(&state.manifest);
        }
        if self.key_pair.is_none() {
            self.key_pair.clone_from(&state.key_pair);
        }
        self.bitfield.clone_from(&state.bitfield);
        self.byte_length = state.tree.byte_length;
        let manifest = self.manifest.as_ref();
        let head = Head {
            fork: state.tree.fork,
            length: state.tree.length,
            contiguous: state.contiguous(),
            knows_manifest: manifest.is_some(),
            has_manifest: manifest.is_some_and(|manifest| !manifest.is_compat(key)),
        };
        std::mem::replace(&mut self.head, head) != head
    }
}

/// The state behind its lock, which is taken by [`Shared::state`] alone, so that no change misses the front.
pub(super) struct Guarded(Mutex<State>);

impl Guarded {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }
}

/// The state of a core, to be changed by whoever may wait for the disk. The front is renewed when it is given back.
pub(crate) struct StateGuard<'a> {
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    touched: bool,
}

impl Shared {
    /// Waits for the state; it may be held by others while they read or write the disk.
    pub(crate) fn state(&self) -> StateGuard<'_> {
        StateGuard {
            shared: self,
            state: lock(&self.state.0),
            touched: false,
        }
    }
}

impl Deref for StateGuard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for StateGuard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.touched = true;
        &mut self.state
    }
}

impl Drop for StateGuard<'_> {
    fn drop(&mut self) {
        if self.touched {
            let news = lock(&self.shared.front).renew(&self.shared.key, &mut self.state);
            if news {
                self.shared.wake();
            }
        }
    }
}
