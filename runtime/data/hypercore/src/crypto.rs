//! Hashes and constants of hypercore (npm `hypercore-crypto` index.js, `hypercore` lib/caps.js).

use std::sync::LazyLock;

use blake2b_simd::Params;

use crate::merkle::Node;

/// BLAKE2b-256 over the concatenation of `parts`.
pub fn blake2b(parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Params::new().hash_length(32).to_state();
    for part in parts {
        state.update(part);
    }
    digest(&state)
}

/// BLAKE2b-256 over `parts`, keyed with `key` (at most 64 bytes; longer keys are cut, which no caller does).
pub fn blake2b_keyed(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Params::new()
        .hash_length(32)
        .key(key.get(..64).unwrap_or(key))
        .to_state();
    for part in parts {
        state.update(part);
    }
    digest(&state)
}

fn digest(state: &blake2b_simd::State) -> [u8; 32] {
    let hash = state.finalize();
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    out
}

/// The hash of a leaf: one block of data.
pub fn hash_leaf(value: &[u8]) -> [u8; 32] {
    blake2b(&[&[0], &(value.len() as u64).to_le_bytes(), value])
}

/// The hash of the parent of two siblings; the one with the lower index goes first.
pub fn hash_parent(a: &Node, b: &Node) -> [u8; 32] {
    let (left, right) = if a.index <= b.index { (a, b) } else { (b, a) };
    blake2b(&[
        &[1],
        &left.size.saturating_add(right.size).to_le_bytes(),
        &left.hash,
        &right.hash,
    ])
}

/// The tree hash: what a signature commits to, over the roots from left to right.
pub fn tree_hash(roots: &[Node]) -> [u8; 32] {
    let mut state = Params::new().hash_length(32).to_state();
    state.update(&[2]);
    for root in roots {
        state
            .update(&root.hash)
            .update(&root.index.to_le_bytes())
            .update(&root.size.to_le_bytes());
    }
    digest(&state)
}

/// The discovery key of `key`: `BLAKE2b-256("hypercore")` keyed with it.
pub fn discovery_key(key: &[u8; 32]) -> [u8; 32] {
    blake2b_keyed(key, &[b"hypercore"])
}

/// The first `count` namespaces of `name`: `BLAKE2b-256(BLAKE2b-256(name) ‖ i)`.
pub fn namespace(name: &str, count: u8) -> Vec<[u8; 32]> {
    let base = blake2b(&[name.as_bytes()]);
    (0..count).map(|i| blake2b(&[&base, &[i]])).collect()
}

fn hypercore_namespace(i: u8) -> [u8; 32] {
    blake2b(&[&blake2b(&[b"hypercore"]), &[i]])
}

/// Prefix of what a signature covers.
pub static TREE: LazyLock<[u8; 32]> = LazyLock::new(|| hypercore_namespace(0));
/// Prefix of the initiator's replication capability.
pub static REPLICATE_INITIATOR: LazyLock<[u8; 32]> = LazyLock::new(|| hypercore_namespace(1));
/// Prefix of the responder's replication capability.
pub static REPLICATE_RESPONDER: LazyLock<[u8; 32]> = LazyLock::new(|| hypercore_namespace(2));
/// Prefix of a manifest when it is hashed into a key.
pub static MANIFEST: LazyLock<[u8; 32]> = LazyLock::new(|| hypercore_namespace(3));
/// The signer namespace of a manifest that names none.
pub static DEFAULT_NAMESPACE: LazyLock<[u8; 32]> = LazyLock::new(|| hypercore_namespace(4));

/// The proof that a peer knows `key`, bound to one connection by its handshake hash.
pub fn replication_capability(is_initiator: bool, key: &[u8; 32], handshake_hash: &[u8]) -> [u8; 32] {
    let role = if is_initiator {
        &*REPLICATE_INITIATOR
    } else {
        &*REPLICATE_RESPONDER
    };
    blake2b_keyed(handshake_hash, &[role, key])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_upstreams() {
        assert_eq!(
            hex::encode(*MANIFEST),
            "e64b7108eacce47cfc61ac850568f55f8b15b82ec5ed78c4ec597b036e2a1498"
        );
        assert_eq!(
            hex::encode(*TREE),
            "9fac70b50ca14efc4e91c833b204e75b8b5aad8b5881bfc0adb5ef38a3275b9c"
        );
        assert_eq!(
            hex::encode(*DEFAULT_NAMESPACE),
            "4144eea531e483d54e0c14f4ca68e0644f355343ff6fcb0f005200e12cd747cb"
        );
        assert_eq!(namespace("hypercore", 5)[4], *DEFAULT_NAMESPACE);
    }
}
