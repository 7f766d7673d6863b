//! The 32-byte values of the DHT that must not be taken for one another: where nodes are in its key space, what requests are about, and
//! tokens.

use std::cmp::Ordering;
use std::fmt;
use std::net::SocketAddrV4;

use base::hash::blake2b;
use base::wire::Writer;
use base::{PublicKey, Topic};

use crate::wire::WriteAddress;

/// Where a node is in the key space.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(pub [u8; 32]);

/// What a request is about: a place in the key space. The nodes nearest to it answer for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target(pub [u8; 32]);

/// Given to an address, and brought back by it: whoever does receives what is sent there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; 32]);

impl NodeId {
    /// The id a persistent node has by its address: BLAKE2b-256 of the six address bytes (npm dht-rpc lib/peer.js).
    pub fn of(address: SocketAddrV4) -> Self {
        let mut w = Writer::with_capacity(6);
        w.address(address);
        Self(blake2b(&[&w.finish()]))
    }
}

impl Target {
    /// Where the peer of that key is found, and what it stores under its signature.
    pub fn of_key(key: &PublicKey) -> Self {
        Self(blake2b(&[&key.0]))
    }

    /// Where a value is found by its hash.
    pub fn of_value(value: &[u8]) -> Self {
        Self(blake2b(&[value]))
    }

    /// Where a node is, to find those around it.
    pub fn around(id: NodeId) -> Self {
        Self(id.0)
    }

    /// Whether `a` or `b` is nearer, by the XOR metric.
    pub(crate) fn compare_distance(&self, a: &NodeId, b: &NodeId) -> Ordering {
        let distance = |id: &NodeId| id.0.into_iter().zip(self.0).map(|(x, t)| x ^ t);
        distance(a).cmp(distance(b))
    }
}

impl From<Topic> for Target {
    /// Where whoever announced the topic is found.
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

/// The first bytes are enough to tell a few of them apart.
fn short(name: &str, bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [a, b, c, d, ..] = bytes;
    write!(f, "{name}({a:02x}{b:02x}{c:02x}{d:02x}…)")
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short("NodeId", &self.0, f)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short("Target", &self.0, f)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short("Token", &self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_the_xor_metric() {
        let target = Target([0b1000_0000; 32]);
        let (near, far) = (NodeId([0b1000_0001; 32]), NodeId([0; 32]));
        assert_eq!(target.compare_distance(&near, &far), Ordering::Less);
        assert_eq!(format!("{near:?}"), "NodeId(81818181…)");
    }
}
