//! One client's session on a server: from the answered handshake to the connection.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::PublicKey;
use blind_relay::Request;
use secret_stream::noise::HandshakeResult;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use udx::Socket;

use super::Inner;
use super::announcer::Announcer;
use super::connect::PeerConnection;
use super::meeting::{Meeting, Way};
use super::path::{Path, candidates, first_to_answer};
use super::puncher::ServerPuncher;
use super::puncher_server::Punch;
use super::route::{Arranged, Route};
use super::streams::StreamOffer;
use crate::hyper::Firewall;
use crate::hyper::noise_payload::NoisePayload;
use crate::hyper::secure_payload::SecurePayload;

/// How long a client may take to come.
const SESSION_TIMEOUT: Duration = Duration::from_secs(20);
/// The client chooses the path; when it has not come by then, we try to reach it.
const OUR_TURN: Duration = Duration::from_millis(1500);

pub(super) struct Session {
    pub(super) inner: Arc<Inner>,
    pub(super) announcer: Arc<Announcer>,
    pub(super) offer: StreamOffer,
    /// The client's stream id.
    pub(super) remote_id: u32,
    pub(super) payload: NoisePayload,
    pub(super) handshake: HandshakeResult,
    /// The socket a direct handshake came in on.
    pub(super) direct: Option<Socket>,
    /// The client as the relay sees it.
    pub(super) client: SocketAddrV4,
    /// We, as the relay sees us.
    pub(super) server: SocketAddrV4,
    pub(super) puncher: Option<ServerPuncher>,
    pub(super) punches: mpsc::Receiver<Punch>,
    pub(super) secure: Arc<SecurePayload>,
    pub(super) connections: mpsc::Sender<PeerConnection>,
    /// The relay that one of the two wants to meet at, what to ask it for, and the right to dial it.
    pub(super) relay: Option<(PublicKey, Request, OwnedSemaphorePermit)>,
}

/// Runs it until it is over. `dropped`: its place is needed; a connection that is there already is handed on.
pub(super) async fn run(mut session: Session, dropped: CancellationToken) {
    let way = tokio::select! {
        () = dropped.cancelled() => return,
        way = find_way(&mut session) => way,
    };
    let Some(way) = way else {
        return tracing::debug!("a client shook hands but did not come");
    };
    let Session {
        offer,
        remote_id,
        handshake,
        connections,
        ..
    } = session;
    match way.connect(offer, remote_id, &handshake) {
        Ok(connection) => {
            // Whoever takes connections may be busy, but not for ever.
            let _ = connections.send_timeout(connection, SESSION_TIMEOUT).await;
        }
        Err(error) => tracing::debug!(%error, "stream to client failed"),
    }
}

/// None if the client does not come, or the node is closed.
async fn find_way(session: &mut Session) -> Option<Way> {
    let Session {
        inner,
        offer,
        payload,
        client,
        server,
        puncher,
        punches,
        secure,
        announcer,
        relay,
        ..
    } = session;
    let is_dialable = |address| inner.lock().rpc.is_dialable(address);
    if session.direct.is_some() || (payload.firewall == Firewall::Open && is_dialable(*client)) {
        let socket = session.direct.take().or_else(|| inner.usual_socket())?;
        return Some(Way::Straight(Path { socket, to: *client }, Route::Direct));
    }
    let arranged = puncher
        .as_ref()
        .map_or_else(Arranged::default, ServerPuncher::arranged);
    let list = candidates(*client, &payload.addresses4, *server, is_dialable);
    let reach = async {
        sleep(OUR_TURN).await;
        let socket = inner.lock().rpc.socket();
        first_to_answer(inner, &list, socket).await
    };
    let meeting = Meeting::default();
    let mut alone = relay.is_none();
    let meet = async {
        match relay.take() {
            Some((relay, request, _permit)) => meeting.hold(inner, relay, request).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(reach, meet);
    let mut out_of_reach = false;
    let until = Instant::now() + SESSION_TIMEOUT;
    loop {
        let (socket, to) = {
            let punch = async {
                match puncher {
                    Some(puncher) => {
                        let span = tracing::debug_span!("punch", to = %client);
                        puncher
                            .run(announcer, punches, secure, until)
                            .instrument(span)
                            .await
                    }
                    None => {
                        sleep_until(until.into()).await;
                        None
                    }
                }
            };
            tokio::pin!(punch);
            loop {
                tokio::select! {
                    path = offer.first_packet() => {
                        if !meeting.is_at(path.to) {
                            return Some(Way::Straight(path, arranged.route()));
                        }
                    }
                    path = &mut reach, if !out_of_reach => match path {
                        Some(path) => return Some(Way::Straight(path, arranged.route())),
                        None => out_of_reach = true,
                    },
                    way = &mut meet, if !alone => match way {
                        Ok(way) => return Some(way),
                        Err(error) => {
                            tracing::debug!(%error, "did not meet a client at a relay");
                            alone = true;
                        }
                    },
                    probe = &mut punch => break probe?,
                }
            }
        };
        if let Some(puncher) = puncher {
            puncher.echo(socket, to).await;
        }
    }
}
