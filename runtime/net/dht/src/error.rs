//! What can go wrong on the DHT, by operation.

use std::io::ErrorKind;
use std::net::SocketAddr;

/// A node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DhtError {
    /// The local socket could not be opened.
    #[error("cannot bind a UDP socket on {address}: {source}{}", hint(source))]
    Bind {
        /// The wanted address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Only IPv4 is spoken on the DHT.
    #[error(
        "{0} is not an IPv4 address; the DHT speaks IPv4 only, give one of this machine's IPv4 addresses"
    )]
    NotIpv4(String),
    /// A bootstrap node is not written as `host:port`.
    #[error("bootstrap node {0:?} is not of the form host:port")]
    Bootstrap(String),
}

/// What to do about a socket that cannot be bound, if the system's word for it says so.
fn hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::AddrInUse => "; another program uses this port, choose another one or end it",
        ErrorKind::AddrNotAvailable => "; it is no address of this machine, give one that it has",
        ErrorKind::PermissionDenied => "; ports below 1024 are the system's, choose a higher one",
        _ => "",
    }
}

/// A peer could not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody on the DHT knows the peer: it is offline or has not announced itself yet. Try again later.
    #[error("peer not found on the DHT; it may be offline")]
    NotFound,
    /// Relays were found, but the peer did not answer the handshake through any of them.
    #[error("the peer did not answer the handshake")]
    NoAnswer,
    /// The handshake's answer was forged, damaged or of another version.
    #[error("the peer's handshake is invalid: {0}")]
    Handshake(String),
    /// The peer answered, but no direct path to it was found.
    #[error("no path to the peer: {0}")]
    Unreachable(&'static str),
    /// The local socket failed.
    #[error("the local socket failed: {0}")]
    Socket(String),
    /// This node was shut down meanwhile.
    #[error("the DHT node is shut down")]
    Destroyed,
}

/// The node was shut down, or nobody answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer from the DHT node")]
pub struct NoResponse;
