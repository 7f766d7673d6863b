//! How a swarm and a topic are set up.

use std::net::IpAddr;

use secret_stream::{KeyPair, PublicKey};

/// How a swarm is set up. `Default` takes part in the public HyperDHT.
#[derive(Debug, Clone)]
pub struct SwarmConfig {
    /// The identity of this peer; a random one if none.
    pub key_pair: Option<KeyPair>,
    /// DHT nodes to start from, `host:port` each. `None` = the public list of HyperDHT, `Some(vec![])` = none: fully offline.
    pub bootstrap: Option<Vec<String>>,
    /// Connections above this number are not made. Default 64.
    pub max_peers: usize,
    /// Connections that others made above this number are taken only in the place of one that has nothing to do.
    /// Default 256; each that is served takes some megabytes.
    pub max_inbound: usize,
    /// Local IPv4 address to bind; default: loopback if every bootstrap node is on loopback, else all.
    pub host: Option<IpAddr>,
    /// UDP port to listen on; 0 = any (default).
    pub port: u16,
    /// Public keys of blind relays, one of which is used where no way to a peer opens. None by default.
    pub relays: Vec<PublicKey>,
}

impl Default for SwarmConfig {
    fn default() -> Self {
        Self {
            key_pair: None,
            bootstrap: None,
            max_peers: 64,
            max_inbound: 256,
            host: None,
            port: 0,
            relays: Vec::new(),
        }
    }
}

/// What to do on a topic. Default: both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinOptions {
    /// Announce, so that clients find this peer.
    pub server: bool,
    /// Look up servers and connect to them.
    pub client: bool,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self {
            server: true,
            client: true,
        }
    }
}

/// Why a swarm could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwarmError {
    /// The DHT node could not start.
    #[error("cannot join the swarm: {0}")]
    Dht(#[from] dht::DhtError),
}
