//! Pumps a secret stream between a byte transport and a [`Connection`].

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

use crate::connection::{
    CloseReason, Connection, ConnectionDriverEnd, ConnectionInfo, DEFAULT_CAPACITY, Proven,
};
use crate::framing::put_frame;
use crate::noise::{Handshake, HandshakeResult, Pattern};
use crate::secret_stream::{Opener, Sealer};
use crate::{Error, FrameDecoder, KeyPair, Result, SecretStream};

/// How much ciphertext is gathered before it is written: what the system takes in one call. Each connection holds as much.
const WRITE_BATCH: usize = 64 * 1024;
/// How much is read at once, at first and at most: a connection that brings little holds little.
const FIRST_CHUNK: usize = 8 * 1024;
const READ_CHUNK: usize = 256 * 1024;
/// How long a closed connection waits for the peer to take what is left and to close as well.
const LINGER: Duration = Duration::from_secs(10);
/// No Noise message is longer.
const MAX_HANDSHAKE: usize = 65535;

/// How to run a stream.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Send an empty message after this long without another, and hide the peer's empty ones.
    pub keep_alive: Option<Duration>,
    /// Fail when nothing arrives for this long.
    pub idle_timeout: Option<Duration>,
    /// Fail when the handshake takes longer.
    pub handshake_timeout: Duration,
    /// The peer's address, for [`ConnectionInfo`].
    pub remote_address: Option<SocketAddr>,
    /// Messages to queue in each direction.
    pub capacity: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            keep_alive: None,
            idle_timeout: None,
            handshake_timeout: Duration::from_secs(20),
            remote_address: None,
            capacity: DEFAULT_CAPACITY,
        }
    }
}

/// Makes an encrypted connection over a byte stream by the Noise XX handshake, as npm `@hyperswarm/secret-stream`
/// does over TCP. Must be called within a tokio runtime, which runs the connection.
///
/// # Errors
/// [`Error`] if the transport fails or the handshake does.
pub async fn over<IO>(io: IO, is_initiator: bool, key_pair: &KeyPair) -> Result<Connection>
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    over_with(io, is_initiator, key_pair, StreamOptions::default()).await
}

/// As [`over`], with options.
///
/// # Errors
/// As [`over`], and [`Error::TimedOut`].
pub async fn over_with<IO>(
    io: IO,
    is_initiator: bool,
    key_pair: &KeyPair,
    options: StreamOptions,
) -> Result<Connection>
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut read, mut write) = tokio::io::split(io);
    let mut buffer = BytesMut::new();
    let handshake = shake_hands(&mut read, &mut write, &mut buffer, is_initiator, key_pair);
    let result = timeout(options.handshake_timeout, handshake)
        .await
        .map_err(|_| Error::TimedOut)??;
    Ok(start(read, write, buffer, &result, &options))
}

/// Runs the encrypted stream that follows a handshake made elsewhere (HyperDHT makes it over its own messages).
/// Must be called within a tokio runtime, which runs the connection.
pub fn over_established_with<IO>(io: IO, handshake: &HandshakeResult, options: StreamOptions) -> Connection
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(io);
    start(read, write, BytesMut::new(), handshake, &options)
}

async fn shake_hands<IO: AsyncRead + AsyncWrite>(
    read: &mut ReadHalf<IO>,
    write: &mut WriteHalf<IO>,
    buffer: &mut BytesMut,
    is_initiator: bool,
    key_pair: &KeyPair,
) -> Result<HandshakeResult> {
    let mut handshake = Handshake::new(Pattern::XX, is_initiator, key_pair, &[], None)?;
    let mut decoder = FrameDecoder::new(MAX_HANDSHAKE);
    let mut our_turn = is_initiator;
    while !handshake.is_complete() {
        if our_turn {
            let mut out = BytesMut::new();
            put_frame(&handshake.send(&[])?, &mut out);
            write.write_all(&out).await?;
            write.flush().await?;
        } else {
            let message = loop {
                if let Some(frame) = decoder.next(buffer)? {
                    break frame;
                }
                if read.read_buf(buffer).await? == 0 {
                    return Err(Error::Ended);
                }
            };
            handshake.recv(&message)?;
        }
        our_turn = !our_turn;
    }
    Ok(handshake.finish()?)
}

fn start<IO>(
    read: ReadHalf<IO>,
    write: WriteHalf<IO>,
    buffer: BytesMut,
    handshake: &HandshakeResult,
    options: &StreamOptions,
) -> Connection
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let info = ConnectionInfo {
        public_key: handshake.public_key,
        remote_public_key: handshake.remote_public_key,
        handshake_hash: handshake.hash,
        is_initiator: handshake.is_initiator,
        remote_address: options.remote_address,
    };
    let stream = SecretStream::new(handshake);
    let (connection, driver) = Connection::new(info, options.capacity);
    connection.set_keep_alive(options.keep_alive);
    connection.set_timeout(options.idle_timeout);
    tokio::spawn(run(read, write, buffer, stream, driver));
    connection
}

async fn run<IO>(
    mut read: ReadHalf<IO>,
    mut write: WriteHalf<IO>,
    buffer: BytesMut,
    stream: SecretStream,
    driver: ConnectionDriverEnd,
) where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let header = stream.header();
    let (sealer, opener) = stream.into_halves();
    let (mut outgoing, mut incoming) = driver.split();
    let result = {
        let writing = write_messages(&mut write, &mut outgoing, sealer, &header);
        let reading = read_messages(&mut read, buffer, &mut incoming, opener);
        tokio::pin!(writing, reading);
        let mut local = false;
        // Whoever ends first, the other side gets to finish in good order.
        let result = tokio::select! {
            written = &mut writing => match written {
                // We closed: wait for the peer to close too.
                Ok(()) => {
                    local = true;
                    timeout(LINGER, reading).await.unwrap_or(Ok(()))
                }
                Err(error) => Err(error),
            },
            read = &mut reading => match read {
                Ok(()) => timeout(LINGER, writing).await.unwrap_or(Ok(())),
                Err(error) => Err(error),
            },
        };
        match result {
            // After our own close the peer may just go away.
            _ if local => CloseReason::Local,
            Ok(()) => CloseReason::Remote,
            Err(error) => CloseReason::Failed(error),
        }
    };
    if result.is_failure() {
        tracing::debug!(reason = %result, "connection failed");
    }
    ConnectionDriverEnd::join(outgoing, incoming).finish(result);
}

async fn write_messages<IO: AsyncRead + AsyncWrite>(
    write: &mut WriteHalf<IO>,
    outgoing: &mut crate::connection::DriverOutgoing,
    mut sealer: Sealer,
    header: &[u8],
) -> Result<()> {
    let mut timers = outgoing.timers();
    let mut out = BytesMut::with_capacity(4096);
    out.extend_from_slice(header);
    if timers.borrow().keep_alive.is_some() {
        // The first sealed message proves that we hold the keys. A peer with keep-alive hides it, as it would one later.
        sealer.seal(&[], &mut out)?;
    }
    write.write_all(&out).await?;
    write.flush().await?;
    out = BytesMut::new();
    let mut last_write = Instant::now();
    loop {
        let keep_alive = timers.borrow_and_update().keep_alive;
        let quiet = async {
            match keep_alive {
                Some(interval) => sleep_until(last_write + interval).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            message = outgoing.next() => match message {
                Some(message) => sealer.seal(&message, &mut out)?,
                None => break,
            },
            Ok(()) = timers.changed() => continue,
            () = quiet => sealer.seal(&[], &mut out)?,
        }
        while out.len() < WRITE_BATCH {
            match outgoing.try_next() {
                Some(message) => sealer.seal(&message, &mut out)?,
                None => break,
            }
        }
        write.write_all(&out).await?;
        write.flush().await?;
        // What a message needs is taken when there is one, or each connection of a crowd would hold as much as its largest.
        out = BytesMut::new();
        last_write = Instant::now();
    }
    write.shutdown().await?;
    Ok(())
}

async fn read_messages<IO: AsyncRead + AsyncWrite>(
    read: &mut ReadHalf<IO>,
    mut buffer: BytesMut,
    incoming: &mut crate::connection::DriverIncoming,
    mut opener: Opener,
) -> Result<()> {
    let mut decoder = FrameDecoder::default();
    let mut timers = incoming.timers();
    let mut chunk = FIRST_CHUNK;
    loop {
        while let Some(frame) = decoder.next(&mut buffer)? {
            let opened = opener.open(frame)?;
            incoming.prove(match opened {
                None => Proven::Header,
                Some(_) => Proven::Record,
            });
            if let Some(message) = opened {
                if message.is_empty() && timers.borrow().keep_alive.is_some() {
                    continue;
                }
                incoming.deliver(message).await;
            }
        }
        // What a large frame lacks, but never more than was already paid for by bytes that did arrive.
        let missing = decoder.missing(buffer.len());
        if buffer.capacity() - buffer.len() < chunk / 4 {
            buffer.reserve(chunk.max(missing.min(buffer.len())));
        }
        let room = buffer.capacity() - buffer.len();
        let started = Instant::now();
        let count = loop {
            let idle_timeout = timers.borrow_and_update().idle_timeout;
            let idle = async {
                match idle_timeout {
                    Some(limit) => sleep_until(started + limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                count = read.read_buf(&mut buffer) => break count?,
                Ok(()) = timers.changed() => {}
                () = idle => return Err(Error::TimedOut),
            }
        };
        if count == room {
            chunk = (2 * chunk).min(READ_CHUNK);
        }
        if count == 0 {
            incoming.end();
            return Ok(());
        }
    }
}
