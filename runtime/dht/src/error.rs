//! What can go wrong on the DHT, by operation.

use std::net::SocketAddr;

/// Failure of a DHT operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DhtError {
    /// The local socket could not be opened.
    #[error("cannot bind UDP socket on {address}: {source}; is another program using the port?")]
    Bind {
        /// The wanted address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Only IPv4 is spoken on the DHT.
    #[error("{0} is not an IPv4 address; the DHT speaks IPv4 only")]
    NotIpv4(String),
    /// A bootstrap node is not written as `host:port`.
    #[error("bootstrap node {0:?} is not host:port")]
    Bootstrap(String),
    /// The node was destroyed meanwhile.
    #[error("the DHT node is shut down")]
    Destroyed,
}
