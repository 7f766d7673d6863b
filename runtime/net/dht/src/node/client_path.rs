//! The client's way to a server that has answered: it may come to us, be reached directly, need hole punching, or meet us at a relay.

use std::sync::Arc;
use std::time::Duration;

use base::PublicKey;
use blind_relay::{Request, Token};
use secret_stream::noise::HandshakeResult;
use tokio::time::sleep;
use tracing::Instrument;
use udx::Socket;

use super::Inner;
use super::connect::Answered;
use super::meeting::{Meeting, Way};
use super::path::{Path, candidates, first_to_answer};
use super::puncher::punch_as_client;
use super::route::{Arranged, Route};
use super::streams::StreamOffer;
use crate::error::ConnectError;
use crate::hyper::Firewall;
use crate::hyper::noise_payload::RelayThrough;

/// How long an open client waits for the server to come.
const PASSIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much later than the end of punching a ping may be answered: that took several round trips through a node.
const LATE_ANSWER: Duration = Duration::from_millis(500);

/// What is known before the way is.
pub(super) struct Search<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) server: &'a PublicKey,
    pub(super) answered: &'a Answered,
    pub(super) handshake: &'a HandshakeResult,
    pub(super) own_firewall: Firewall,
    /// The relay that we told the server to meet us at, as punching failed before.
    pub(super) own_relay: Option<RelayThrough>,
    /// Not to go through the server's relay either.
    pub(super) without_relay: bool,
}

impl Search<'_> {
    /// Finds the way. Of those that are tried beside each other the first to open is taken.
    pub(super) async fn find(&self, offer: &mut StreamOffer) -> Result<Way, ConnectError> {
        let (inner, answered) = (self.inner, self.answered);
        if !answered.relayed {
            let path = Path {
                socket: self.socket()?,
                to: answered.relay,
            };
            return Ok(Way::Straight(path, Route::Direct));
        }
        let payload = &answered.payload;
        let is_dialable = |address| inner.lock().rpc.is_dialable(address);
        let list = candidates(answered.server, &payload.addresses4, answered.client, is_dialable);
        let direct = first_to_answer(inner, &list, answered.socket);
        let arranged = Arranged::default();
        let opening = self.open(&arranged);
        let meeting = Meeting::default();
        let meet = self.meet(&meeting, offer.id());
        let late = sleep(LATE_ANSWER);
        tokio::pin!(direct, opening, meet, late);
        // Each of them may fail while another is still on its way.
        let (mut direct_failed, mut unopened, mut unmet) = (false, None, None);
        // Only what the server is told at the handshake makes it come to the relay, too.
        let can_meet = !self.without_relay && (self.own_relay.is_some() || payload.relay_through.is_some());
        loop {
            let meets = can_meet && unmet.is_none() && (self.own_relay.is_some() || unopened.is_some());
            tokio::select! {
                path = offer.first_packet() => {
                    if !meeting.is_at(path.to) {
                        return Ok(Way::Straight(path, arranged.route()));
                    }
                }
                path = &mut direct, if !direct_failed => match path {
                    Some(path) => return Ok(Way::Straight(path, arranged.route())),
                    None => direct_failed = true,
                },
                path = &mut opening, if unopened.is_none() => match path {
                    Ok(path) => {
                        tracing::debug!(to = %path.to, "chose a path without an answer to pings");
                        return Ok(Way::Straight(path, arranged.route()));
                    }
                    Err(error) => {
                        unopened = Some(error);
                        late.as_mut().reset(tokio::time::Instant::now() + LATE_ANSWER);
                    }
                },
                () = &mut late, if unopened.is_some() && !direct_failed => direct_failed = true,
                way = &mut meet, if meets => match way {
                    Ok(way) => return Ok(way),
                    Err(error) => {
                        tracing::debug!(%error, "the relay does not help");
                        unmet = Some(error);
                    }
                },
            }
            if direct_failed
                && (!can_meet || unmet.is_some())
                && let Some(error) = unopened.take()
            {
                return Err(unmet.unwrap_or(error));
            }
        }
    }

    /// The socket that the server and its relay know.
    fn socket(&self) -> Result<Socket, ConnectError> {
        let socket = self.inner.sockets.get(self.answered.socket);
        socket.ok_or(ConnectError::Destroyed)
    }

    /// Waits for the server to come, or punches a hole.
    async fn open(&self, arranged: &Arranged) -> Result<Path, ConnectError> {
        let (inner, answered) = (self.inner, self.answered);
        let payload = &answered.payload;
        if self.own_relay.is_some() {
            return Err(ConnectError::Unreachable("hole punching failed before"));
        }
        if payload.firewall == Firewall::Open {
            // It says that everybody reaches it: if it does not answer pings, try all the same.
            sleep(PASSIVE_TIMEOUT / 5).await;
            return Ok(Path {
                socket: self.socket()?,
                to: answered.server,
            });
        }
        let punchable = payload.holepunch.as_ref().is_some_and(|h| !h.relays.is_empty());
        if self.own_firewall == Firewall::Open || !punchable {
            sleep(PASSIVE_TIMEOUT).await;
            return Err(ConnectError::Unreachable(
                "neither side could open a way to the other",
            ));
        }
        // Beside the direct pings: an open way answers those within one round trip, and punching takes more.
        let span = tracing::debug_span!("punch", to = %answered.server);
        punch_as_client(inner, self.server, answered, self.handshake, arranged.clone())
            .instrument(span)
            .await
    }

    /// Meets the server at its relay, or at ours.
    async fn meet(&self, meeting: &Meeting, stream_id: u32) -> Result<Way, ConnectError> {
        let theirs = self.answered.payload.relay_through;
        let Some(relay) = theirs.or(self.own_relay) else {
            return Err(ConnectError::Unreachable("there is no relay"));
        };
        let request = Request {
            is_initiator: theirs.is_none(),
            token: Token(relay.token),
            stream_id,
        };
        meeting.hold(self.inner, relay.public_key, request).await
    }
}
