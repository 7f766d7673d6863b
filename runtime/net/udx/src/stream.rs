//! The stream handle, and the task that keeps its timers.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};

use crate::congestion::Micros;
use crate::engine::{CloseReason, Engine};
use crate::memory::Holding;
use crate::packet::Header;
use crate::socket::{Socket, SocketCore, UdxCore, lock};
use crate::transmit::Outbox;

/// Sources remembered of a stream whose peer is not proven yet; packets of further ones are ignored. A peer has as many
/// ways as it has addresses, and uses one or two.
const MAX_SOURCES: usize = 4;

/// What to do about a packet that did not come from where a stream is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstPacket {
    /// Ignore it, as if it had been lost.
    Drop,
    /// Connect the stream to where the packet came from, under this id of the peer's, and take it. A connected
    /// stream moves there.
    Connect(u32),
    /// Take the packet, but connect later; what it carries is acknowledged then.
    Accept,
}

type Hook = Box<dyn FnMut(&Socket, SocketAddr) -> FirstPacket + Send>;

/// What a stream has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Bytes received, with headers.
    pub bytes_received: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Bytes sent, with headers and repetitions.
    pub bytes_sent: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets sent again.
    pub retransmits: u64,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// The path MTU in use, with IP and UDP headers.
    pub mtu: u16,
    /// The congestion window in bytes.
    pub congestion_window: u64,
}

pub(crate) struct StreamCore {
    pub(crate) id: u32,
    udx: Arc<UdxCore>,
    state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
    outbox: Mutex<Outbox>,
    /// Wakes the stream's task.
    task: Notify,
    /// When that task wakes by itself.
    armed: AtomicU64,
    closed: watch::Sender<Option<CloseReason>>,
}

struct State {
    engine: Engine,
    holding: Holding,
    /// Where packets go: the socket, the address as that socket wants it, and as people write it.
    remote: Option<(Socket, SocketAddr, SocketAddr)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    stats: StreamStats,
    /// Set while nothing proves that the peer is where we send to.
    unproven: Option<Unproven>,
}

impl State {
    /// Takes part in what all streams may keep, while this one keeps something.
    fn count_kept(&mut self) {
        self.holding.set(self.engine.sender.kept() > 0);
        self.engine.keep_at_most(self.holding.part());
    }
}

/// Where packets came from so far.
#[derive(Default)]
struct Unproven {
    /// Each source with the bytes that came from it.
    sources: Vec<(SocketAddr, u64)>,
    /// Who brought the newest data.
    newest: Option<(Socket, SocketAddr)>,
}

/// Whether two addresses are one: however they are written, and whatever flow they name.
pub(crate) fn is_same_place(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
}

impl Unproven {
    fn heard(&self, from: SocketAddr) -> u64 {
        let known = self
            .sources
            .iter()
            .find(|(source, _)| is_same_place(*source, from));
        known.map_or(0, |(_, bytes)| *bytes)
    }

    /// False if there are too many sources.
    fn count(&mut self, from: SocketAddr, bytes: usize) -> bool {
        if let Some((_, heard)) = self
            .sources
            .iter_mut()
            .find(|(source, _)| is_same_place(*source, from))
        {
            *heard += bytes as u64;
        } else if self.sources.len() < MAX_SOURCES {
            self.sources.push((from, bytes as u64));
        } else {
            return false;
        }
        true
    }
}

impl StreamCore {
    /// Takes a packet for this stream. `socket` makes the handle of the socket it came through.
    pub(crate) fn on_packet(
        self: &Arc<Self>,
        now: Micros,
        through: &Arc<SocketCore>,
        socket: impl FnOnce() -> Option<Socket>,
        from: SocketAddr,
        header: &Header,
        rest: &[u8],
    ) {
        let mut state = lock(&self.state);
        let (same_socket, expected) = match &state.remote {
            Some((own, _, addr)) => {
                let same_socket = Arc::ptr_eq(own.core(), through);
                (same_socket, same_socket && is_same_place(*addr, from))
            }
            None => (false, false),
        };
        let mut handle = None;
        if !expected {
            if state.engine.closed().is_some() {
                return;
            }
            let unproven = state.unproven.is_some();
            drop(state);
            let Some(socket) = socket() else { return };
            // The hook may use the stream, so no other lock is held.
            let verdict = match &mut *lock(&self.hook) {
                // The peer may have another way to us than we have to it, until it is proven.
                _ if unproven && same_socket => FirstPacket::Accept,
                Some(hook) => hook(&socket, from),
                None => FirstPacket::Drop,
            };
            match verdict {
                FirstPacket::Drop => return,
                FirstPacket::Connect(remote_id) => self.set_remote(socket.clone(), remote_id, from),
                FirstPacket::Accept => {}
            }
            handle = Some(socket);
            state = lock(&self.state);
        }
        let length = crate::packet::HEADER + rest.len();
        if let Some(unproven) = &mut state.unproven
            && !unproven.count(from, length)
        {
            return;
        }
        state.stats.packets_received += 1;
        state.stats.bytes_received += length as u64;
        if expected {
            state.engine.heard(length);
        }
        let next = state.engine.receiver.next();
        state.engine.on_packet(now, header, rest);
        let brought = state.engine.receiver.next() > next;
        if let Some(unproven) = state.unproven.as_mut().filter(|_| brought) {
            unproven.newest = handle.map(|socket| (socket, from));
        }
    }

    /// What arrived is the peer's own: the stream moves to where the newest came from, and stays there.
    fn prove(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        let Some(unproven) = state.unproven.take() else {
            return;
        };
        state.engine.unlimit();
        let elsewhere = unproven.newest.filter(|(socket, from)| {
            let there = |(own, _, addr): &(Socket, SocketAddr, SocketAddr)| {
                own.is_same(socket) && is_same_place(*addr, *from)
            };
            !state.remote.as_ref().is_some_and(there)
        });
        if let (Some((socket, from)), None) = (elsewhere, state.engine.closed()) {
            let mapped = socket.core().map_addr(from);
            state.engine.moved(self.udx.now(), from.is_ipv6());
            state.remote = Some((socket, mapped, from));
        }
        drop(state);
        let hook = lock(&self.hook).take();
        drop(hook);
        self.transmit(true);
        self.task.notify_one();
    }

    /// After a batch of packets: answers them, and wakes whoever can go on now.
    pub(crate) fn after_packets(self: &Arc<Self>) {
        self.transmit(true);
        self.wake();
    }

    fn wake(&self) {
        let (reader, writer, closed) = {
            let mut state = lock(&self.state);
            state.count_kept();
            let closed = state.engine.closed();
            let readable =
                closed.is_some() || state.engine.receiver.has_data() || state.engine.receiver.is_complete();
            let writable = closed.is_some() || state.engine.is_writable();
            let reader = if readable { state.reader.take() } else { None };
            let writer = if writable { state.writer.take() } else { None };
            (reader, writer, closed)
        };
        if closed.is_some() {
            self.closed.send_if_modified(|known| {
                let new = known.is_none();
                *known = known.or(closed);
                new
            });
        }
        for waker in [reader, writer].into_iter().flatten() {
            waker.wake();
        }
    }

    fn set_remote(self: &Arc<Self>, socket: Socket, remote_id: u32, to: SocketAddr) {
        let now = self.udx.now();
        let mut state = lock(&self.state);
        if state.engine.closed().is_some() {
            return;
        }
        let is_first = !state.engine.is_connected();
        state.engine.connect(now, remote_id, to.is_ipv6());
        let mapped = socket.core().map_addr(to);
        if let Some(heard) = state.unproven.as_ref().map(|unproven| unproven.heard(to)) {
            state.engine.limit(heard);
        }
        state.remote = Some((socket, mapped, to));
        drop(state);
        if is_first {
            tokio::spawn(self.clone().run());
        } else {
            self.task.notify_one();
        }
    }

    /// Sends all that may be sent now, and leaves what must wait to the stream's task.
    fn transmit(&self, partial: bool) {
        let flushed = self.send(partial);
        let timer = lock(&self.state).engine.next_timer();
        if !flushed || timer.is_some_and(|at| at < self.armed.load(Ordering::Acquire)) {
            self.task.notify_one();
        }
    }

    /// Sends all that may be sent now. False if the kernel wants us to wait.
    fn send(&self, partial: bool) -> bool {
        let mut outbox = lock(&self.outbox);
        let remote = lock(&self.state).remote.clone();
        let Some((socket, to, _)) = remote else {
            return true;
        };
        let flushed = outbox.flush(socket.core(), to, |fill| {
            let mut state = lock(&self.state);
            let now = self.udx.now();
            fill(&mut state.engine, now, partial);
        });
        let (packets, bytes) = outbox.take_counts();
        let mut state = lock(&self.state);
        state.stats.packets_sent += packets;
        state.stats.bytes_sent += bytes;
        flushed
    }

    pub(crate) fn destroy(&self) {
        lock(&self.state).engine.destroy(self.udx.now());
        self.transmit(true);
        self.wake();
        self.task.notify_one();
    }

    /// Destroys the stream if it sends through `socket`, and lets go of that at once.
    pub(crate) fn detach(&self, socket: &Arc<SocketCore>) {
        if !lock(&self.state)
            .remote
            .as_ref()
            .is_some_and(|(own, ..)| Arc::ptr_eq(own.core(), socket))
        {
            return;
        }
        self.destroy();
        let remote = {
            let mut state = lock(&self.state);
            state.engine.forget();
            state.remote.take()
        };
        drop(remote);
        self.task.notify_one();
    }

    /// Keeps the timers, and sends what had to wait.
    async fn run(self: Arc<Self>) {
        loop {
            // Whoever moves the deadline forward from here on wakes us.
            self.armed.store(u64::MAX, Ordering::Release);
            let now = self.udx.now();
            lock(&self.state).engine.on_timer(now);
            let flushed = self.send(true);
            self.wake();
            let (deadline, socket) = {
                let state = lock(&self.state);
                if state.engine.is_forgotten(self.udx.now()) {
                    break;
                }
                (
                    state.engine.next_timer(),
                    state.remote.as_ref().map(|(socket, ..)| socket.clone()),
                )
            };
            let sleep = async {
                match deadline {
                    Some(at) => {
                        self.armed.store(at, Ordering::Release);
                        // Timers have a resolution of a millisecond, so a little late is on time.
                        let wait = at.saturating_sub(self.udx.now()).max(100);
                        tokio::time::sleep(Duration::from_micros(wait)).await;
                    }
                    None => std::future::pending().await,
                }
            };
            let writable = async {
                match &socket {
                    Some(socket) if !flushed => socket.core().writable().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.task.notified() => {}
                () = sleep => {}
                () = writable => {}
            }
        }
        self.udx.forget(&self);
        lock(&self.state).remote = None;
        *lock(&self.hook) = None;
    }
}

/// A reliable, ordered stream of bytes between two stream ids. Dropping it after
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) still delivers what was written; dropping it before destroys it.
pub struct Stream {
    core: Arc<StreamCore>,
    socket: Option<Socket>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("local_id", &self.core.id)
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(crate) fn new(udx: Arc<UdxCore>, local_id: u32) -> Self {
        let now = udx.now();
        let state = State {
            engine: Engine::new(now),
            holding: Holding::new(udx.memory.clone()),
            remote: None,
            reader: None,
            writer: None,
            stats: StreamStats::default(),
            unproven: None,
        };
        let core = StreamCore {
            id: local_id,
            udx,
            state: Mutex::new(state),
            hook: Mutex::default(),
            outbox: Mutex::default(),
            task: Notify::new(),
            armed: AtomicU64::new(0),
            closed: watch::Sender::new(None),
        };
        Self {
            core: Arc::new(core),
            socket: None,
        }
    }

    pub(crate) fn core(&self) -> &Arc<StreamCore> {
        &self.core
    }

    pub(crate) fn with_socket(mut self, socket: Socket) -> Self {
        self.socket = Some(socket);
        self
    }

    /// The id the peer sends to.
    pub fn local_id(&self) -> u32 {
        self.core.id
    }

    /// Connects to the peer's stream `remote_id` at `remote`, through the socket that made this stream.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] without such a socket, [`io::ErrorKind::InvalidInput`] for port 0,
    /// [`io::ErrorKind::AlreadyExists`] if it is connected.
    pub fn connect(&self, remote_id: u32, remote: SocketAddr) -> io::Result<()> {
        let socket = self.socket.clone().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "the stream was made without a socket; use connect_through",
            )
        })?;
        self.connect_through(&socket, remote_id, remote)
    }

    /// As [`Stream::connect`], through any socket of the same [`crate::Udx`].
    ///
    /// # Errors
    /// As [`Stream::connect`].
    pub fn connect_through(&self, socket: &Socket, remote_id: u32, remote: SocketAddr) -> io::Result<()> {
        if self.is_connected() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the stream is connected already",
            ));
        }
        if remote.port() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a stream cannot connect to port 0",
            ));
        }
        self.core.set_remote(socket.clone(), remote_id, remote);
        Ok(())
    }

    /// Says that the address this stream will be connected to may not be the peer's, as somebody else named it. Until
    /// [`Proof::confirm`] packets come from anywhere, and what is sent is limited to a few packets and three times what
    /// came from there. Call it before connecting.
    pub fn expect_proof(&self) -> Proof {
        lock(&self.core.state).unproven.get_or_insert_default();
        self.proof()
    }

    /// The handle to confirm what [`Stream::expect_proof`] expects.
    pub fn proof(&self) -> Proof {
        Proof(Arc::downgrade(&self.core))
    }

    /// Decides about packets that do not come from where this stream is connected to, above all the first
    /// one of a peer whose address was not known (npm `udx-native`: the `firewall` option of createStream). Without
    /// it, and once the peer is proven, such packets are dropped. Runs on the socket's task, so it must not block; it may use other streams and
    /// sockets, but not set a hook on this one.
    pub fn on_first_packet(&self, hook: impl FnMut(&Socket, SocketAddr) -> FirstPacket + Send + 'static) {
        *lock(&self.core.hook) = Some(Box::new(hook));
    }

    /// Whether the stream knows its peer.
    pub fn is_connected(&self) -> bool {
        lock(&self.core.state).engine.is_connected()
    }

    /// Where the stream sends to.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        lock(&self.core.state).remote.as_ref().map(|(.., addr)| *addr)
    }

    /// The socket it sends through.
    pub fn socket(&self) -> Option<Socket> {
        let state = lock(&self.core.state);
        state
            .remote
            .as_ref()
            .map(|(socket, ..)| socket.clone())
            .or_else(|| self.socket.clone())
    }

    /// Whether it sends through `socket`.
    pub fn uses(&self, socket: &Socket) -> bool {
        lock(&self.core.state)
            .remote
            .as_ref()
            .is_some_and(|(own, ..)| own.is_same(socket))
    }

    /// Smoothed round-trip time; zero before the first answer.
    pub fn rtt(&self) -> Duration {
        self.stats().rtt
    }

    /// Counters and estimates.
    pub fn stats(&self) -> StreamStats {
        let state = lock(&self.core.state);
        let sender = &state.engine.sender;
        StreamStats {
            retransmits: sender.retransmits,
            rtt: Duration::from_micros(sender.srtt()),
            mtu: sender.mtu(),
            congestion_window: sender.congestion_window(),
            ..state.stats
        }
    }

    /// Sends a heartbeat after this long without traffic, which keeps NAT mappings open.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        let interval = interval.filter(|i| !i.is_zero()).map(|i| i.as_micros() as Micros);
        lock(&self.core.state)
            .engine
            .set_keep_alive(self.core.udx.now(), interval);
        self.core.task.notify_one();
    }

    /// Looks into the silence of a peer while data goes or comes: after two seconds it is asked for an answer, and without
    /// any for some round trips and at least 4.5 seconds the stream closes as [`CloseReason::TimedOut`].
    pub fn watch_peer(&self) {
        lock(&self.core.state).engine.watch_peer();
    }

    /// Ends the stream at once in both directions and tells the peer.
    pub fn destroy(&self) {
        self.core.destroy();
    }

    /// Waits until the stream is closed in both directions and says why.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        let mut closed = self.core.closed.subscribe();
        async move {
            match closed.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(reason)) => *reason,
                _ => CloseReason::Destroyed,
            }
        }
    }
}

/// Tells a stream that its peer is proven. Does not keep the stream.
#[derive(Clone)]
pub struct Proof(Weak<StreamCore>);

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

impl Proof {
    /// What the stream brought so far was authenticated by the layer above. The stream moves to where it came from, and
    /// takes packets from nowhere else from now on.
    pub fn confirm(&self) {
        if let Some(core) = self.0.upgrade() {
            core.prove();
        }
    }

    /// Where the stream sends to.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.way().map(|(_, addr)| addr)
    }

    /// Smoothed round-trip time; zero before the first answer, none after the end.
    pub fn rtt(&self) -> Option<Duration> {
        let core = self.0.upgrade()?;
        let state = lock(&core.state);
        Some(Duration::from_micros(state.engine.sender.srtt()))
    }

    /// Through which socket the stream sends, and where to.
    pub fn way(&self) -> Option<(Socket, SocketAddr)> {
        let core = self.0.upgrade()?;
        let state = lock(&core.state);
        state
            .remote
            .as_ref()
            .map(|(socket, _, addr)| (socket.clone(), *addr))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let connected = {
            let mut state = lock(&self.core.state);
            state.engine.abandon(self.core.udx.now());
            state.engine.is_connected()
        };
        if connected {
            self.core.transmit(true);
            self.core.task.notify_one();
        } else {
            self.core.udx.forget(&self.core);
        }
        self.core.wake();
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let update = {
            let mut guard = lock(&self.core.state);
            let state = &mut *guard;
            let engine = &mut state.engine;
            if engine.receiver.has_data() {
                engine.receiver.read(buf.remaining(), |part| buf.put_slice(part));
                engine.after_read()
            } else if engine.receiver.is_complete() {
                false
            } else if let Some(reason) = engine.closed() {
                return Poll::Ready(Err(reason.to_io_error()));
            } else {
                keep_waker(&mut state.reader, cx);
                return Poll::Pending;
            }
        };
        if update {
            self.core.transmit(true);
        }
        Poll::Ready(Ok(()))
    }
}

fn keep_waker(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

impl Stream {
    fn poll_room(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut guard = lock(&self.core.state);
        let state = &mut *guard;
        if let Some(reason) = state.engine.closed() {
            return Poll::Ready(Err(reason.to_io_error()));
        }
        if state.engine.sender.is_finishing() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the stream was shut down",
            )));
        }
        let room = state.engine.write_room().min(data.len());
        if room == 0 && !data.is_empty() {
            keep_waker(&mut state.writer, cx);
            return Poll::Pending;
        }
        state.engine.sender.write(data.get(..room).unwrap_or_default());
        state.count_kept();
        Poll::Ready(Ok(room))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.poll_room(cx, data))?;
        // Full packets go now; the rest waits for more, or for the stream's task.
        self.core.transmit(false);
        if lock(&self.core.state).engine.sender.queued() > 0 {
            self.core.task.notify_one();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.core.state).engine.sender.finish();
        self.core.transmit(true);
        self.core.task.notify_one();
        Poll::Ready(Ok(()))
    }
}
