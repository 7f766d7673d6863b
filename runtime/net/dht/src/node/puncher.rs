//! Hole punching (npm hyperdht lib/holepuncher.js): a socket of its own, what its NAT is like, and the probes.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::PublicKey;
use secret_stream::noise::HandshakeResult;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};

use super::Inner;
use super::connect::Answered;
use super::path::Path;
use super::punch_plan::{HOLD, LOW_TTL, Plan, Step};
use super::punch_socket::{PROBE, Probes, PunchSocket, sample};
pub(super) use super::puncher_server::ServerPuncher;
use super::route::Arranged;
use crate::error::ConnectError;
use crate::hyper::messages::{Holepunch, Mode};
use crate::hyper::nat::Nat;
use crate::hyper::secure_payload::{HolepunchPayload, SecurePayload};
use crate::hyper::{Firewall, command, error_code};
use crate::id::Target;
use crate::rpc::{Outgoing, SocketId, Transmit};

/// Between punches against random NATs, which are loud: after one that ran to its end, and after one that had hardly begun, as
/// its sockets were opened already.
const RANDOM_PUNCH_INTERVAL: Duration = Duration::from_secs(20);
const SHORT_PUNCH_INTERVAL: Duration = Duration::from_secs(3);

/// What the other side said of itself.
#[derive(Debug, Default)]
pub(super) struct Remote {
    pub(super) firewall: Firewall,
    /// Addresses; whether an echo proved that they are its own.
    pub(super) addresses: Vec<(SocketAddrV4, bool)>,
    pub(super) punching: bool,
}

impl Remote {
    pub(super) fn update(&mut self, payload: &HolepunchPayload, verified: Option<SocketAddrV4>) {
        let proven: Vec<_> = self
            .addresses
            .iter()
            .filter(|(_, v)| *v)
            .map(|(a, _)| *a.ip())
            .collect();
        let list = payload.addresses.iter().flatten().take(16);
        self.addresses = list
            .map(|a| {
                (
                    *a,
                    proven.contains(a.ip()) || verified.is_some_and(|v| v.ip() == a.ip()),
                )
            })
            .collect();
        self.firewall = payload.firewall;
        self.punching = payload.punching;
    }
}

/// One hole punch: from one socket, or from many if our NAT is random.
pub(super) struct Puncher {
    pub(super) inner: Arc<Inner>,
    main: Arc<PunchSocket>,
    more: Vec<Arc<PunchSocket>>,
    pub(super) nat: Nat,
    pub(super) remote: Remote,
    /// Probes of the other side: on which socket, from where.
    probes: Probes,
    plan: Option<Plan>,
    /// Set once the two have told each other where they are.
    pub(super) arranged: Arranged,
}

impl Puncher {
    /// From `main`. The sockets that it opens besides tell of probes on the channel.
    pub(super) fn new(main: Arc<PunchSocket>, inner: Arc<Inner>, remote: Firewall, probes: Probes) -> Self {
        let firewalled = inner.lock().rpc.firewalled();
        Self {
            inner,
            main,
            more: Vec::new(),
            nat: Nat::new(firewalled),
            remote: Remote {
                firewall: remote,
                ..Remote::default()
            },
            probes,
            plan: None,
            arranged: Arranged::default(),
        }
    }

    /// The main socket.
    pub(super) fn socket(&self) -> SocketId {
        self.main.id()
    }

    /// Probes from that address are to be echoed.
    pub(super) fn expect(&self, peer: SocketAddrV4) {
        self.main.expect(*peer.ip());
    }

    /// Sends a probe.
    pub(super) async fn probe(&self, socket: SocketId, to: SocketAddrV4, ttl: u32) {
        let probe = Transmit {
            socket,
            to,
            ttl,
            bytes: PROBE.to_vec(),
        };
        self.inner.sockets.send(&probe).await;
    }

    /// Opens our NAT towards `to`.
    pub(super) async fn open_session(&self, to: SocketAddrV4) {
        self.probe(self.socket(), to, LOW_TTL).await;
    }

    /// Finds out what our NAT is like, as far as others can tell.
    pub(super) async fn sample(&mut self) {
        self.nat = self.sampled().await;
    }

    /// What our NAT is like, found out beside other work: what is learnt of it meanwhile is not in it.
    fn sampled(&self) -> impl Future<Output = Nat> + use<> {
        let (inner, main, mut nat) = (self.inner.clone(), self.main.clone(), self.nat.clone());
        async move {
            if nat.is_untouched() {
                nat = main.nat().await;
            }
            sample(&inner, main.id(), &mut nat).await;
            nat
        }
    }

    /// Whether both NATs are random or ours is not understood: then punching is hopeless.
    pub(super) fn is_unstable(&self) -> bool {
        let ours = self.nat.firewall();
        ours == Firewall::Unknown || (ours == Firewall::Random && self.remote.firewall == Firewall::Random)
    }

    /// Whether it takes the loud way.
    pub(super) fn is_random(&self) -> bool {
        self.nat.firewall() == Firewall::Random || self.remote.firewall == Firewall::Random
    }

    /// Begins to punch, unless that was begun before. Returns whether it makes sense.
    pub(super) fn start(&mut self) -> bool {
        if self.plan.is_none() {
            let (ours, theirs) = (self.nat.firewall(), self.remote.firewall);
            self.plan = Plan::new(ours, theirs, &self.remote.addresses, Instant::now());
        }
        self.plan.is_some()
    }

    /// When the punch that was begun gives up.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.plan.as_ref().map(Plan::end)
    }

    /// Sends what the punch that was begun has to send, until it gives up. Cancel safe: it goes on where it was.
    pub(super) async fn punch(&mut self) {
        while let Some(plan) = &mut self.plan {
            let step = plan.step(Instant::now(), &mut rand::rng());
            match step {
                Step::Probe { socket, to, ttl } => match self.numbered(socket) {
                    Some(socket) => self.probe(socket, to, ttl).await,
                    None => self.limit_sockets(),
                },
                Step::Wait(until) => sleep_until(until.into()).await,
                Step::Done => self.plan = None,
            }
        }
    }

    fn limit_sockets(&mut self) {
        let opened = self.more.len() + 1;
        if let Some(plan) = &mut self.plan {
            plan.limit_sockets(opened);
        }
    }

    /// The main socket is the first; others are opened when their turn comes. None if no more can be had.
    fn numbered(&mut self, number: usize) -> Option<SocketId> {
        let Some(number) = number.checked_sub(1) else {
            return Some(self.main.id());
        };
        if number == self.more.len() {
            let socket = PunchSocket::open(&self.inner, Some(self.probes.clone())).ok()?;
            self.more.push(socket);
        }
        self.more.get(number).map(|socket| socket.id())
    }
}

/// Allows one loud punch at a time, and then a pause by how loud it was.
#[derive(Debug, Default)]
pub(super) struct RandomPunches {
    active: Option<Instant>,
    next: Option<Instant>,
}

impl RandomPunches {
    fn begin(&mut self, now: Instant) -> bool {
        let may = self.active.is_none() && self.next.is_none_or(|next| next <= now);
        if may {
            self.active = Some(now);
        }
        may
    }

    fn end(&mut self, now: Instant) {
        let Some(began) = self.active.take() else { return };
        let part = now
            .saturating_duration_since(began)
            .min(HOLD)
            .div_duration_f32(HOLD);
        let more = RANDOM_PUNCH_INTERVAL - SHORT_PUNCH_INTERVAL;
        self.next = Some(now + SHORT_PUNCH_INTERVAL + more.mul_f32(part));
    }
}

/// Held while punching a random NAT.
pub(super) struct RandomPunch(Arc<Inner>);

impl RandomPunch {
    pub(super) fn begin(inner: &Arc<Inner>) -> Option<Self> {
        let may = inner.lock().random_punches.begin(Instant::now());
        may.then(|| Self(inner.clone()))
    }
}

impl Drop for RandomPunch {
    fn drop(&mut self) {
        self.0.lock().random_punches.end(Instant::now());
    }
}

/// One client's exchange with the server about punching.
struct ClientPunch<'a> {
    target: Target,
    id: u64,
    round: u64,
    secure: SecurePayload,
    puncher: &'a mut Puncher,
}

struct Update {
    payload: HolepunchPayload,
    peer: SocketAddrV4,
    /// Our address as the relay sees it, and the relay.
    seen: (SocketAddrV4, SocketAddrV4),
}

impl ClientPunch<'_> {
    fn payload(&mut self) -> HolepunchPayload {
        self.round += 1;
        HolepunchPayload {
            firewall: self.puncher.nat.firewall(),
            round: self.round - 1,
            addresses: self.puncher.nat.addresses(),
            ..HolepunchPayload::default()
        }
    }

    /// Sends a payload through a relay and takes in the server's.
    async fn exchange(
        &mut self,
        relay: SocketAddrV4,
        peer: SocketAddrV4,
        payload: HolepunchPayload,
    ) -> Result<Update, ConnectError> {
        let message = Holepunch {
            mode: Mode::FromClient,
            id: self.id,
            payload: self.secure.seal(&payload),
            peer_address: Some(peer),
        };
        let out = Outgoing {
            target: Some(self.target),
            value: Some(message.encode()),
            socket: Some(self.puncher.socket()),
            ..Outgoing::new(relay, command::PEER_HOLEPUNCH)
        };
        let lost = ConnectError::Unreachable("the peer did not answer while arranging hole punching");
        let response = self.puncher.inner.request(out).await.map_err(|_| lost.clone())?;
        let seen = (response.to, response.from);
        self.puncher.nat.add(seen.0, seen.1);
        let reply = response
            .value
            .as_deref()
            .and_then(|v| Holepunch::decode(v).ok())
            .ok_or(lost)?;
        let opened = self.secure.open(&reply.payload);
        let theirs = opened.ok_or_else(|| ConnectError::Handshake("bad hole punching payload".into()))?;
        if theirs.error != error_code::NONE {
            return Err(ConnectError::Unreachable("the peer gave up hole punching"));
        }
        let echoed = payload.token.is_some() && payload.token == theirs.remote_token;
        self.puncher.remote.update(&theirs, echoed.then_some(peer));
        self.puncher.arranged.set();
        tracing::debug!(round = theirs.round, remote = ?self.puncher.remote, ours = ?self.puncher.nat.firewall(), "exchanged");
        Ok(Update {
            payload: theirs,
            peer: reply.peer_address.unwrap_or(relay),
            seen,
        })
    }

    async fn run(&mut self, answered: &Answered) -> Result<(), ConnectError> {
        let mut relays = answered
            .payload
            .holepunch
            .clone()
            .map_or(Vec::new(), |h| h.relays);
        let inner = self.puncher.inner.clone();
        relays.retain(|r| inner.lock().rpc.is_dialable(r.relay_address));
        let same = relays.iter().find(|r| r.relay_address == answered.relay);
        let Some(server_relay) = same.or(relays.first()).copied() else {
            return Err(ConnectError::Unreachable(
                "the peer offers no relay for hole punching",
            ));
        };
        let mut server = answered.server;
        self.puncher.open_session(server).await;
        let mut update;
        let mut tries = 0;
        loop {
            let payload = HolepunchPayload {
                remote_address: Some(server),
                ..self.payload()
            };
            // The first round tells the server where we come from; it need not wait for what our NAT is like.
            let sampled = self.puncher.sampled();
            let exchange = self.exchange(server_relay.relay_address, server_relay.peer_address, payload);
            let (nat, exchanged) = tokio::join!(sampled, exchange);
            update = exchanged?;
            self.puncher.nat = nat;
            self.puncher.nat.add(update.seen.0, update.seen.1);
            tries += 1;
            let unclear = self.puncher.remote.firewall == Firewall::Unknown || update.payload.token.is_none();
            if !unclear || tries == 2 {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        if self.puncher.is_unstable() || self.puncher.remote.firewall == Firewall::Unknown {
            let abort = HolepunchPayload {
                error: error_code::ABORTED,
                ..self.payload()
            };
            let _ = self
                .exchange(server_relay.relay_address, server_relay.peer_address, abort)
                .await;
            return Err(ConnectError::Unreachable(
                "the NATs of both sides cannot be punched",
            ));
        }
        if server_relay.relay_address == answered.relay && update.peer != server {
            server = update.peer;
            self.puncher.open_session(server).await;
        }
        self.puncher.nat.freeze();
        let _loud = if self.puncher.is_random() {
            Some(
                RandomPunch::begin(&self.puncher.inner).ok_or(ConnectError::Unreachable(
                    "another random NAT is being punched; try later",
                ))?,
            )
        } else {
            None
        };
        let payload = HolepunchPayload {
            punching: true,
            token: Some(self.secure.token(server.ip())),
            remote_token: update.payload.token,
            ..self.payload()
        };
        self.exchange(answered.relay, server, payload).await?;
        if !self.puncher.remote.punching {
            return Err(ConnectError::Unreachable("the peer is not punching"));
        }
        if !self.puncher.start() {
            return Err(ConnectError::Unreachable(
                "the NATs of both sides cannot be punched",
            ));
        }
        self.puncher.punch().await;
        Err(ConnectError::Unreachable("hole punching did not get through"))
    }
}

/// Punches through to the server, arranged through its relays.
pub(super) async fn punch_as_client(
    inner: &Arc<Inner>,
    remote_public_key: &PublicKey,
    answered: &Answered,
    handshake: &HandshakeResult,
    arranged: Arranged,
) -> Result<Path, ConnectError> {
    let (tx, mut probes) = mpsc::channel(16);
    let main = PunchSocket::open(inner, Some(tx.clone())).map_err(|e| ConnectError::Socket(e.to_string()))?;
    let mut puncher = Puncher::new(main, inner.clone(), answered.payload.firewall, tx);
    puncher.arranged = arranged;
    let mut exchange = ClientPunch {
        target: Target::of_key(remote_public_key),
        id: answered.payload.holepunch.as_ref().map_or(0, |h| h.id),
        round: 0,
        secure: SecurePayload::new(&handshake.hash),
        puncher: &mut puncher,
    };
    let (socket, to) = tokio::select! {
        result = exchange.run(answered) => {
            result?;
            return Err(ConnectError::Unreachable("hole punching did not get through"));
        }
        Some((socket, to)) = probes.recv() => (socket, to),
    };
    let socket = inner.sockets.get(socket).ok_or(ConnectError::Destroyed)?;
    Ok(Path { socket, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_punch_that_was_given_up_early_does_not_hold_up_the_next_for_long() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        for (lasted, pause) in [(0, 3), (35, 20), (100, 20)] {
            let mut punches = RandomPunches::default();
            assert!(
                punches.begin(now) && !punches.begin(now + 100 * second),
                "one at a time"
            );
            let end = now + lasted * second;
            punches.end(end);
            let free = end + pause * second;
            assert!(!punches.begin(free - second / 2), "after {lasted} s");
            assert!(punches.begin(free + second / 2), "after {lasted} s");
        }
    }
}
