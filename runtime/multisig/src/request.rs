//! What a signer is asked to sign (npm `hypercore-signing-request` index.js, `Request`).

use std::fmt;
use std::str::FromStr;

use base::wire::{DecodeError, Reader, Writer};
use hypercore::manifest::Manifest;
use hypercore::{Key, PublicKey, signature};
use hyperdrive::content_manifest;

use crate::text;

/// The newest version of requests and responses.
pub(crate) const VERSION: u64 = 3;
/// The version without a type byte, which `hypercore-sign` 3 reads.
pub(crate) const LEGACY_VERSION: u64 = 2;
const TYPE_REQUEST: u8 = 0;
const FLAG_DRIVE: u64 = 1;
/// The fork of every team's drive: a core that grows by signatures of a quorum is never truncated.
const FORK: u64 = 0;

/// The contents core of a drive, as a request states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Length in blocks: what the drive's entries need, which may be less than the core has.
    pub length: u64,
    /// Tree hash at that length.
    pub tree_hash: [u8; 32],
}

/// A request: sign these two trees, of entries and contents, for the drive of this manifest.
///
/// It names no source: any drive with the same trees will do for the commit.
///
/// Upstream's requests may also be for a single core, for another fork than 0, and for manifests of version 0. None of them
/// can become a release, and the last is a trap: there the requester chooses what the signature holds for, so that two
/// "tests" may be the two halves of a release that nobody looked at. All three are refused when a request is read.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    version: u64,
    length: u64,
    tree_hash: [u8; 32],
    manifest: Manifest,
    contents_key: Key,
    content: Content,
    /// The encoding as it came: responses hash it.
    bytes: Vec<u8>,
}

/// One message that a signer signs: 112 bytes.
pub type Signable = [u8; 112];

/// Not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The text is not z-base-32.
    #[error(
        "Invalid request: it is cut short or no z-base-32 text; pass on all of what `bosc multisig request` printed"
    )]
    Text,
    /// The bytes end too early or hold impossible values.
    #[error(
        "Invalid request: it is cut short or altered; pass on all of what `bosc multisig request` printed"
    )]
    Malformed,
    /// A version that this program does not know.
    #[error("Unknown signing request version: {0}; install a newer bosc")]
    Version(u64),
    /// A response was given in the place of a request.
    #[error("Invalid request: Expected an encoded request, this is a response")]
    IsResponse,
    /// Nothing to sign.
    #[error("Refusing to sign length = 0")]
    Empty,
    /// There is more than a request.
    #[error("Unparsed padding left in request, bailing")]
    Padding,
    /// The signer is not among the manifest's.
    #[error("Public key is not a declared signer for this request: {0} is none of its signers")]
    NotASigner(PublicKey),
    /// The manifest is of version 0: the requester, not the team's key, would say what the signature holds for.
    #[error(
        "Refusing the request: its manifest is of version 0, under which a signature holds for whatever core the requester wrote into it, \
         your team's too; sign nothing of it, ask who sent it, and take requests that `bosc multisig request` made"
    )]
    OldManifest,
    /// The signatures would cover a fork that no team's drive is at.
    #[error(
        "Refusing the request: it is for fork {0}, and a team's drive is always at fork 0; provision the release onto a link that \
         was never truncated (`bosc touch` makes one), and request again from there"
    )]
    Fork(u64),
    /// The request is for a single core.
    #[error(
        "Refusing the request: it is for a core alone, not for a drive, and so for no release; make one with `bosc multisig request`"
    )]
    NotADrive,
}

impl From<DecodeError> for RequestError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

impl Request {
    /// A request for `content` and the tree of entries. `legacy` makes version 2, for signers with `hypercore-sign` 3.
    ///
    /// # Errors
    /// [`RequestError::OldManifest`] for a manifest of version 0, [`RequestError::Empty`] for no entries.
    pub fn new(
        manifest: Manifest,
        length: u64,
        tree_hash: [u8; 32],
        content: Content,
        legacy: bool,
    ) -> Result<Self, RequestError> {
        if length == 0 {
            return Err(RequestError::Empty);
        }
        let contents_key = contents_key(&manifest)?;
        let version = if legacy { LEGACY_VERSION } else { VERSION };
        let mut w = Writer::with_capacity(128 + 65 * manifest.signers.len());
        w.uint(version);
        if !legacy {
            w.u8(TYPE_REQUEST);
        }
        w.uint(length).uint(FORK).raw(&tree_hash).raw(&manifest.encode());
        w.uint(FLAG_DRIVE).uint(content.length).raw(&content.tree_hash);
        Ok(Self {
            version,
            length,
            tree_hash,
            manifest,
            contents_key,
            content,
            bytes: w.finish(),
        })
    }

    /// Reads a request that must fill `bytes`, and refuses one that cannot become a release.
    pub fn decode(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut reader = Reader::new(bytes);
        let version = reader.uint()?;
        if version > VERSION {
            return Err(RequestError::Version(version));
        }
        if version > LEGACY_VERSION && reader.u8()? != TYPE_REQUEST {
            return Err(RequestError::IsResponse);
        }
        let length = reader.uint()?;
        let fork = reader.uint()?;
        let tree_hash = reader.fixed()?;
        let manifest = Manifest::read(&mut reader)?;
        // Old requests may end here.
        let flags = if reader.is_empty() && version <= LEGACY_VERSION {
            0
        } else {
            reader.uint()?
        };
        let content = if flags & FLAG_DRIVE != 0 {
            Some(Content {
                length: reader.uint()?,
                tree_hash: reader.fixed()?,
            })
        } else {
            None
        };
        if length == 0 {
            return Err(RequestError::Empty);
        }
        if !reader.is_empty() {
            return Err(RequestError::Padding);
        }
        let contents_key = contents_key(&manifest)?;
        if fork != FORK {
            return Err(RequestError::Fork(fork));
        }
        let content = content.ok_or(RequestError::NotADrive)?;
        Ok(Self {
            version,
            length,
            tree_hash,
            manifest,
            contents_key,
            content,
            bytes: bytes.to_vec(),
        })
    }

    /// The encoded request.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Format version, 3 or lower.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Length of the core of entries that is to be signed.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Tree hash of the core of entries at that length.
    pub fn tree_hash(&self) -> &[u8; 32] {
        &self.tree_hash
    }

    /// The manifest of the core that is to grow.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The contents core.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Key of the core that is to grow.
    pub fn key(&self) -> Key {
        self.manifest.key()
    }

    /// What responses name the request by: BLAKE2b-256 of its bytes.
    pub fn hash(&self) -> [u8; 32] {
        base::hash::blake2b(&[&self.bytes])
    }

    /// What the holder of `public_key` signs: the tree of entries, then that of the contents.
    pub fn signables(&self, public_key: &PublicKey) -> Result<[Signable; 2], RequestError> {
        let mut signers = self.manifest.signers.iter();
        if !signers.any(|signer| signer.public_key == *public_key) {
            return Err(RequestError::NotASigner(*public_key));
        }
        let Content { length, tree_hash } = &self.content;
        Ok([
            signature::signable(&self.key().0, &self.tree_hash, self.length, FORK),
            signature::signable(&self.contents_key.0, tree_hash, *length, FORK),
        ])
    }
}

/// The key of the contents core that belongs to a drive's manifest.
fn contents_key(manifest: &Manifest) -> Result<Key, RequestError> {
    let contents = content_manifest(manifest, &manifest.key()).ok_or(RequestError::OldManifest)?;
    Ok(contents.key())
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&z32::encode(&self.bytes))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("key", &self.key())
            .field("length", &self.length)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

impl FromStr for Request {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        Self::decode(&text::decode(text.trim()).ok_or(RequestError::Text)?)
    }
}

#[cfg(test)]
mod tests {
    use hypercore::manifest::Signer;
    use proptest::prelude::*;

    use super::*;

    fn any_request() -> impl Strategy<Value = Request> {
        let signers = proptest::collection::vec(any::<([u8; 32], [u8; 32])>(), 1..5);
        let content = (0u64..1 << 40, any::<[u8; 32]>());
        (signers, content, 1u64..1 << 40, any::<[u8; 32]>(), any::<bool>()).prop_map(
            |(signers, (content_length, content_hash), length, hash, legacy)| {
                let signer = |(namespace, public_key)| Signer {
                    namespace,
                    public_key: PublicKey(public_key),
                };
                let content = Content {
                    length: content_length,
                    tree_hash: content_hash,
                };
                let manifest = Manifest::multi(1, signers.into_iter().map(signer).collect());
                Request::new(manifest, length, hash, content, legacy).unwrap()
            },
        )
    }

    const CONTENT: Content = Content {
        length: 4,
        tree_hash: [3; 32],
    };

    /// A request as anybody may write one, whatever it asks.
    fn written(manifest: &Manifest, fork: u64, content: Option<Content>, legacy: bool) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(if legacy { &[2] } else { &[3, 0] }).uint(5).uint(fork);
        w.raw(&[2; 32]).raw(&manifest.encode());
        w.uint(u64::from(content.is_some()));
        if let Some(content) = content {
            w.uint(content.length).raw(&content.tree_hash);
        }
        w.finish()
    }

    proptest! {
        #[test]
        fn round_trips(request in any_request()) {
            prop_assert_eq!(Request::decode(request.as_bytes()), Ok(request.clone()));
            prop_assert_eq!(request.to_string().parse(), Ok(request.clone()));
            let mut longer = request.as_bytes().to_vec();
            longer.push(0);
            prop_assert_eq!(Request::decode(&longer), Err(RequestError::Padding));
            for end in 0..request.as_bytes().len() {
                let cut = Request::decode(&request.as_bytes()[..end]);
                prop_assert!(cut.is_err(), "cut at {} it still reads as {:?}", end, cut);
            }
        }

        #[test]
        fn a_damaged_request_has_another_hash(request in any_request(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = request.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Request::decode(&bytes) {
                prop_assert_eq!(read.hash() == request.hash(), bytes == request.as_bytes());
                prop_assert_eq!(Request::decode(read.as_bytes()), Ok(read));
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            if let Ok(request) = Request::decode(&bytes) {
                let _ = request.signables(&PublicKey([0; 32]));
            }
        }
    }

    #[test]
    fn what_is_no_request_is_named() {
        let manifest = Manifest::single(PublicKey([1; 32]));
        let empty = Request::new(manifest.clone(), 0, [2; 32], CONTENT, false);
        assert_eq!(empty, Err(RequestError::Empty));
        let mut request = written(&manifest, 0, Some(CONTENT), false);
        request[2] = 0;
        assert_eq!(Request::decode(&request), Err(RequestError::Empty));
        request[2] = 5;
        assert!(matches!(
            Request::decode(&request).and_then(|request| request.signables(&PublicKey([9; 32]))),
            Err(RequestError::NotASigner(_))
        ));
        request[1] = 1;
        assert_eq!(Request::decode(&request), Err(RequestError::IsResponse));
        request[0] = 4;
        assert_eq!(Request::decode(&request), Err(RequestError::Version(4)));
        assert_eq!("not z32!".parse::<Request>(), Err(RequestError::Text));
    }

    #[test]
    fn what_can_become_no_release_is_refused_when_it_is_read() {
        let manifest = Manifest::single(PublicKey([1; 32]));
        for legacy in [false, true] {
            for version in 1..=3 {
                let manifest = Manifest {
                    version,
                    ..manifest.clone()
                };
                Request::decode(&written(&manifest, 0, Some(CONTENT), legacy)).unwrap();
            }
            for fork in [1, 2, 1 << 50] {
                let forked = written(&manifest, fork, Some(CONTENT), legacy);
                assert_eq!(Request::decode(&forked), Err(RequestError::Fork(fork)));
            }
            let core = written(&manifest, 0, None, legacy);
            assert_eq!(Request::decode(&core), Err(RequestError::NotADrive));
            for content in [None, Some(CONTENT)] {
                // One signer, and several who may sign shorter trees: two ways to write version 0.
                let mut old = Manifest {
                    version: 0,
                    ..manifest.clone()
                };
                for _ in 0..2 {
                    let request = written(&old, 0, content, legacy);
                    assert_eq!(Request::decode(&request), Err(RequestError::OldManifest));
                    old.signers.extend(old.signers.clone());
                    old.allow_patch = !old.allow_patch;
                }
                assert_eq!(
                    Request::new(old, 5, [2; 32], CONTENT, legacy),
                    Err(RequestError::OldManifest)
                );
            }
        }
        // Version 2 may end after the manifest.
        let mut bare = written(&manifest, 0, None, true);
        bare.pop();
        assert_eq!(Request::decode(&bare), Err(RequestError::NotADrive));
    }
}
