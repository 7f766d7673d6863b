//! Invites: what a member gives to somebody they want in the room.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use base::wire::{Reader, Writer};
use base::{DiscoveryKey, KeyPair, PublicKey};
use zeroize::Zeroizing;

use crate::error::PairingError;
use crate::messages::Additional;
use crate::seal::{For, hash};

/// The only version of invites.
const VERSION: u64 = 1;
const HAS_ROOM: u64 = 1;
const EXPIRES: u64 = 2;
const SENSITIVE: u64 = 4;
const TEST: u64 = 8;
const HAS_NODES: u64 = 16;
/// Nodes in an invite, at most: it is to be copied by hand, and one that answers is enough.
const MAX_NODES: usize = 64;

/// What members know an invite by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InviteId(pub [u8; 32]);

/// An invite. Who holds it may ask to be let in: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    seed: Zeroizing<[u8; 32]>,
    /// Where members of the room are found.
    pub discovery_key: Option<DiscoveryKey>,
    /// When it ends, in seconds since 1970; 0 for never.
    pub expires: u32,
    /// Members ask somebody before they let the candidate in.
    pub sensitive: bool,
    /// It is for trying out.
    pub test: bool,
    /// Nodes of the DHT to begin at, besides those that are known.
    pub additional_nodes: Option<Vec<SocketAddrV4>>,
}

impl Invite {
    /// A new invite to a room.
    pub fn new(discovery_key: DiscoveryKey) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rand::fill(seed.as_mut_slice());
        Self::from_seed(*seed, discovery_key)
    }

    /// The invite of that seed.
    pub fn from_seed(seed: [u8; 32], discovery_key: DiscoveryKey) -> Self {
        Self {
            seed: Zeroizing::new(seed),
            discovery_key: Some(discovery_key),
            expires: 0,
            sensitive: false,
            test: false,
            additional_nodes: None,
        }
    }

    /// What members know it by.
    pub fn id(&self) -> InviteId {
        InviteId::of(&self.public_key())
    }

    /// What members open its requests with.
    pub fn public_key(&self) -> PublicKey {
        self.key_pair().public_key
    }

    /// Data that goes with an answer, signed so that the candidate knows it is from who made the invite.
    pub fn sign(&self, data: &[u8]) -> Additional {
        Additional {
            data: data.to_vec(),
            signature: self.key_pair().sign(data),
        }
    }

    pub(crate) fn key_pair(&self) -> KeyPair {
        KeyPair::from_seed(*self.seed)
    }

    /// Its bytes. Nodes at addresses that nobody outside reaches are left out.
    pub fn encode(&self) -> Vec<u8> {
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        let mut out = Writer::new();
        out.uint(VERSION).uint(
            flag(self.discovery_key.is_some(), HAS_ROOM)
                | flag(self.expires > 0, EXPIRES)
                | flag(self.sensitive, SENSITIVE)
                | flag(self.test, TEST)
                | flag(self.additional_nodes.is_some(), HAS_NODES),
        );
        out.raw(self.seed.as_slice());
        if let Some(discovery_key) = &self.discovery_key {
            out.raw(&discovery_key.0);
        }
        if self.expires > 0 {
            out.u32(self.expires);
        }
        if let Some(nodes) = &self.additional_nodes {
            let nodes: Vec<_> = nodes.iter().filter(|node| is_reachable(*node.ip())).collect();
            out.list(&nodes, |out, node| out.raw(&node.ip().octets()).u16(node.port()));
        }
        out.finish()
    }

    /// Reads an invite. What comes after it is left alone, as a newer program may have put it there.
    pub fn decode(bytes: &[u8]) -> Result<Self, PairingError> {
        let ends = |_| PairingError::Invite("it ends too early");
        let mut reader = Reader::new(bytes);
        match reader.uint().map_err(ends)? {
            VERSION => {}
            0 => return Err(PairingError::Invite("it has no version")),
            newer => return Err(PairingError::InviteVersion(newer)),
        }
        let flags = reader.uint().map_err(ends)?;
        let mut read = || -> Result<Self, base::wire::DecodeError> {
            let has = |flag: u64| flags & flag != 0;
            let mut invite = Self {
                seed: Zeroizing::new(reader.fixed()?),
                discovery_key: None,
                expires: 0,
                sensitive: has(SENSITIVE),
                test: has(TEST),
                additional_nodes: None,
            };
            if has(HAS_ROOM) {
                invite.discovery_key = Some(DiscoveryKey(reader.fixed()?));
            }
            if has(EXPIRES) {
                invite.expires = reader.u32()?;
            }
            if has(HAS_NODES) {
                let nodes = reader.list(6, |reader| {
                    let ip = Ipv4Addr::from(reader.fixed::<4>()?);
                    Ok(SocketAddrV4::new(ip, reader.u16()?))
                });
                invite.additional_nodes = Some(nodes?);
            }
            Ok(invite)
        };
        let invite = read().map_err(ends)?;
        if invite
            .additional_nodes
            .as_ref()
            .is_some_and(|nodes| nodes.len() > MAX_NODES)
        {
            return Err(PairingError::Invite("it names too many nodes"));
        }
        Ok(invite)
    }

    /// Its text, in z-base-32, as people copy it.
    pub fn text(&self) -> String {
        z32::encode(&self.encode())
    }
}

impl InviteId {
    /// The id of the invite with that public key.
    pub fn of(public_key: &PublicKey) -> Self {
        Self(hash(For::InviteId, &[&public_key.0]))
    }
}

impl FromStr for Invite {
    type Err = PairingError;

    fn from_str(text: &str) -> Result<Self, PairingError> {
        let bytes = z32::decode(text.trim().as_bytes());
        Self::decode(&bytes.map_err(|_| PairingError::Invite("it has other characters than invites have"))?)
    }
}

/// The seed is not shown.
impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("id", &self.id())
            .field("discovery_key", &self.discovery_key)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Whether an address may be another's to reach: npm `bogon`'s list.
fn is_reachable(ip: Ipv4Addr) -> bool {
    let unreachable = match ip.octets() {
        [0 | 10 | 127 | 224..=255, ..] => true,
        [100, second, ..] => (64..128).contains(&second),
        [169, 254, ..] | [192, 168, ..] | [192, 0, 0 | 2, _] => true,
        [172, second, ..] => (16..32).contains(&second),
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        _ => false,
    };
    !unreachable
}
