//! Choosing the way to a peer: which of its addresses answers first.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use udx::Socket;

use super::Inner;
use crate::address::{is_private, is_reserved};
use crate::rpc::SocketId;

/// Addresses of one peer that are tried.
const MAX_CANDIDATES: usize = 8;

/// A way to a peer.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// From this socket of ours.
    pub(crate) socket: Socket,
    /// To this address of the peer.
    pub(crate) to: SocketAddrV4,
}

/// The addresses worth dialling: where a relay sees the peer, then those it names itself, without those that nobody
/// can be reached at. A private address it names is dialled only if it may be on our network: `near` says whether
/// a relay sees both sides at the same or at private addresses. `is_dialable` judges where the relay says to see it, see
/// [`crate::rpc::Rpc::is_dialable`].
pub(crate) fn candidates(
    observed: SocketAddrV4,
    named: &[SocketAddrV4],
    ours: SocketAddrV4,
    is_dialable: impl Fn(SocketAddrV4) -> bool,
) -> Vec<SocketAddrV4> {
    let credible = is_dialable(observed);
    let near =
        credible && (observed.ip() == ours.ip() || is_private(observed.ip()) || is_reserved(observed.ip()));
    let mut out = Vec::new();
    out.extend(credible.then_some(observed));
    for address in named {
        let ip = address.ip();
        let loopback_elsewhere =
            ip.is_loopback() && observed.ip() != ours.ip() && !observed.ip().is_loopback();
        let useless =
            address.port() == 0 || is_reserved(ip) || loopback_elsewhere || (is_private(ip) && !near);
        if !useless && !out.contains(address) && out.len() < MAX_CANDIDATES {
            out.push(*address);
        }
    }
    out
}

/// Pings all candidates from a socket; the first that answers is the path. Cancel safe.
pub(crate) async fn first_to_answer(
    inner: &Arc<Inner>,
    candidates: &[SocketAddrV4],
    id: SocketId,
) -> Option<Path> {
    let socket = &inner.sockets.get(id)?;
    let mut pings: FuturesUnordered<_> = candidates
        .iter()
        .enumerate()
        .map(|(i, to)| async move {
            // The observed address is nearly always right: give it a head start.
            tokio::time::sleep(Duration::from_millis(if i == 0 { 0 } else { 10 })).await;
            inner.ping(*to, Some(id), 2).await.then(|| Path {
                socket: socket.clone(),
                to: *to,
            })
        })
        .collect();
    while let Some(answered) = pings.next().await {
        if answered.is_some() {
            return answered;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(addresses: &[&str]) -> Vec<SocketAddrV4> {
        addresses.iter().map(|a| a.parse().unwrap()).collect()
    }

    #[test]
    fn reserved_and_far_private_addresses_are_not_dialled() {
        let named = list(&[
            "192.0.2.2:9",
            "127.0.0.1:9",
            "10.0.0.3:9",
            "5.6.7.8:9",
            "5.6.7.8:0",
        ]);
        let (far, ours) = ("5.6.7.8:1".parse().unwrap(), "9.9.9.9:1".parse().unwrap());
        let candidates = |observed, named: &[_], ours| candidates(observed, named, ours, |_| true);
        assert_eq!(candidates(far, &named, ours), list(&["5.6.7.8:1", "5.6.7.8:9"]));
        let same = "9.9.9.9:2".parse().unwrap();
        let near = list(&["9.9.9.9:2", "127.0.0.1:9", "10.0.0.3:9", "5.6.7.8:9"]);
        assert_eq!(candidates(same, &named, ours), near);
        let loopback = "127.0.0.1:2".parse().unwrap();
        assert_eq!(
            candidates(loopback, &named[..2], loopback),
            list(&["127.0.0.1:2", "127.0.0.1:9"])
        );
        let odd = "192.0.2.2:2".parse().unwrap();
        assert_eq!(candidates(odd, &named[..1], odd), list(&["192.0.2.2:2"]));
    }

    #[test]
    fn a_relay_cannot_send_us_to_our_own_network() {
        let named = list(&["10.0.0.3:9", "5.6.7.8:9"]);
        let (lie, ours) = ("10.0.0.9:53".parse().unwrap(), "9.9.9.9:1".parse().unwrap());
        let public = |a| crate::address::reach(a) == crate::address::Reach::Public;
        assert_eq!(candidates(lie, &named, ours, public), list(&["5.6.7.8:9"]));
        assert_eq!(candidates(lie, &named, lie, public), list(&["5.6.7.8:9"]));
    }
}
