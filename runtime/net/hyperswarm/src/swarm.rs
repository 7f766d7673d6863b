//! The swarm: one DHT node, one server, the topics and the connections (npm hyperswarm index.js).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use base::{KeyPair, PublicKey, Topic, lock};
use dht::hyper::Firewall;
use dht::{ConnectOptions, DhtError, Link, Node, NodeConfig, PeerConnection, Server, ServerOptions};
use rand::RngExt;
use rand::seq::IndexedRandom;
use secret_stream::{CloseReason, Connection};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OnceCell, mpsc, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{JoinOptions, SwarmConfig, SwarmError};
use crate::connections::Connections;
use crate::discovery::{Discovery, Joined};
use crate::inbound::{Unproven, accept};
use crate::limits::{Bans, Place, who_leaves};
use crate::peers::{End, PeerQueue, Sought};
use crate::renew::{follow_network, leave_relays};
use crate::stats::{PeerStatus, Stats, Totals};

/// Attempts to connect at once, not counting slow ones: those are mostly peers that were killed, whose announcements
/// live on for a while, and must not keep us from the living.
const MAX_PARALLEL: usize = 8;
const SLOW: Duration = Duration::from_secs(1);
/// Attempts at once, slow ones included.
const MAX_ATTEMPTS: usize = 128;
/// Connections that wait to be taken from [`Swarm::connections`].
const QUEUE: usize = 64;

/// Why a banned peer is not dialled.
const LIED: &str = "it lied, and is kept out for a while";

/// A peer of many topics. Clones share it; when the last is dropped, or by [`Swarm::destroy`], it ends.
#[derive(Clone)]
pub struct Swarm {
    pub(crate) inner: Arc<Inner>,
    _guard: Arc<Guard>,
}

struct Guard(Weak<Inner>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.stop();
        }
    }
}

pub(crate) struct Inner {
    pub(crate) node: Node,
    /// Where the swarm was made: all of its work is done there, and its connections are encrypted there, whoever joins a topic.
    pub(crate) runtime: Handle,
    pub(crate) key_pair: KeyPair,
    max_peers: usize,
    pub(crate) max_inbound: usize,
    relays: Vec<PublicKey>,
    server: OnceCell<Server>,
    pub(crate) accepted: mpsc::Sender<PeerConnection>,
    state: Mutex<State>,
    /// Something to try, or somebody went.
    wake: Notify,
    /// Whether something is wanted that no connected peer brings.
    pub(crate) wanting: watch::Sender<bool>,
    /// Counts changes of the set of connections.
    pub(crate) changes: watch::Sender<u64>,
    /// None once the swarm has ended, so that the receiver ends.
    delivered: Mutex<Option<mpsc::Sender<Connection>>>,
    untaken: Mutex<Option<mpsc::Receiver<Connection>>>,
    pub(crate) stop: CancellationToken,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) queue: PeerQueue,
    pub(crate) connections: Connections,
    pub(crate) topics: HashMap<Topic, Arc<Joined>>,
    pub(crate) unproven: Unproven,
    pub(crate) bans: Bans,
    pub(crate) total: Totals,
    /// Attempts that are not slow yet.
    connecting: usize,
    attempts: usize,
}

impl State {
    /// What the end of a connection says of the peer. `used`: messages went both ways.
    fn end(&self, now: Instant, key: &PublicKey, reason: &CloseReason, used: bool) -> End {
        if let Some(until) = self.bans.until(now, key) {
            return End::Banned(until, LIED.into());
        }
        match reason {
            CloseReason::Failed(error) if used => End::Broken(error.to_string()),
            CloseReason::Failed(_) | CloseReason::Remote if !used => {
                End::Refused(format!("it answered and turned us away: {reason}"))
            }
            CloseReason::Remote => End::SentAway(rand::rng().random()),
            _ => End::Closed,
        }
    }
}

impl Swarm {
    /// Opens the sockets and joins the DHT in the background.
    ///
    /// # Errors
    /// If a bootstrap address is malformed or no socket can be bound.
    pub async fn new(config: SwarmConfig) -> Result<Self, SwarmError> {
        let host = match config.host {
            Some(IpAddr::V4(host)) => Some(host),
            Some(other) => return Err(DhtError::NotIpv4(other.to_string()).into()),
            None => None,
        };
        let node_config = NodeConfig {
            bootstrap: config.bootstrap,
            host,
            port: config.port,
            persistent: false,
        };
        let node = Node::start(node_config).await?;
        let (accepted, incoming) = mpsc::channel(QUEUE);
        let (delivered, untaken) = mpsc::channel(QUEUE);
        let inner = Arc::new(Inner {
            node,
            runtime: Handle::current(),
            key_pair: config.key_pair.unwrap_or_else(KeyPair::generate),
            max_peers: config.max_peers,
            max_inbound: config.max_inbound,
            relays: config.relays,
            server: OnceCell::new(),
            accepted,
            state: Mutex::default(),
            wake: Notify::new(),
            wanting: watch::Sender::new(false),
            changes: watch::Sender::new(0),
            delivered: Mutex::new(Some(delivered)),
            untaken: Mutex::new(Some(untaken)),
            stop: CancellationToken::new(),
        });
        tokio::spawn(accept(inner.clone(), incoming));
        tokio::spawn(dial(inner.clone()));
        tokio::spawn(follow_network(inner.clone()));
        tokio::spawn(leave_relays(inner.clone()));
        let guard = Arc::new(Guard(Arc::downgrade(&inner)));
        Ok(Self { inner, _guard: guard })
    }

    /// The identity of this peer.
    pub fn key_pair(&self) -> &KeyPair {
        &self.inner.key_pair
    }

    /// The public key other peers see.
    pub fn public_key(&self) -> PublicKey {
        self.inner.key_pair.public_key
    }

    /// Joins `topic`. Joined several times, it has the roles of all calls, and is left when all handles left it;
    /// dropping a handle does not leave.
    pub fn join(&self, topic: Topic, options: JoinOptions) -> Discovery {
        Discovery::new(Joined::join(&self.inner, topic, options))
    }

    /// New connections, each once, deduplicated. Taken once; a second call gets a closed receiver.
    pub fn connections(&self) -> mpsc::Receiver<Connection> {
        let taken = lock(&self.inner.untaken).take();
        taken.unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// Says whether something is wanted that no connected peer brings; not so at first. While it is, other peers are looked for
    /// although some are connected, and one that sent us away is tried again at once rather than after minutes.
    pub fn set_wanting(&self, wanting: bool) {
        self.inner.set_wanting(wanting);
    }

    /// As [`set_wanting`](Self::set_wanting), whenever `wanting` changes, until the swarm ends. Needs a tokio runtime.
    pub fn follow_wanting(&self, mut wanting: watch::Receiver<bool>) {
        let (inner, stop) = (Arc::downgrade(&self.inner), self.inner.stop.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            while let Some(inner) = inner.upgrade() {
                inner.set_wanting(*wanting.borrow_and_update());
                drop(inner);
                if wanting.changed().await.is_err() {
                    return;
                }
            }
        }));
    }

    /// Waits until every joined topic was announced or looked up once, and every peer found was tried once.
    pub async fn flush(&self) {
        let topics: Vec<Arc<Joined>> = self.inner.lock().topics.values().cloned().collect();
        for topic in topics {
            topic.flushed().await;
        }
        let mut changes = self.inner.changes.subscribe();
        let tried = changes.wait_for(|_| self.inner.lock().queue.untried() == 0);
        tokio::select! {
            _ = tried => {}
            () = self.inner.stop.cancelled() => {}
        }
    }

    /// Takes all announcements back, closes every connection and the sockets.
    pub async fn destroy(&self) {
        let topics: Vec<Arc<Joined>> = self.inner.lock().topics.drain().map(|(_, topic)| topic).collect();
        futures::future::join_all(topics.iter().map(|topic| topic.leave(&self.inner))).await;
        if let Some(server) = self.inner.server.get() {
            server.close().await;
        }
        self.inner.stop();
    }

    /// Open connections now.
    pub fn connection_count(&self) -> usize {
        self.inner.lock().connections.open_keys().count()
    }

    /// Counts of now and since the start.
    pub fn stats(&self) -> Stats {
        let dht_nodes = self.inner.node.node_count();
        let state = self.inner.lock();
        let (inbound, outbound) = state.connections.counts();
        Stats {
            inbound,
            outbound,
            attempts: state.attempts,
            unproven: state.unproven.len(),
            dht_nodes,
            total: state.total,
        }
    }

    /// Who is connected, and how.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.inner.lock().connections.peers()
    }

    /// What came of looking for the peers of a topic so far.
    pub fn sought(&self, topic: &Topic) -> Sought {
        self.inner.lock().queue.sought(topic)
    }

    /// Cuts the connection with a peer that lied and keeps it out for ten minutes: it is neither dialled nor taken. An address
    /// with several liars is kept out, too. [`secret_stream::ConnectionSender::close_as_liar`] does the same for one's own
    /// connection.
    pub fn ban(&self, key: &PublicKey, reason: &str) {
        let link = self
            .inner
            .lock()
            .connections
            .get(key)
            .and_then(|entry| entry.link.clone());
        self.inner.ban(key, link.as_ref(), reason);
    }

    /// The address at which everybody can reach this peer, if it is known and open.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.inner.node.remote_address().map(SocketAddr::V4)
    }

    /// Whether others may need our packet first before theirs reach us, as far as known.
    pub fn firewalled(&self) -> bool {
        self.inner.node.firewalled()
    }

    /// What DHT nodes see of this peer: whether they reach it, and whether its NAT keeps its port.
    pub fn firewall(&self) -> Firewall {
        self.inner.node.firewall()
    }

    /// The DHT node below.
    pub fn node(&self) -> &Node {
        &self.inner.node
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn delivered(&self) -> MutexGuard<'_, Option<mpsc::Sender<Connection>>> {
        lock(&self.delivered)
    }

    fn stop(&self) {
        self.stop.cancel();
        self.delivered().take();
        for link in self.lock().connections.links() {
            link.cut();
        }
        self.node.destroy();
        self.changed();
    }

    /// One of the relays that were named, by chance.
    pub(crate) fn relay(&self) -> Option<PublicKey> {
        self.relays.choose(&mut rand::rng()).copied()
    }

    fn set_wanting(&self, wanting: bool) {
        let change = |before: &mut bool| std::mem::replace(before, wanting) != wanting;
        if self.wanting.send_if_modified(change) {
            self.lock().queue.set_wanting(Instant::now(), wanting);
            self.changed();
        }
    }

    /// Something about peers or connections changed.
    pub(crate) fn changed(&self) {
        self.wake.notify_one();
        self.changes.send_modify(|n| *n += 1);
    }

    /// The server, started by the first topic that announces.
    pub(crate) async fn server(self: &Arc<Self>) -> &Server {
        self.server
            .get_or_init(|| async {
                let inner = Arc::downgrade(self);
                let firewall =
                    Box::new(move |key: &PublicKey| inner.upgrade().is_none_or(|inner| inner.refuses(key)));
                let options = ServerOptions {
                    connections: self.accepted.clone(),
                    firewall,
                    relays: self.relays.clone(),
                };
                self.node.listen(self.key_pair.clone(), options)
            })
            .await
    }

    /// Whether a client is turned away before it gets an answer. Its address is not known yet.
    fn refuses(&self, key: &PublicKey) -> bool {
        let (now, mut state) = (Instant::now(), self.lock());
        let refused = state.bans.has(now, key)
            || (state.connections.get(key).is_none()
                && state.connections.counts().0 >= self.max_inbound
                && who_leaves(&state.connections.guests(now), None, self.max_inbound).is_none());
        state.total.turned_away += u64::from(refused);
        refused
    }

    pub(crate) fn ban(&self, key: &PublicKey, link: Option<&Link>, reason: &str) {
        tracing::info!(peer = %key.short(), %reason, "peer banned for a while");
        let place = link.and_then(Link::remote_address).map(Place::of);
        {
            let mut state = self.lock();
            state.bans.add(Instant::now(), *key, place);
            state.total.banned += 1;
        }
        if let Some(link) = link {
            link.cut();
        }
    }

    /// Whether a peer found on `topic` is connected, or has sent us away for a while.
    pub(crate) fn is_known_on(&self, topic: &Topic) -> bool {
        let state = self.lock();
        let mut connected = state.connections.open_keys();
        connected.any(|key| state.queue.is_on(key, topic)) || state.queue.is_sent_away(topic)
    }

    /// Hands a connection to the user and watches its end.
    pub(crate) async fn deliver(self: &Arc<Self>, connection: Connection, link: Link, id: u64) {
        let key = connection.info().remote_public_key;
        let closed = connection.closed();
        let inner = self.clone();
        tokio::spawn(async move {
            let reason = closed.await;
            tracing::debug!(peer = %key.short(), %reason, "connection closed");
            if let CloseReason::Liar(what) = &reason {
                inner.ban(&key, Some(&link), what);
            }
            let mut state = inner.lock();
            if state.connections.remove(&key, id) {
                let now = Instant::now();
                let end = state.end(now, &key, &reason, link.is_used());
                state.queue.closed(now, &key, end);
            }
            // One that broke, and left nobody behind: it or another may be back already.
            let lonely = state.topics.iter().filter(|(topic, _)| {
                let on_it = |key: &PublicKey| state.queue.is_on(key, topic);
                reason.is_failure() && on_it(&key) && !state.connections.open_keys().any(on_it)
            });
            lonely.for_each(|(_, topic)| topic.look_again());
            drop(state);
            inner.changed();
        });
        self.changed();
        // Nobody listening: dropping the connection closes it.
        let delivered = self.delivered().clone();
        if let Some(delivered) = delivered {
            tokio::select! {
                _ = delivered.send(connection) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }
}

/// Connects to the peers that were found, a few at a time.
async fn dial(inner: Arc<Inner>) {
    loop {
        let next = loop {
            let mut state = inner.lock();
            let room = state.connecting < MAX_PARALLEL
                && state.attempts < MAX_ATTEMPTS
                && state.connections.counts().1 + state.connecting < inner.max_peers;
            let now = Instant::now();
            let taken = if room {
                state.queue.take(now, || rand::rng().random())
            } else {
                None
            };
            let Some((key, relays)) = taken else {
                break if room { state.queue.next() } else { None };
            };
            if let Some(until) = state.bans.until(now, &key) {
                state.queue.closed(now, &key, End::Banned(until, LIED.into()));
                continue;
            }
            if key == inner.key_pair.public_key || state.connections.get(&key).is_some() {
                state.queue.superseded(&key);
                state.queue.opened(now, &key);
                continue;
            }
            state.connecting += 1;
            state.attempts += 1;
            state.total.dialled += 1;
            let (id, _) = state.connections.insert(key, None, None);
            drop(state);
            tokio::spawn(attempt(inner.clone(), key, relays, id));
        };
        tokio::select! {
            () = inner.wake.notified() => {}
            () = async { sleep_until(next.unwrap_or_else(Instant::now).into()).await }, if next.is_some() => {}
            () = inner.stop.cancelled() => return,
        }
    }
}

async fn attempt(inner: Arc<Inner>, key: PublicKey, relay_addresses: Vec<std::net::SocketAddrV4>, id: u64) {
    let options = ConnectOptions {
        key_pair: Some(inner.key_pair.clone()),
        relay_addresses,
        relay: inner.relay(),
        without_relay: false,
    };
    let connecting = inner.node.connect(key, options);
    tokio::pin!(connecting);
    let quick = tokio::select! {
        result = &mut connecting => Some(result),
        () = sleep(SLOW) => None,
        () = inner.stop.cancelled() => return,
    };
    inner.lock().connecting -= 1;
    let result = match quick {
        Some(result) => result,
        None => {
            inner.changed();
            tokio::select! {
                result = connecting => result,
                () = inner.stop.cancelled() => return,
            }
        }
    };
    let opened = {
        let mut state = inner.lock();
        state.attempts -= 1;
        match result {
            Ok(PeerConnection { link, .. })
                if state
                    .bans
                    .has_place(Instant::now(), link.remote_address().map(Place::of)) =>
            {
                link.cut();
                if state.connections.remove(&key, id) {
                    let end =
                        End::Failed("liars came from its address, which is kept out for a while".into());
                    state.queue.closed(Instant::now(), &key, end);
                }
                None
            }
            Ok(PeerConnection { connection, link }) => {
                if state.connections.open(&key, id, link.clone()) {
                    state.queue.opened(Instant::now(), &key);
                    state.total.opened(&link);
                    Some((connection, link))
                } else {
                    // The peer's own connection came first and stays.
                    link.cut();
                    None
                }
            }
            Err(error) => {
                state.total.failed += 1;
                tracing::debug!(peer = %key.short(), %error, "cannot connect to peer");
                if state.connections.remove(&key, id) {
                    let end = End::Failed(error.to_string());
                    state.queue.closed(Instant::now(), &key, end);
                }
                None
            }
        }
    };
    match opened {
        Some((connection, link)) => inner.deliver(connection, link, id).await,
        None => inner.changed(),
    }
}
