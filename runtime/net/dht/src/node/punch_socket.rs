//! Sockets that holes are punched from. A server's sessions share a few: handshakes cost their sender one packet, and must
//! not cost us a descriptor each.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::lock;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Inner;
use super::sockets::Messages;
use crate::address::to_v4;
use crate::error::DhtError;
use crate::hyper::nat::{MIN_SAMPLES, Nat};
use crate::rpc::{Outgoing, SocketId, Transmit};

/// The probe: one byte, which no RPC message is.
pub(super) const PROBE: [u8; 1] = [0];
/// Sockets that all sessions of a server share.
const SHARED: usize = 4;
/// NATs keep a mapping for half a minute at least; what a socket's was before says little.
const SAMPLES_AGE: Duration = Duration::from_secs(20);
/// Addresses whose probes are answered at once, and how many probes of each: a client sends one or two from each port that
/// it tries, and two servers that echoed each other's echo would never end.
const MAX_EXPECTED: usize = 1024;
const ECHOES: u32 = 64;

/// Who hears of probes.
pub(super) type Probes = mpsc::Sender<(SocketId, SocketAddrV4)>;

/// An open socket; dropping it closes it, except where a stream lives on.
pub(super) struct PunchSocket {
    inner: Arc<Inner>,
    id: SocketId,
    /// What its NAT looked like to others, and when.
    nat: tokio::sync::Mutex<Option<(Nat, Instant)>>,
    expected: Arc<Expected>,
    _guard: DropGuard,
}

#[derive(Default)]
struct Expected(Mutex<HashMap<Ipv4Addr, u32>>);

impl Expected {
    fn add(&self, ip: Ipv4Addr) {
        let mut map = lock(&self.0);
        if map.len() >= MAX_EXPECTED && !map.contains_key(&ip) {
            map.clear();
        }
        map.insert(ip, ECHOES);
    }

    fn take(&self, ip: &Ipv4Addr) -> bool {
        let mut map = lock(&self.0);
        let Some(left) = map.get_mut(ip) else { return false };
        *left -= 1;
        if *left == 0 {
            map.remove(ip);
        }
        true
    }
}

impl Drop for PunchSocket {
    fn drop(&mut self) {
        self.inner.sockets.release(self.id);
    }
}

impl PunchSocket {
    /// Opens one whose probes go to `probes`; without, probes of whom [`PunchSocket::expect`] named are echoed.
    pub(super) fn open(inner: &Arc<Inner>, probes: Option<Probes>) -> Result<Arc<Self>, DhtError> {
        let (id, messages) = inner.sockets.open()?;
        let closed = inner.closed.child_token();
        let expected = Arc::new(Expected::default());
        let socket = Self {
            inner: inner.clone(),
            id,
            nat: tokio::sync::Mutex::default(),
            expected: expected.clone(),
            _guard: closed.clone().drop_guard(),
        };
        tokio::spawn(read(inner.clone(), id, messages, probes, expected, closed));
        Ok(Arc::new(socket))
    }

    pub(super) fn id(&self) -> SocketId {
        self.id
    }

    /// Echoes probes that come from there: whoever sits there proved to hold the keys of a session.
    pub(super) fn expect(&self, ip: Ipv4Addr) {
        self.expected.add(ip);
    }

    /// What its NAT is like. Nodes are asked if nobody asked lately, once for all who want to know.
    pub(super) async fn nat(&self) -> Nat {
        let mut known = self.nat.lock().await;
        if let Some((nat, at)) = known.as_ref()
            && at.elapsed() < SAMPLES_AGE
        {
            return nat.clone();
        }
        let mut nat = Nat::new(self.inner.lock().rpc.firewalled());
        sample(&self.inner, self.id, &mut nat).await;
        *known = Some((nat.clone(), Instant::now()));
        nat
    }
}

/// The sockets that a server's sessions share, opened when they are needed.
#[derive(Default)]
pub(super) struct PunchPool {
    sockets: Vec<Arc<PunchSocket>>,
    next: usize,
}

impl PunchPool {
    /// One of them, in turns.
    pub(super) fn take(&mut self, inner: &Arc<Inner>) -> Result<Arc<PunchSocket>, DhtError> {
        if self.sockets.len() < SHARED {
            let socket = PunchSocket::open(inner, None)?;
            self.sockets.push(socket.clone());
            return Ok(socket);
        }
        self.next = (self.next + 1) % SHARED;
        match self.sockets.get(self.next) {
            Some(socket) => Ok(socket.clone()),
            None => PunchSocket::open(inner, None),
        }
    }
}

/// Asks nodes how they see the socket, until its NAT is clear or nobody is left to ask.
pub(super) async fn sample(inner: &Arc<Inner>, socket: SocketId, nat: &mut Nat) {
    for _ in 0..2 {
        if nat.is_settled() {
            return;
        }
        let mut nodes = inner.lock().rpc.latest_nodes(32);
        if nodes.len() >= 8 {
            nodes.rotate_left(5);
        }
        nodes.retain(|n| !nat.has_sample_of(n));
        nodes.truncate(MIN_SAMPLES);
        let mut pings: FuturesUnordered<_> = nodes
            .into_iter()
            .map(|to| {
                inner.request(Outgoing {
                    socket: Some(socket),
                    retries: 0,
                    ..Outgoing::ping(to)
                })
            })
            .collect();
        while let Some(response) = pings.next().await {
            if let Ok(response) = response {
                nat.add(response.to, response.from);
            }
            if nat.is_settled() {
                return;
            }
        }
    }
}

async fn read(
    inner: Arc<Inner>,
    id: SocketId,
    mut messages: Messages,
    probes: Option<Probes>,
    expected: Arc<Expected>,
    closed: CancellationToken,
) {
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = closed.cancelled() => None,
        };
        let Some((bytes, from)) = message else { return };
        let Some(from) = to_v4(from) else { continue };
        if bytes.len() > 1 {
            inner.datagram(id, from, &bytes).await;
        } else if let Some(probes) = &probes {
            let _ = probes.try_send((id, from));
        } else if expected.take(from.ip()) {
            let echo = Transmit {
                socket: id,
                to: from,
                ttl: 0,
                bytes: PROBE.to_vec(),
            };
            inner.sockets.send(&echo).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_counted_and_strangers_get_none() {
        let expected = Expected::default();
        let ip = |n: u32| Ipv4Addr::from(n);
        assert!(!expected.take(&ip(1)));
        expected.add(ip(1));
        assert_eq!(
            (0..1000).filter(|_| expected.take(&ip(1))).count(),
            ECHOES as usize
        );
        for n in 0..10_000 {
            expected.add(ip(n));
        }
        assert!(expected.0.lock().unwrap().len() <= MAX_EXPECTED);
    }
}
