//! The relay: pairs the clients of its connections, and has UDX pass their packets on.

mod places;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
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
use places::{Guest, IDLE_CLIENT, MessageBudget, who_leaves};

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
    /// What it is to be told. Dropped, its connection is closed.
    told: mpsc::Sender<Pair>,
    way: Way,
    address: Option<IpAddr>,
    /// Pairs of it whose packets are passed on.
    pairs: usize,
    /// When it last had, or wanted, a pair.
    used: Instant,
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

    /// Serves a client until its connection closes. `way` says through which socket its packets come in now, and from where. When
    /// all places are taken one that is of no use makes room, else the client is closed at once; so is, after a minute, one
    /// that has no pair and waits for none.
    pub async fn serve(
        &self,
        connection: Connection,
        way: impl Fn() -> Option<(Socket, SocketAddr)> + Send + 'static,
    ) {
        let session = SessionId(self.shared.next.fetch_add(1, Ordering::Relaxed));
        let (told, inbox) = mpsc::channel(QUEUE);
        {
            let address = way().map(|(_, address)| address.ip());
            let mut state = lock(&self.shared.state);
            if !state.make_room(address, self.shared.limits.clients) {
                state.ended.refused += 1;
                drop(state);
                tracing::debug!(peer = %connection.info().remote_public_key.short(), "all places of the relay are taken");
                connection.close();
                return;
            }
            let client = Client {
                told,
                way: Box::new(way),
                address,
                pairs: 0,
                used: Instant::now(),
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
        lock(&self.shared.state).send_away(self.session);
    }
}

impl State {
    /// Has a place for a newcomer from `address`, if need be by sending another away. False if all are taken by who uses them.
    fn make_room(&mut self, address: Option<IpAddr>, places: usize) -> bool {
        if self.clients.len() < places {
            return true;
        }
        let guests: Vec<Guest> = self
            .clients
            .iter()
            .map(|(session, client)| self.guest(*session, client))
            .collect();
        let Some(leaving) = who_leaves(Instant::now(), &guests, address, places) else {
            return false;
        };
        self.send_away(leaving);
        true
    }

    fn guest(&self, session: SessionId, client: &Client) -> Guest {
        Guest {
            session,
            address: client.address,
            busy: client.pairs > 0 || self.pairings.has(session),
            used: client.used,
        }
    }

    /// Frees the client's place; its connection closes as soon as its task sees that.
    fn send_away(&mut self, session: SessionId) {
        self.clients.remove(&session);
        self.pairings.gone(session);
        self.end(|active| active.sides.contains(&session));
    }

    /// Ends what is over, and sends clients away that have come for nothing.
    fn look_over(&mut self, now: Instant) {
        self.pairings.expire(now);
        self.end(|active| {
            let idle = active.relay.idle();
            idle > IDLE || (active.relay.is_over() && idle > LOOK)
        });
        let guests: Vec<Guest> = self
            .clients
            .iter()
            .map(|(session, client)| self.guest(*session, client))
            .collect();
        for guest in guests {
            if guest.busy {
                self.clients
                    .entry(guest.session)
                    .and_modify(|client| client.used = now);
            } else if now.saturating_duration_since(guest.used) > IDLE_CLIENT {
                self.send_away(guest.session);
            }
        }
    }

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
        let now = Instant::now();
        if let Some(client) = self.clients.get_mut(&session) {
            client.used = now;
        }
        match kind {
            PAIR => {
                let Ok(pair) = Pair::decode(payload) else {
                    return false;
                };
                if self.active.contains_key(&pair.token) {
                    return true; // Said twice.
                }
                match self.pairings.request(now, session, &pair) {
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
    let mut budget = MessageBudget::new(Instant::now());
    loop {
        while let Some(frame) = mux.poll_outgoing() {
            if connection.send(frame).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            frame = connection.recv() => {
                let Some(frame) = frame else { return Ok(()) };
                if !budget.take(Instant::now()) {
                    lock(&shared.state).ended.refused += 1;
                    connection.close();
                    return Ok(());
                }
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
            pair = inbox.recv() => {
                let Some(pair) = pair else {
                    // Its place was needed, or it did not use it.
                    connection.close();
                    return Ok(());
                };
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
        lock(&shared.state).look_over(Instant::now());
    }
}

#[cfg(test)]
mod tests;
