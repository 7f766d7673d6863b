//! Which cores the views of a base are (npm `autobase` lib/store.js): each is signed by the indexers, so that with every change of those
//! it becomes another core, whose first blocks are those that stood in the last one.

use base::hash::blake2b;
use hypercore::Key;
use hypercore::manifest::{Manifest, Prologue, Signer};

use crate::cipher::{ENCRYPTION_VIEW, SYSTEM_VIEW};
use crate::constants::{DEFAULT_MANIFEST_VERSION, NS_SIGNER};

/// The version of how views are derived; hashed into each of them.
const INDEX_VERSION: u8 = 1;

/// What all views of a base have in common.
#[derive(Debug, Clone)]
pub struct ViewKeys {
    bootstrap: Key,
    encryption_id: [u8; 32],
}

/// The indexers that sign views, and what those are made from besides.
#[derive(Debug, Clone)]
pub struct Signers<'a> {
    /// The manifests of the indexers' logs, in the order of the system core's list; none before there is any indexer.
    pub manifests: &'a [Manifest],
    /// What was agreed on (version 2 of the system core); `None`: the first indexer's namespace.
    pub entropy: Option<[u8; 32]>,
    /// The version that views' manifests have.
    pub version: u8,
}

impl<'a> Signers<'a> {
    /// Of a base whose system core is of version 1, as every base begins.
    pub fn first(manifests: &'a [Manifest]) -> Self {
        Self {
            manifests,
            entropy: None,
            version: DEFAULT_MANIFEST_VERSION,
        }
    }

    /// One signer of each log.
    fn all(&self) -> impl Iterator<Item = &Signer> {
        self.manifests
            .iter()
            .filter_map(|manifest| manifest.signers.first())
    }
}

impl ViewKeys {
    /// For the base `bootstrap`, and its encryption key if it has one.
    pub fn new(bootstrap: Key, encryption_key: Option<&[u8; 32]>) -> Self {
        let encryption_key = encryption_key.map_or(&[][..], |key| &key[..]);
        Self {
            bootstrap,
            encryption_id: blake2b(&[encryption_key]),
        }
    }

    /// The signer namespace of a view.
    fn namespace(&self, name: &str, entropy: &[u8; 32]) -> [u8; 32] {
        blake2b(&[
            &*NS_SIGNER,
            &[INDEX_VERSION],
            &self.bootstrap.0,
            &self.encryption_id,
            entropy,
            name.as_bytes(),
        ])
    }

    /// The manifest of a view that begins with the blocks of `prologue`, which an empty one has none of.
    pub fn manifest(
        &self,
        signers: &Signers<'_>,
        name: &str,
        prologue: Option<Prologue>,
        linked: &[Key],
        user_data: Option<Vec<u8>>,
    ) -> Manifest {
        let first = signers.all().next().map(|signer| signer.namespace);
        let all: Vec<Signer> = match signers.entropy.or(first) {
            None => Vec::new(),
            Some(entropy) => {
                let namespace = self.namespace(name, &entropy);
                let signer = |signer: &Signer| Signer {
                    namespace,
                    public_key: signer.public_key,
                };
                signers.all().map(signer).collect()
            }
        };
        let prologue = if all.is_empty() {
            // Nobody signs it; it is but a name until there is an indexer.
            Some(Prologue {
                hash: blake2b(&[&self.bootstrap.0, name.as_bytes()]),
                length: 0,
            })
        } else {
            prologue.filter(|prologue| prologue.length > 0)
        };
        let count = all.len() as u64;
        Manifest {
            version: signers.version,
            allow_patch: true,
            quorum: count.min(count / 2 + 1),
            signers: all,
            prologue,
            linked: (signers.version > 1).then(|| linked.iter().map(|key| key.0).collect()),
            user_data,
        }
    }

    /// The manifest of the system core. From version 2 on it names the core of encryption keys, of which `encryption` are the first blocks.
    pub fn system(
        &self,
        signers: &Signers<'_>,
        prologue: Option<Prologue>,
        encryption: Option<Prologue>,
        user_data: Option<Vec<u8>>,
    ) -> Manifest {
        let linked = (signers.version > 1).then(|| {
            self.manifest(signers, ENCRYPTION_VIEW, encryption, &[], user_data.clone())
                .key()
        });
        self.manifest(signers, SYSTEM_VIEW, prologue, linked.as_slice(), user_data)
    }
}
