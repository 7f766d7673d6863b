//! Notices that this machine is somewhere else than before: in another network, or with another address in the same.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Inner;

/// How often the machine's addresses are looked at. Systems tell of changes each in its own way; asking costs some ten
/// microseconds everywhere, and a second is less than anybody takes to notice.
const LOOK: Duration = Duration::from_secs(1);

/// What the machine's network looks like from here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    /// Addresses of its interfaces.
    addresses: BTreeSet<IpAddr>,
    /// The one that packets to the DHT leave from; none without a way there.
    source: Option<IpAddr>,
}

fn look(dht: Option<SocketAddr>) -> std::io::Result<View> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(View {
        addresses: interfaces.iter().map(if_addrs::Interface::ip).collect(),
        source: dht.and_then(source_towards),
    })
}

/// The address of this machine that packets to `address` leave from, as the system's routes are now. Sends nothing.
pub(super) fn source_towards(address: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(address).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Looks until the node is closed. Whoever keeps something that depends on where this machine is hears of changes by
/// [`super::Node::network_changes`]; what the node itself knows of its place is forgotten when it is another one.
pub(super) async fn watch(inner: Arc<Inner>) {
    let dht = inner.lock().rpc.bootstrap().first().copied();
    let view = async || {
        let looked = spawn_blocking(move || look(dht.map(SocketAddr::V4))).await;
        looked.ok().and_then(Result::ok)
    };
    let mut known = view().await;
    loop {
        tokio::select! {
            () = sleep(LOOK) => {}
            () = inner.closed.cancelled() => return,
        }
        // A system that does not answer says nothing of its network.
        let Some(now) = view().await else { continue };
        let Some(before) = known.replace(now.clone()).filter(|before| *before != now) else {
            continue;
        };
        tracing::debug!(?before, ?now, "this machine's network changed");
        if now.source.is_some() && now.source != before.source {
            inner.moved();
        } else {
            inner.network.send_modify(|changes| *changes += 1);
        }
    }
}
