//! A handle on the transport under a connection: whether it was used, and a way to cut it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The secret stream's header, which either side sends unasked: 3 bytes of length, 32 of id, 24 of cipher header.
const HEADER: u64 = 59;

#[derive(Debug, Default)]
struct State {
    read: AtomicU64,
    written: AtomicU64,
    cut: CancellationToken,
    path: OnceLock<udx::Proof>,
}

/// Watches a connection without keeping it open. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Link(Arc<State>);

impl Link {
    /// Whether messages went both ways.
    pub fn is_used(&self) -> bool {
        self.bytes_read() > HEADER && self.bytes_written() > HEADER
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

    /// Where the peer is: once it is proven, where its packets come from.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.0.path.get()?.remote_addr()
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
            self.link.0.written.fetch_add(n as u64, Ordering::Relaxed);
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
