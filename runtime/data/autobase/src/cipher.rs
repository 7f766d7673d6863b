//! How the cores of an encrypted base are encrypted (npm `autobase` lib/encryption.js).
//!
//! A base has one encryption key, which whoever is let in gets with the invite. A core whose manifest is of version 1, which is what
//! every base begins with, is encrypted by hypercore's own scheme: a writer's log under a key from the encryption key and the core's, a view
//! under one from the encryption key, the base's and the view's name. From manifests of version 2 on, keys are made from some entropy as
//! well that the members agree on and may change. Each such block names by a number what it was encrypted under, and its nonce has
//! a keyed hash of the block, so that a block that is undone and written again differently has another one.
//!
//! The core of encryption keys (`_encryption`), which holds the entropies, is not encrypted by any of this.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use base::hash::{blake2b, blake2b_sized_keyed};
use base::lock;
use bytes::Bytes;
use hypercore::Key;
use hypercore::encryption::{BlockCipher, BlockOf, CipherError, DefaultCipher, PADDING, nonce, split, xor};
use hypercore::manifest::Manifest;
use zeroize::Zeroizing;

use crate::constants::{GENESIS_ENTROPY, NS_BLOCK_KEY, NS_HASH_KEY};
use crate::messages::ManifestData;

/// The name of the system core's view.
pub const SYSTEM_VIEW: &str = "_system";
/// The name of the view that holds the entropies.
pub const ENCRYPTION_VIEW: &str = "_encryption";

/// First byte of a block that is stored as it is.
const PLAIN: u8 = 0;
/// First byte of a block under entropy.
const SEALED: u8 = 1;
/// Manifests up to this version mean hypercore's own scheme.
const DEFAULT_SCHEME_UP_TO: u8 = 1;

/// The keys of one base. Cheap to clone; clones share what was learned.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    bootstrap: Key,
    encryption_key: Zeroizing<[u8; 32]>,
    /// By number; number 0 is fixed and not in here. As many as the members agreed on, one by one.
    entropies: Mutex<BTreeMap<u32, Bytes>>,
}

impl Keyring {
    /// The keys of the base `bootstrap` under its encryption key.
    pub fn new(bootstrap: Key, encryption_key: [u8; 32]) -> Self {
        Self(Arc::new(Inner {
            bootstrap,
            encryption_key: Zeroizing::new(encryption_key),
            entropies: Mutex::default(),
        }))
    }

    /// Tells of the entropy in block `id - 1` of the core of encryption keys. What is encrypted from now on is so under the one with the
    /// highest number.
    pub fn learn(&self, id: u32, entropy: Bytes) {
        if id > 0 {
            lock(&self.0.entropies).insert(id, entropy);
        }
    }

    /// Forgets the entropies above `length`: the core of encryption keys was cut.
    pub fn truncate(&self, length: u32) {
        lock(&self.0.entropies).retain(|id, _| *id <= length);
    }

    /// The number of what is encrypted under now.
    pub fn current(&self) -> u32 {
        lock(&self.0.entropies).keys().next_back().copied().unwrap_or(0)
    }

    /// The cipher of a view's core.
    pub fn view(&self, name: &str) -> BaseCipher {
        self.cipher(Role::View(name.as_bytes().to_vec()))
    }

    /// The cipher of writers' logs, the same for all.
    pub fn writer(&self) -> BaseCipher {
        self.cipher(Role::Writer)
    }

    fn cipher(&self, role: Role) -> BaseCipher {
        BaseCipher {
            keys: self.clone(),
            role,
        }
    }

    fn entropy(&self, id: u32) -> Result<Bytes, CipherError> {
        if id == 0 {
            return Ok(Bytes::copy_from_slice(&*GENESIS_ENTROPY));
        }
        let known = lock(&self.0.entropies).get(&id).cloned();
        known.ok_or(CipherError::NoKey { id })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("bootstrap", &self.0.bootstrap)
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
enum Role {
    View(Vec<u8>),
    Writer,
}

/// The cipher of one view, or of all writers.
#[derive(Debug, Clone)]
pub struct BaseCipher {
    keys: Keyring,
    role: Role,
}

/// What blocks under one entropy are encrypted with.
struct BlockKeys {
    block: Zeroizing<[u8; 32]>,
    hash: Zeroizing<[u8; 32]>,
}

impl BaseCipher {
    /// Whether block `index` is encrypted by hypercore's own scheme.
    fn is_default(&self, manifest: &Manifest, index: u64) -> bool {
        if manifest.version <= DEFAULT_SCHEME_UP_TO {
            return true;
        }
        match self.role {
            Role::Writer => false,
            Role::View(_) => data_of(manifest).is_some_and(|data| index < data.legacy_blocks),
        }
    }

    fn default_cipher(&self, core: &Key) -> DefaultCipher {
        let Inner {
            bootstrap,
            encryption_key,
            ..
        } = &*self.keys.0;
        match &self.role {
            Role::View(name) => DefaultCipher::from_block_key(view_key(bootstrap, &encryption_key[..], name)),
            Role::Writer => DefaultCipher::new(encryption_key, core),
        }
    }

    fn keys(&self, core: &Key, manifest: &Manifest, id: u32) -> Result<BlockKeys, CipherError> {
        let entropy = self.keys.entropy(id)?;
        let Inner {
            bootstrap,
            encryption_key,
            ..
        } = &*self.keys.0;
        let block = match &self.role {
            Role::View(name) => view_key(bootstrap, &entropy, name),
            Role::Writer => {
                let namespace = data_of(manifest).and_then(|data| data.namespace);
                let of = namespace.unwrap_or(core.0);
                blake2b(&[&*NS_BLOCK_KEY, &bootstrap.0, &encryption_key[..], &entropy, &of])
            }
        };
        Ok(BlockKeys {
            hash: Zeroizing::new(blake2b(&[&*NS_HASH_KEY, &block])),
            block: Zeroizing::new(block),
        })
    }
}

impl BlockCipher for BaseCipher {
    fn seal(&self, core: BlockOf<'_>, index: u64, fork: u64, plain: &[u8]) -> Result<Vec<u8>, CipherError> {
        let manifest = core.manifest.ok_or(CipherError::NoManifest)?;
        if self.is_default(manifest, index) {
            return Ok(self.default_cipher(core.key).seal_block(index, fork, plain));
        }
        let id = self.keys.current();
        let keys = self.keys(core.key, manifest, id)?;
        let [_, a, b, c, ..] = blake2b_sized_keyed::<16>(&keys.hash, &[plain]);
        let [d, e, f, g] = id.to_le_bytes();
        let head: [u8; PADDING] = [SEALED, a, b, c, d, e, f, g];
        let mut sealed = Vec::with_capacity(PADDING + plain.len());
        sealed.extend_from_slice(&head);
        sealed.extend_from_slice(plain);
        if let Some(body) = sealed.get_mut(PADDING..) {
            xor(&keys.block, &nonce(index, &head), body);
        }
        Ok(sealed)
    }

    fn open(&self, core: BlockOf<'_>, index: u64, sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        let manifest = core.manifest.ok_or(CipherError::NoManifest)?;
        if self.is_default(manifest, index) {
            return self.default_cipher(core.key).open_block(index, sealed);
        }
        let (head, body) = split(sealed)?;
        let [kind, _, _, _, id @ ..] = head;
        let mut plain = body.to_vec();
        match kind {
            PLAIN => {}
            SEALED => {
                let keys = self.keys(core.key, manifest, u32::from_le_bytes(id))?;
                xor(&keys.block, &nonce(index, &head), &mut plain);
            }
            other => return Err(CipherError::UnknownType(other)),
        }
        Ok(plain)
    }
}

fn view_key(bootstrap: &Key, secret: &[u8], name: &[u8]) -> [u8; 32] {
    blake2b(&[&*NS_BLOCK_KEY, &bootstrap.0, secret, name])
}

/// What a manifest says for us; one that cannot be read says nothing.
fn data_of(manifest: &Manifest) -> Option<ManifestData> {
    ManifestData::decode(manifest.user_data.as_deref()?).ok()
}
