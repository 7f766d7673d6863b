//! Manifests: who may sign a core. A core's key is the hash of its manifest.
//!
//! Format: npm `hypercore` lib/messages.js (`manifest`, versions 0 to 3) and lib/verifier.js (`manifestHash`).

use base::wire::{DecodeError, Reader, Writer};

use crate::crypto;
use crate::{Key, PublicKey};

/// One of the keys that may sign. Ed25519 is the only signature scheme there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Domain of the signature; only version 0 manifests sign over it.
    pub namespace: [u8; 32],
    /// Whose signatures they are.
    pub public_key: PublicKey,
}

/// A prefix of the core that is fixed by its tree hash instead of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prologue {
    /// Tree hash at `length`.
    pub hash: [u8; 32],
    /// Length in blocks.
    pub length: u64,
}

/// Who may sign a core, and how many of them must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Format version, 0 to 3.
    pub version: u8,
    /// Whether a signer may have signed a shorter tree, with a patch up to the full one.
    pub allow_patch: bool,
    /// How many signatures are needed.
    pub quorum: u64,
    /// The signers, in the order that the key depends on.
    pub signers: Vec<Signer>,
    /// Fixed prefix, if any.
    pub prologue: Option<Prologue>,
    /// Keys of linked cores (version 2 and up).
    pub linked: Option<Vec<[u8; 32]>>,
    /// Free bytes (version 2 and up).
    pub user_data: Option<Vec<u8>>,
}

const PATCH: u64 = 1;
const PROLOGUE: u64 = 2;
const LINKED: u64 = 4;
const USER_DATA: u64 = 8;
/// The only hash there is.
const BLAKE2B: u64 = 0;
/// The only signature scheme there is.
const ED25519: u64 = 0;
/// Encoded size of one signer: scheme, namespace, public key.
const SIGNER_SIZE: usize = 65;

impl Manifest {
    /// The manifest of a core with one signer and the default namespace, as `touch` makes it.
    pub fn single(public_key: PublicKey) -> Self {
        Self::multi(
            1,
            vec![Signer {
                namespace: *crypto::DEFAULT_NAMESPACE,
                public_key,
            }],
        )
    }

    /// A version 1 manifest of `quorum` out of `signers`.
    pub fn multi(quorum: u64, signers: Vec<Signer>) -> Self {
        Self {
            version: 1,
            allow_patch: false,
            quorum,
            signers,
            prologue: None,
            linked: None,
            user_data: None,
        }
    }

    /// The core's key.
    pub fn key(&self) -> Key {
        Key(base::hash::blake2b(&[&*crypto::MANIFEST, &self.encode()]))
    }

    /// Whether this manifest belongs to `key`: by hash, or, for old compat cores, because the key is the signer's.
    pub fn belongs_to(&self, key: &Key) -> bool {
        self.key() == *key || self.is_compat(key)
    }

    /// Whether `key` is the single signer's public key itself (cores older than manifests).
    pub fn is_compat(&self, key: &Key) -> bool {
        matches!(self.signers.as_slice(), [signer] if signer.public_key.0 == key.0)
    }

    /// The encoded manifest.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(8 + SIGNER_SIZE * self.signers.len());
        w.uint(u64::from(self.version));
        if self.version == 0 {
            self.encode_v0(&mut w);
            return w.finish();
        }
        let mut flags = 0;
        flags |= if self.allow_patch { PATCH } else { 0 };
        flags |= if self.prologue.is_some() { PROLOGUE } else { 0 };
        flags |= if self.linked.is_some() { LINKED } else { 0 };
        flags |= if self.user_data.is_some() { USER_DATA } else { 0 };
        w.uint(flags).uint(BLAKE2B).uint(self.quorum);
        w.list(&self.signers, put_signer);
        if let Some(prologue) = &self.prologue {
            w.raw(&prologue.hash).uint(prologue.length);
        }
        if let Some(linked) = &self.linked {
            w.list(linked, |w, key| w.raw(key));
        }
        if let Some(user_data) = &self.user_data {
            w.buffer(user_data);
        }
        w.finish()
    }

    fn encode_v0(&self, w: &mut Writer) {
        w.uint(BLAKE2B);
        match (&self.prologue, self.signers.as_slice()) {
            (Some(prologue), []) => w.uint(0).raw(&prologue.hash),
            (_, [signer]) if self.quorum == 1 && !self.allow_patch => put_signer(w.uint(1), signer),
            (_, signers) => w
                .uint(2)
                .uint(u64::from(self.allow_patch))
                .uint(self.quorum)
                .list(signers, put_signer),
        };
    }

    /// Reads a manifest that must fill `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let manifest = Self::read(&mut reader)?;
        if reader.is_empty() {
            Ok(manifest)
        } else {
            Err(DecodeError)
        }
    }

    /// Reads a manifest from the middle of a message.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.uint()?;
        let manifest = match version {
            0 => Self::read_v0(reader)?,
            1..=3 => {
                let flags = reader.uint()?;
                read_exactly(reader, BLAKE2B)?;
                let quorum = reader.uint()?;
                let signers = read_signers(reader)?;
                let prologue = if flags & PROLOGUE != 0 {
                    Some(Prologue {
                        hash: reader.fixed()?,
                        length: reader.uint()?,
                    })
                } else {
                    None
                };
                let linked = if flags & LINKED != 0 {
                    Some(reader.list(32, Reader::fixed)?)
                } else {
                    None
                };
                let user_data = if flags & USER_DATA != 0 {
                    Some(reader.buffer()?.to_vec())
                } else {
                    None
                };
                let version = version as u8; // 1 to 3, matched above
                Self {
                    version,
                    allow_patch: flags & PATCH != 0,
                    quorum,
                    signers,
                    prologue,
                    linked,
                    user_data,
                }
            }
            _ => return Err(DecodeError),
        };
        if manifest.quorum > manifest.signers.len() as u64 {
            Err(DecodeError)
        } else {
            Ok(manifest)
        }
    }

    fn read_v0(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_exactly(reader, BLAKE2B)?;
        let mut manifest = Self {
            version: 0,
            ..Self::multi(0, Vec::new())
        };
        match reader.uint()? {
            0 => {
                manifest.prologue = Some(Prologue {
                    hash: reader.fixed()?,
                    length: 0,
                })
            }
            1 => {
                manifest.quorum = 1;
                manifest.signers = vec![read_signer(reader)?];
            }
            2 => {
                manifest.allow_patch = reader.uint()? & 1 != 0;
                manifest.quorum = reader.uint()?;
                manifest.signers = read_signers(reader)?;
            }
            _ => return Err(DecodeError),
        }
        Ok(manifest)
    }
}

fn put_signer<'a>(w: &'a mut Writer, signer: &Signer) -> &'a mut Writer {
    w.uint(ED25519).raw(&signer.namespace).raw(&signer.public_key.0)
}

fn read_exactly(reader: &mut Reader<'_>, only: u64) -> Result<(), DecodeError> {
    if reader.uint()? == only {
        Ok(())
    } else {
        Err(DecodeError)
    }
}

fn read_signer(reader: &mut Reader<'_>) -> Result<Signer, DecodeError> {
    read_exactly(reader, ED25519)?;
    Ok(Signer {
        namespace: reader.fixed()?,
        public_key: PublicKey(reader.fixed()?),
    })
}

fn read_signers(reader: &mut Reader<'_>) -> Result<Vec<Signer>, DecodeError> {
    reader.list(SIGNER_SIZE, read_signer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::KeyPair;

    fn team(order: [u8; 3]) -> Manifest {
        let namespace = base::hash::blake2b(&[b"my-org/my-app"]);
        let signer = |seed| Signer {
            namespace,
            public_key: KeyPair::from_seed([seed; 32]).public_key,
        };
        Manifest::multi(2, order.map(signer).to_vec())
    }

    #[test]
    fn multisig_links_are_upstreams() {
        let manifest = team([1, 2, 3]);
        assert_eq!(
            hex::encode(manifest.signers[0].namespace),
            "7d4baa0027cd9ab542659ab85977ccf77df01fbc4b8e6528b724aa2bbf2fccb0"
        );
        assert_eq!(manifest.encode().len(), 200);
        assert_eq!(
            manifest.key().to_string(),
            "ipn81s3nung689qb91wyy74y8pz1iecakz5uzp3td1x7cqjz9ogy"
        );
        assert_eq!(
            team([2, 1, 3]).key().to_string(),
            "h6w4sf5m5z3ne18h3ftqhm737ouis7xozzcagm8g54dbiejqshey"
        );
    }

    #[test]
    fn a_touched_link_is_upstreams() {
        let manifest = Manifest::single(KeyPair::from_seed([1; 32]).public_key);
        assert_eq!(
            manifest.key().to_string(),
            "5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y"
        );
    }

    #[test]
    fn a_quorum_above_the_signers_is_refused() {
        let mut manifest = team([1, 2, 3]);
        manifest.quorum = 4;
        assert!(Manifest::decode(&manifest.encode()).is_err());
    }

    fn any_manifest() -> impl Strategy<Value = Manifest> {
        let signer = any::<([u8; 32], [u8; 32])>().prop_map(|(namespace, public_key)| Signer {
            namespace,
            public_key: PublicKey(public_key),
        });
        let extras = (
            proptest::option::of((any::<[u8; 32]>(), 0u64..1 << 40)),
            proptest::option::of(proptest::collection::vec(any::<[u8; 32]>(), 0..3)),
            proptest::option::of(any::<Vec<u8>>()),
        );
        (
            1u8..=3,
            any::<bool>(),
            proptest::collection::vec(signer, 0..5),
            extras,
        )
            .prop_map(
                |(version, allow_patch, signers, (prologue, linked, user_data))| Manifest {
                    version,
                    allow_patch,
                    quorum: signers.len() as u64,
                    signers,
                    prologue: prologue.map(|(hash, length)| Prologue { hash, length }),
                    linked,
                    user_data,
                },
            )
    }

    proptest! {
        #[test]
        fn round_trips(manifest in any_manifest()) {
            prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        }

        #[test]
        fn a_damaged_one_is_refused_or_has_another_key(manifest in any_manifest(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = manifest.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Manifest::decode(&bytes) {
                prop_assert_eq!(read == manifest, read.key() == manifest.key());
                prop_assert_eq!(Manifest::decode(&read.encode()), Ok(read));
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            if let Ok(manifest) = Manifest::decode(&bytes) {
                let _ = manifest.key();
            }
        }
    }

    #[test]
    fn version_zero_round_trips() {
        for quorum in [1, 2] {
            let mut manifest = team([1, 2, 3]);
            manifest.version = 0;
            manifest.quorum = quorum;
            manifest.signers.truncate(quorum as usize);
            assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        }
    }
}
