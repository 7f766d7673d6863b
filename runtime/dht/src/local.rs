//! A small self-contained DHT in one process: what `bosc dht` and tests bootstrap from (npm hyperdht/testnet.js).

use std::net::{IpAddr, SocketAddr};

use crate::DhtError;

/// A running local network. Dropping it stops every node.
pub struct LocalNetwork {
    bootstrap: SocketAddr,
}

impl LocalNetwork {
    /// The address to hand to others as bootstrap, shown as `host:port`.
    pub fn bootstrap(&self) -> SocketAddr {
        self.bootstrap
    }
}

/// Starts four persistent nodes on `host` (IPv4), the first on `port` (0 = any).
pub async fn start(_host: IpAddr, _port: u16) -> Result<LocalNetwork, DhtError> {
    unimplemented!("under construction")
}
