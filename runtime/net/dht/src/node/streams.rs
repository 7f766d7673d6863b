//! A UDX stream that waits to learn its way: by the peer's first packet, on whichever of our sockets, or by our choice.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use udx::{FirstPacket, Socket, Stream, Udx};

use super::path::Path;
use crate::address::to_v4;

/// A stream not connected yet.
pub(crate) struct StreamOffer {
    stream: Stream,
    packets: mpsc::Receiver<(Socket, SocketAddr)>,
}

impl StreamOffer {
    /// Offers a fresh id on all sockets of `udx`.
    pub(crate) fn new(udx: &Udx) -> Self {
        let stream = udx.create_stream(udx.free_stream_id());
        // Others name the address to connect to: nothing says that the peer is there before it was heard from there.
        stream.expect_proof();
        let (tx, packets) = mpsc::channel(1);
        stream.on_first_packet(move |socket, from| {
            // Only the first counts; the later ones of a peer that changes its way are welcome as well.
            let _ = tx.try_send((socket.clone(), from));
            FirstPacket::Accept
        });
        Self { stream, packets }
    }

    /// The id to tell the peer.
    pub(crate) fn id(&self) -> u32 {
        self.stream.local_id()
    }

    /// Waits for the peer's first packet. Cancel safe.
    pub(crate) async fn first_packet(&mut self) -> Path {
        while let Some((socket, from)) = self.packets.recv().await {
            if let Some(to) = to_v4(from) {
                return Path { socket, to };
            }
        }
        std::future::pending().await
    }

    /// Takes the path.
    pub(crate) fn connect(self, path: &Path, remote_id: u32) -> std::io::Result<Stream> {
        self.stream
            .connect_through(&path.socket, remote_id, SocketAddr::V4(path.to))?;
        Ok(self.stream)
    }
}
