//! One of two: asks a relay to be paired.

use std::time::Duration;

use bytes::Bytes;
use protomux::{Event, Mux, MuxError};
use secret_stream::Connection;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::messages::{PAIR, PROTOCOL, Pair, Token};

/// How long the other one may take, as npm hyperdht.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to ask for.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Whether the relay was this side's choice.
    pub is_initiator: bool,
    /// What both name.
    pub token: Token,
    /// Our id of the stream.
    pub stream_id: u32,
}

/// Why there is no pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// The relay closed the connection or refused the channel: it does not relay, or not so much.
    #[error("the relay refused")]
    Refused,
    /// The other one did not come, or the relay says nothing.
    #[error("the other peer did not come to the relay within {} s", PATIENCE.as_secs())]
    NobodyCame,
    /// The relay broke the rules of its channel.
    #[error("the relay broke the rules: {0}")]
    Relay(#[from] MuxError),
    /// The relay named a stream that cannot be.
    #[error("the relay named stream {0}, which cannot be")]
    Stream(u64),
}

/// A pair: the relay passes on what is sent to it under `stream_id`, until this is dropped.
#[derive(Debug)]
pub struct Paired {
    /// The relay's id of the stream.
    pub stream_id: u32,
    _open: DropGuard,
}

/// Asks the relay at the other end of `connection` for a pair, and waits for the other one of the two. Dropping the future takes the
/// request back.
///
/// # Errors
/// [`PairError`].
pub async fn pair(mut connection: Connection, request: Request) -> Result<Paired, PairError> {
    let mut mux = Mux::new();
    let stream_id = timeout(PATIENCE, ask(&mut connection, &mut mux, request))
        .await
        .map_err(|_| PairError::NobodyCame)??;
    let open = CancellationToken::new();
    let paired = Paired {
        stream_id,
        _open: open.clone().drop_guard(),
    };
    // The relay ends the pair with the connection.
    tokio::spawn(async move {
        tokio::select! {
            () = async { while connection.recv().await.is_some() {} } => {
                tracing::debug!("a relay closed the connection");
            }
            () = open.cancelled() => {}
        }
        connection.close();
    });
    Ok(paired)
}

async fn ask(connection: &mut Connection, mux: &mut Mux, request: Request) -> Result<u32, PairError> {
    let own = connection.info().public_key;
    let channel = mux.open(PROTOCOL, &own.0, &[]);
    let message = Pair {
        is_initiator: request.is_initiator,
        token: request.token,
        id: request.stream_id.into(),
        seq: 0,
    };
    // It need not wait for the channel's answer.
    mux.send(channel, PAIR, &message.encode());
    loop {
        while let Some(frame) = mux.poll_outgoing() {
            connection.send(frame).await.map_err(|_| PairError::Refused)?;
        }
        let frame: Bytes = connection.recv().await.ok_or(PairError::Refused)?;
        mux.receive(&frame)?;
        while let Some(event) = mux.poll_event() {
            match event {
                Event::Requested { protocol, id } => mux.reject(&protocol, &id),
                Event::Closed { .. } => return Err(PairError::Refused),
                Event::Message {
                    kind: PAIR, payload, ..
                } => {
                    let Ok(told) = Pair::decode(&payload) else {
                        continue;
                    };
                    if told.token == request.token && told.is_initiator == request.is_initiator {
                        return u32::try_from(told.id).map_err(|_| PairError::Stream(told.id));
                    }
                }
                _ => {}
            }
        }
        mux.check()?;
    }
}
