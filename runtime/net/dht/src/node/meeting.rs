//! Meeting a peer at a blind relay, where no way between the two opens (npm hyperdht lib/connect.js and lib/server.js,
//! relayConnection).

use std::net::SocketAddrV4;
use std::sync::{Arc, OnceLock};

use base::PublicKey;
use blind_relay::{Paired, Request};
use futures::future::BoxFuture;
use secret_stream::noise::HandshakeResult;

use super::Inner;
use super::connect::{ConnectOptions, PeerConnection, connect, establish};
use super::path::Path;
use super::route::Route;
use super::streams::StreamOffer;
use crate::address::to_v4;
use crate::error::ConnectError;

/// The way that a stream takes.
pub(super) enum Way {
    /// From one to the other, found so.
    Straight(Path, Route),
    /// To a relay, as that stream of its, for as long as the pair is kept.
    Relayed(Path, Paired),
}

impl Way {
    /// Connects the stream to the peer, whose id of it is `remote_id`.
    pub(super) fn connect(
        self,
        offer: StreamOffer,
        remote_id: u32,
        handshake: &HandshakeResult,
    ) -> std::io::Result<PeerConnection> {
        match self {
            Self::Straight(path, route) => {
                tracing::debug!(to = %path.to, route = route.name(), "found a way");
                let stream = offer.connect(&path, remote_id)?;
                let connection = establish(stream, handshake, path.to);
                connection.link.takes(route, path.to.into());
                Ok(connection)
            }
            Self::Relayed(path, pair) => {
                tracing::debug!(relay = %path.to, "goes through a relay");
                let stream = offer.connect(&path, pair.stream_id)?;
                let connection = establish(stream, handshake, path.to);
                connection.link.takes(Route::Relayed, path.to.into());
                let closed = connection.connection.closed();
                tokio::spawn(async move {
                    closed.await;
                    drop(pair);
                });
                Ok(connection)
            }
        }
    }
}

/// A meeting, and where it is held once that is known: what comes from there is no sign of another way.
#[derive(Default)]
pub(super) struct Meeting(OnceLock<SocketAddrV4>);

impl Meeting {
    /// Whether it is held there.
    pub(super) fn is_at(&self, address: SocketAddrV4) -> bool {
        self.0.get() == Some(&address)
    }

    /// Connects to the relay and waits there for the peer. Dropping the future ends that.
    pub(super) fn hold<'a>(
        &'a self,
        inner: &'a Arc<Inner>,
        relay: PublicKey,
        request: Request,
    ) -> BoxFuture<'a, Result<Way, ConnectError>> {
        // Connecting may need a meeting, and a meeting connects. It goes one deep: a relay is reached without another.
        Box::pin(async move {
            let dialled = connect(inner, relay, ConnectOptions::default()).await;
            let PeerConnection { connection, link } = dialled.map_err(|error| {
                tracing::debug!(relay = %relay.short(), %error, "cannot reach a relay");
                ConnectError::Unreachable("the relay cannot be reached")
            })?;
            let way = link.way().and_then(|(socket, to)| Some((socket, to_v4(to)?)));
            let (socket, to) = way.ok_or(ConnectError::Unreachable("the relay went away"))?;
            let _ = self.0.set(to);
            let pair = blind_relay::pair(connection, request).await.map_err(|error| {
                tracing::debug!(relay = %relay.short(), %error, "the relay brings nobody");
                ConnectError::Unreachable("the peer did not come to the relay")
            })?;
            Ok(Way::Relayed(Path { socket, to }, pair))
        })
    }
}
