//! Signatures of a core: an altered one never passes in the place of the one that was made, and what inflates is assembled
//! again to the same.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use base::wire::Writer;
use bosc_fuzz::{Damage, within};
use hypercore::manifest::{Manifest, Signer};
use hypercore::merkle::{Batch, Node};
use hypercore::signature::{self, PartialSignature};
use hypercore::{Key, KeyPair};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Input {
    Bytes(Vec<u8>),
    Altered {
        version: bool,
        allow_patch: bool,
        proofs: Vec<(u8, u8, u8)>,
        damages: Vec<Damage>,
    },
}

/// A tree of nine blocks, and one of seven that it grew from.
static TREES: LazyLock<[Batch; 2]> = LazyLock::new(|| {
    [7, 9].map(|length| {
        let mut tree = Batch::empty(0);
        (0..length).for_each(|block| tree.append(&Node::leaf(block, &[block as u8])));
        tree
    })
});
/// Three signers and their signatures over the tree, under the key of each kind of manifest.
static PAIRS: LazyLock<[KeyPair; 3]> = LazyLock::new(|| [1, 2, 3].map(|seed| KeyPair::from_seed([seed; 32])));

fn team(version: u8, allow_patch: bool) -> Manifest {
    let signer = |pair: &KeyPair| Signer {
        namespace: [9; 32],
        public_key: pair.public_key,
    };
    Manifest {
        version,
        allow_patch,
        ..Manifest::multi(2, PAIRS.iter().map(signer).collect())
    }
}

type Signed = (Manifest, Key, [[u8; 64]; 3]);

static SIGNED: LazyLock<[Signed; 4]> = LazyLock::new(|| {
    [(1, false), (1, true), (0, false), (0, true)].map(|(version, allow_patch)| {
        let manifest = team(version, allow_patch);
        let key = manifest.key();
        let context = if version == 0 { [9; 32] } else { key.0 };
        let tree = &TREES[1];
        let signable = signature::signable(&context, &tree.hash(), tree.length, tree.fork);
        let signatures = PAIRS.each_ref().map(|pair| pair.sign(&signable));
        (manifest, key, signatures)
    })
});

fuzz_target!(|input: Input| {
    match input {
        Input::Bytes(bytes) => within(1024 + 6 * bytes.len(), || inflate(&bytes)),
        Input::Altered {
            version,
            allow_patch,
            proofs,
            damages,
        } => altered(
            usize::from(version) * 2 + usize::from(allow_patch),
            &proofs,
            &damages,
        ),
    }
});

fn inflate(bytes: &[u8]) {
    let Ok((proofs, nodes)) = signature::inflate(bytes) else {
        return;
    };
    let assembled = signature::assemble(&proofs);
    let (_no_nodes, without) = assembled.split_last().expect("the count of no nodes");
    let mut w = Writer::with_capacity(bytes.len());
    w.raw(without);
    hypercore::merkle::write_nodes(&mut w, &nodes);
    assert_eq!(signature::inflate(&w.finish()), Ok((proofs, nodes)));
}

fn altered(which: usize, proofs: &[(u8, u8, u8)], damages: &[Damage]) {
    let (manifest, key, signatures) = &SIGNED[which];
    let proofs: Vec<PartialSignature> = proofs
        .iter()
        .take(4)
        .map(|(signer, signed, patch)| PartialSignature {
            signer: (signer % 4).into(),
            signature: signatures[usize::from(*signed) % 3],
            patch: (patch % 4).into(),
        })
        .collect();
    let mut bytes = if manifest.version == 0 {
        let mut out = vec![proofs.len() as u8];
        for proof in &proofs {
            out.extend([u8::from(proof.patch > 0), proof.signer as u8]);
            out.extend_from_slice(&proof.signature);
            if proof.patch > 0 {
                out.extend([1, proof.patch as u8, 0]);
            }
        }
        out.push(0);
        out
    } else {
        signature::assemble(&proofs)
    };
    damages.iter().take(3).for_each(|damage| damage.apply(&mut bytes));
    let tree = &TREES[1];
    if !signature::verify(manifest, key, tree, &bytes) {
        return;
    }
    // The first two of it must be signatures that two different signers made, whatever else was altered.
    let held = |at: usize| bytes.windows(64).any(|window| window == signatures[at]);
    assert!(
        (0..3).filter(|at| held(*at)).count() >= 2,
        "{manifest:?} {bytes:?}"
    );
    // And they are over this tree, not over another one.
    if !manifest.allow_patch {
        assert!(!signature::verify(manifest, key, &TREES[0], &bytes));
    }
}
