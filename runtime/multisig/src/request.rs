//! What a signer is asked to sign (npm `hypercore-signing-request` index.js, `Request`).

use std::fmt;
use std::str::FromStr;

use base::wire::{DecodeError, Reader, put_uint};
use hypercore::manifest::Manifest;
use hypercore::{Key, signature};
use hyperdrive::content_manifest;

use crate::text;

/// The newest version of requests and responses.
pub(crate) const VERSION: u64 = 3;
/// The version without a type byte, which `hypercore-sign` 3 reads.
pub(crate) const LEGACY_VERSION: u64 = 2;
const TYPE_REQUEST: u8 = 0;
const FLAG_DRIVE: u64 = 1;

/// The contents core of a drive, as a request states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Length in blocks: what the drive's entries need, which may be less than the core has.
    pub length: u64,
    /// Tree hash at that length.
    pub tree_hash: [u8; 32],
}

/// A request: sign this tree, at this length and fork, for the core of this manifest.
///
/// It names no source: any drive with the same trees will do for the commit.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    version: u64,
    length: u64,
    fork: u64,
    tree_hash: [u8; 32],
    manifest: Manifest,
    content: Option<Content>,
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
    NotASigner(Key),
    /// The manifest is too old to have a contents core.
    #[error("Drive is not compatible, needs v1 manifest")]
    OldManifest,
}

impl From<DecodeError> for RequestError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

impl Request {
    /// A request for `content` and the tree of entries. `legacy` makes version 2, for signers with `hypercore-sign` 3.
    pub fn new(
        manifest: Manifest,
        fork: u64,
        length: u64,
        tree_hash: [u8; 32],
        content: Option<Content>,
        legacy: bool,
    ) -> Self {
        let version = if legacy { LEGACY_VERSION } else { VERSION };
        let mut bytes = Vec::with_capacity(128 + 65 * manifest.signers.len());
        put_uint(&mut bytes, version);
        if !legacy {
            bytes.push(TYPE_REQUEST);
        }
        put_uint(&mut bytes, length);
        put_uint(&mut bytes, fork);
        bytes.extend_from_slice(&tree_hash);
        bytes.extend_from_slice(&manifest.encode());
        put_uint(&mut bytes, content.map_or(0, |_| FLAG_DRIVE));
        if let Some(content) = &content {
            put_uint(&mut bytes, content.length);
            bytes.extend_from_slice(&content.tree_hash);
        }
        Self {
            version,
            length,
            fork,
            tree_hash,
            manifest,
            content,
            bytes,
        }
    }

    /// Reads a request that must fill `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut reader = Reader::new(bytes);
        let version = reader.uint()?;
        if version > VERSION {
            return Err(RequestError::Version(version));
        }
        if version > LEGACY_VERSION {
            let [kind] = reader.fixed()?;
            if kind != TYPE_REQUEST {
                return Err(RequestError::IsResponse);
            }
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
        Ok(Self {
            version,
            length,
            fork,
            tree_hash,
            manifest,
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

    /// Fork that the signatures cover.
    pub fn fork(&self) -> u64 {
        self.fork
    }

    /// Tree hash of the core of entries at that length.
    pub fn tree_hash(&self) -> &[u8; 32] {
        &self.tree_hash
    }

    /// The manifest of the core that is to grow.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The contents core, if this is about a drive.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// Key of the core that is to grow.
    pub fn key(&self) -> Key {
        self.manifest.key()
    }

    /// What responses name the request by: BLAKE2b-256 of its bytes.
    pub fn hash(&self) -> [u8; 32] {
        base::hash::blake2b(&[&self.bytes])
    }

    /// What the holder of `public_key` signs: the tree of entries, and for a drive that of its contents.
    pub fn signables(&self, public_key: &[u8; 32]) -> Result<Vec<Signable>, RequestError> {
        let signer = self
            .manifest
            .signers
            .iter()
            .find(|signer| signer.public_key == *public_key)
            .ok_or(RequestError::NotASigner(Key(*public_key)))?;
        let key = self.key();
        let tree = |context: &[u8; 32], hash: &[u8; 32], length| {
            signature::signable(context, hash, length, self.fork)
        };
        let Some(content) = &self.content else {
            let context = if self.manifest.version == 0 {
                &signer.namespace
            } else {
                &key.0
            };
            return Ok(vec![tree(context, &self.tree_hash, self.length)]);
        };
        let contents = content_manifest(&self.manifest, &key).ok_or(RequestError::OldManifest)?;
        Ok(vec![
            tree(&key.0, &self.tree_hash, self.length),
            tree(&contents.key().0, &content.tree_hash, content.length),
        ])
    }
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
            .field("fork", &self.fork)
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
    use super::*;
    use hypercore::manifest::Signer;
    use proptest::prelude::*;

    fn any_request() -> impl Strategy<Value = Request> {
        let signers = proptest::collection::vec(any::<([u8; 32], [u8; 32])>(), 1..5);
        let content = proptest::option::of((0u64..1 << 40, any::<[u8; 32]>()));
        (
            signers,
            content,
            1u64..1 << 40,
            0u64..9,
            any::<[u8; 32]>(),
            any::<bool>(),
        )
            .prop_map(|(signers, content, length, fork, hash, legacy)| {
                let signer = |(namespace, public_key)| Signer {
                    namespace,
                    public_key,
                };
                let content = content.map(|(length, tree_hash)| Content { length, tree_hash });
                let manifest = Manifest::multi(1, signers.into_iter().map(signer).collect());
                Request::new(manifest, fork, length, hash, content, legacy)
            })
    }

    proptest! {
        #[test]
        fn round_trips(request in any_request()) {
            prop_assert_eq!(Request::decode(request.as_bytes()), Ok(request.clone()));
            prop_assert_eq!(request.to_string().parse(), Ok(request.clone()));
            let mut longer = request.as_bytes().to_vec();
            longer.push(0);
            if request.content().is_some() {
                prop_assert_eq!(Request::decode(&longer), Err(RequestError::Padding));
            }
            for end in 0..request.as_bytes().len() {
                // Version 2 may end after the manifest; it is another request then.
                let cut = Request::decode(&request.as_bytes()[..end]);
                let shorter = cut.as_ref().is_ok_and(|cut| cut.version() == 2 && cut.content().is_none());
                prop_assert!(cut.is_err() || shorter, "cut at {} it still reads as {:?}", end, cut);
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            if let Ok(request) = Request::decode(&bytes) {
                let _ = request.signables(&[0; 32]);
            }
        }
    }

    #[test]
    fn what_is_no_request_is_named() {
        let manifest = Manifest::single([1; 32]);
        let empty = Request::new(manifest.clone(), 0, 0, [2; 32], None, false);
        assert_eq!(Request::decode(empty.as_bytes()), Err(RequestError::Empty));
        let mut request = Request::new(manifest, 0, 5, [2; 32], None, false).bytes;
        assert!(matches!(
            Request::decode(&request).and_then(|request| request.signables(&[9; 32])),
            Err(RequestError::NotASigner(_))
        ));
        request[1] = 1;
        assert_eq!(Request::decode(&request), Err(RequestError::IsResponse));
        request[0] = 4;
        assert_eq!(Request::decode(&request), Err(RequestError::Version(4)));
        assert_eq!("not z32!".parse::<Request>(), Err(RequestError::Text));
    }
}
