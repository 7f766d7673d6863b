//! Finding and announcing peers (npm hyperdht index.js).

use std::net::SocketAddrV4;
use std::sync::Arc;

use base::{KeyPair, PublicKey, Topic};
use tokio::task::JoinSet;

use super::{Inner, Node, RunningQuery};
use crate::error::NoResponse;
use crate::hyper::command;
use crate::hyper::messages::{Announce, LookupReply, Peer};
use crate::hyper::sign::{NS, sign_announce};
use crate::id::Target;
use crate::rpc::{Outgoing, QueryOptions, Response};

/// Peers that one node knows.
#[derive(Debug, Clone)]
pub struct FoundPeers {
    /// The node.
    pub from: SocketAddrV4,
    /// What it knows.
    pub peers: Vec<Peer>,
}

/// A lookup under way. Dropping it ends it.
pub struct PeerQuery {
    query: RunningQuery,
}

impl PeerQuery {
    /// The next node's peers; none when the query is over. Cancel safe.
    pub async fn next(&mut self) -> Option<FoundPeers> {
        loop {
            let response = self.query.next().await?;
            if let Some(peers) = found(&response) {
                return Some(FoundPeers {
                    from: response.from,
                    peers,
                });
            }
        }
    }

    /// The nodes closest to the target, once the query is over; a later query may start from them.
    pub fn closest_nodes(&self) -> Vec<SocketAddrV4> {
        self.query.closest.iter().map(|r| r.from).collect()
    }
}

/// Whether the node lists the peer, or as many as it lists at most, so that it may have left the peer out.
fn may_know(response: &Response, public_key: &PublicKey) -> bool {
    let known = found(response).unwrap_or_default();
    known.len() >= 20 || known.iter().any(|p| p.public_key == *public_key)
}

fn found(response: &Response) -> Option<Vec<Peer>> {
    Some(LookupReply::decode(response.value.as_deref()?).ok()?.peers)
}

impl Node {
    /// Looks up who announced `topic`, starting from `nodes` if any.
    pub fn lookup(&self, topic: Topic, nodes: Vec<SocketAddrV4>) -> PeerQuery {
        let options = QueryOptions {
            nodes,
            ..QueryOptions::new(topic.into(), command::LOOKUP)
        };
        PeerQuery {
            query: self.inner.query(options),
        }
    }

    /// Announces `key_pair` on `topic` to the nodes a finished lookup found closest. Returns how many took it.
    /// `clear`: replaces an older announcement, which nodes may otherwise keep as it is.
    pub async fn announce(
        &self,
        lookup: &PeerQuery,
        topic: Topic,
        key_pair: &KeyPair,
        relay_addresses: Vec<SocketAddrV4>,
        clear: bool,
    ) -> usize {
        let peer = Peer {
            public_key: key_pair.public_key,
            relay_addresses,
        };
        let mut commits = JoinSet::new();
        for response in &lookup.query.closest {
            let (inner, key_pair, peer) = (self.inner.clone(), key_pair.clone(), peer.clone());
            let response = response.clone();
            let clear = clear && may_know(&response, &key_pair.public_key);
            commits.spawn(async move {
                if clear {
                    let old = Peer {
                        relay_addresses: Vec::new(),
                        ..peer.clone()
                    };
                    let _ = commit(&inner, &key_pair, topic.into(), &response, old, false).await;
                }
                commit(&inner, &key_pair, topic.into(), &response, peer, true).await
            });
        }
        commits.join_all().await.into_iter().filter(Result::is_ok).count()
    }

    /// Takes the announcement on `topic` back from `nodes` and, unless there are any, from the nodes closest to it.
    pub async fn unannounce(&self, topic: Topic, key_pair: &KeyPair, nodes: Vec<SocketAddrV4>) {
        let only_nodes = !nodes.is_empty();
        let options = QueryOptions {
            nodes,
            only_nodes,
            retries: 1,
            ..QueryOptions::new(topic.into(), command::LOOKUP)
        };
        let closest = self.inner.query(options).finish().await;
        let mut commits = JoinSet::new();
        for response in closest {
            let public_key = key_pair.public_key;
            if may_know(&response, &public_key) {
                let (inner, key_pair) = (self.inner.clone(), key_pair.clone());
                let peer = Peer {
                    public_key,
                    relay_addresses: Vec::new(),
                };
                commits.spawn(async move {
                    commit(&inner, &key_pair, topic.into(), &response, peer, false).await
                });
            }
        }
        commits.join_all().await;
    }
}

/// Asks who relays for the server of that target.
pub(super) fn find_peer(inner: &Arc<Inner>, target: Target, nodes: Vec<SocketAddrV4>) -> RunningQuery {
    inner.query(QueryOptions {
        nodes,
        ..QueryOptions::new(target, command::FIND_PEER)
    })
}

/// Stores (or deletes) `peer` under `target` on the node that sent `response`.
pub(super) async fn commit(
    inner: &Arc<Inner>,
    key_pair: &KeyPair,
    target: Target,
    response: &Response,
    peer: Peer,
    store: bool,
) -> Result<(), NoResponse> {
    let (Some(token), Some(id)) = (response.token, response.from_id) else {
        return Err(NoResponse);
    };
    let (namespace, command) = if store {
        (&NS.announce, command::ANNOUNCE)
    } else {
        (&NS.unannounce, command::UNANNOUNCE)
    };
    let announce = Announce {
        peer: Some(peer),
        refresh: None,
        signature: None,
        bump: 0,
    };
    let announce = sign_announce(key_pair, &target, &token, &id, announce, namespace);
    let out = Outgoing {
        token: Some(token),
        target: Some(target),
        value: Some(announce.encode()),
        ..Outgoing::new(response.from, command)
    };
    let reply = inner.request(out).await?;
    if reply.error == 0 { Ok(()) } else { Err(NoResponse) }
}
