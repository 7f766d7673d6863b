//! A peer that has the keys of a connection and sends what no honest peer sends.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bosc_tests::peers::noise;
use bytes::Bytes;
use hypercore::PublicKey;
use hypercore::crypto::replication_capability;
use hypercore::manifest::Manifest;
use hypercore::messages::{PROTOCOL, Range, Sync, decode_request, encode_data, encode_handshake, kind};
use hypercore::proof::Data;
use hyperswarm::{Connection, JoinOptions, Swarm, SwarmConfig};
use protomux::{ChannelId, Event, Mux};
use tokio::sync::oneshot::{self, error::RecvError};
use tokio::time::{Instant, timeout, timeout_at};

const PATIENCE: Duration = Duration::from_secs(30);
/// Below what one frame may hold.
const FRAME: usize = 8 << 20;
/// What opens each direction of a secret stream: a length of 3 bytes, the stream's id of 32 and the cipher's header of 24.
const HEADER: u64 = 59;

/// Knows what is seeded and where to look.
#[derive(Clone)]
pub(crate) struct Hostile {
    bootstrap: String,
    key: hypercore::Key,
    /// It announces itself and waits until it is dialled, as it has to for apps, which take no calls.
    waits: bool,
}

impl Hostile {
    /// One that dials whoever seeds `link`.
    pub(crate) fn dialling(bootstrap: &str, link: &str) -> Result<Self> {
        let link: app::Link = link.parse()?;
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            key: link.key,
            waits: false,
        })
    }

    /// One that poses as a seed of `link`.
    pub(crate) fn posing(bootstrap: &str, link: &str) -> Result<Self> {
        Ok(Self {
            waits: true,
            ..Self::dialling(bootstrap, link)?
        })
    }

    /// A connection of a new identity. The swarm has to be kept.
    async fn connect(&self) -> Result<(Swarm, Connection)> {
        let config = SwarmConfig {
            bootstrap: Some(vec![self.bootstrap.clone()]),
            ..SwarmConfig::default()
        };
        let swarm = Swarm::new(config).await?;
        let mut connections = swarm.connections();
        let client = JoinOptions {
            server: self.waits,
            client: !self.waits,
        };
        swarm.join(self.key.discovery_key().topic(), client);
        let connection = timeout(PATIENCE, connections.recv()).await?;
        Ok((swarm, connection.context("the swarm ended")?))
    }

    /// A connection on which the core's channel is open.
    async fn open(&self) -> Result<(Swarm, Connection, Mux, ChannelId)> {
        let (swarm, mut connection) = self.connect().await?;
        let mut mux = Mux::new();
        let info = connection.info();
        let capability = replication_capability(info.is_initiator, &self.key.0, &info.handshake_hash);
        let handshake = encode_handshake(&capability);
        let channel = mux.open(PROTOCOL, &self.key.discovery_key().0, &handshake);
        flush(&mut mux, &connection).await?;
        let until = Instant::now() + PATIENCE;
        loop {
            let frame = timeout_at(until, connection.recv())
                .await?
                .context("cut before it opened")?;
            mux.receive(&frame)?;
            while let Some(event) = mux.poll_event() {
                match event {
                    Event::Opened { .. } => return Ok((swarm, connection, mux, channel)),
                    Event::Closed { .. } => bail!("the seed refused the channel"),
                    _ => {}
                }
            }
        }
    }

    /// Floods of one message on several connections, whose answers nobody reads. Bytes sent.
    pub(crate) async fn flood(
        self,
        connections: usize,
        kind: u64,
        payload: Bytes,
        most: usize,
        time: Duration,
    ) -> Result<u64> {
        let floods = (0..connections).map(|_| async {
            let (_swarm, connection, mut mux, channel) = self.open().await?;
            let mut frames = Vec::new();
            for _ in 0..FRAME / (payload.len() + 2) {
                mux.send(channel, kind, &payload);
            }
            while let Some(frame) = mux.poll_outgoing() {
                frames.push(frame);
            }
            send_for(&connection, frames.into_iter().cycle(), most, time).await
        });
        let sent = futures::future::try_join_all(floods).await?;
        Ok(sent.into_iter().sum())
    }

    /// Opens one channel after the other, each of another core.
    pub(crate) async fn channel_opens(self, most: usize, time: Duration) -> Result<u64> {
        let (_swarm, connection) = self.connect().await?;
        let mut number = 0u64;
        let frames = std::iter::from_fn(|| {
            number += 1;
            let mut mux = Mux::new();
            mux.open(PROTOCOL, &noise(32, number), &[0; 33]);
            mux.poll_outgoing()
        });
        send_for(&connection, frames, most, time).await
    }

    /// Says that the core is far longer than it is and that all of that is there, and proves nothing.
    pub(crate) async fn claims(self, time: Duration) -> Result<u64> {
        let (_swarm, connection, mut mux, channel) = self.open().await?;
        let length = 1 << 40;
        let sync = boast(1, length);
        mux.send(channel, kind::SYNC, &sync.encode());
        let range = Range {
            drop: false,
            start: 0,
            length,
        };
        mux.send(channel, kind::RANGE, &range.encode());
        let frames: Vec<Bytes> = std::iter::from_fn(|| mux.poll_outgoing()).collect();
        let sent = send_for(&connection, frames.into_iter(), usize::MAX, time).await?;
        tokio::time::sleep(time).await;
        Ok(sent)
    }

    /// Answers every request with nothing but a manifest that nobody signed anything under, until it is cut or time is up.
    pub(crate) async fn manifests(self, time: Duration) -> Result<u64> {
        let (_swarm, mut connection, mut mux, channel) = self.open().await?;
        let forged = Data {
            fork: 0,
            block: None,
            hash: None,
            seek: None,
            upgrade: None,
            manifest: Some(Manifest::single(PublicKey([7; 32]))),
        };
        let (until, mut sent) = (Instant::now() + time, 0);
        while let Ok(Some(frame)) = timeout_at(until, connection.recv()).await {
            mux.receive(&frame)?;
            while let Some(event) = mux.poll_event() {
                match event {
                    Event::Message {
                        kind: kind::REQUEST,
                        payload,
                        ..
                    } => {
                        let (id, _) = decode_request(&payload)?;
                        let answer = encode_data(id, &forged);
                        sent += answer.len() as u64;
                        mux.send(channel, kind::DATA, &answer);
                    }
                    Event::Message {
                        kind: kind::SYNC,
                        payload,
                        ..
                    } => {
                        let theirs = Sync::decode(&payload)?;
                        let mut sync = boast(theirs.fork, theirs.length + (1 << 20));
                        sync.remote_length = theirs.length;
                        mux.send(channel, kind::SYNC, &sync.encode());
                    }
                    _ => {}
                }
            }
            if flush(&mut mux, &connection).await.is_err() {
                break;
            }
        }
        Ok(sent)
    }

    /// Connections that prove themselves and then say nothing for a while; how many bytes that took. The second future ends
    /// once they stand.
    pub(crate) fn idle(
        self,
        count: usize,
        time: Duration,
    ) -> (
        impl Future<Output = Result<u64>>,
        impl Future<Output = Result<(), RecvError>>,
    ) {
        let (stand, standing) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        let connecting = tokio::spawn(async move {
            let held = futures::future::join_all((0..count).map(|_| self.connect())).await;
            let held: Vec<_> = held.into_iter().flatten().collect();
            let _ = stand.send(());
            let _ = gone.await;
            tokio::time::sleep(time).await;
            held.len()
        });
        let idle = async move {
            let _ = go.send(());
            let held = connecting.await?;
            if held < count / 2 {
                bail!("only {held} of {count} connections came about");
            }
            // Each said at least its header.
            Ok(held as u64 * HEADER)
        };
        (idle, standing)
    }
}

/// Says that it has all of a longer core, and would answer.
fn boast(fork: u64, length: u64) -> Sync {
    Sync {
        fork,
        length,
        can_upgrade: true,
        uploading: true,
        has_manifest: true,
        ..Sync::default()
    }
}

async fn flush(mux: &mut Mux, connection: &Connection) -> Result<()> {
    while let Some(frame) = mux.poll_outgoing() {
        connection.send(frame).await?;
    }
    Ok(())
}

/// Sends until it was enough, long enough, or the seed cut the connection.
async fn send_for(
    connection: &Connection,
    frames: impl Iterator<Item = Bytes>,
    most: usize,
    time: Duration,
) -> Result<u64> {
    let (until, mut sent) = (Instant::now() + time, 0);
    for frame in frames {
        let length = frame.len();
        match timeout_at(until, connection.send(frame)).await {
            Ok(Ok(())) => sent += length,
            Ok(Err(_)) | Err(_) => break,
        }
        if sent >= most {
            break;
        }
    }
    // What was queued has to get there.
    tokio::time::sleep_until(until).await;
    Ok(sent as u64)
}

/// Datagrams of nothing to all ports of the seed.
pub(crate) async fn garbage(ports: Vec<u16>, time: Duration) -> Result<u64> {
    let flood = move || -> Result<u64> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let (since, mut sent, mut number) = (std::time::Instant::now(), 0, 0u64);
        while since.elapsed() < time {
            for port in &ports {
                number += 1;
                let mut datagram = noise(1 + (number as usize * 37) % 1200, number);
                // Every second one looks like a packet of a stream.
                if number.is_multiple_of(2)
                    && let Some(head) = datagram.first_chunk_mut::<2>()
                {
                    *head = [0xff, 1];
                }
                sent += socket.send_to(&datagram, ("127.0.0.1", *port)).unwrap_or(0) as u64;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        Ok(sent)
    };
    tokio::task::spawn_blocking(flood).await?
}
