//! Passing packets on between two peers that cannot reach each other (libudx `udx_stream_relay_to`): each knows one stream id
//! here, and what arrives under it leaves to the other with that one's id instead. Nothing else of a packet is looked at: it is
//! encrypted between the two.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::congestion::Micros;
use crate::packet::{DESTROY, HEADER, Header};
use crate::socket::{Socket, Udx, UdxCore, lock};
use crate::stream::is_same_place;

/// The largest packet passed on; libudx sends 1500 bytes at most.
const MAX_PACKET: usize = 2048;
/// What a pair may send at once, however long it was silent, as a part of a second at its rate.
const BURST: u64 = 4;

/// One of the two peers.
#[derive(Debug, Clone)]
pub struct RelayEnd {
    /// The socket through which it is reached.
    pub socket: Socket,
    /// Where it is. What comes from elsewhere is dropped.
    pub address: SocketAddr,
    /// Its own id of the stream.
    pub stream_id: u32,
}

/// Two peers between which packets are passed on until it is dropped.
#[derive(Debug)]
pub struct Relay {
    pair: Arc<Pair>,
    ids: [u32; 2],
    udx: Arc<UdxCore>,
}

#[derive(Debug)]
struct Pair {
    ends: [RelayEnd; 2],
    bytes: [AtomicU64; 2],
    last: AtomicU64,
    over: AtomicBool,
    /// Bytes a second; no limit without.
    rate: Option<u64>,
    allowance: Mutex<Allowance>,
}

/// Bytes that may be passed on now.
#[derive(Debug)]
struct Allowance {
    left: u64,
    at: Micros,
}

impl Allowance {
    /// Takes `length` off, if that is there at a rate of `rate` bytes a second.
    fn take(&mut self, now: Micros, rate: u64, length: u64) -> bool {
        let passed = now.saturating_sub(self.at);
        let more = u64::try_from(u128::from(passed) * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX);
        // What is less than a byte is not lost: the clock stays until there is one.
        if more > 0 {
            self.at = now;
            self.left = self
                .left
                .saturating_add(more)
                .min((rate / BURST).max(MAX_PACKET as u64));
        }
        let enough = self.left >= length;
        if enough {
            self.left -= length;
        }
        enough
    }
}

/// An id that a relay receives under: which pair it is of, and at which end of it.
#[derive(Debug, Clone)]
pub(crate) struct RelayWay {
    pair: Arc<Pair>,
    from: usize,
}

impl RelayWay {
    /// Passes a packet on that came from there under this id. What does not belong here is dropped, and so is what the socket or
    /// the rate has no room for, as every router does.
    pub(crate) fn pass(&self, now: Micros, from: SocketAddr, header: &Header, datagram: &[u8]) {
        let pair = &self.pair;
        let [Some(near), Some(far)] = [self.from, 1 - self.from].map(|end| pair.ends.get(end)) else {
            return;
        };
        if !is_same_place(near.address, from) || datagram.len() > MAX_PACKET {
            return;
        }
        let length = datagram.len() as u64;
        if let Some(rate) = pair.rate
            && !lock(&pair.allowance).take(now, rate, length)
        {
            return;
        }
        let mut packet = Vec::with_capacity(datagram.len());
        let passed = Header {
            stream_id: far.stream_id,
            ..*header
        };
        passed.encode(&mut packet);
        packet.extend_from_slice(datagram.get(HEADER..).unwrap_or_default());
        if far.socket.try_send_to(&packet, far.address, None).is_ok()
            && let Some(bytes) = pair.bytes.get(self.from)
        {
            bytes.fetch_add(length, Ordering::Relaxed);
        }
        pair.last.store(now, Ordering::Relaxed);
        if header.kind & DESTROY != 0 {
            pair.over.store(true, Ordering::Relaxed);
        }
    }
}

impl Udx {
    /// Passes packets on between two peers, at no more than `rate` bytes a second if there is one.
    pub fn relay(&self, ends: [RelayEnd; 2], rate: Option<u64>) -> Relay {
        let udx = self.core().clone();
        let now = udx.now();
        let pair = Arc::new(Pair {
            ends,
            bytes: Default::default(),
            last: AtomicU64::new(now),
            over: AtomicBool::new(false),
            rate,
            allowance: Mutex::new(Allowance { left: 0, at: now }),
        });
        let ids = [0, 1].map(|from| {
            let way = RelayWay {
                pair: pair.clone(),
                from,
            };
            udx.add_relay(way)
        });
        Relay { pair, ids, udx }
    }
}

impl Relay {
    /// The ids to send to: the first for the first end.
    pub fn stream_ids(&self) -> [u32; 2] {
        self.ids
    }

    /// Bytes passed on so far, from the first end and from the second.
    pub fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|end| {
            self.pair
                .bytes
                .get(end)
                .map_or(0, |bytes| bytes.load(Ordering::Relaxed))
        })
    }

    /// How long nothing was passed on.
    pub fn idle(&self) -> Duration {
        let last = self.pair.last.load(Ordering::Relaxed);
        Duration::from_micros(self.udx.now().saturating_sub(last))
    }

    /// Whether one of the two has ended the stream.
    pub fn is_over(&self) -> bool {
        self.pair.over.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.udx.remove_relay(self.ids);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::Stream;

    async fn socket() -> Socket {
        Socket::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
    }

    fn end(socket: &Socket, peer: &Socket, stream: &Stream) -> RelayEnd {
        RelayEnd {
            socket: socket.clone(),
            address: peer.local_addr(),
            stream_id: stream.local_id(),
        }
    }

    #[tokio::test]
    async fn two_streams_speak_through_a_third_party() {
        let (a, b, between) = (socket().await, socket().await, socket().await);
        let (mut one, mut two) = (
            a.create_stream(a.free_stream_id()),
            b.create_stream(b.free_stream_id()),
        );
        let relay = between
            .udx()
            .relay([end(&between, &a, &one), end(&between, &b, &two)], None);
        let [for_one, for_two] = relay.stream_ids();
        one.connect(for_one, between.local_addr()).unwrap();
        two.connect(for_two, between.local_addr()).unwrap();
        let data: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
        let sent = data.clone();
        let sending = tokio::spawn(async move {
            one.write_all(&sent).await.unwrap();
            one.shutdown().await.unwrap();
            one
        });
        let mut got = Vec::new();
        two.read_to_end(&mut got).await.unwrap();
        assert!(got == data);
        let [there, back] = relay.bytes();
        assert!(there > 1_000_000 && back > 0 && back < there, "{there} {back}");
        assert!(relay.idle() < Duration::from_secs(5));
        let one = sending.await.unwrap();
        one.destroy();
        let mut rest = [0];
        let _ = two.read(&mut rest).await;
        tokio::time::timeout(Duration::from_secs(5), async {
            while !relay.is_over() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn strangers_pass_nothing_and_a_dropped_relay_knows_nobody() {
        let (a, b, between, stranger) = (socket().await, socket().await, socket().await, socket().await);
        let (one, two) = (
            a.create_stream(a.free_stream_id()),
            b.create_stream(b.free_stream_id()),
        );
        let relay = between
            .udx()
            .relay([end(&between, &a, &one), end(&between, &b, &two)], None);
        let [for_one, _] = relay.stream_ids();
        let mut packet = Vec::new();
        Header {
            kind: 1,
            data_offset: 0,
            stream_id: for_one,
            window: 0,
            seq: 0,
            ack: 0,
        }
        .encode(&mut packet);
        stranger.send_to(&packet, between.local_addr()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(relay.bytes(), [0, 0]);
        a.send_to(&packet, between.local_addr()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(relay.bytes(), [20, 0]);
        let udx = between.udx().clone();
        let mut messages = between.messages();
        drop(relay);
        a.send_to(&packet, between.local_addr()).await.unwrap();
        let (datagram, _) = messages.recv().await.unwrap();
        assert_eq!(datagram, packet, "it is nobody's packet any more");
        drop(udx);
    }

    #[test]
    fn a_rate_is_kept_whatever_the_size_of_the_steps() {
        for step in [7, 1000, 300_000] {
            let (mut allowance, rate) = (Allowance { left: 0, at: 0 }, 1_000_000);
            let (mut now, mut passed) = (0, 0);
            while now < 10_000_000 {
                now += step;
                while allowance.take(now, rate, 1000) {
                    passed += 1000;
                }
            }
            assert!((8_000_000..=10_000_000).contains(&passed), "{step}: {passed}");
        }
    }
}
