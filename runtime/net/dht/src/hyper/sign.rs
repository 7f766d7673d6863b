//! What announcements and mutable values are signed over (npm hyperdht lib/persistent.js, lib/constants.js).

use std::sync::LazyLock;

use secret_stream::KeyPair;

use super::command;
use super::messages::{Announce, Mutable};
use crate::address::{Id, hash};

/// Separates signatures and secrets of different uses.
#[derive(Debug)]
pub struct Namespaces {
    /// Signing announcements.
    pub announce: Id,
    /// Signing their taking back.
    pub unannounce: Id,
    /// Signing mutable values.
    pub mutable_put: Id,
    /// Prologue of the Noise handshake.
    pub peer_handshake: Id,
    /// Key of the hole punching payloads.
    pub peer_holepunch: Id,
}

/// The namespaces of `hyperswarm/dht`, by command number (npm hypercore-crypto namespace).
pub static NS: LazyLock<Namespaces> = LazyLock::new(|| {
    let name = hash(&[b"hyperswarm/dht"]);
    let one = |command: u64| hash(&[&name, &command.to_le_bytes()[..1]]);
    Namespaces {
        announce: one(command::ANNOUNCE),
        unannounce: one(command::UNANNOUNCE),
        mutable_put: one(command::MUTABLE_PUT),
        peer_handshake: one(command::PEER_HANDSHAKE),
        peer_holepunch: one(command::PEER_HOLEPUNCH),
    }
});

/// The 64 bytes signed for an ANNOUNCE ([`Namespaces::announce`]) or UNANNOUNCE to the node `id`, which gave `token`.
pub fn announce_signable(target: &Id, token: &Id, id: &Id, announce: &Announce, namespace: &Id) -> [u8; 64] {
    let peer = announce.peer.as_ref().map(|p| p.encode()).unwrap_or_default();
    let refresh = announce.refresh.as_ref().map_or(&[][..], |r| &r[..]);
    join(namespace, &hash(&[target, id, token, &peer, refresh]))
}

/// The 64 bytes signed for a mutable value.
pub fn mutable_signable(value: &Mutable) -> [u8; 64] {
    join(&NS.mutable_put, &hash(&[&value.signed_part()]))
}

fn join(namespace: &Id, hash: &Id) -> [u8; 64] {
    let mut out = [0; 64];
    let (head, tail) = out.split_at_mut(32);
    head.copy_from_slice(namespace);
    tail.copy_from_slice(hash);
    out
}

/// Signs `announce` for the node `id` that gave `token`.
pub fn sign_announce(
    key_pair: &KeyPair,
    target: &Id,
    token: &Id,
    id: &Id,
    mut announce: Announce,
    namespace: &Id,
) -> Announce {
    announce.signature = Some(key_pair.sign(&announce_signable(target, token, id, &announce, namespace)));
    announce
}

/// Whether `announce` is signed by the peer it is about.
pub fn verify_announce(target: &Id, token: &Id, id: &Id, announce: &Announce, namespace: &Id) -> bool {
    let (Some(peer), Some(signature)) = (&announce.peer, &announce.signature) else {
        return false;
    };
    let message = announce_signable(target, token, id, announce, namespace);
    KeyPair::verify(&peer.public_key, &message, signature)
}
