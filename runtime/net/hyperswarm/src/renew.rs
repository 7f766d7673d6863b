//! Connections of ours that are made anew while the old one still stands: after this machine's network changed, and to get away
//! from a relay once a direct way opens. The peer sees the same client connect again, and lets that take the old one's place.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::PublicKey;
use dht::{ConnectOptions, Link, PeerConnection};
use futures::{StreamExt, stream};
use tokio::time::sleep;

use crate::limits::Place;
use crate::peers::nth;
use crate::swarm::Inner;

/// Connections made anew at once after the network changed.
const AT_ONCE: usize = 8;
/// How often relayed connections are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Pauses before a direct way is looked for from a relayed connection: at first the NATs may just have been seen badly, later
/// one of the two must move for it to open. A search costs both sides up to 35 s of small packets.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(20 * 60),
];

/// Until the swarm ends, makes what a change of this machine's network left behind anew. Without it the silence on the old way
/// would be taken for the peer's end, after seconds.
pub(crate) async fn follow_network(inner: Arc<Inner>) {
    let mut changes = inner.node.network_changes();
    loop {
        let left_behind = inner.lock().connections.made_here(Link::is_left_behind);
        let renewals = stream::iter(left_behind).for_each_concurrent(AT_ONCE, async |(key, id)| {
            renew(&inner, key, id, true).await;
        });
        let over = async {
            renewals.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = over => {}
            // What is under way now belongs to a network of the past, too.
            changed = changes.changed() => if changed.is_err() { return },
            () = inner.stop.cancelled() => return,
        }
    }
}

/// Until the swarm ends, looks for direct ways to the peers to which relays pass the packets on.
pub(crate) async fn leave_relays(inner: Arc<Inner>) {
    let mut searches: HashMap<(PublicKey, u64), (Instant, u32)> = HashMap::new();
    loop {
        tokio::select! {
            () = sleep(LOOK) => {}
            () = inner.stop.cancelled() => return,
        }
        let relayed = inner.lock().connections.made_here(Link::is_relayed);
        searches.retain(|connection, _| relayed.contains(connection));
        let now = Instant::now();
        for connection in relayed {
            let (last, searched) = searches.entry(connection).or_insert((now, 0));
            if now.saturating_duration_since(*last) < nth(&PAUSES, searched.saturating_add(1)) {
                continue;
            }
            (*last, *searched) = (now, searched.saturating_add(1));
            let inner = inner.clone();
            tokio::spawn(async move { renew(&inner, connection.0, connection.1, false).await });
        }
    }
}

/// Makes the connection anew, and lets it take the place of the one of that id. `relayed`: through a relay if need be.
async fn renew(inner: &Arc<Inner>, key: PublicKey, id: u64, relayed: bool) {
    let options = ConnectOptions {
        key_pair: Some(inner.key_pair.clone()),
        relay_addresses: inner.lock().queue.relays(&key),
        relay: inner.relay(),
        without_relay: !relayed,
    };
    let connected = tokio::select! {
        connected = inner.node.connect(key, options) => connected,
        () = inner.stop.cancelled() => return,
    };
    let (connection, link) = match connected {
        Ok(PeerConnection { connection, link }) => (connection, link),
        Err(error) => {
            tracing::debug!(peer = %key.short(), %error, "cannot make a connection anew");
            return;
        }
    };
    let id = {
        let now = Instant::now();
        let mut state = inner.lock();
        // The peer may have closed the old one already when the new one came, and then another may stand there by now.
        let free = state
            .connections
            .get(&key)
            .is_none_or(|entry| entry.id == id || entry.link.is_none());
        let place = link.remote_address().map(Place::of);
        if !free || state.bans.has(now, &key) || state.bans.has_place(now, place) {
            link.cut();
            return;
        }
        let (id, old) = state.connections.insert(key, Some(link.clone()), None);
        if let Some(old) = old.and_then(|old| old.link) {
            old.cut();
        }
        state.queue.opened(now, &key);
        state.total.opened(&link);
        id
    };
    tracing::debug!(peer = %key.short(), route = link.route().name(), "made a connection anew");
    inner.deliver(connection, link, id).await;
}
