//! Connections that others began: they get a place once they have proven who they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dht::{Link, PeerConnection};
use secret_stream::Connection;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::connections::{Entry, Inbound, Verdict, decide};
use crate::limits::{Place, who_leaves};
use crate::peers::End;
use crate::swarm::Inner;

/// How long a peer may take for its first sealed message. One that has nothing to say sends a keep-alive after 5 seconds.
const PROOF_TIME: Duration = Duration::from_secs(10);
/// Connections that have proven nothing yet; beyond, the oldest of the most crowded address makes room.
const MAX_UNPROVEN: usize = 128;

/// How long who is sent away has to take what is on its way to him, and the news that it is over.
const FAREWELL: Duration = Duration::from_secs(2);

/// Connections that have proven nothing yet, by age.
#[derive(Debug, Default)]
pub(crate) struct Unproven {
    links: std::collections::BTreeMap<u64, Link>,
    next: u64,
}

impl Unproven {
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    fn add(&mut self, link: Link) -> u64 {
        if self.links.len() >= MAX_UNPROVEN {
            let place = |link: &Link| link.remote_address().map(Place::of);
            let mut counts: HashMap<Option<Place>, usize> = HashMap::new();
            for link in self.links.values() {
                *counts.entry(place(link)).or_default() += 1;
            }
            let crowded = counts
                .into_iter()
                .max_by_key(|(_, count)| *count)
                .map(|(place, _)| place);
            let oldest = self.links.iter().find(|(_, link)| Some(place(link)) == crowded);
            if let Some(link) = oldest.map(|(id, _)| *id).and_then(|id| self.links.remove(&id)) {
                link.cut();
            }
        }
        self.next += 1;
        self.links.insert(self.next, link);
        self.next
    }
}

/// Takes connections that others began.
pub(crate) async fn accept(inner: Arc<Inner>, mut incoming: mpsc::Receiver<PeerConnection>) {
    loop {
        let accepted = tokio::select! {
            accepted = incoming.recv() => accepted,
            () = inner.stop.cancelled() => None,
        };
        let Some(PeerConnection { connection, link }) = accepted else {
            return;
        };
        let ticket = inner.lock().unproven.add(link.clone());
        tokio::spawn(prove(inner.clone(), connection, link, ticket));
    }
}

/// Waits until the peer has proven that it is who it says, now: the handshake alone may be an old one, sent again.
async fn prove(inner: Arc<Inner>, connection: Connection, link: Link, ticket: u64) {
    let proven = tokio::select! {
        proven = timeout(PROOF_TIME, connection.proven()) => proven.unwrap_or(false),
        () = inner.stop.cancelled() => false,
    };
    let in_time = inner.lock().unproven.links.remove(&ticket).is_some();
    let id = if proven && in_time {
        admit(&inner, &connection, &link)
    } else {
        None
    };
    match id {
        Some(id) => inner.deliver(connection, link, id).await,
        None => {
            inner.lock().total.turned_away += 1;
            link.cut();
        }
    }
}

/// Finds a place for a proven peer.
fn admit(inner: &Inner, connection: &Connection, link: &Link) -> Option<u64> {
    let key = connection.info().remote_public_key;
    let place = link.remote_address().map(Place::of);
    let now = Instant::now();
    let mut state = inner.lock();
    let existing = state.connections.get(&key);
    let is_new = existing.is_none();
    if decide(&inner.key_pair.public_key, &key, false, existing) == Verdict::Drop
        || state.bans.has(now, &key)
        || state.bans.has_place(now, place)
    {
        return None;
    }
    if is_new && state.connections.counts().0 >= inner.max_inbound {
        let leaving = who_leaves(&state.connections.guests(now), place, inner.max_inbound)?;
        if let Some(entry) = state.connections.take(&leaving) {
            send_away(entry);
        }
        state.total.displaced += 1;
        state.queue.closed(now, &leaving, End::Closed);
    }
    let inbound = Inbound {
        since: now,
        closer: connection.closer(),
    };
    let (id, old) = state.connections.insert(key, Some(link.clone()), Some(inbound));
    if let Some(old) = old.and_then(|old| old.link) {
        old.cut();
    }
    state.queue.opened(now, &key);
    state.total.taken += 1;
    state.total.opened(link);
    Some(id)
}

/// Ends a connection in good order, by which the peer knows that nothing broke and that there is no point in coming back at once.
fn send_away(entry: Entry) {
    let Entry { link, inbound, .. } = entry;
    if let Some(inbound) = inbound {
        inbound.closer.close();
    }
    tokio::spawn(async move {
        tokio::time::sleep(FAREWELL).await;
        link.inspect(Link::cut);
    });
}

#[cfg(test)]
mod tests {
    use secret_stream::ConnectionInfo;

    use super::*;
    use crate::{Swarm, SwarmConfig};

    #[tokio::test]
    async fn a_connection_is_delivered_counted_and_replaces_another_once_its_peer_has_proven_itself() {
        let config = SwarmConfig {
            bootstrap: Some(vec![]),
            ..SwarmConfig::default()
        };
        let swarm = Swarm::new(config).await.unwrap();
        let mut delivered = swarm.connections();
        let offer = async |connection: Connection| {
            let link = Link::default();
            let accepted = &swarm.inner.accepted;
            let peer = PeerConnection {
                connection,
                link: link.clone(),
            };
            assert!(accepted.send(peer).await.is_ok());
            link
        };
        let repeated = |of: &Connection| ConnectionInfo {
            handshake_hash: [9; 64],
            ..of.info().clone()
        };
        let brief = Duration::from_millis(200);
        let (live, _other_end) = Connection::memory_pair();
        let info = repeated(&live);
        let (silent, _driver) = Connection::new(info.clone(), 4);
        let _silent = offer(silent).await;
        assert!(
            timeout(brief, delivered.recv()).await.is_err(),
            "nothing is proven"
        );
        assert_eq!(swarm.connection_count(), 0);
        let link = offer(live).await;
        let live = timeout(PROOF_TIME, delivered.recv()).await.unwrap().unwrap();
        assert_eq!(live.info().handshake_hash, [3; 64]);
        // The same handshake sent again by somebody else.
        let (silent, _driver) = Connection::new(info, 4);
        let _silent = offer(silent).await;
        assert!(timeout(brief, delivered.recv()).await.is_err());
        assert!(
            !link.is_cut() && swarm.connection_count() == 1,
            "the live one stays"
        );
        // The peer itself, again.
        let (again, _other_end) = Connection::memory_pair();
        offer(again).await;
        assert!(timeout(PROOF_TIME, delivered.recv()).await.unwrap().is_some());
        assert!(link.is_cut() && swarm.connection_count() == 1);
    }

    #[test]
    fn unproven_connections_are_few_and_the_oldest_makes_room() {
        let mut unproven = Unproven::default();
        let links: Vec<Link> = (0..MAX_UNPROVEN + 5).map(|_| Link::default()).collect();
        for link in &links {
            unproven.add(link.clone());
        }
        assert_eq!(unproven.links.len(), MAX_UNPROVEN);
        assert!(links.iter().take(5).all(Link::is_cut) && !links.iter().skip(5).any(Link::is_cut));
    }
}
