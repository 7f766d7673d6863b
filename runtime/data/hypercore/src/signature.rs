//! Making and checking the signature over a tree, for one signer or a quorum.
//!
//! Formats: npm `hypercore` lib/caps.js (`treeSignable`, `treeSignableCompat`), lib/messages.js (`multiSignature`,
//! `multiSignaturev0`), rules: lib/verifier.js.

use base::wire::{DecodeError, Reader, Writer};

use crate::manifest::Manifest;
use crate::merkle::{Batch, Node, read_nodes, write_nodes};
use crate::{Key, KeyPair, crypto};

/// One signer's part of a multi-signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialSignature {
    /// Index into the manifest's signers.
    pub signer: u64,
    /// Ed25519 signature.
    pub signature: [u8; 64],
    /// How many blocks shorter the signed tree was (0: the full tree).
    pub patch: u64,
}

/// The 112 bytes that a signature covers: `TREE ‖ context ‖ tree hash ‖ length ‖ fork`, integers little-endian.
/// The context is the core's key, or for version 0 manifests the signer's namespace.
pub fn signable(context: &[u8; 32], tree_hash: &[u8; 32], length: u64, fork: u64) -> [u8; 112] {
    let mut out = [0; 112];
    let parts: [&[u8]; 5] = [
        &*crypto::TREE,
        context,
        tree_hash,
        &length.to_le_bytes(),
        &fork.to_le_bytes(),
    ];
    for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    out
}

/// What cores older than manifests sign: the same without a context.
pub fn signable_compat(tree_hash: &[u8; 32], length: u64, fork: u64) -> Vec<u8> {
    [
        &crypto::TREE[..],
        tree_hash,
        &length.to_le_bytes(),
        &fork.to_le_bytes(),
    ]
    .concat()
}

/// Encodes a multi-signature (version 1 and up) without patch nodes.
pub fn assemble(proofs: &[PartialSignature]) -> Vec<u8> {
    let mut w = Writer::with_capacity(3 + proofs.len() * 67);
    w.list(proofs, |w, proof| {
        w.uint(proof.signer).raw(&proof.signature).uint(proof.patch)
    });
    write_nodes(&mut w, &[]);
    w.finish()
}

/// Decodes a multi-signature: its proofs and the nodes that patches refer to.
pub fn inflate(bytes: &[u8]) -> Result<(Vec<PartialSignature>, Vec<Node>), DecodeError> {
    let mut reader = Reader::new(bytes);
    let proofs = reader.list(66, |reader| {
        Ok(PartialSignature {
            signer: reader.uint()?,
            signature: reader.fixed()?,
            patch: reader.uint()?,
        })
    })?;
    Ok((proofs, read_nodes(&mut reader)?))
}

/// Decodes the version 0 form: flags come first, and each proof carries its own patch as indices into the shared nodes.
/// The indices only compress; which nodes a patch needs follows from its length.
fn inflate_v0(bytes: &[u8]) -> Result<(Vec<PartialSignature>, Vec<Node>), DecodeError> {
    let mut reader = Reader::new(bytes);
    let proofs = reader.list(66, |reader| {
        let has_patch = reader.uint()? & 1 != 0;
        let signer = reader.uint()?;
        let signature = reader.fixed()?;
        let mut patch = 0;
        if has_patch {
            reader.uint()?;
            patch = reader.uint()?;
            reader.list(1, |reader| reader.uint().map(|_| ()))?;
        }
        Ok(PartialSignature {
            signer,
            signature,
            patch,
        })
    })?;
    Ok((proofs, read_nodes(&mut reader)?))
}

/// Signs `tree` with `key_pair`, which must be one of the manifest's signers; `None` if it is not.
/// With several signers this yields the bare 64-byte signature, to be [`assemble`]d with others.
pub fn sign(manifest: &Manifest, key: &Key, tree: &Batch, key_pair: &KeyPair) -> Option<Vec<u8>> {
    let index = manifest
        .signers
        .iter()
        .position(|signer| signer.public_key == key_pair.public_key)?;
    let signer = manifest.signers.get(index)?;
    let signature = if manifest.is_compat(key) {
        key_pair.sign(&signable_compat(&tree.hash(), tree.length, tree.fork))
    } else {
        let context = if manifest.version == 0 {
            &signer.namespace
        } else {
            &key.0
        };
        key_pair.sign(&signable(context, &tree.hash(), tree.length, tree.fork))
    };
    if manifest.signers.len() == 1 && manifest.version > 0 && !manifest.is_compat(key) {
        return Some(assemble(&[PartialSignature {
            signer: 0,
            signature,
            patch: 0,
        }]));
    }
    Some(signature.to_vec())
}

/// Whether `signature` over `tree` satisfies `manifest`, which the caller has checked to belong to `key`.
pub fn verify(manifest: &Manifest, key: &Key, tree: &Batch, signature: &[u8]) -> bool {
    let hash = tree.hash();
    if manifest.is_compat(key) {
        let (Some(signer), Ok(signature)) = (manifest.signers.first(), <&[u8; 64]>::try_from(signature))
        else {
            return false;
        };
        let signable = signable_compat(&hash, tree.length, tree.fork);
        return KeyPair::verify(&signer.public_key, &signable, signature);
    }
    if manifest.version == 0 {
        if let ([signer], false) = (manifest.signers.as_slice(), manifest.allow_patch) {
            let Ok(signature) = <&[u8; 64]>::try_from(signature) else {
                return false;
            };
            let signable = signable(&signer.namespace, &hash, tree.length, tree.fork);
            return KeyPair::verify(&signer.public_key, &signable, signature);
        }
        return inflate_v0(signature)
            .is_ok_and(|(proofs, nodes)| verify_quorum(manifest, key, tree, &proofs, &nodes));
    }
    if let Some(prologue) = manifest
        .prologue
        .as_ref()
        .filter(|prologue| tree.length <= prologue.length)
    {
        return tree.length == prologue.length && hash == prologue.hash;
    }
    inflate(signature).is_ok_and(|(proofs, nodes)| verify_quorum(manifest, key, tree, &proofs, &nodes))
}

/// Only the first `quorum` proofs count; a signer may appear once among them.
fn verify_quorum(
    manifest: &Manifest,
    key: &Key,
    tree: &Batch,
    proofs: &[PartialSignature],
    patch_nodes: &[Node],
) -> bool {
    let quorum = manifest.quorum as usize; // decode bounds it by the number of signers
    if quorum == 0 || proofs.len() < quorum {
        return false;
    }
    let mut tried = vec![false; manifest.signers.len()];
    for proof in proofs.iter().take(quorum) {
        let index = proof.signer as usize;
        let (Some(signer), Some(tried)) = (manifest.signers.get(index), tried.get_mut(index)) else {
            return false;
        };
        if std::mem::replace(tried, true) {
            return false;
        }
        let context = if manifest.version == 0 {
            &signer.namespace
        } else {
            &key.0
        };
        let patched;
        let signed = if proof.patch > 0 && manifest.allow_patch {
            // The signature covers a tree that is `patch` blocks longer than this one.
            let Some(longer) = tree.extended_by(patch_nodes, proof.patch) else {
                return false;
            };
            patched = longer;
            &patched
        } else {
            tree
        };
        let signable = signable(context, &signed.hash(), signed.length, signed.fork);
        if !KeyPair::verify(&signer.public_key, &signable, &proof.signature) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::Signer;

    fn pairs() -> [KeyPair; 3] {
        [1, 2, 3].map(|seed| KeyPair::from_seed([seed; 32]))
    }

    fn team(quorum: u64) -> Manifest {
        let signers = pairs().map(|pair| Signer {
            namespace: [9; 32],
            public_key: pair.public_key,
        });
        Manifest::multi(quorum, signers.to_vec())
    }

    fn tree() -> Batch {
        let mut tree = Batch::empty(0);
        tree.append(&crate::merkle::Node::leaf(0, b"hello"));
        tree
    }

    fn partial(manifest: &Manifest, signer: usize) -> PartialSignature {
        let bytes = sign(manifest, &manifest.key(), &tree(), &pairs()[signer]).unwrap();
        PartialSignature {
            signer: signer as u64,
            signature: bytes.try_into().unwrap(),
            patch: 0,
        }
    }

    fn accepts(manifest: &Manifest, proofs: &[PartialSignature]) -> bool {
        verify(manifest, &manifest.key(), &tree(), &assemble(proofs))
    }

    /// Made with npm `hypercore` lib/caps.js and `hypercore-crypto`: key 32 × 01, tree hash 32 × 02, length 483, fork 3.
    #[test]
    fn what_is_signed_is_upstreams() {
        let signable = signable(&[1; 32], &[2; 32], 483, 3);
        assert_eq!(
            hex::encode(signable),
            "9fac70b50ca14efc4e91c833b204e75b8b5aad8b5881bfc0adb5ef38a3275b9c\
             0101010101010101010101010101010101010101010101010101010101010101\
             0202020202020202020202020202020202020202020202020202020202020202e3010000000000000300000000000000"
        );
        assert_eq!(
            hex::encode(pairs()[0].sign(&signable)),
            "286c40998fee63ba16ab120d4f6106c8d3890ff63dfd43f073b577a9b4588a29\
             f7b21bcb11e114574f792dff2453e7418fdd36fc233dddcfdff94598f2dbd40c"
        );
    }

    #[test]
    fn a_single_signer_signs_and_verifies() {
        let pair = &pairs()[0];
        let manifest = Manifest::single(pair.public_key);
        let signature = sign(&manifest, &manifest.key(), &tree(), pair).unwrap();
        assert!(verify(&manifest, &manifest.key(), &tree(), &signature));
        let mut other = tree();
        other.fork = 1;
        assert!(!verify(&manifest, &manifest.key(), &other, &signature));
        assert!(sign(&manifest, &manifest.key(), &tree(), &pairs()[1]).is_none());
    }

    #[test]
    fn a_quorum_counts_distinct_known_signers() {
        let manifest = team(2);
        let (a, b, c) = (
            partial(&manifest, 0),
            partial(&manifest, 1),
            partial(&manifest, 2),
        );
        assert_eq!(assemble(&[a.clone(), b.clone()]).len(), 134);
        assert!(accepts(&manifest, &[a.clone(), c.clone()]));
        assert!(accepts(&manifest, &[c.clone(), b.clone()]));
        assert!(!accepts(&manifest, std::slice::from_ref(&a)));
        assert!(!accepts(&manifest, &[a.clone(), a.clone()]));
        assert!(!accepts(
            &manifest,
            &[
                a.clone(),
                PartialSignature {
                    signer: 3,
                    ..b.clone()
                }
            ]
        ));
        assert!(!accepts(
            &manifest,
            &[a.clone(), PartialSignature { signer: 2, ..b }]
        ));
        assert!(!verify(&manifest, &manifest.key(), &tree(), &[]));
    }

    #[test]
    fn compat_cores_verify_without_a_context() {
        let pair = &pairs()[0];
        let manifest = Manifest::single(pair.public_key);
        let key = Key(pair.public_key.0);
        let signature = sign(&manifest, &key, &tree(), pair).unwrap();
        assert_eq!(signature.len(), 64);
        assert!(verify(&manifest, &key, &tree(), &signature));
        assert!(!verify(&manifest, &manifest.key(), &tree(), &signature));
    }

    proptest! {
        #[test]
        fn garbage_never_verifies(bytes: Vec<u8>) {
            let manifest = team(2);
            prop_assert!(!verify(&manifest, &manifest.key(), &tree(), &bytes));
        }
    }
}
