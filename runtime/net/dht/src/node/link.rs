//! A handle on the transport under a connection: whether it was used, and a way to cut it.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::network::source_towards;
use super::route::Route;

/// What either side sends unasked: the secret stream's header (3 bytes of length, 32 of id, 24 of cipher header) and an
/// empty message (3 of length, 17 of seal).
const GREETING: u64 = 59 + KEEP_ALIVE;
const KEEP_ALIVE: u64 = 20;

#[derive(Debug)]
struct State {
    made: Instant,
    /// When more than a keep-alive was sent last, in milliseconds after `made`.
    served: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    cut: CancellationToken,
    path: OnceLock<udx::Proof>,
    route: OnceLock<Route>,
    /// The address of this machine that its packets left from at first.
    source: OnceLock<IpAddr>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            served: AtomicU64::default(),
            read: AtomicU64::default(),
            written: AtomicU64::default(),
            cut: CancellationToken::default(),
            path: OnceLock::default(),
            route: OnceLock::default(),
            source: OnceLock::default(),
        }
    }
}

/// Watches a connection without keeping it open. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Link(Arc<State>);

impl Link {
    /// Whether messages went both ways.
    pub fn is_used(&self) -> bool {
        self.bytes_read() > GREETING && self.bytes_written() > GREETING
    }

    /// Encrypted bytes received so far.
    pub fn bytes_read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Encrypted bytes sent so far.
    pub fn bytes_written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    pub(super) fn follow(&self, path: udx::Proof) {
        let _ = self.0.path.set(path);
    }

    /// Which way the stream takes, and the address that its packets go to.
    pub(super) fn takes(&self, route: Route, to: SocketAddr) {
        let _ = self.0.route.set(route);
        if let Some(source) = source_towards(to) {
            let _ = self.0.source.set(source);
        }
    }

    /// Whether this machine would send to the peer from another address than it did at first: then the peer, and the NATs
    /// between, know nothing of what it sends now, and a new connection is due. No while there is no way at all.
    pub fn is_left_behind(&self) -> bool {
        let now = self.way().and_then(|(_, to)| source_towards(to));
        let first = self.0.source.get();
        now.zip(first).is_some_and(|(now, first)| now != *first)
    }

    /// How its packets get to the peer.
    pub fn route(&self) -> Route {
        self.0.route.get().copied().unwrap_or(Route::Direct)
    }

    /// Whether the packets of both go through a relay, as no way between them was found.
    pub fn is_relayed(&self) -> bool {
        self.route() == Route::Relayed
    }

    /// Where the peer is: once it is proven, where its packets come from. None if a relay passes them on.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        if self.is_relayed() {
            return None;
        }
        self.0.path.get()?.remote_addr()
    }

    /// Through which socket packets go to the peer or its relay, and where to.
    pub fn way(&self) -> Option<(udx::Socket, SocketAddr)> {
        self.0.path.get()?.way()
    }

    /// Smoothed round-trip time; none before the first answer, and after the end.
    pub fn round_trip(&self) -> Option<Duration> {
        let rtt = self.0.path.get()?.rtt()?;
        (!rtt.is_zero()).then_some(rtt)
    }

    /// How long it is there.
    pub fn age(&self) -> Duration {
        self.0.made.elapsed()
    }

    /// How long ago the peer was sent more than keep-alives, or how long it is connected if it never was.
    pub fn unserved_for(&self) -> Duration {
        let served = Duration::from_millis(self.0.served.load(Ordering::Relaxed));
        self.0.made.elapsed().saturating_sub(served)
    }

    fn wrote(&self, bytes: u64) {
        let before = self.0.written.fetch_add(bytes, Ordering::Relaxed);
        if before >= GREETING && bytes > KEEP_ALIVE {
            let now = u64::try_from(self.0.made.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.served.store(now, Ordering::Relaxed);
        }
    }

    /// Whether it was ended so.
    pub fn is_cut(&self) -> bool {
        self.0.cut.is_cancelled()
    }

    /// Ends the connection at once, whoever holds it.
    pub fn cut(&self) {
        self.0.cut.cancel();
    }
}

/// A stream whose traffic a [`Link`] watches.
pub(super) struct Linked<S> {
    stream: S,
    link: Link,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Linked<S> {
    pub(super) fn new(stream: S) -> (Self, Link) {
        let link = Link::default();
        let cut = Box::pin(link.0.cut.clone().cancelled_owned());
        (
            Self {
                stream,
                link: link.clone(),
                cut,
            },
            link,
        )
    }
}

fn cut_error() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::ConnectionAborted,
        "the connection was cut as it is not needed",
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Linked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut_error()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        let n = buf.filled().len() - before;
        self.link.0.read.fetch_add(n as u64, Ordering::Relaxed);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Linked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.link.0.cut.is_cancelled() {
            return Poll::Ready(Err(cut_error()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = result {
            self.link.wrote(n as u64);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
