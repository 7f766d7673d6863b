//! The server's side of handshakes (npm hyperdht lib/server.js): one session per client's Noise message, whichever and
//! however many relays it comes through, and the same first reply to all.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Instant;

use base::hash::blake2b;
use base::{KeyPair, PublicKey};
use blind_relay::{Request, Token};
use rand::RngExt;
use rand::seq::IteratorRandom;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use super::announcer::Announcer;
use super::connect::PeerConnection;
use super::handshake::ServerHandshake;
use super::punch_socket::PunchPool;
use super::puncher::ServerPuncher;
use super::puncher_server::Punch;
use super::session::{self, Session};
use super::sessions::{Origin, Sessions};
use super::streams::StreamOffer;
use super::{Inner, ServerEntry};
use crate::hyper::messages::{Handshake, Holepunch, Mode, Peer};
use crate::hyper::noise_payload::{HolepunchInfo, NoisePayload, RelayThrough, UdxInfo, VERSION};
use crate::hyper::secure_payload::SecurePayload;
use crate::hyper::{Firewall, command, error_code};
use crate::id::Target;
use crate::rpc::{Answer, Incoming, SocketId};

/// Clients at once for whom a relay is dialled: a handshake costs its sender one packet, and must not cost us a search each.
const MAX_MEETINGS: usize = 16;
/// Requests waiting for the server task.
const QUEUE: usize = 512;

type Firewalled = dyn Fn(&PublicKey) -> bool + Send + Sync;

/// How to listen.
pub struct ServerOptions {
    /// Where connections go.
    pub connections: mpsc::Sender<PeerConnection>,
    /// Says whether a client's key is refused before it gets an answer.
    pub firewall: Box<Firewalled>,
    /// Public keys of blind relays: where our NAT changes its ports, clients are told one of them to meet at.
    pub relays: Vec<PublicKey>,
}

/// A listening server.
pub struct Server {
    announcer: Arc<Announcer>,
    inner: Arc<Inner>,
    target: Target,
    stop: CancellationToken,
    announcing: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    pub(super) fn start(inner: Arc<Inner>, key_pair: KeyPair, options: ServerOptions) -> Self {
        let target = Target::of_key(&key_pair.public_key);
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
            sessions: Sessions::default(),
            punch_sockets: PunchPool::default(),
            meetings: Arc::new(Semaphore::new(MAX_MEETINGS)),
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
    reply: Vec<u8>,
    reply_socket: Option<SocketId>,
    punches: mpsc::Sender<Punch>,
    secure: Arc<SecurePayload>,
    _running: DropGuard,
}

struct ServerTask {
    inner: Arc<Inner>,
    key_pair: KeyPair,
    options: ServerOptions,
    announcer: Arc<Announcer>,
    stop: CancellationToken,
    sessions: Sessions<Known>,
    punch_sockets: PunchPool,
    meetings: Arc<Semaphore>,
}

impl ServerTask {
    async fn run(mut self, mut requests: mpsc::Receiver<Incoming>) {
        loop {
            let incoming = tokio::select! {
                incoming = requests.recv() => incoming,
                () = self.stop.cancelled() => None,
            };
            let Some(incoming) = incoming else { return };
            self.sessions.forget_old(Instant::now());
            match incoming.command {
                command::PEER_HANDSHAKE => self.handshake(incoming),
                command::PEER_HOLEPUNCH => self.holepunch(incoming),
                _ => {}
            }
        }
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
        let key = blake2b(&[&hs.noise]);
        if self.sessions.get(&key).is_none() && self.begin(key, &incoming, &hs).is_none() {
            return;
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
    fn begin(&mut self, key: [u8; 32], incoming: &Incoming, hs: &Handshake) -> Option<()> {
        let client = ServerHandshake::receive(&self.key_pair, &hs.noise).ok()?;
        if client.remote_public_key == self.key_pair.public_key
            || (self.options.firewall)(&client.remote_public_key)
        {
            return None;
        }
        let direct = hs.peer_address.is_none();
        let client_address = hs.peer_address.unwrap_or(incoming.from);
        let is_relay = !direct && self.announcer.is_relay(&incoming.from);
        let origin = Origin::new(incoming.from, is_relay, client_address);
        if !self.sessions.make_room(origin) {
            return None;
        }
        // JavaScript reads integers up to 2^53. Nobody but the client is told the number.
        let id = rand::rng().random::<u64>() >> 11;
        let payload = client.payload.clone();
        let remote_id = payload.udx.and_then(|udx| u32::try_from(udx.id).ok());
        let error = match (payload.version, remote_id) {
            (VERSION, Some(_)) => error_code::NONE,
            (VERSION, None) => error_code::ABORTED,
            _ => error_code::VERSION_MISMATCH,
        };
        let offer = StreamOffer::new(self.inner.sockets.udx());
        let own_relay = self.relay();
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
        let puncher = if needs_punch {
            self.punch_sockets.take(&self.inner).ok()
        } else {
            None
        }
        .map(|socket| ServerPuncher::new(socket, self.inner.clone(), payload.firewall));
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
            relay_through: own_relay,
            relay_addresses: (!relays.addresses.is_empty()).then_some(relays.addresses),
            ..NoisePayload::default()
        };
        let (reply, handshake) = client.finish(&reply).ok()?;
        let reply_socket = puncher.as_ref().map(ServerPuncher::socket);
        let (tx, punches) = mpsc::channel(16);
        let secure = Arc::new(SecurePayload::new(&handshake.hash));
        let dropped = self.stop.child_token();
        if let (Some(remote_id), error_code::NONE) = (remote_id, error) {
            let relay = own_relay.or(payload.relay_through).and_then(|relay| {
                let request = Request {
                    is_initiator: own_relay.is_some(),
                    token: Token(relay.token),
                    stream_id: offer.id(),
                };
                let permit = self.meetings.clone().try_acquire_owned().ok()?;
                Some((relay.public_key, request, permit))
            });
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
                secure: secure.clone(),
                connections: self.options.connections.clone(),
                relay,
            };
            let span = tracing::error_span!("conn", peer = %session.handshake.remote_public_key.short());
            tokio::spawn(session::run(session, dropped.clone()).instrument(span));
        }
        let known = Known {
            reply,
            reply_socket,
            punches: tx,
            secure,
            _running: dropped.drop_guard(),
        };
        self.sessions.insert(Instant::now(), key, id, origin, known);
        Some(())
    }

    /// A relay for the next client, if our NAT may make it need one.
    fn relay(&self) -> Option<RelayThrough> {
        let random = self.inner.lock().rpc.firewall() == Firewall::Random;
        let relays = self.options.relays.iter().filter(|_| random);
        let public_key = *relays.choose(&mut rand::rng())?;
        Some(RelayThrough {
            public_key,
            token: rand::rng().random(),
        })
    }

    fn holepunch(&mut self, incoming: Incoming) {
        let Some(Ok(message)) = incoming.value.as_deref().map(Holepunch::decode) else {
            return;
        };
        // The number alone shows nothing.
        let Some(known) = self.sessions.by_id(message.id) else {
            return;
        };
        if let Some(payload) = known.secure.open(&message.payload) {
            let id = message.id;
            let _ = known.punches.try_send(Punch {
                incoming,
                message,
                payload,
            });
            self.sessions.prove(Instant::now(), id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::super::handshake::ClientHandshake;
    use super::super::{Node, NodeConfig};
    use super::*;

    const CLIENTS: u32 = 300;

    /// A handshake that a relay passes on.
    fn relayed(n: u32, server: &KeyPair, to: SocketAddrV4) -> Incoming {
        let payload = NoisePayload {
            udx: Some(UdxInfo {
                reusable_socket: false,
                id: u64::from(n),
                seq: 0,
            }),
            ..NoisePayload::default()
        };
        let (_, noise) = ClientHandshake::start(&KeyPair::generate(), server.public_key, &payload).unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::from(0x7f10_0000 + n), 9);
        let hs = Handshake {
            mode: Mode::FromRelay,
            noise,
            peer_address: Some(address),
            relay_address: None,
        };
        Incoming {
            socket: SocketId::SERVER,
            // Each from another stranger: the worst case.
            from: address,
            from_id: None,
            to,
            tid: n as u16,
            token: None,
            internal: false,
            command: command::PEER_HANDSHAKE,
            target: Some(Target::of_key(&server.public_key)),
            value: Some(hs.encode()),
        }
    }

    #[tokio::test]
    async fn clients_that_have_not_proved_themselves_share_a_few_sockets() {
        let config = NodeConfig {
            bootstrap: Some(Vec::new()),
            host: Some(Ipv4Addr::LOCALHOST),
            ..NodeConfig::default()
        };
        let node = Node::start(config).await.unwrap();
        node.inner.with(|state, _| state.rpc.pretend_firewalled());
        let keys = KeyPair::from_seed([1; 32]);
        let (connections, _accepted) = mpsc::channel(1);
        let options = ServerOptions {
            connections,
            firewall: Box::new(|_| false),
            relays: Vec::new(),
        };
        let _server = node.listen(keys.clone(), options);
        let target = Target::of_key(&keys.public_key);
        let requests = node.inner.lock().servers[&target].requests.clone();
        let (before, to) = (node.inner.sockets.count(), "127.0.0.1:9".parse().unwrap());
        for n in 0..CLIENTS {
            requests.send(relayed(n, &keys, to)).await.unwrap();
        }
        while requests.capacity() < requests.max_capacity() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let opened = node.inner.sockets.count() - before;
        println!("{opened} sockets for {CLIENTS} clients");
        assert!(
            (1..=4).contains(&opened),
            "{opened} sockets for {CLIENTS} clients"
        );
    }

    /// What a stream sends at most to an address that nothing was heard from: three packets of 1200 bytes, and the one that begins
    /// within these.
    const FIRST_BYTES: usize = 4 * 1200;

    #[tokio::test]
    async fn a_victim_that_a_relay_names_as_an_open_client_gets_the_first_bytes_only() {
        let config = NodeConfig {
            bootstrap: Some(Vec::new()),
            host: Some(Ipv4Addr::LOCALHOST),
            ..NodeConfig::default()
        };
        let node = Node::start(config).await.unwrap();
        let keys = KeyPair::from_seed([2; 32]);
        let (connections, mut accepted) = mpsc::channel(1);
        let options = ServerOptions {
            connections,
            firewall: Box::new(|_| false),
            relays: Vec::new(),
        };
        let _server = node.listen(keys.clone(), options);
        let requests = node.inner.lock().servers[&Target::of_key(&keys.public_key)]
            .requests
            .clone();
        let victim = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let std::net::SocketAddr::V4(address) = victim.local_addr().unwrap() else {
            panic!("not IPv4")
        };
        let payload = NoisePayload {
            firewall: Firewall::Open,
            udx: Some(UdxInfo {
                reusable_socket: false,
                id: 1,
                seq: 0,
            }),
            ..NoisePayload::default()
        };
        let (_, noise) = ClientHandshake::start(&KeyPair::generate(), keys.public_key, &payload).unwrap();
        let hs = Handshake {
            mode: Mode::FromRelay,
            noise,
            peer_address: Some(address),
            relay_address: None,
        };
        let mut incoming = relayed(1, &keys, "127.0.0.1:9".parse().unwrap());
        incoming.value = Some(hs.encode());
        requests.send(incoming).await.unwrap();
        let connection = accepted.recv().await.unwrap();
        // Whatever the server wants to say.
        for _ in 0..100 {
            let _ = connection.connection.send(vec![7; 10_000].into()).await;
        }
        let (mut buffer, mut got) = ([0; 65536], 0);
        let until = tokio::time::Instant::now() + Duration::from_secs(4);
        while let Ok(Ok(n)) = tokio::time::timeout_at(until, victim.recv(&mut buffer)).await {
            got += n;
        }
        println!("{got} bytes reached the victim");
        assert!((1..=FIRST_BYTES).contains(&got), "{got} bytes reached the victim");
    }
}
