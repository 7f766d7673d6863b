//! What announcements and mutable values are signed over (npm hyperdht lib/persistent.js, lib/constants.js).

use std::sync::LazyLock;

use base::KeyPair;
use base::hash::{blake2b, namespace};

use super::command;
use super::messages::{Announce, Mutable};
use crate::id::{NodeId, Target, Token};

/// Separates signatures and secrets of different uses.
#[derive(Debug)]
pub struct Namespaces {
    /// Signing announcements.
    pub announce: [u8; 32],
    /// Signing their taking back.
    pub unannounce: [u8; 32],
    /// Signing mutable values.
    pub mutable_put: [u8; 32],
    /// Prologue of the Noise handshake.
    pub peer_handshake: [u8; 32],
    /// Key of the hole punching payloads.
    pub peer_holepunch: [u8; 32],
}

/// The namespaces of `hyperswarm/dht`, by command number (npm hypercore-crypto namespace).
pub static NS: LazyLock<Namespaces> = LazyLock::new(|| {
    let one = |command: u64| namespace("hyperswarm/dht", command as u8);
    Namespaces {
        announce: one(command::ANNOUNCE),
        unannounce: one(command::UNANNOUNCE),
        mutable_put: one(command::MUTABLE_PUT),
        peer_handshake: one(command::PEER_HANDSHAKE),
        peer_holepunch: one(command::PEER_HOLEPUNCH),
    }
});

/// The 64 bytes signed for an ANNOUNCE ([`Namespaces::announce`]) or UNANNOUNCE to the node `id`, which gave `token`.
fn announce_signable(
    target: &Target,
    token: &Token,
    id: &NodeId,
    announce: &Announce,
    namespace: &[u8; 32],
) -> [u8; 64] {
    let peer = announce.peer.as_ref().map(|p| p.encode()).unwrap_or_default();
    let refresh = announce.refresh.as_ref().map_or(&[][..], |r| &r[..]);
    join(namespace, &blake2b(&[&target.0, &id.0, &token.0, &peer, refresh]))
}

/// The 64 bytes signed for a mutable value.
pub fn mutable_signable(value: &Mutable) -> [u8; 64] {
    join(&NS.mutable_put, &blake2b(&[&value.signed_part()]))
}

fn join(namespace: &[u8; 32], hash: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    let (head, tail) = out.split_at_mut(32);
    head.copy_from_slice(namespace);
    tail.copy_from_slice(hash);
    out
}

/// Signs `announce` for the node `id` that gave `token`.
pub fn sign_announce(
    key_pair: &KeyPair,
    target: &Target,
    token: &Token,
    id: &NodeId,
    mut announce: Announce,
    namespace: &[u8; 32],
) -> Announce {
    announce.signature = Some(key_pair.sign(&announce_signable(target, token, id, &announce, namespace)));
    announce
}

/// Whether `announce` is signed by the peer it is about.
pub(crate) fn verify_announce(
    target: &Target,
    token: &Token,
    id: &NodeId,
    announce: &Announce,
    namespace: &[u8; 32],
) -> bool {
    let (Some(peer), Some(signature)) = (&announce.peer, &announce.signature) else {
        return false;
    };
    let message = announce_signable(target, token, id, announce, namespace);
    KeyPair::verify(&peer.public_key, &message, signature)
}
