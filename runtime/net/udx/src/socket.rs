//! UDP sockets and the streams that share them.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

pub(crate) use base::lock;
use bytes::Bytes;
use quinn_udp::RecvMeta;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

use crate::congestion::Micros;
use crate::datagrams::Datagrams;
use crate::memory::Memory;
use crate::packet::Header;
use crate::relay::RelayWay;
use crate::stream::{Stream, StreamCore};

/// Datagrams that wait to be taken; more are dropped, as the kernel would.
const MESSAGE_QUEUE: usize = 2048;
/// The largest of them: DHT messages fit in one packet of any path. With their number this bounds what waits to 4 MiB, as
/// much as the kernel holds; 64 KiB each would be 128 MiB, for a sender that need not even be who it says.
const MAX_MESSAGE: usize = 2048;
/// libudx asks for this much, too; systems may grant less.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
const DEFAULT_TTL: u32 = 64;
/// What one receive call can fill: buffers, and the bytes in each (the kernel joins equal datagrams up to 64 KiB).
const RECEIVE_BUFFERS: usize = 8;
const RECEIVE_BYTES: usize = 65536;

/// A set of streams and the sockets they may use.
#[derive(Clone, Debug)]
pub struct Udx {
    core: Arc<UdxCore>,
}

pub(crate) struct UdxCore {
    started: Instant,
    streams: Mutex<HashMap<u32, Arc<StreamCore>>>,
    pub(crate) memory: Memory,
    /// Ids under which packets arrive that are passed on.
    relays: Mutex<HashMap<u32, RelayWay>>,
}

impl std::fmt::Debug for UdxCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Udx")
            .field("streams", &lock(&self.streams).len())
            .finish()
    }
}

impl UdxCore {
    pub(crate) fn now(&self) -> Micros {
        // A million and one years of microseconds fit.
        self.started.elapsed().as_micros() as Micros
    }

    pub(crate) fn forget(&self, stream: &StreamCore) {
        let mut streams = lock(&self.streams);
        if streams
            .get(&stream.id)
            .is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), stream))
        {
            streams.remove(&stream.id);
        }
    }

    /// Gives the way an id that nothing else here has.
    pub(crate) fn add_relay(&self, way: RelayWay) -> u32 {
        loop {
            let id = rand::random();
            let streams = lock(&self.streams);
            let mut relays = lock(&self.relays);
            if id != 0 && !streams.contains_key(&id) && !relays.contains_key(&id) {
                relays.insert(id, way);
                return id;
            }
        }
    }

    pub(crate) fn remove_relay(&self, ids: [u32; 2]) {
        let mut relays = lock(&self.relays);
        for id in ids {
            relays.remove(&id);
        }
    }

    fn find(&self, id: u32) -> Option<Arc<StreamCore>> {
        lock(&self.streams).get(&id).cloned()
    }
}

impl Default for Udx {
    fn default() -> Self {
        Self::new()
    }
}

impl Udx {
    /// An empty set.
    pub fn new() -> Self {
        Self {
            core: Arc::new(UdxCore {
                started: Instant::now(),
                streams: Mutex::default(),
                memory: Memory::default(),
                relays: Mutex::default(),
            }),
        }
    }

    pub(crate) fn core(&self) -> &Arc<UdxCore> {
        &self.core
    }

    /// Binds another socket for these streams. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system's, if the address is taken or not ours.
    pub fn bind(&self, options: &BindOptions) -> io::Result<Socket> {
        Socket::open(self.clone(), options, Datagrams::of)
    }

    /// A stream that receives under `local_id`. Give the id to the peer, get its id, then connect. A stream that
    /// had the same id is destroyed; ids from [`Udx::free_stream_id`] are never in use.
    pub fn create_stream(&self, local_id: u32) -> Stream {
        let stream = Stream::new(self.core.clone(), local_id);
        let previous = lock(&self.core.streams).insert(local_id, stream.core().clone());
        if let Some(previous) = previous {
            previous.destroy();
        }
        stream
    }

    /// A random stream id that is not in use here.
    pub fn free_stream_id(&self) -> u32 {
        let streams = lock(&self.core.streams);
        let relays = lock(&self.core.relays);
        loop {
            let id = rand::random();
            if id != 0 && !streams.contains_key(&id) && !relays.contains_key(&id) {
                return id;
            }
        }
    }
}

/// How to bind a [`Socket`].
#[derive(Debug, Clone)]
pub struct BindOptions {
    /// The address; port 0 for any.
    pub addr: SocketAddr,
    /// The name of the only network interface to use (Linux).
    pub interface: Option<String>,
    /// Let other sockets share the address.
    pub reuse: bool,
}

impl From<SocketAddr> for BindOptions {
    fn from(addr: SocketAddr) -> Self {
        Self {
            addr,
            interface: None,
            reuse: false,
        }
    }
}

/// One UDP socket. Clones share it; it closes when the last clone and the last stream connected through it are gone,
/// or by [`Socket::close`].
#[derive(Clone)]
pub struct Socket {
    core: Arc<SocketCore>,
    _open: Arc<OpenGuard>,
    udx: Udx,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("local_addr", &self.core.local_addr)
            .finish_non_exhaustive()
    }
}

pub(crate) struct SocketCore {
    io: UdpSocket,
    datagrams: Datagrams,
    local_addr: SocketAddr,
    closed: watch::Sender<bool>,
    messages: mpsc::Sender<(Bytes, SocketAddr)>,
    untaken: Mutex<Option<mpsc::Receiver<(Bytes, SocketAddr)>>>,
    /// Held while the socket's TTL differs from the default.
    ttl: Mutex<()>,
}

struct OpenGuard(Arc<SocketCore>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.closed.send_replace(true);
    }
}

impl Socket {
    /// Binds a socket with a [`Udx`] of its own. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system's, if the address is taken or not ours.
    pub async fn bind(addr: SocketAddr) -> io::Result<Socket> {
        Udx::new().bind(&addr.into())
    }

    fn open(
        udx: Udx,
        options: &BindOptions,
        datagrams: impl FnOnce(&UdpSocket) -> Datagrams,
    ) -> io::Result<Socket> {
        let domain = socket2::Domain::for_address(options.addr);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if options.addr.is_ipv6() {
            // As libuv does: one socket for both families unless told a specific address.
            socket.set_only_v6(options.addr.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
        }
        if options.reuse {
            socket.set_reuse_address(true)?;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(interface) = &options.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        // Larger buffers are a wish, not a need.
        for _ in 0..4 {
            let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
            let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        }
        socket.bind(&options.addr.into())?;
        let io = UdpSocket::from_std(socket.into())?;
        let datagrams = datagrams(&io);
        let _ = io.set_ttl(DEFAULT_TTL);
        let (messages, untaken) = mpsc::channel(MESSAGE_QUEUE);
        let core = Arc::new(SocketCore {
            local_addr: io.local_addr()?,
            io,
            datagrams,
            closed: watch::Sender::new(false),
            messages,
            untaken: Mutex::new(Some(untaken)),
            ttl: Mutex::default(),
        });
        let socket = Socket {
            _open: Arc::new(OpenGuard(core.clone())),
            core: core.clone(),
            udx,
        };
        tokio::spawn(receive(core, Arc::downgrade(&socket._open), socket.udx.clone()));
        Ok(socket)
    }

    /// The address the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.core.local_addr
    }

    /// The streams this socket belongs to.
    pub fn udx(&self) -> &Udx {
        &self.udx
    }

    /// Sends a datagram as it is. Errors about one destination are not reported, as UDP may lose it anyway.
    ///
    /// # Errors
    /// If the socket is closed, or the datagram is too long or the address of another family.
    pub async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        loop {
            match self.try_send_to(data, to, None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.core.io.writable().await?,
                result => return result,
            }
        }
    }

    /// As [`Socket::send_to`], with its own IP time to live: a low one opens our NAT without reaching the peer's.
    ///
    /// # Errors
    /// As [`Socket::send_to`].
    pub async fn send_to_with_ttl(&self, data: &[u8], to: SocketAddr, ttl: u32) -> io::Result<()> {
        loop {
            match self.try_send_to(data, to, Some(ttl)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.core.io.writable().await?,
                result => return result,
            }
        }
    }

    /// As [`Socket::send_to`], but drops the datagram rather than wait.
    ///
    /// # Errors
    /// As [`Socket::send_to`], and [`io::ErrorKind::WouldBlock`].
    pub(crate) fn try_send_to(&self, data: &[u8], to: SocketAddr, ttl: Option<u32>) -> io::Result<()> {
        if *self.core.closed.borrow() {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the UDP socket is closed",
            ));
        }
        let to = self.core.map_addr(to);
        let result = match ttl {
            None => self.core.io.try_send_to(data, to),
            Some(ttl) => {
                let _guard = lock(&self.core.ttl);
                let set = |ttl| {
                    let socket = socket2::SockRef::from(&self.core.io);
                    if self.core.local_addr.is_ipv6() {
                        socket.set_unicast_hops_v6(ttl)
                    } else {
                        socket.set_ttl_v4(ttl)
                    }
                };
                set(ttl.clamp(1, 255))?;
                let result = self.core.io.try_send_to(data, to);
                set(DEFAULT_TTL)?;
                result
            }
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) if is_fatal(&error) => Err(error),
            Err(error) => {
                tracing::trace!(%to, %error, "datagram not sent");
                Ok(())
            }
        }
    }

    /// The datagrams that are no packets of a known stream, with their sources; those over 2048 bytes are dropped. Can be taken once; later calls give
    /// a channel that is closed. While nobody takes them, the newest are dropped.
    pub fn messages(&self) -> mpsc::Receiver<(Bytes, SocketAddr)> {
        lock(&self.core.untaken)
            .take()
            .unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// As [`Udx::create_stream`], with this socket to connect through.
    pub fn create_stream(&self, local_id: u32) -> Stream {
        self.udx.create_stream(local_id).with_socket(self.clone())
    }

    /// As [`Udx::free_stream_id`].
    pub fn free_stream_id(&self) -> u32 {
        self.udx.free_stream_id()
    }

    /// Closes the socket now: streams connected through it are destroyed, and the port is free once all handles are
    /// dropped. (Dropping alone is gentler, but a stream that just ended keeps the port for some seconds.)
    pub fn close(&self) {
        let streams: Vec<_> = lock(&self.udx.core.streams).values().cloned().collect();
        for stream in streams {
            stream.detach(&self.core);
        }
        self.core.closed.send_replace(true);
    }

    pub(crate) fn core(&self) -> &Arc<SocketCore> {
        &self.core
    }

    pub(crate) fn is_same(&self, other: &Socket) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }
}

/// Whether an error is about us rather than about the destination or the network.
fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::InvalidInput
    )
}

impl SocketCore {
    /// The address as this socket's family wants it.
    pub(crate) fn map_addr(&self, to: SocketAddr) -> SocketAddr {
        match (self.local_addr, to.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(v4)) => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }

    pub(crate) fn max_segments(&self) -> usize {
        self.datagrams.most()
    }

    /// Sends `contents` as datagrams of `segment` bytes, the last one maybe shorter. Only "would block" is reported.
    pub(crate) fn try_send(&self, to: SocketAddr, contents: &[u8], segment: usize) -> io::Result<()> {
        let result = self.datagrams.try_send(&self.io, to, contents, segment);
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(error) => {
                tracing::trace!(%to, %error, "packets not sent");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    pub(crate) async fn writable(&self) {
        if self.io.writable().await.is_err() {
            // The runtime's reactor is gone, and this task soon will be.
            std::future::pending::<()>().await;
        }
    }
}

/// IPv4 sources look like IPv4 even on a socket for both families.
fn unmap(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => addr,
        },
        SocketAddr::V4(_) => addr,
    }
}

async fn receive(core: Arc<SocketCore>, open: Weak<OpenGuard>, udx: Udx) {
    let mut closed = core.closed.subscribe();
    let mut storage = vec![0u8; RECEIVE_BUFFERS * RECEIVE_BYTES];
    let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
    let mut touched: Vec<Arc<StreamCore>> = Vec::new();
    loop {
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return,
            ready = core.io.readable() => if ready.is_err() { return },
        }
        let mut chunks = storage.chunks_exact_mut(RECEIVE_BYTES);
        let mut buffers: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let received = core.datagrams.try_take(&core.io, &mut buffers, &mut metas);
        let count = match received {
            Ok(count) => count,
            // Either nothing is there after all, or an error about an earlier datagram was.
            Err(_) => {
                tokio::task::yield_now().await;
                continue;
            }
        };
        let now = udx.core.now();
        for (meta, buffer) in metas.iter().zip(buffers.iter()).take(count) {
            let Some(datagrams) = buffer.get(..meta.len) else {
                continue;
            };
            let from = unmap(meta.addr);
            if datagrams.is_empty() {
                let _ = core.messages.try_send((Bytes::new(), from));
            }
            for datagram in datagrams.chunks(meta.stride.max(1)) {
                take_datagram(&core, &open, &udx, now, datagram, from, &mut touched);
            }
        }
        for stream in touched.drain(..) {
            stream.after_packets();
        }
        tokio::task::coop::consume_budget().await;
    }
}

fn take_datagram(
    core: &Arc<SocketCore>,
    open: &Weak<OpenGuard>,
    udx: &Udx,
    now: Micros,
    datagram: &[u8],
    from: SocketAddr,
    touched: &mut Vec<Arc<StreamCore>>,
) {
    if let Some((header, rest)) = Header::decode(datagram) {
        let known = touched
            .last()
            .filter(|stream| stream.id == header.stream_id)
            .cloned();
        let is_touched = known.is_some();
        if let Some(stream) = known.or_else(|| udx.core.find(header.stream_id)) {
            let socket = || {
                let open = open.upgrade()?;
                Some(Socket {
                    core: core.clone(),
                    _open: open,
                    udx: udx.clone(),
                })
            };
            stream.on_packet(now, core, socket, from, &header, rest);
            if !is_touched && !touched.iter().any(|known| Arc::ptr_eq(known, &stream)) {
                touched.push(stream);
            }
            return;
        }
        let way = lock(&udx.core.relays).get(&header.stream_id).cloned();
        if let Some(way) = way {
            way.pass(now, from, &header, datagram);
            return;
        }
    }
    if datagram.len() > MAX_MESSAGE {
        return;
    }
    // A full queue drops the datagram.
    let _ = core.messages.try_send((Bytes::copy_from_slice(datagram), from));
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_stream_crosses_sockets_whose_datagrams_travel_alone() {
        let alone = || {
            let local = SocketAddr::from(([127, 0, 0, 1], 0)).into();
            Socket::open(Udx::new(), &local, |_| Datagrams::Alone).unwrap()
        };
        let (here, there) = (alone(), alone());
        let (mut one, mut other) = (here.create_stream(1), there.create_stream(2));
        one.connect(2, there.local_addr()).unwrap();
        other.connect(1, here.local_addr()).unwrap();
        let sent: Vec<u8> = (0..1_000_000_usize).map(|n| (n * 7 + n / 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            one.write_all(&sent).await.unwrap();
            one.shutdown().await.unwrap();
            one
        });
        let mut taken = Vec::new();
        other.read_to_end(&mut taken).await.unwrap();
        assert!(taken == expected);
        writing.await.unwrap();
    }
}
