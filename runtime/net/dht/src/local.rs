//! A small self-contained DHT in one process: what `bosc dht` and tests bootstrap from (npm hyperdht/testnet.js).

use std::net::{IpAddr, SocketAddr};

use crate::{DhtError, Node, NodeConfig};

/// Nodes in the network: NAT detection of JavaScript peers needs at least four to agree.
const NODES: usize = 5;

/// A running local network. Dropping it stops every node.
pub struct LocalNetwork {
    nodes: Vec<Node>,
    bootstrap: SocketAddr,
}

impl LocalNetwork {
    /// The address to hand to others as bootstrap, shown as `host:port`.
    pub fn bootstrap(&self) -> SocketAddr {
        self.bootstrap
    }

    /// The nodes, the bootstrap node first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// Starts persistent nodes on `host`, an IPv4 address of this machine by which its clients reach it; the first on
/// `port` (0 = any).
///
/// # Errors
/// [`DhtError::NotIpv4`] for an address nobody can be told, [`DhtError::Bind`].
pub async fn start(host: IpAddr, port: u16) -> Result<LocalNetwork, DhtError> {
    let IpAddr::V4(host) = host else {
        return Err(DhtError::NotIpv4(host.to_string()));
    };
    if host.is_unspecified() {
        return Err(DhtError::NotIpv4(host.to_string()));
    }
    let mut nodes: Vec<Node> = Vec::new();
    let mut bootstrap = Vec::new();
    for i in 0..NODES {
        let config = NodeConfig {
            bootstrap: Some(bootstrap.clone()),
            host: Some(host),
            port: if i == 0 { port } else { 0 },
            persistent: true,
        };
        let node = Node::start(config).await?;
        if i == 0 {
            bootstrap.push(node.local_address().to_string());
        }
        node.bootstrapped().await;
        nodes.push(node);
    }
    let bootstrap = nodes
        .first()
        .map_or(SocketAddr::from((host, port)), Node::local_address);
    Ok(LocalNetwork { nodes, bootstrap })
}
