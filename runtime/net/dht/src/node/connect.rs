//! The client's side of a connection (npm hyperdht lib/connect.js): relays, handshake, path, stream.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{KeyPair, PublicKey};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::RngExt;
use secret_stream::noise::HandshakeResult;
use secret_stream::{Connection, StreamOptions};
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use super::Inner;
use super::client_path::Search;
use super::handshake::{ClientHandshake, HandshakeError};
use super::link::{Link, Linked};
use super::peers::find_peer;
use super::streams::StreamOffer;
use crate::error::ConnectError;
use crate::hyper::messages::{Handshake, Mode, Peer};
use crate::hyper::noise_payload::{NoisePayload, RelayThrough, UdxInfo, VERSION};
use crate::hyper::{Firewall, command, error_code};
use crate::id::Target;
use crate::rpc::{Outgoing, SocketId};

/// Keep-alive of connections, as npm hyperdht's.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A peer that says nothing for so long, keep-alives included, is gone.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long all of connecting may take; a hole punch through a NAT that changes ports takes 35 s at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);
/// Head start of each relay before the next is asked, and of known relays before the search for more.
const RELAY_STAGGER: Duration = Duration::from_millis(150);
const SEARCH_DELAY: Duration = Duration::from_millis(300);
/// How long after the search found a doubtful relay it is asked, so that others come before it.
const DOUBTFUL_DELAY: Duration = Duration::from_millis(600);
/// Relays asked for one connection; the search may find as many again.
const MAX_RELAYS: usize = 8;

/// How to connect.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// Our identity; a random one if none.
    pub key_pair: Option<KeyPair>,
    /// Nodes known to relay for the peer, from a lookup.
    pub relay_addresses: Vec<SocketAddrV4>,
    /// Public key of a blind relay, to meet there when no way to the peer opens. What it passes on, it cannot read.
    pub relay: Option<PublicKey>,
    /// Rather fail than meet the peer at a relay, also at one that it names.
    pub without_relay: bool,
}

/// A connection with its handle.
#[derive(Debug)]
pub struct PeerConnection {
    /// The connection.
    pub connection: Connection,
    /// Watches it.
    pub link: Link,
}

/// The server answered through a relay or itself.
pub(super) struct Answered {
    pub(super) payload: NoisePayload,
    /// The node the answer came through.
    pub(super) relay: SocketAddrV4,
    /// Whether that node is a relay, not the server itself.
    pub(super) relayed: bool,
    /// The server as the relay sees it.
    pub(super) server: SocketAddrV4,
    /// We, as the relay sees us.
    pub(super) client: SocketAddrV4,
    /// The socket of ours that it sees so.
    pub(super) socket: SocketId,
}

/// What a node brought.
struct RawAnswer {
    noise: Vec<u8>,
    relay: SocketAddrV4,
    peer: Option<SocketAddrV4>,
    client: SocketAddrV4,
    socket: SocketId,
}

pub(super) async fn connect(
    inner: &Arc<Inner>,
    remote_public_key: PublicKey,
    options: ConnectOptions,
) -> Result<PeerConnection, ConnectError> {
    let relay = options
        .relay
        .filter(|relay| *relay != remote_public_key && !options.without_relay);
    let span = || tracing::error_span!("conn", peer = %remote_public_key.short());
    let first = limited(attempt(inner, remote_public_key, &options, None).instrument(span())).await;
    match (first, relay) {
        (Err(error @ ConnectError::Unreachable(_)), Some(relay)) => {
            let again = span();
            again.in_scope(
                || tracing::debug!(%error, relay = %relay.short(), "asks the peer to meet at a relay"),
            );
            limited(attempt(inner, remote_public_key, &options, Some(relay)).instrument(again)).await
        }
        (first, _) => first,
    }
}

async fn limited(
    attempt: impl Future<Output = Result<PeerConnection, ConnectError>>,
) -> Result<PeerConnection, ConnectError> {
    let result = timeout(CONNECT_TIMEOUT, attempt).await;
    result.unwrap_or(Err(ConnectError::Unreachable("connecting took too long")))
}

fn socket_error(error: std::io::Error) -> ConnectError {
    ConnectError::Socket(error.to_string())
}

async fn attempt(
    inner: &Arc<Inner>,
    remote_public_key: PublicKey,
    options: &ConnectOptions,
    relay: Option<PublicKey>,
) -> Result<PeerConnection, ConnectError> {
    let key_pair = options.key_pair.clone().unwrap_or_else(KeyPair::generate);
    let relay = relay.map(|public_key| RelayThrough {
        public_key,
        token: rand::rng().random(),
    });
    let mut offer = StreamOffer::new(inner.sockets.udx());
    // A node may learn meanwhile that it is open, and then writes from another socket: what the server and its relay see of
    // us stays that of this one.
    let (own, socket) = {
        let state = inner.lock();
        (state.rpc.remote_address(), state.rpc.socket())
    };
    let mut addresses4: Vec<SocketAddrV4> = own.into_iter().collect();
    addresses4.extend(
        inner
            .sockets
            .local_addresses()
            .into_iter()
            .filter(|a| Some(*a) != own),
    );
    let firewall = if own.is_some() {
        Firewall::Open
    } else {
        Firewall::Unknown
    };
    let payload = NoisePayload {
        version: VERSION,
        error: error_code::NONE,
        firewall,
        addresses4,
        udx: Some(UdxInfo {
            reusable_socket: false,
            id: u64::from(offer.id()),
            seq: 0,
        }),
        secret_stream: Some(1),
        relay_through: relay,
        ..NoisePayload::default()
    };
    let (handshake, request) = ClientHandshake::start(&key_pair, remote_public_key, &payload)
        .map_err(|e| ConnectError::Handshake(e.to_string()))?;
    let (answered, result) = shake_hands(
        inner,
        &remote_public_key,
        &options.relay_addresses,
        &handshake,
        (request, socket),
    )
    .await?;
    let remote_id = check(&answered.payload)?;
    tracing::debug!(relay = %answered.relay, relayed = answered.relayed, server = %answered.server,
        client = %answered.client, firewall = ?answered.payload.firewall, "the peer answered");
    remember(inner, remote_public_key, &answered);
    let way = Search {
        inner,
        server: &remote_public_key,
        answered: &answered,
        handshake: &result,
        own_firewall: firewall,
        own_relay: relay,
        without_relay: options.without_relay,
    }
    .find(&mut offer)
    .await;
    if way.is_err() {
        // What the node said of the server's address and ours is not signed: another may say something else.
        inner
            .lock()
            .relays
            .doubt(Instant::now(), remote_public_key, answered.relay);
    }
    way?.connect(offer, remote_id, &result).map_err(socket_error)
}

/// Notes the relays the server named. A node that says it is the server, at an address the server does not name, is asked
/// after the others next time.
fn remember(inner: &Inner, server: PublicKey, answered: &Answered) {
    let payload = &answered.payload;
    let named = payload.relay_addresses.clone().filter(|a| !a.is_empty());
    let mut state = inner.lock();
    state
        .relays
        .remember(server, named.unwrap_or_else(|| vec![answered.relay]));
    if !answered.relayed && !payload.addresses4.contains(&answered.relay) {
        state.relays.doubt(Instant::now(), server, answered.relay);
    }
}

/// Starts the secret stream.
pub(super) fn establish(
    stream: udx::Stream,
    handshake: &HandshakeResult,
    remote: SocketAddrV4,
) -> PeerConnection {
    let options = StreamOptions {
        keep_alive: Some(KEEP_ALIVE),
        idle_timeout: Some(IDLE_TIMEOUT),
        remote_address: Some(remote.into()),
        ..StreamOptions::default()
    };
    stream.watch_peer();
    let proof = stream.proof();
    let (stream, link) = Linked::new(stream);
    link.follow(proof.clone());
    let connection = secret_stream::over_established_with(stream, handshake, options);
    let greeted = connection.greeted();
    tokio::spawn(async move {
        if greeted.await {
            proof.confirm();
        }
    });
    PeerConnection { connection, link }
}

/// Checks the server's payload; gives its stream id.
fn check(payload: &NoisePayload) -> Result<u32, ConnectError> {
    if payload.version != VERSION {
        let what = format!("it speaks version {}, not {VERSION}", payload.version);
        return Err(ConnectError::Handshake(what));
    }
    if payload.error != error_code::NONE {
        return Err(ConnectError::Handshake(format!(
            "it refused with error {}",
            payload.error
        )));
    }
    let id = payload.udx.and_then(|udx| u32::try_from(udx.id).ok());
    id.ok_or_else(|| ConnectError::Handshake("it offers no stream".into()))
}

/// Gets the server's answer through whichever node is quickest to bring one that the server's key made. What else nodes
/// bring is dropped, and the next goes on.
async fn shake_hands(
    inner: &Arc<Inner>,
    remote_public_key: &PublicKey,
    found: &[SocketAddrV4],
    handshake: &ClientHandshake,
    (noise, socket): (Vec<u8>, SocketId),
) -> Result<(Answered, HandshakeResult), ConnectError> {
    let target = Target::of_key(remote_public_key);
    let mut relays = {
        let state = inner.lock();
        let now = Instant::now();
        let route = state.store.route(now, &target);
        let mut list = state.relays.to_ask(now, remote_public_key, route, found);
        list.retain(|address| state.rpc.is_dialable(*address));
        list.truncate(MAX_RELAYS);
        list
    };
    let through = |relay: SocketAddrV4, delay: Duration| {
        let noise = noise.clone();
        async move {
            sleep(delay).await;
            handshake_through(inner, target, relay, (noise, socket)).await
        }
    };
    let mut asked: FuturesUnordered<_> = relays
        .iter()
        .zip(0..)
        .map(|(relay, i)| through(*relay, RELAY_STAGGER * i))
        .collect();
    let mut search: Option<super::RunningQuery> = None;
    let mut searching = true;
    let mut forged = None;
    let head_start = sleep(if relays.is_empty() {
        Duration::ZERO
    } else {
        SEARCH_DELAY
    });
    tokio::pin!(head_start);
    loop {
        tokio::select! {
            Some(answer) = asked.next() => {
                match answer.map(|raw| (raw.relay, verify(handshake, raw))) {
                    Some((_, Ok(verified))) => return Ok(verified),
                    Some((relay, Err(error))) => {
                        tracing::debug!(%relay, %error, "a relay brought an answer that is not the peer's");
                        inner.lock().relays.doubt(Instant::now(), *remote_public_key, relay);
                        forged = Some((relay, error));
                    }
                    None => {}
                }
                if search.is_none() && asked.is_empty() {
                    search = Some(find_peer(inner, target, relays.clone()));
                }
            }
            () = &mut head_start, if search.is_none() => {
                search = Some(find_peer(inner, target, relays.clone()));
            }
            response = async { search.as_mut()?.next().await }, if searching && search.is_some() => match response {
                Some(response) => {
                    let record = response.value.as_deref().and_then(|v| Peer::decode(v).ok());
                    let room = relays.len() < 2 * MAX_RELAYS;
                    if record.is_some() && room && !relays.contains(&response.from) {
                        relays.push(response.from);
                        let doubtful = inner.lock().relays.is_doubtful(
                            Instant::now(),
                            remote_public_key,
                            &response.from,
                        );
                        let delay = if doubtful { DOUBTFUL_DELAY } else { Duration::ZERO };
                        asked.push(through(response.from, delay));
                    }
                }
                None => searching = false,
            },
            else => break,
        }
        if !searching && asked.is_empty() {
            break;
        }
    }
    Err(match forged {
        Some((relay, error)) => ConnectError::Handshake(format!(
            "no relay brought the peer's answer; that through {relay}: {error}"
        )),
        None if relays.is_empty() => ConnectError::NotFound,
        None => ConnectError::NoAnswer,
    })
}

/// Opens what a node brought.
fn verify(
    handshake: &ClientHandshake,
    raw: RawAnswer,
) -> Result<(Answered, HandshakeResult), HandshakeError> {
    let (payload, result) = handshake.open(&raw.noise)?;
    let answered = Answered {
        payload,
        relay: raw.relay,
        relayed: raw.peer.is_some(),
        server: raw.peer.unwrap_or(raw.relay),
        client: raw.client,
        socket: raw.socket,
    };
    Ok((answered, result))
}

/// Sends the handshake through one node; none if it does not bring an answer.
async fn handshake_through(
    inner: &Arc<Inner>,
    target: Target,
    relay: SocketAddrV4,
    (noise, socket): (Vec<u8>, SocketId),
) -> Option<RawAnswer> {
    let message = Handshake {
        mode: Mode::FromClient,
        noise,
        peer_address: None,
        relay_address: None,
    };
    let out = Outgoing {
        target: Some(target),
        value: Some(message.encode()),
        socket: Some(socket),
        retries: 2,
        ..Outgoing::new(relay, command::PEER_HANDSHAKE)
    };
    let response = inner.request(out).await.ok()?;
    let answer = Handshake::decode(response.value.as_deref()?).ok()?;
    (answer.mode == Mode::Reply && response.error == 0).then_some(RawAnswer {
        noise: answer.noise,
        relay,
        peer: answer.peer_address,
        client: response.to,
        socket,
    })
}
