//! The server's side of hole punching: answers PEER_HOLEPUNCH, then punches (npm hyperdht lib/server.js).

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::Inner;
use super::announcer::Announcer;
use super::punch_socket::PunchSocket;
use super::puncher::{Puncher, RandomPunch};
use super::route::Arranged;
use crate::hyper::messages::{Holepunch, Mode};
use crate::hyper::secure_payload::{HolepunchPayload, SecurePayload};
use crate::hyper::{Firewall, error_code};
use crate::rpc::{Incoming, SocketId};

/// Addresses of one client from which probes are awaited: a NAT may use several.
const EXPECTED_ADDRESSES: usize = 4;

/// A PEER_HOLEPUNCH whose payload the keys of the session opened.
pub(super) struct Punch {
    pub(super) incoming: Incoming,
    pub(super) message: Holepunch,
    pub(super) payload: HolepunchPayload,
}

pub(super) struct ServerPuncher {
    puncher: Puncher,
    probes: mpsc::Receiver<(SocketId, SocketAddrV4)>,
    round: u64,
    loud: Option<RandomPunch>,
}

impl ServerPuncher {
    pub(super) fn new(socket: Arc<PunchSocket>, inner: Arc<Inner>, remote_firewall: Firewall) -> Self {
        let (tx, probes) = mpsc::channel(16);
        Self {
            puncher: Puncher::new(socket, inner, remote_firewall, tx),
            probes,
            round: 0,
            loud: None,
        }
    }

    pub(super) fn socket(&self) -> SocketId {
        self.puncher.socket()
    }

    /// Tells whether a punch was arranged with the client, also while [`ServerPuncher::run`] is at work.
    pub(super) fn arranged(&self) -> Arranged {
        self.puncher.arranged.clone()
    }

    /// Works until a probe of the client arrives on a socket: then call [`ServerPuncher::echo`] and run it again. None at
    /// `until`, and if a punch is under way then, when that gives up.
    pub(super) async fn run(
        &mut self,
        announcer: &Announcer,
        punches: &mut mpsc::Receiver<Punch>,
        secure: &SecurePayload,
        until: Instant,
    ) -> Option<(SocketId, SocketAddrV4)> {
        self.puncher.sample().await;
        loop {
            let punching = self.puncher.ends();
            let until = punching.map_or(until, |end| end.max(until));
            tokio::select! {
                Some(probe) = self.probes.recv() => return Some(probe),
                () = sleep_until(until.into()) => return None,
                Some(punch) = punches.recv() => {
                    self.answer(announcer, secure, punch).await;
                }
                () = self.puncher.punch(), if punching.is_some() => self.loud = None,
            }
        }
    }

    /// Answers a probe of the client: that tells it that the way is open.
    pub(super) async fn echo(&self, socket: SocketId, to: SocketAddrV4) {
        self.puncher.probe(socket, to, 0).await;
    }

    /// Answers one PEER_HOLEPUNCH, and begins to punch if it says so.
    async fn answer(&mut self, announcer: &Announcer, secure: &SecurePayload, punch: Punch) {
        let (incoming, theirs) = (&punch.incoming, &punch.payload);
        let Some(peer) = punch.message.peer_address else {
            return;
        };
        let through_ours = announcer.is_relay(&incoming.from);
        let token = secure.token(peer.ip());
        let echoed = through_ours && theirs.remote_token == Some(token);
        if incoming.socket == self.socket() {
            self.puncher.nat.add(incoming.to, incoming.from);
        }
        let mut error = if theirs.error == error_code::NONE {
            error_code::NONE
        } else {
            error_code::ABORTED
        };
        if theirs.round >= self.round {
            self.round = theirs.round;
            self.puncher.remote.update(theirs, echoed.then_some(peer));
            self.puncher.arranged.set();
            self.puncher.expect(peer);
            for (address, _) in self.puncher.remote.addresses.iter().take(EXPECTED_ADDRESSES) {
                self.puncher.expect(*address);
            }
        }
        if error == error_code::NONE && !self.puncher.nat.is_settled() {
            self.puncher.sample().await;
        }
        tracing::debug!(round = theirs.round, through_ours, echoed, remote = ?self.puncher.remote, ours = ?self.puncher.nat.firewall(), "asked to punch");
        let firewall = self.puncher.nat.firewall();
        let addresses = self.puncher.nat.addresses();
        if self.puncher.is_unstable() && !self.puncher.remote.punching {
            error = error_code::ABORTED;
        }
        let mut punch = false;
        if error == error_code::NONE {
            let opened_to_us = theirs
                .remote_address
                .is_some_and(|a| addresses.iter().flatten().any(|ours| *ours == a));
            if matches!(firewall, Firewall::Open | Firewall::Consistent) && opened_to_us {
                self.puncher.probe(self.socket(), peer, 0).await;
            }
            if self.puncher.remote.punching {
                if self.puncher.is_random() && self.loud.is_none() {
                    self.loud = RandomPunch::begin(&self.puncher.inner);
                    if self.loud.is_none() {
                        error = error_code::TRY_LATER;
                    }
                }
                if error == error_code::NONE {
                    punch = self.puncher.start();
                    if !punch {
                        error = error_code::ABORTED;
                    }
                }
            }
            if firewall != Firewall::Unknown {
                self.puncher.nat.freeze();
            }
        }
        let ours = match error {
            error_code::NONE => HolepunchPayload {
                firewall,
                round: self.round,
                punching: punch,
                addresses,
                token: through_ours.then_some(token),
                remote_token: theirs.token,
                ..HolepunchPayload::default()
            },
            error => HolepunchPayload {
                error,
                round: self.round,
                ..HolepunchPayload::default()
            },
        };
        let reply = Holepunch {
            mode: Mode::FromServer,
            id: 0,
            payload: secure.seal(&ours),
            peer_address: Some(peer),
        };
        let socket = Some(self.socket());
        self.puncher
            .inner
            .with(|state, _| state.rpc.relay(incoming, reply.encode(), incoming.from, socket));
    }
}
