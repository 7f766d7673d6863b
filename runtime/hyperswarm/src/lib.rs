//! Hyperswarm: join a topic, get encrypted connections to whoever else did.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use secret_stream::{Connection, KeyPair};
use tokio::sync::mpsc;

/// How a swarm is set up. `Default` is a client of the public HyperDHT.
pub struct SwarmConfig {
    /// The identity of this peer; a random one if none.
    pub key_pair: Option<KeyPair>,
    /// DHT nodes to start from, `host:port` each. `None` = the public list of HyperDHT, `Some(vec![])` = none: fully offline.
    pub bootstrap: Option<Vec<String>>,
    /// Connections above this number are not made or taken. Default 64.
    pub max_peers: usize,
    /// Local address to bind; default is decided by the bootstrap (loopback for a loopback bootstrap).
    pub host: Option<IpAddr>,
    /// UDP port to listen on; 0 = any.
    pub port: u16,
}

impl Default for SwarmConfig {
    fn default() -> Self {
        Self {
            key_pair: None,
            bootstrap: None,
            max_peers: 64,
            host: None,
            port: 0,
        }
    }
}

/// What to do on a topic.
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
    /// The DHT below failed.
    #[error(transparent)]
    Dht(#[from] dht::DhtError),
}

/// A peer of many topics. Clones share it.
#[derive(Clone)]
pub struct Swarm {
    inner: Arc<()>,
}

impl Swarm {
    /// Opens the sockets and joins the DHT in the background.
    pub async fn new(config: SwarmConfig) -> Result<Self, SwarmError> {
        let _ = config;
        unimplemented!("under construction")
    }

    /// The identity of this peer.
    pub fn key_pair(&self) -> &KeyPair {
        unimplemented!("under construction")
    }

    /// The public key other peers see.
    pub fn public_key(&self) -> [u8; 32] {
        unimplemented!("under construction")
    }

    /// Joins `topic`; the returned handle leaves it when told to, not when dropped.
    pub fn join(&self, topic: [u8; 32], options: JoinOptions) -> Discovery {
        let _ = (topic, options, &self.inner);
        unimplemented!("under construction")
    }

    /// New connections, each once, deduplicated. Taken once; a second call gets a closed receiver.
    pub fn connections(&self) -> mpsc::Receiver<Connection> {
        unimplemented!("under construction")
    }

    /// Waits until every joined topic was announced or looked up and every peer found was tried.
    pub async fn flush(&self) {
        unimplemented!("under construction")
    }

    /// Unannounces, closes every connection and the sockets.
    pub async fn destroy(&self) {
        unimplemented!("under construction")
    }

    /// Open connections now.
    pub fn connection_count(&self) -> usize {
        unimplemented!("under construction")
    }

    /// The address others see, if it is known and open.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        unimplemented!("under construction")
    }

    /// Whether other hosts need our packet first before theirs reach us, as far as known.
    pub fn firewalled(&self) -> bool {
        unimplemented!("under construction")
    }
}

/// A joined topic.
#[derive(Clone)]
pub struct Discovery {
    topic: [u8; 32],
}

impl Discovery {
    /// The joined topic.
    pub fn topic(&self) -> [u8; 32] {
        self.topic
    }

    /// Waits for the first announce or lookup round.
    pub async fn flushed(&self) {
        unimplemented!("under construction")
    }

    /// Announces and looks up again now.
    pub async fn refresh(&self) {
        unimplemented!("under construction")
    }

    /// Leaves the topic and unannounces it.
    pub async fn leave(&self) {
        unimplemented!("under construction")
    }
}
