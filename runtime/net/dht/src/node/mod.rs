//! A HyperDHT node on real sockets: the async driver around [`crate::rpc`] and [`crate::hyper::store`].

mod announcer;
mod client_path;
mod connect;
mod handshake;
mod link;
mod meeting;
mod network;
mod path;
mod peers;
mod punch_plan;
mod punch_socket;
mod puncher;
mod puncher_server;
mod relays;
mod route;
mod server;
mod session;
mod sessions;
mod sockets;
mod streams;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base::{KeyPair, PublicKey, lock};
use rand::RngExt;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::connect::{ConnectOptions, PeerConnection};
#[cfg(test)]
pub(crate) use self::handshake::ServerHandshake;
pub use self::link::Link;
pub use self::peers::{FoundPeers, PeerQuery};
pub use self::route::Route;
pub use self::server::{Server, ServerOptions};
use self::sockets::Sockets;
use crate::address::{Reach, reach, to_v4};
use crate::error::{DhtError, NoResponse};
use crate::hyper::messages::{Holepunch, Mode};
use crate::hyper::store::{Store, Verdict};
use crate::hyper::{Firewall, command};
use crate::id::Target;
use crate::rpc::{
    Event, Incoming, Outgoing, QueryId, QueryOptions, RequestId, Response, Rpc, RpcConfig, SocketId, Transmit,
};

/// The public HyperDHT's bootstrap nodes (npm hyperdht lib/constants.js). `ip@name:port`: the address is tried as it is.
pub const PUBLIC_BOOTSTRAP: [&str; 3] = [
    "88.99.3.86@node1.hyperdht.org:49737",
    "142.93.90.113@node2.hyperdht.org:49737",
    "138.68.147.8@node3.hyperdht.org:49737",
];

/// How a node starts.
#[derive(Debug, Clone, Default)]
pub struct NodeConfig {
    /// `host:port` of nodes to start from. `None` = [`PUBLIC_BOOTSTRAP`]; empty = alone.
    pub bootstrap: Option<Vec<String>>,
    /// Address to bind. `None` = loopback if every bootstrap node is on loopback, else all.
    pub host: Option<Ipv4Addr>,
    /// Port of the server socket; 0 = any.
    pub port: u16,
    /// Be a persistent node at exactly `host`:`port`, which everybody can reach (a bootstrap node).
    pub persistent: bool,
}

/// A running node. Clones share it; it stops when the last is dropped or at [`Node::destroy`].
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    _guard: Arc<DestroyGuard>,
}

struct DestroyGuard(CancellationToken);

impl Drop for DestroyGuard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What tasks of the node hold: it does not keep the node alive.
pub(crate) struct Inner {
    state: Mutex<State>,
    wake: Notify,
    sockets: Sockets,
    bootstrapped: watch::Sender<bool>,
    /// Counts changes of this machine's network.
    network: watch::Sender<u64>,
    pub(crate) closed: CancellationToken,
}

struct ServerEntry {
    record: Vec<u8>,
    requests: mpsc::Sender<Incoming>,
}

struct State {
    rpc: Rpc,
    store: Store,
    waiters: HashMap<RequestId, oneshot::Sender<Response>>,
    queries: HashMap<QueryId, mpsc::UnboundedSender<QueryEvent>>,
    servers: HashMap<Target, ServerEntry>,
    relays: relays::Relays,
    random_punches: puncher::RandomPunches,
    armed: Option<Instant>,
}

enum QueryEvent {
    Reply(Response),
    Done(Vec<Response>),
}

impl Node {
    /// Opens the sockets and starts to bootstrap in the background.
    pub async fn start(config: NodeConfig) -> Result<Self, DhtError> {
        let bootstrap = resolve(config.bootstrap.as_deref()).await?;
        let loopback = match config.host {
            Some(host) => host.is_loopback(),
            None => !bootstrap.is_empty() && bootstrap.iter().all(|a| a.ip().is_loopback()),
        };
        let default_host = if loopback {
            Ipv4Addr::LOCALHOST
        } else {
            Ipv4Addr::UNSPECIFIED
        };
        let host = config.host.unwrap_or(default_host);
        let (sockets, readers) = Sockets::bind(host, config.port, config.persistent)?;
        let server_port = sockets.server_port();
        let known = (loopback || config.persistent).then(|| SocketAddrV4::new(host, server_port));
        let rpc_config = RpcConfig {
            bootstrap,
            server_port,
            known_address: known,
            persistent: config.persistent,
        };
        let now = Instant::now();
        let state = State {
            rpc: Rpc::new(rpc_config, now, rand::rng().random()),
            store: Store::new(rand::rng().random()),
            waiters: HashMap::new(),
            queries: HashMap::new(),
            servers: HashMap::new(),
            relays: relays::Relays::default(),
            random_punches: puncher::RandomPunches::default(),
            armed: None,
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            wake: Notify::new(),
            sockets,
            bootstrapped: watch::Sender::new(false),
            network: watch::Sender::new(0),
            closed: CancellationToken::new(),
        });
        for (id, messages) in readers {
            tokio::spawn(sockets::read(inner.clone(), id, messages));
        }
        // A node without bootstrap is done at once.
        inner.with(|_, _| ());
        tokio::spawn(drive(inner.clone()));
        if host.is_unspecified() {
            tokio::spawn(network::watch(inner.clone()));
        }
        let guard = Arc::new(DestroyGuard(inner.closed.clone()));
        Ok(Self { inner, _guard: guard })
    }

    /// Waits until the first round through the network is over.
    pub async fn bootstrapped(&self) {
        self.inner.bootstrapped().await;
    }

    /// Stops everything at once. Unannounce first by closing servers.
    pub fn destroy(&self) {
        self.inner.closed.cancel();
    }

    /// Local address of the server socket.
    pub fn local_address(&self) -> SocketAddr {
        self.inner.sockets.server_address()
    }

    /// The address at which everybody can reach this node, if known and open.
    pub fn remote_address(&self) -> Option<SocketAddrV4> {
        self.inner.lock().rpc.remote_address()
    }

    /// Whether others may need our packet first before theirs reach us, as far as known.
    pub fn firewalled(&self) -> bool {
        self.inner.lock().rpc.firewalled()
    }

    /// What other nodes see of this one: whether they reach it, and whether its NAT keeps its port.
    pub fn firewall(&self) -> Firewall {
        self.inner.lock().rpc.firewall()
    }

    /// The nodes that it started from, as far as their names could be resolved.
    pub fn bootstrap(&self) -> Vec<SocketAddrV4> {
        self.inner.lock().rpc.bootstrap().to_vec()
    }

    /// How long a node takes to answer a ping; `None` if it does not, after three tries of a second each at most.
    pub async fn answers(&self, address: SocketAddrV4) -> Option<Duration> {
        let began = Instant::now();
        self.inner.ping(address, None, 2).await.then(|| began.elapsed())
    }

    /// Counts changes of this machine's network: of its addresses, of the one it sends from, and of where others see it. What
    /// was made before may have ended without a word; see [`Link::is_left_behind`]. A node that is bound to one address sees
    /// none.
    pub fn network_changes(&self) -> watch::Receiver<u64> {
        self.inner.network.subscribe()
    }

    /// Other nodes known.
    pub fn node_count(&self) -> usize {
        self.inner.lock().rpc.node_count()
    }

    /// Listens for connections to `key_pair`; they arrive on the returned channel's other end in `options`.
    pub fn listen(&self, key_pair: KeyPair, options: ServerOptions) -> Server {
        Server::start(self.inner.clone(), key_pair, options)
    }

    /// Connects to the peer of that public key.
    pub async fn connect(
        &self,
        remote_public_key: PublicKey,
        options: ConnectOptions,
    ) -> Result<PeerConnection, crate::ConnectError> {
        tokio::select! {
            biased;
            () = self.inner.closed.cancelled() => Err(crate::ConnectError::Destroyed),
            result = connect::connect(&self.inner, remote_public_key, options) => result,
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The socket requests go out from; none once the node is closed.
    fn usual_socket(&self) -> Option<udx::Socket> {
        let id = self.lock().rpc.socket();
        self.sockets.get(id)
    }

    async fn bootstrapped(&self) {
        let mut done = self.bootstrapped.subscribe();
        tokio::select! {
            _ = done.wait_for(|done| *done) => {}
            () = self.closed.cancelled() => {}
        }
    }

    /// Runs `f` on the state and passes on what came of it; the driver sends the datagrams.
    fn with<T>(&self, f: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let now = Instant::now();
        let result = f(&mut state, now);
        let bootstrapped = state.dispatch(now);
        drop(state);
        if bootstrapped {
            self.bootstrapped.send_replace(true);
        }
        self.wake.notify_one();
        result
    }

    /// This machine is somewhere else than before.
    fn moved(&self) {
        self.with(|state, now| state.rpc.moved(now));
        self.network.send_modify(|changes| *changes += 1);
    }

    /// Others see this machine there now.
    fn is_seen_at(&self, host: Ipv4Addr) {
        let known = self.lock().rpc.nat().host();
        if known.is_some_and(|known| known != host) {
            self.moved();
        }
    }

    /// Takes a datagram and sends what it causes.
    async fn datagram(&self, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) {
        let (bootstrapped, transmits, rearm) = {
            let mut state = self.lock();
            let now = Instant::now();
            state.rpc.handle_datagram(now, socket, from, bytes);
            let bootstrapped = state.dispatch(now);
            let rearm = state.armed.is_none_or(|armed| state.rpc.next_timeout() < armed);
            (bootstrapped, state.take_transmits(), rearm)
        };
        if bootstrapped {
            self.bootstrapped.send_replace(true);
        }
        self.send_all(transmits).await;
        if rearm {
            self.wake.notify_one();
        }
    }

    async fn send_all(&self, transmits: Vec<Transmit>) {
        for t in transmits {
            self.sockets.send(&t).await;
        }
    }

    /// Sends a request and waits for the answer; forgets it if dropped.
    async fn request(self: &Arc<Self>, out: Outgoing) -> Result<Response, NoResponse> {
        let (tx, rx) = oneshot::channel();
        let id = self.with(|state, now| {
            let id = state.rpc.request(now, out)?;
            state.waiters.insert(id, tx);
            Some(id)
        });
        let _cancel = CancelRequest {
            inner: self,
            id: id.ok_or(NoResponse)?,
        };
        tokio::select! {
            response = rx => response.map_err(|_| NoResponse),
            () = self.closed.cancelled() => Err(NoResponse),
        }
    }

    /// Whether `address` answers a ping from the given socket.
    async fn ping(self: &Arc<Self>, address: SocketAddrV4, socket: Option<SocketId>, retries: u32) -> bool {
        self.seen_by(address, socket, retries).await.is_some()
    }

    /// Where `address`, pinged from the given socket, sees that socket; none if it does not answer.
    async fn seen_by(
        self: &Arc<Self>,
        address: SocketAddrV4,
        socket: Option<SocketId>,
        retries: u32,
    ) -> Option<SocketAddrV4> {
        let out = Outgoing {
            socket,
            retries,
            ..Outgoing::ping(address)
        };
        Some(self.request(out).await.ok()?.to)
    }

    fn query(self: &Arc<Self>, options: QueryOptions) -> RunningQuery {
        let (tx, events) = mpsc::unbounded_channel();
        let id = self.with(|state, now| {
            let id = state.rpc.query(now, options);
            state.queries.insert(id, tx);
            id
        });
        RunningQuery {
            inner: self.clone(),
            id,
            events,
            closest: Vec::new(),
            done: false,
        }
    }
}

struct CancelRequest<'a> {
    inner: &'a Arc<Inner>,
    id: RequestId,
}

impl Drop for CancelRequest<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if state.waiters.remove(&self.id).is_some() {
            state.rpc.cancel_request(self.id);
        }
    }
}

/// A query under way; dropping it ends it.
struct RunningQuery {
    inner: Arc<Inner>,
    id: QueryId,
    events: mpsc::UnboundedReceiver<QueryEvent>,
    closest: Vec<Response>,
    done: bool,
}

impl RunningQuery {
    /// The next answer; none when the query is over. Cancel safe.
    async fn next(&mut self) -> Option<Response> {
        if self.done {
            return None;
        }
        let event = tokio::select! {
            event = self.events.recv() => event,
            () = self.inner.closed.cancelled() => None,
        };
        match event {
            Some(QueryEvent::Reply(response)) => Some(response),
            Some(QueryEvent::Done(closest)) => {
                self.closest = closest;
                self.done = true;
                None
            }
            None => {
                self.done = true;
                None
            }
        }
    }

    /// Runs it to its end and gives the closest nodes that answered, nearest first.
    async fn finish(mut self) -> Vec<Response> {
        while self.next().await.is_some() {}
        std::mem::take(&mut self.closest)
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        if state.queries.remove(&self.id).is_some() {
            state.rpc.cancel_query(self.id);
        }
    }
}

impl State {
    fn take_transmits(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.rpc.poll_transmit()).collect()
    }

    /// Hands events to whom they concern. Returns whether bootstrap ended.
    fn dispatch(&mut self, now: Instant) -> bool {
        let mut bootstrapped = false;
        while let Some(event) = self.rpc.poll_event() {
            match event {
                Event::Done(id, response) => {
                    // Without a response, dropping the sender tells.
                    if let (Some(waiter), Some(response)) = (self.waiters.remove(&id), response) {
                        let _ = waiter.send(response);
                    }
                }
                Event::QueryReply(id, response) => {
                    if let Some(query) = self.queries.get(&id) {
                        let _ = query.send(QueryEvent::Reply(response));
                    }
                }
                Event::QueryDone(id, closest) => {
                    if let Some(query) = self.queries.remove(&id) {
                        let _ = query.send(QueryEvent::Done(closest));
                    }
                }
                Event::Request(incoming) => self.serve(now, incoming),
                Event::Bootstrapped => bootstrapped = true,
            }
        }
        bootstrapped
    }

    /// Whether to relay to an address that the asker may have chosen: nobody is to reach machines of our network through us.
    fn passes_on(&self, asker: SocketAddrV4, to: SocketAddrV4) -> bool {
        self.rpc.is_dialable(to) || (reach(asker) == reach(to) && reach(to) != Reach::Nobody)
    }

    fn serve(&mut self, now: Instant, incoming: Incoming) {
        let server = incoming.target.and_then(|target| self.servers.get(&target));
        if let Some(server) = server {
            let for_server = match incoming.command {
                command::PEER_HANDSHAKE => true,
                command::PEER_HOLEPUNCH => incoming
                    .value
                    .as_deref()
                    .and_then(|v| Holepunch::decode(v).ok())
                    .is_some_and(|hp| hp.mode == Mode::FromRelay),
                _ => false,
            };
            if for_server {
                // A full queue means a flood; what is dropped here is asked again.
                let _ = server.requests.try_send(incoming);
                return;
            }
        }
        let record = server.map(|s| s.record.as_slice());
        match self.store.handle(now, self.rpc.id(), record, &incoming) {
            Verdict::Answer(answer) => {
                if answer.to.is_none_or(|to| self.passes_on(incoming.from, to)) {
                    self.rpc.answer(&incoming, answer);
                }
            }
            Verdict::Relay(value, to) => {
                if self.passes_on(incoming.from, to) {
                    self.rpc.relay(&incoming, value, to, None);
                }
            }
            Verdict::Unknown => self.rpc.unknown(&incoming),
            Verdict::Ignore => {}
        }
    }
}

/// Sends what is to be sent and keeps the clock, until the node is closed.
async fn drive(inner: Arc<Inner>) {
    loop {
        let (transmits, next) = {
            let mut state = inner.lock();
            let next = state.rpc.next_timeout();
            state.armed = Some(next);
            (state.take_transmits(), next)
        };
        inner.send_all(transmits).await;
        tokio::select! {
            () = inner.closed.cancelled() => break,
            () = inner.wake.notified() => {}
            () = tokio::time::sleep_until(next.into()) => {
                inner.with(|state, now| state.rpc.handle_timeout(now));
            }
        }
    }
    let mut state = inner.lock();
    state.waiters.clear();
    state.queries.clear();
    state.servers.clear();
    drop(state);
    inner.sockets.close();
}

async fn resolve(bootstrap: Option<&[String]>) -> Result<Vec<SocketAddrV4>, DhtError> {
    let public: Vec<String>;
    let list = match bootstrap {
        Some(list) => list,
        None => {
            public = PUBLIC_BOOTSTRAP.iter().map(ToString::to_string).collect();
            &public
        }
    };
    let mut out = Vec::new();
    for entry in list {
        let bad = || DhtError::Bootstrap(entry.clone());
        let (host, port) = entry.rsplit_once(':').ok_or_else(bad)?;
        let port: u16 = port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?;
        let (suggested, name) = match host.split_once('@') {
            Some((ip, name)) => (ip.parse::<Ipv4Addr>().ok(), name),
            None => (host.parse().ok(), host),
        };
        if let Some(ip) = suggested {
            out.push(SocketAddrV4::new(ip, port));
        } else if name.is_empty() {
            return Err(bad());
        } else {
            match tokio::net::lookup_host((name, port)).await {
                Ok(found) => out.extend(found.filter_map(to_v4).take(1)),
                Err(error) => tracing::warn!(%entry, %error, "cannot resolve bootstrap node"),
            }
        }
    }
    Ok(out)
}
