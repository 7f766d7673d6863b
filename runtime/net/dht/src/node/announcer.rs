//! Keeps a server announced under the hash of its key, and knows its relays (npm hyperdht lib/announcer.js).

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::{KeyPair, lock};
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::peers::{commit, find_peer};
use crate::hyper::command;
use crate::hyper::messages::Peer;
use crate::hyper::noise_payload::RelayInfo;
use crate::id::Target;
use crate::rpc::Outgoing;

/// Relays a server keeps.
const RELAYS: usize = 3;
/// How often relays are pinged, which also keeps the NAT open, and after how many pings all is announced anew.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const PINGS_PER_ROUND: u32 = 100;
/// Pause between rounds that are made because relays see the server elsewhere: a NAT may give another port for every packet, and
/// then there is no place to announce.
const MOVES: Duration = Duration::from_secs(15);
/// Pause after a round that found nobody.
const RETRY: Duration = Duration::from_secs(1);

/// The relays of an announced server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relays {
    pub(crate) relays: Vec<RelayInfo>,
    /// What others should ask to reach the server: itself if it is open, then its relays.
    pub(crate) addresses: Vec<SocketAddrV4>,
}

pub(crate) struct Announcer {
    inner: Arc<Inner>,
    key_pair: KeyPair,
    target: Target,
    relays: Mutex<Relays>,
    /// Nodes that hold the announcement.
    holders: Mutex<HashMap<SocketAddrV4, ()>>,
    rounds: watch::Sender<u64>,
}

impl Announcer {
    pub(crate) fn new(inner: Arc<Inner>, key_pair: KeyPair) -> Self {
        let target = Target::of_key(&key_pair.public_key);
        Self {
            inner,
            key_pair,
            target,
            relays: Mutex::default(),
            holders: Mutex::default(),
            rounds: watch::Sender::new(0),
        }
    }

    pub(crate) fn relays(&self) -> Relays {
        lock(&self.relays).clone()
    }

    pub(crate) fn is_relay(&self, address: &SocketAddrV4) -> bool {
        lock(&self.holders).contains_key(address)
    }

    pub(crate) fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// Waits for the end of the first round, successful or not.
    pub(crate) async fn announced(&self) {
        let mut rounds = self.rounds.subscribe();
        let _ = rounds.wait_for(|n| *n > 0).await;
    }

    /// Announces until `stop`, then takes everything back.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let work = async {
            self.inner.bootstrapped().await;
            let mut nodes = Vec::new();
            let mut moved = None;
            loop {
                let found = self.round(&mut nodes).await;
                // A failed round is news only if it is the first.
                self.rounds.send_if_modified(|n| {
                    let news = found > 0 || *n == 0;
                    *n += u64::from(news);
                    news
                });
                if found == 0 {
                    sleep(RETRY).await;
                    nodes.clear();
                    continue;
                }
                self.keep_alive(&mut moved).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
            () = self.inner.closed.cancelled() => return,
        }
        let holders: Vec<SocketAddrV4> = {
            let mut holders = lock(&self.holders);
            holders.drain().map(|(address, ())| address).collect()
        };
        self.take_back(holders).await;
    }

    /// Announces to the closest nodes. Returns how many took it.
    async fn round(&self, nodes: &mut Vec<SocketAddrV4>) -> usize {
        let closest = find_peer(&self.inner, self.target, std::mem::take(nodes))
            .finish()
            .await;
        nodes.extend(closest.iter().map(|r| r.from));
        let commits = closest.iter().take(RELAYS).map(|response| async move {
            let peer = Peer {
                public_key: self.key_pair.public_key,
                relay_addresses: Vec::new(),
            };
            commit(&self.inner, &self.key_pair, self.target, response, peer, true)
                .await
                .ok()?;
            Some(RelayInfo {
                relay_address: response.from,
                peer_address: response.to,
            })
        });
        let relays: Vec<RelayInfo> = join_all(commits).await.into_iter().flatten().collect();
        let own = self.inner.lock().rpc.remote_address();
        let addresses = own
            .into_iter()
            .chain(relays.iter().map(|r| r.relay_address))
            .take(RELAYS)
            .collect();
        let count = relays.len();
        let held = relays.iter().map(|r| (r.relay_address, ())).collect();
        let old = std::mem::replace(&mut *lock(&self.holders), held);
        *lock(&self.relays) = Relays { relays, addresses };
        let dropped: Vec<SocketAddrV4> = old
            .into_keys()
            .filter(|address| !self.is_relay(address))
            .collect();
        if count > 0 {
            self.take_back(dropped).await;
        }
        count
    }

    /// Pings the relays until it is time for another round, one of them is lost, or they see the server elsewhere than they pass
    /// handshakes on to. `moved`: when that was so last.
    async fn keep_alive(&self, moved: &mut Option<Instant>) {
        let mut changes = self.inner.network.subscribe();
        for _ in 0..PINGS_PER_ROUND {
            tokio::select! {
                () = sleep(PING_INTERVAL) => {}
                _ = changes.changed() => {}
            }
            let relays = self.relays().relays;
            let pings = relays
                .iter()
                .map(|r| self.inner.seen_by(r.relay_address, None, 2));
            let seen = join_all(pings).await;
            if seen.iter().any(Option::is_none) {
                return;
            }
            let elsewhere = relays
                .iter()
                .zip(seen)
                .find(|(r, seen)| *seen != Some(r.peer_address));
            if let Some((_, Some(seen))) = elsewhere
                && moved.is_none_or(|last| last.elapsed() >= MOVES)
            {
                *moved = Some(Instant::now());
                self.inner.is_seen_at(*seen.ip());
                return;
            }
        }
    }

    async fn take_back(&self, holders: Vec<SocketAddrV4>) {
        join_all(holders.into_iter().map(|to| async move {
            let find = Outgoing {
                target: Some(self.target),
                retries: 1,
                ..Outgoing::new(to, command::FIND_PEER)
            };
            if let Ok(response) = self.inner.request(find).await {
                let peer = Peer {
                    public_key: self.key_pair.public_key,
                    relay_addresses: Vec::new(),
                };
                let _ = commit(&self.inner, &self.key_pair, self.target, &response, peer, false).await;
            }
        }))
        .await;
    }
}
