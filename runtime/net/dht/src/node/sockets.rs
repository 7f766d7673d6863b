//! The node's UDP sockets: client, server and those opened for hole punching.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use base::lock;
use bytes::Bytes;
use tokio::sync::mpsc;
use udx::{Socket, Udx};

use super::Inner;
use crate::address::{is_reserved, to_v4};
use crate::error::DhtError;
use crate::rpc::{SocketId, Transmit};

pub(crate) type Messages = mpsc::Receiver<(Bytes, SocketAddr)>;

/// Ports tried from the wanted one on, as in npm dht-rpc.
const PORT_RANGE: u16 = 5;

pub(crate) struct Sockets {
    udx: Udx,
    host: Ipv4Addr,
    open: Mutex<HashMap<SocketId, Socket>>,
    next: AtomicU32,
    server_address: SocketAddr,
}

fn bind(udx: &Udx, host: Ipv4Addr, port: u16) -> Result<Socket, DhtError> {
    let address = SocketAddr::from((host, port));
    udx.bind(&address.into())
        .map_err(|source| DhtError::Bind { address, source })
}

impl Sockets {
    /// Binds the client and the server socket, this one to `port` or, unless `exactly`, to one of the next.
    pub(crate) fn bind(
        host: Ipv4Addr,
        port: u16,
        exactly: bool,
    ) -> Result<(Self, Vec<(SocketId, Messages)>), DhtError> {
        let udx = Udx::new();
        let mut server = bind(&udx, host, port);
        for next in port.saturating_add(1)..port.saturating_add(PORT_RANGE) {
            if server.is_ok() || port == 0 || exactly {
                break;
            }
            server = bind(&udx, host, next);
        }
        let server = server?;
        let client = bind(&udx, host, 0)?;
        let server_address = server.local_addr();
        let readers = vec![
            (SocketId::CLIENT, client.messages()),
            (SocketId::SERVER, server.messages()),
        ];
        let open = HashMap::from([(SocketId::CLIENT, client), (SocketId::SERVER, server)]);
        Ok((
            Self {
                udx,
                host,
                open: Mutex::new(open),
                next: AtomicU32::new(2),
                server_address,
            },
            readers,
        ))
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<SocketId, Socket>> {
        lock(&self.open)
    }

    pub(crate) fn udx(&self) -> &Udx {
        &self.udx
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<Socket> {
        self.map().get(&id).cloned()
    }

    /// Opens a socket of its own for hole punching.
    pub(crate) fn open(&self) -> Result<(SocketId, Messages), DhtError> {
        let socket = bind(&self.udx, self.host, 0)?;
        let messages = socket.messages();
        let id = SocketId(self.next.fetch_add(1, Ordering::Relaxed));
        self.map().insert(id, socket);
        Ok((id, messages))
    }

    /// Lets go of a socket; streams on it keep it open.
    pub(crate) fn release(&self, id: SocketId) {
        if id != SocketId::CLIENT && id != SocketId::SERVER {
            self.map().remove(&id);
        }
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.map().len()
    }

    pub(crate) fn close(&self) {
        self.map().clear();
    }

    pub(crate) fn server_address(&self) -> SocketAddr {
        self.server_address
    }

    pub(crate) fn server_port(&self) -> u16 {
        self.server_address.port()
    }

    /// Sends a datagram. That it may be lost is UDP's nature: errors are only traced.
    pub(crate) async fn send(&self, t: &Transmit) {
        let Some(socket) = self.get(t.socket) else { return };
        let to = SocketAddr::V4(t.to);
        let sent = match t.ttl {
            0 => socket.send_to(&t.bytes, to).await,
            ttl => socket.send_to_with_ttl(&t.bytes, to, ttl).await,
        };
        if let Err(error) = sent {
            tracing::trace!(%to, %error, "datagram not sent");
        }
    }

    /// Where peers on the same machine or network may reach the server socket. Addresses nobody can dial are left out.
    pub(crate) fn local_addresses(&self) -> Vec<SocketAddrV4> {
        let port = self.server_port();
        if !self.host.is_unspecified() {
            return vec![SocketAddrV4::new(self.host, port)];
        }
        let mut out: Vec<SocketAddrV4> = if_addrs::get_if_addrs()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|i| match i.ip() {
                std::net::IpAddr::V4(ip) if !ip.is_loopback() && !is_reserved(&ip) => Some(ip),
                _ => None,
            })
            .take(8)
            .map(|ip| SocketAddrV4::new(ip, port))
            .collect();
        if out.is_empty() {
            out.push(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        }
        out
    }
}

/// Feeds the node with what arrives on a socket, until the node or the socket is closed.
pub(crate) async fn read(inner: Arc<Inner>, id: SocketId, mut messages: Messages) {
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = inner.closed.cancelled() => None,
        };
        let Some((bytes, from)) = message else { return };
        if let Some(from) = to_v4(from)
            && bytes.len() > 1
        {
            inner.datagram(id, from, &bytes).await;
        }
    }
}
