//! The server's side of handshakes (npm hyperdht lib/server.js): one session per client's Noise message, whichever and
//! however many relays it comes through, and the same first reply to all.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use secret_stream::KeyPair;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::announcer::Announcer;
use super::connect::PeerConnection;
use super::handshake::ServerHandshake;
use super::peers::target_of;
use super::puncher::ServerPuncher;
use super::session::{self, Session};
use super::streams::StreamOffer;
use super::{Inner, ServerEntry};
use crate::address::{Id, hash};
use crate::hyper::messages::{Handshake, Holepunch, Mode, Peer};
use crate::hyper::noise_payload::{HolepunchInfo, NoisePayload, UdxInfo, VERSION};
use crate::hyper::{Firewall, command, error_code};
use crate::rpc::{Answer, Incoming, SocketId};

/// Sessions kept at once; more handshakes are dropped. Each costs a stream id and some kilobytes.
const MAX_SESSIONS: usize = 1024;
const MAX_SESSIONS_PER_HOST: usize = 64;
/// How long a session answers the same handshake after it began.
const SESSION_TIME: Duration = Duration::from_secs(20);
/// Requests waiting for the server task.
const QUEUE: usize = 512;

type Firewalled = dyn Fn(&[u8; 32]) -> bool + Send + Sync;

/// How to listen.
pub struct ServerOptions {
    /// Where connections go.
    pub connections: mpsc::Sender<PeerConnection>,
    /// Says whether a client's key is refused before it gets an answer.
    pub firewall: Box<Firewalled>,
}

/// A listening server.
pub struct Server {
    announcer: Arc<Announcer>,
    inner: Arc<Inner>,
    target: Id,
    stop: CancellationToken,
    announcing: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    pub(super) fn start(inner: Arc<Inner>, key_pair: KeyPair, options: ServerOptions) -> Self {
        let target = target_of(&key_pair.public_key);
        let announcer = Arc::new(Announcer::new(inner.clone(), key_pair.clone()));
        let stop = inner.closed.child_token();
        let (tx, requests) = mpsc::channel(QUEUE);
        let record = Peer {
            public_key: key_pair.public_key,
            relay_addresses: Vec::new(),
        }
        .encode();
        inner
            .lock()
            .servers
            .insert(target, ServerEntry { record, requests: tx });
        let task = ServerTask {
            inner: inner.clone(),
            key_pair,
            options,
            announcer: announcer.clone(),
            stop: stop.clone(),
            sessions: HashMap::new(),
            by_id: HashMap::new(),
            next_id: 0,
        };
        tokio::spawn(task.run(requests));
        let (announce, stopping) = (announcer.clone(), stop.clone());
        let announcing = tokio::spawn(async move { announce.run(stopping).await });
        Self {
            announcer,
            inner,
            target,
            stop,
            announcing: tokio::sync::Mutex::new(Some(announcing)),
        }
    }

    /// Waits until the server can be found, or the first try failed.
    pub async fn announced(&self) {
        tokio::select! {
            () = self.announcer.announced() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Counts rounds of announcing: after each, [`Server::relay_addresses`] may have changed.
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.announcer.rounds()
    }

    /// Nodes that relay handshakes to it, for topic announcements.
    pub fn relay_addresses(&self) -> Vec<SocketAddrV4> {
        self.announcer.relays().addresses
    }

    /// Stops listening and takes the announcement back.
    pub async fn close(&self) {
        self.stop.cancel();
        self.inner.lock().servers.remove(&self.target);
        if let Some(announcing) = self.announcing.lock().await.take() {
            let _ = announcing.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.inner.lock().servers.remove(&self.target);
    }
}

struct Known {
    id: u64,
    client: SocketAddrV4,
    reply: Vec<u8>,
    reply_socket: Option<SocketId>,
    punches: Option<mpsc::Sender<(Incoming, Holepunch)>>,
    until: Instant,
}

struct ServerTask {
    inner: Arc<Inner>,
    key_pair: KeyPair,
    options: ServerOptions,
    announcer: Arc<Announcer>,
    stop: CancellationToken,
    sessions: HashMap<Id, Known>,
    by_id: HashMap<u64, Id>,
    next_id: u64,
}

impl ServerTask {
    async fn run(mut self, mut requests: mpsc::Receiver<Incoming>) {
        loop {
            let incoming = tokio::select! {
                incoming = requests.recv() => incoming,
                () = self.stop.cancelled() => None,
            };
            let Some(incoming) = incoming else { return };
            self.forget_old();
            match incoming.command {
                command::PEER_HANDSHAKE => self.handshake(incoming),
                command::PEER_HOLEPUNCH => self.holepunch(incoming),
                _ => {}
            }
        }
    }

    fn forget_old(&mut self) {
        let now = Instant::now();
        let by_id = &mut self.by_id;
        self.sessions.retain(|_, known| {
            let keep = known.until > now;
            if !keep {
                by_id.remove(&known.id);
            }
            keep
        });
    }

    fn handshake(&mut self, incoming: Incoming) {
        let Some(Ok(hs)) = incoming.value.as_deref().map(Handshake::decode) else {
            return;
        };
        if !matches!(
            hs.mode,
            Mode::FromClient | Mode::FromRelay | Mode::FromSecondRelay
        ) {
            return;
        }
        let key = hash(&[&hs.noise]);
        if !self.sessions.contains_key(&key) {
            let client = hs.peer_address.unwrap_or(incoming.from);
            let from_there = self
                .sessions
                .values()
                .filter(|k| k.client.ip() == client.ip())
                .count();
            if self.sessions.len() >= MAX_SESSIONS || from_there >= MAX_SESSIONS_PER_HOST {
                return;
            }
            let Some(known) = self.begin(&incoming, &hs) else {
                return;
            };
            self.by_id.insert(known.id, key);
            self.sessions.insert(key, known);
        }
        let Some(known) = self.sessions.get(&key) else {
            return;
        };
        let noise = known.reply.clone();
        let socket = known.reply_socket;
        let passed_back = |noise| Handshake {
            mode: Mode::FromServer,
            noise,
            peer_address: hs.peer_address,
            relay_address: None,
        };
        self.inner.with(|state, _| match hs.mode {
            Mode::FromClient => {
                let reply = Handshake {
                    mode: Mode::Reply,
                    noise,
                    peer_address: None,
                    relay_address: None,
                };
                state.rpc.answer(
                    &incoming,
                    Answer {
                        value: Some(reply.encode()),
                        socket,
                        ..Answer::default()
                    },
                );
            }
            Mode::FromRelay => state
                .rpc
                .relay(&incoming, passed_back(noise).encode(), incoming.from, socket),
            _ => {
                if let Some(relay) = hs.relay_address {
                    state
                        .rpc
                        .relay(&incoming, passed_back(noise).encode(), relay, socket);
                }
            }
        });
    }

    /// Takes a new handshake. None if it is not valid or not welcome: then there is no answer at all.
    fn begin(&mut self, incoming: &Incoming, hs: &Handshake) -> Option<Known> {
        let id = self.next_id;
        self.next_id += 1;
        let until = Instant::now() + SESSION_TIME;
        let client = ServerHandshake::receive(&self.key_pair, &hs.noise).ok()?;
        if client.remote_public_key == self.key_pair.public_key
            || (self.options.firewall)(&client.remote_public_key)
        {
            return None;
        }
        let direct = hs.peer_address.is_none();
        let client_address = hs.peer_address.unwrap_or(incoming.from);
        let payload = client.payload.clone();
        let remote_id = payload.udx.and_then(|udx| u32::try_from(udx.id).ok());
        let error = match (payload.version, remote_id) {
            (VERSION, Some(_)) => error_code::NONE,
            (VERSION, None) => error_code::ABORTED,
            _ => error_code::VERSION_MISMATCH,
        };
        let offer = StreamOffer::new(self.inner.sockets.udx());
        let own = self.inner.lock().rpc.remote_address();
        let mut addresses4: Vec<SocketAddrV4> = own.into_iter().collect();
        addresses4.extend(
            self.inner
                .sockets
                .local_addresses()
                .into_iter()
                .filter(|a| Some(*a) != own),
        );
        let relays = self.announcer.relays();
        let needs_punch = own.is_none() && !direct && payload.firewall != Firewall::Open && error == 0;
        let puncher = match needs_punch {
            true => ServerPuncher::open(self.inner.clone(), payload.firewall).ok(),
            false => None,
        };
        let reply = NoisePayload {
            version: VERSION,
            error,
            firewall: if own.is_some() {
                Firewall::Open
            } else {
                Firewall::Unknown
            },
            holepunch: own.is_none().then_some(HolepunchInfo {
                id,
                relays: relays.relays,
            }),
            addresses4,
            udx: Some(UdxInfo {
                reusable_socket: false,
                id: u64::from(offer.id()),
                seq: 0,
            }),
            secret_stream: Some(1),
            relay_addresses: (!relays.addresses.is_empty()).then_some(relays.addresses),
            ..NoisePayload::default()
        };
        let (reply, handshake) = client.finish(&reply).ok()?;
        let reply_socket = puncher.as_ref().map(ServerPuncher::socket);
        let (tx, punches) = mpsc::channel(16);
        if let (Some(remote_id), error_code::NONE) = (remote_id, error) {
            let session = Session {
                inner: self.inner.clone(),
                announcer: self.announcer.clone(),
                offer,
                remote_id,
                payload,
                handshake,
                direct: direct.then(|| self.inner.sockets.get(incoming.socket)).flatten(),
                client: client_address,
                server: incoming.to,
                puncher,
                punches,
                connections: self.options.connections.clone(),
            };
            tokio::spawn(session::run(session, self.stop.clone()));
        }
        Some(Known {
            id,
            client: client_address,
            reply,
            reply_socket,
            punches: Some(tx),
            until,
        })
    }

    fn holepunch(&mut self, incoming: Incoming) {
        let Some(Ok(hp)) = incoming.value.as_deref().map(Holepunch::decode) else {
            return;
        };
        let known = self.by_id.get(&hp.id).and_then(|key| self.sessions.get_mut(key));
        if let Some(known) = known {
            known.until = Instant::now() + SESSION_TIME;
            if let Some(punches) = &known.punches {
                let _ = punches.try_send((incoming, hp));
            }
        }
    }
}
