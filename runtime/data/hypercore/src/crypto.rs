//! Constants of hypercore, and the proof that a peer knows a key (npm `hypercore-crypto` index.js, `hypercore` lib/caps.js).

use std::sync::LazyLock;

use base::hash::{blake2b_keyed, namespace};

/// Prefix of what a signature covers.
pub(crate) static TREE: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("hypercore", 0));
/// Prefix of the initiator's replication capability.
pub(crate) static REPLICATE_INITIATOR: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("hypercore", 1));
/// Prefix of the responder's replication capability.
pub(crate) static REPLICATE_RESPONDER: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("hypercore", 2));
/// Prefix of a manifest when it is hashed into a key.
pub static MANIFEST: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("hypercore", 3));
/// The signer namespace of a manifest that names none.
pub static DEFAULT_NAMESPACE: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("hypercore", 4));

/// Prefix of what a block's encryption key is hashed from.
pub(crate) static DEFAULT_ENCRYPTION: LazyLock<[u8; 32]> = LazyLock::new(|| namespace("hypercore", 5));

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
    }
}
