//! The relay: pairs the clients of its connections, and has UDX pass their packets on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use base::lock;
use protomux::{ChannelId, Event, Mux};
use secret_stream::Connection;
use tokio::sync::mpsc;
use udx::{Relay, RelayEnd, Socket};

use crate::messages::{PAIR, PROTOCOL, Pair, Token, UNPAIR, Unpair};
use crate::pairings::{Outcome, Pairings, SessionId, Side};

/// How often pairs are looked over.
const LOOK: Duration = Duration::from_secs(5);
/// A pair that passed nothing on for so long is over: streams say something every five seconds.
const IDLE: Duration = Duration::from_secs(60);
/// Messages for one client that wait to be sent: it has no more pairs than that.
const QUEUE: usize = 256;

/// What a relay gives.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; each takes some tens of kilobytes.
    pub clients: usize,
    /// Pairs of one client at once, waiting and passing.
    pub pairs_per_client: usize,
    /// Bytes a second that one pair may pass on, both ways together; no limit without.
    pub rate: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 1024,
            pairs_per_client: 64,
            rate: None,
        }
    }
}

/// How a relay does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Clients connected.
    pub clients: usize,
    /// Pairs of which one waits for the other.
    pub waiting: usize,
    /// Pairs whose packets are passed on.
    pub pairs: usize,
    /// Pairs made so far.
    pub paired: u64,
    /// Requests refused so far.
    pub refused: u64,
    /// Bytes passed on so far.
    pub bytes: u64,
}

/// A relay. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    limits: Limits,
    next: AtomicU64,
}

struct State {
    pairings: Pairings,
    clients: HashMap<SessionId, Client>,
    active: HashMap<Token, Active>,
    ended: Status,
}

/// Through which socket a client is reached, and where it is: looked up when it is needed, as a stream may move to where its peer
/// proves to be.
type Way = Box<dyn Fn() -> Option<(Socket, SocketAddr)> + Send>;

struct Client {
    told: mpsc::Sender<Pair>,
    way: Way,
    pairs: usize,
}

struct Active {
    relay: Relay,
    sides: [SessionId; 2],
}

impl Server {
    /// A relay without clients. Needs a tokio runtime.
    pub fn new(limits: Limits) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                pairings: Pairings::new(limits.pairs_per_client),
                clients: HashMap::new(),
                active: HashMap::new(),
                ended: Status::default(),
            }),
            limits,
            next: AtomicU64::new(1),
        });
        tokio::spawn(look_over(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Serves a client until its connection closes. `way` says through which socket its packets come in now, and from where. One
    /// client too many is closed at once.
    pub async fn serve(
        &self,
        connection: Connection,
        way: impl Fn() -> Option<(Socket, SocketAddr)> + Send + 'static,
    ) {
        let session = SessionId(self.shared.next.fetch_add(1, Ordering::Relaxed));
        let (told, inbox) = mpsc::channel(QUEUE);
        {
            let mut state = lock(&self.shared.state);
            if state.clients.len() >= self.shared.limits.clients {
                state.ended.refused += 1;
                drop(state);
                tracing::debug!(peer = %connection.info().remote_public_key, "all places of the relay are taken");
                connection.close();
                return;
            }
            let client = Client {
                told,
                way: Box::new(way),
                pairs: 0,
            };
            state.clients.insert(session, client);
        }
        // The place is free again however this ends.
        let _place = Place {
            shared: self.shared.clone(),
            session,
        };
        if let Err(error) = serve(&self.shared, session, connection, inbox).await {
            tracing::debug!(%error, "a client of the relay broke the rules");
        }
    }

    /// How it does.
    pub fn status(&self) -> Status {
        let state = lock(&self.shared.state);
        let passed: u64 = state
            .active
            .values()
            .map(|active| active.relay.bytes().iter().sum::<u64>())
            .sum();
        Status {
            clients: state.clients.len(),
            waiting: state.pairings.len(),
            pairs: state.active.len(),
            bytes: state.ended.bytes + passed,
            ..state.ended
        }
    }
}

struct Place {
    shared: Arc<Shared>,
    session: SessionId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.clients.remove(&self.session);
        state.pairings.gone(self.session);
        state.end(|active| active.sides.contains(&self.session));
    }
}

impl State {
    /// Ends the pairs for which `which` holds.
    fn end(&mut self, which: impl Fn(&Active) -> bool) {
        let Self {
            active,
            clients,
            ended,
            ..
        } = self;
        active.retain(|_, pair| {
            let keep = !which(pair);
            if !keep {
                ended.bytes += pair.relay.bytes().iter().sum::<u64>();
                for side in &pair.sides {
                    if let Some(client) = clients.get_mut(side) {
                        client.pairs = client.pairs.saturating_sub(1);
                    }
                }
            }
            keep
        });
    }

    /// Both of a pair are there: what to tell them. None if one has left, or has as many pairs as it may.
    fn connect(&mut self, token: Token, sides: [Side; 2], limits: &Limits) -> Option<()> {
        let [a, b] = sides.map(|side| {
            let client = self.clients.get(&side.session)?;
            let (socket, address) = (client.way)()?;
            (client.pairs < limits.pairs_per_client).then_some(RelayEnd {
                socket,
                address,
                stream_id: side.stream_id,
            })
        });
        let (a, b) = (a?, b?);
        let udx = a.socket.udx().clone();
        let relay = udx.relay([a, b], limits.rate);
        let ids = relay.stream_ids();
        for side in &sides {
            if let Some(client) = self.clients.get_mut(&side.session) {
                client.pairs += 1;
            }
        }
        let sessions = sides.map(|side| side.session);
        self.active.insert(
            token,
            Active {
                relay,
                sides: sessions,
            },
        );
        let told = |(side, (id, is_initiator)): (&Side, (u32, bool))| {
            let pair = Pair {
                is_initiator,
                token,
                id: id.into(),
                seq: 0,
            };
            let client = self.clients.get(&side.session)?;
            client.told.try_send(pair).ok()
        };
        let mut all = sides.iter().zip(ids.into_iter().zip([false, true]));
        if !all.all(|each| told(each).is_some()) {
            self.end(|active| active.relay.stream_ids() == ids);
            return None;
        }
        self.ended.paired += 1;
        Some(())
    }

    /// Takes a message of a client. False if it asks for more than it gets.
    fn message(&mut self, session: SessionId, kind: u64, payload: &[u8], limits: &Limits) -> bool {
        match kind {
            PAIR => {
                let Ok(pair) = Pair::decode(payload) else {
                    return false;
                };
                if self.active.contains_key(&pair.token) {
                    return true; // Said twice.
                }
                match self.pairings.request(Instant::now(), session, &pair) {
                    Outcome::Waits => true,
                    Outcome::Matched(sides) => self.connect(pair.token, sides, limits).is_some(),
                    Outcome::Refused => false,
                }
            }
            UNPAIR => {
                let Ok(Unpair { token }) = Unpair::decode(payload) else {
                    return false;
                };
                self.pairings.cancel(session, &token);
                if let Some(active) = self.active.get(&token)
                    && active.sides.contains(&session)
                {
                    let ids = active.relay.stream_ids();
                    self.end(|active| active.relay.stream_ids() == ids);
                }
                true
            }
            _ => true,
        }
    }
}

async fn serve(
    shared: &Shared,
    session: SessionId,
    mut connection: Connection,
    mut inbox: mpsc::Receiver<Pair>,
) -> Result<(), protomux::MuxError> {
    let mut mux = Mux::new();
    let theirs = connection.info().remote_public_key;
    let mut channel: Option<ChannelId> = None;
    loop {
        while let Some(frame) = mux.poll_outgoing() {
            if connection.send(frame).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            frame = connection.recv() => {
                let Some(frame) = frame else { return Ok(()) };
                mux.receive(&frame)?;
                while let Some(event) = mux.poll_event() {
                    match event {
                        Event::Requested { protocol, id } => {
                            if protocol == PROTOCOL && id[..] == theirs.0 && channel.is_none() {
                                channel = Some(mux.open(PROTOCOL, &theirs.0, &[]));
                            } else {
                                mux.reject(&protocol, &id);
                            }
                        }
                        Event::Message { channel: on, kind, payload } if Some(on) == channel => {
                            let mut state = lock(&shared.state);
                            if !state.message(session, kind, &payload, &shared.limits) {
                                state.ended.refused += 1;
                                drop(state);
                                // npm's clients know no other refusal.
                                connection.close();
                                return Ok(());
                            }
                        }
                        Event::Closed { channel: on } if Some(on) == channel => return Ok(()),
                        _ => {}
                    }
                }
                mux.check()?;
            }
            Some(pair) = inbox.recv() => {
                if let Some(channel) = channel {
                    mux.send(channel, PAIR, &pair.encode());
                }
            }
        }
    }
}

/// Ends pairs that are over, and requests that waited in vain, until the relay is gone.
async fn look_over(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut state = lock(&shared.state);
        state.pairings.expire(Instant::now());
        state.end(|active| {
            let idle = active.relay.idle();
            idle > IDLE || (active.relay.is_over() && idle > LOOK)
        });
    }
}

#[cfg(test)]
mod tests {
    use secret_stream::ConnectionInfo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{PairError, Request, pair};

    /// A client: its end of the connection, its socket, and a stream of it.
    struct Peer {
        connection: Connection,
        socket: Socket,
        stream: udx::Stream,
    }

    async fn socket() -> Socket {
        Socket::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
    }

    async fn peer(server: &Server, through: &Socket) -> Peer {
        let (theirs, ours) = Connection::memory_pair();
        let socket = socket().await;
        let (server, through, address) = (server.clone(), through.clone(), socket.local_addr());
        let way = move || Some((through.clone(), address));
        tokio::spawn(async move { server.serve(ours, way).await });
        let stream = socket.create_stream(socket.free_stream_id());
        Peer {
            connection: theirs,
            socket,
            stream,
        }
    }

    fn ask(is_initiator: bool, token: u8, peer: &Peer) -> Request {
        Request {
            is_initiator,
            token: Token([token; 32]),
            stream_id: peer.stream.local_id(),
        }
    }

    async fn until(what: &str, check: impl Fn() -> bool) {
        let limit = Instant::now() + Duration::from_secs(5);
        while !check() {
            assert!(Instant::now() < limit, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn two_clients_speak_through_the_relay_until_one_leaves() {
        let (server, through) = (Server::new(Limits::default()), socket().await);
        let (a, b) = (peer(&server, &through).await, peer(&server, &through).await);
        let (of_a, of_b) = (ask(true, 7, &a), ask(false, 7, &b));
        let (for_a, for_b) = tokio::join!(pair(a.connection, of_a), pair(b.connection, of_b));
        let (for_a, for_b) = (for_a.unwrap(), for_b.unwrap());
        let (mut one, mut two) = (a.stream, b.stream);
        one.connect(for_a.stream_id, through.local_addr()).unwrap();
        two.connect(for_b.stream_id, through.local_addr()).unwrap();
        one.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        two.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
        let status = server.status();
        assert_eq!(
            (status.clients, status.waiting, status.pairs, status.paired),
            (2, 0, 1, 1)
        );
        assert!(status.bytes > 5);
        drop(for_a);
        until("the pair ends with a client", || server.status().pairs == 0).await;
        assert_eq!(server.status().clients, 1);
        assert!(server.status().bytes >= status.bytes);
        drop((for_b, a.socket, b.socket));
    }

    #[tokio::test]
    async fn who_asks_for_more_than_its_share_is_told_at_once() {
        let limits = Limits {
            clients: 2,
            pairs_per_client: 1,
            rate: None,
        };
        let (server, through) = (Server::new(limits), socket().await);
        let greedy = peer(&server, &through).await;
        let mut mux = Mux::new();
        let channel = mux.open(PROTOCOL, &greedy.connection.info().public_key.0, &[]);
        for token in 0..3 {
            let pair = Pair {
                is_initiator: true,
                token: Token([token; 32]),
                id: 1,
                seq: 0,
            };
            mux.send(channel, PAIR, &pair.encode());
        }
        while let Some(frame) = mux.poll_outgoing() {
            greedy.connection.send(frame).await.unwrap();
        }
        let end = greedy.connection.closed();
        tokio::time::timeout(Duration::from_secs(5), end).await.unwrap();
        until("its place is free", || server.status().clients == 0).await;
        assert_eq!(server.status().refused, 1);
        let (_a, _b) = (peer(&server, &through).await, peer(&server, &through).await);
        until("two places are taken", || server.status().clients == 2).await;
        let c = peer(&server, &through).await;
        let request = ask(true, 1, &c);
        assert_eq!(pair(c.connection, request).await.unwrap_err(), PairError::Refused);
    }

    #[tokio::test]
    async fn a_channel_of_another_ones_key_is_refused() {
        let (server, through) = (Server::new(Limits::default()), socket().await);
        let mut eve = peer(&server, &through).await;
        let ConnectionInfo { public_key, .. } = eve.connection.info().clone();
        let mut mux = Mux::new();
        let mut other = public_key.0;
        other[0] ^= 1;
        let channel = mux.open(PROTOCOL, &other, &[]);
        while let Some(frame) = mux.poll_outgoing() {
            eve.connection.send(frame).await.unwrap();
        }
        let answer = eve.connection.recv().await.unwrap();
        mux.receive(&answer).unwrap();
        assert_eq!(mux.poll_event(), Some(Event::Closed { channel }));
    }
}
