//! One client's session on a server: from the answered handshake to the connection.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secret_stream::noise::HandshakeResult;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use udx::Socket;

use super::Inner;
use super::announcer::Announcer;
use super::connect::{PeerConnection, establish};
use super::path::{Path, candidates, first_to_answer};
use super::puncher::ServerPuncher;
use super::puncher_server::Punch;
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
}

/// Runs it until it is over. `dropped`: its place is needed; a connection that is there already is handed on.
pub(super) async fn run(mut session: Session, dropped: CancellationToken) {
    let path = tokio::select! {
        () = dropped.cancelled() => return,
        path = find_path(&mut session) => path,
    };
    let Some(path) = path else {
        return tracing::debug!("a client shook hands but did not come");
    };
    let Session {
        offer,
        remote_id,
        handshake,
        connections,
        ..
    } = session;
    match offer.connect(&path, remote_id) {
        Ok(stream) => {
            let connection = establish(stream, &handshake, path.to);
            // Whoever takes connections may be busy, but not for ever.
            let _ = connections.send_timeout(connection, SESSION_TIMEOUT).await;
        }
        Err(error) => tracing::debug!(%error, "stream to client failed"),
    }
}

/// None if the client does not come, or the node is closed.
async fn find_path(session: &mut Session) -> Option<Path> {
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
        ..
    } = session;
    let is_dialable = |address| inner.lock().rpc.is_dialable(address);
    if session.direct.is_some() || (payload.firewall == Firewall::Open && is_dialable(*client)) {
        let socket = session.direct.take().or_else(|| inner.usual_socket())?;
        return Some(Path { socket, to: *client });
    }
    let list = candidates(*client, &payload.addresses4, *server, is_dialable);
    let reach = async {
        sleep(OUR_TURN).await;
        first_to_answer(inner, &list).await
    };
    tokio::pin!(reach);
    let mut out_of_reach = false;
    let until = Instant::now() + SESSION_TIMEOUT;
    loop {
        let (socket, to) = {
            let punch = async {
                match puncher {
                    Some(puncher) => puncher.run(announcer, punches, secure, until).await,
                    None => {
                        sleep_until(until.into()).await;
                        None
                    }
                }
            };
            tokio::pin!(punch);
            loop {
                tokio::select! {
                    path = offer.first_packet() => return Some(path),
                    path = &mut reach, if !out_of_reach => match path {
                        Some(path) => return Some(path),
                        None => out_of_reach = true,
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
