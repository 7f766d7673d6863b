//! The transport-erased connection: bounded queues of messages between the layers above and whatever pumps them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use zeroize::Zeroize;

use crate::{Error, PublicKey};

/// How many messages a connection queues in each direction unless told otherwise.
pub(crate) const DEFAULT_CAPACITY: usize = 256;

/// How many bytes a connection queues in each direction. A larger message passes alone.
const BYTE_BUDGET: usize = 4 * 1024 * 1024;

/// Who is connected, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Our public key on this connection.
    pub public_key: PublicKey,
    /// The authenticated public key of the peer.
    pub remote_public_key: PublicKey,
    /// The Noise handshake hash: the same on both sides, unique to this connection.
    pub handshake_hash: [u8; 64],
    /// Whether this side opened the connection.
    pub is_initiator: bool,
    /// The peer's address, where the transport knows one.
    pub remote_address: Option<SocketAddr>,
}

/// The connection is closed, so the message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection is closed")]
pub struct Closed;

/// Why a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CloseReason {
    /// This side closed it, or dropped every handle to it.
    #[error("closed by this side")]
    Local,
    /// The peer ended it in good order.
    #[error("closed by the peer")]
    Remote,
    /// This side closed it because the peer sent what no honest peer sends.
    #[error("closed by this side, as the peer lied: {0}")]
    Liar(Arc<str>),
    /// It failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl CloseReason {
    /// Whether the connection ended because of an error rather than because a side wanted it to.
    pub fn is_failure(&self) -> bool {
        matches!(self, CloseReason::Failed(_))
    }
}

#[derive(Debug, Clone)]
enum State {
    Open,
    /// No more messages are taken; what is queued is still being flushed.
    Closing,
    /// The transport is gone.
    Closed(CloseReason),
}

/// What the peer has proven so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proven {
    #[default]
    Nothing,
    /// Its header fits this handshake.
    Header,
    /// It holds the keys.
    Record,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Timers {
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    info: ConnectionInfo,
    state: watch::Sender<State>,
    /// Set by [`Connection::memory_pair`]: the other end, which closes when this one does.
    peer_state: OnceLock<watch::Sender<State>>,
    timers: watch::Sender<Timers>,
    proven: watch::Sender<Proven>,
}

impl Shared {
    async fn proven(&self, least: Proven) -> bool {
        let mut proven = self.proven.subscribe();
        tokio::select! {
            biased;
            reached = proven.wait_for(|proven| *proven >= least) => reached.is_ok(),
            () = self.closing() => false,
        }
    }

    fn is_open(&self) -> bool {
        matches!(*self.state.borrow(), State::Open)
    }

    async fn closing(&self) {
        let mut state = self.state.subscribe();
        // The sender lives in self, so waiting cannot fail.
        let _ = state.wait_for(|state| !matches!(state, State::Open)).await;
    }

    async fn closed(&self) -> CloseReason {
        let mut state = self.state.subscribe();
        match state
            .wait_for(|state| matches!(state, State::Closed(_)))
            .await
            .as_deref()
        {
            Ok(State::Closed(reason)) => reason.clone(),
            _ => CloseReason::Local,
        }
    }

    fn request_close(&self) {
        match self.peer_state.get() {
            // No driver sits between the two ends of a pair.
            Some(peer) => {
                set_closed(&self.state, CloseReason::Local);
                set_closed(peer, CloseReason::Remote);
            }
            None => {
                self.state.send_if_modified(|state| {
                    let open = matches!(state, State::Open);
                    if open {
                        *state = State::Closing;
                    }
                    open
                });
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.info.handshake_hash.zeroize();
    }
}

fn set_closed(state: &watch::Sender<State>, reason: CloseReason) {
    state.send_if_modified(|state| {
        if matches!(state, State::Closed(_)) {
            return false;
        }
        *state = State::Closed(reason);
        true
    });
}

/// A message that holds its share of the queue's byte budget until it is taken out.
#[derive(Debug)]
struct Queued {
    message: Bytes,
    _budget: OwnedSemaphorePermit,
}

fn queue(capacity: usize) -> (QueueSender, mpsc::Receiver<Queued>) {
    let (tx, rx) = mpsc::channel(capacity.max(1));
    (
        QueueSender {
            tx,
            budget: Arc::new(Semaphore::new(BYTE_BUDGET)),
        },
        rx,
    )
}

#[derive(Debug, Clone)]
struct QueueSender {
    tx: mpsc::Sender<Queued>,
    budget: Arc<Semaphore>,
}

impl QueueSender {
    fn cost(message: &Bytes) -> u32 {
        // The budget fits in 32 bits; even an empty message costs something.
        (message.len() + 64).min(BYTE_BUDGET) as u32
    }

    async fn push(&self, message: Bytes) -> Result<(), Closed> {
        let cost = Self::cost(&message);
        let budget = match self.budget.clone().try_acquire_many_owned(cost) {
            Ok(budget) => budget,
            Err(_) => self
                .budget
                .clone()
                .acquire_many_owned(cost)
                .await
                .map_err(|_| Closed)?,
        };
        self.tx
            .send(Queued {
                message,
                _budget: budget,
            })
            .await
            .map_err(|_| Closed)
    }

    fn try_push(&self, message: Bytes) -> Result<bool, Closed> {
        let Ok(budget) = self.budget.clone().try_acquire_many_owned(Self::cost(&message)) else {
            return if self.tx.is_closed() {
                Err(Closed)
            } else {
                Ok(false)
            };
        };
        match self.tx.try_send(Queued {
            message,
            _budget: budget,
        }) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(false),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Closed),
        }
    }
}

/// A connected, encrypted, message-framed duplex. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    sender: ConnectionSender,
    receiver: ConnectionReceiver,
}

/// The sending half of a [`Connection`]. The connection closes when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct ConnectionSender {
    queue: QueueSender,
    shared: Arc<Shared>,
    _last: Arc<CloseOnDrop>,
}

/// The receiving half of a [`Connection`]. When it is dropped, what the peer still sends is discarded.
#[derive(Debug)]
pub struct ConnectionReceiver {
    queue: mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
}

/// Closes a connection in good order, and does not keep it open. Clones close the same one.
#[derive(Debug, Clone)]
pub struct Closer(Arc<Shared>);

impl Closer {
    /// As [`Connection::close`]: the peer sees an end in good order.
    pub fn close(&self) {
        self.0.request_close();
    }
}

/// What a driver holds of a [`Connection`]: it takes what the layers above send, and delivers what the peer sent.
/// Dropping it closes the connection.
#[derive(Debug)]
pub struct ConnectionDriverEnd {
    outgoing: DriverOutgoing,
    incoming: DriverIncoming,
}

#[derive(Debug)]
pub(crate) struct DriverOutgoing {
    queue: mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct DriverIncoming {
    queue: Option<QueueSender>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.request_close();
    }
}

impl Connection {
    /// A connection and the end a driver pumps. At most `capacity` messages (and a few MiB) queue in each direction.
    pub fn new(info: ConnectionInfo, capacity: usize) -> (Connection, ConnectionDriverEnd) {
        let shared = shared(info);
        let (outgoing_tx, outgoing_rx) = queue(capacity);
        let (incoming_tx, incoming_rx) = queue(capacity);
        let driver = ConnectionDriverEnd {
            outgoing: DriverOutgoing {
                queue: outgoing_rx,
                shared: shared.clone(),
            },
            incoming: DriverIncoming {
                queue: Some(incoming_tx),
                shared: shared.clone(),
            },
        };
        (Connection::assemble(outgoing_tx, incoming_rx, shared), driver)
    }

    /// Two connections that are each other's peer, in process and without encryption: for tests of the layers above.
    pub fn memory_pair() -> (Connection, Connection) {
        let info = |is_initiator: bool| ConnectionInfo {
            public_key: PublicKey([if is_initiator { 1 } else { 2 }; 32]),
            remote_public_key: PublicKey([if is_initiator { 2 } else { 1 }; 32]),
            handshake_hash: [3; 64],
            is_initiator,
            remote_address: None,
        };
        let (a_shared, b_shared) = (shared(info(true)), shared(info(false)));
        let _ = a_shared.peer_state.set(b_shared.state.clone());
        let _ = b_shared.peer_state.set(a_shared.state.clone());
        for shared in [&a_shared, &b_shared] {
            shared.proven.send_replace(Proven::Record);
        }
        let (a_tx, b_rx) = queue(DEFAULT_CAPACITY);
        let (b_tx, a_rx) = queue(DEFAULT_CAPACITY);
        (
            Connection::assemble(a_tx, a_rx, a_shared),
            Connection::assemble(b_tx, b_rx, b_shared),
        )
    }

    fn assemble(tx: QueueSender, rx: mpsc::Receiver<Queued>, shared: Arc<Shared>) -> Connection {
        let last = Arc::new(CloseOnDrop(shared.clone()));
        Connection {
            sender: ConnectionSender {
                queue: tx,
                shared: shared.clone(),
                _last: last,
            },
            receiver: ConnectionReceiver { queue: rx, shared },
        }
    }

    /// Who is connected.
    pub fn info(&self) -> &ConnectionInfo {
        self.sender.info()
    }

    /// Queues one message for the peer; waits while the peer is slow.
    ///
    /// # Errors
    /// [`Closed`] once either side has closed the connection.
    pub async fn send(&self, message: Bytes) -> Result<(), Closed> {
        self.sender.send(message).await
    }

    /// The next message of the peer, whole and in order. `None` once the connection is closed and drained.
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.receiver.recv().await
    }

    /// Takes the connection apart, so that sending and receiving can live in different tasks.
    pub fn split(self) -> (ConnectionSender, ConnectionReceiver) {
        (self.sender, self.receiver)
    }

    /// Closes the connection: what is queued is still sent, nothing more is taken.
    pub fn close(&self) {
        self.sender.close();
    }

    /// A way to close it for who does not hold it.
    pub fn closer(&self) -> Closer {
        Closer(self.sender.shared.clone())
    }

    /// Waits until the connection is closed and says why.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        self.sender.closed()
    }

    /// Waits for the peer's header, which names this handshake; false if the connection closes before. Whoever carried
    /// the handshake's messages could have made it, too.
    pub fn greeted(&self) -> impl Future<Output = bool> + Send + 'static {
        self.sender.greeted()
    }

    /// Waits for the peer's first sealed message: it holds the keys, and this is no repetition of an older handshake;
    /// false if the connection closes before.
    pub fn proven(&self) -> impl Future<Output = bool> + Send + 'static {
        self.sender.proven()
    }

    /// Sends an empty message whenever nothing else was sent for this long, and hides the peer's empty messages
    /// (npm `setKeepAlive`). `None` turns it off.
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        self.sender.set_keep_alive(interval);
    }

    /// Fails the connection when nothing at all arrives for this long (npm `setTimeout`). `None` turns it off.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        self.sender.set_timeout(timeout);
    }
}

fn shared(info: ConnectionInfo) -> Arc<Shared> {
    Arc::new(Shared {
        info,
        state: watch::Sender::new(State::Open),
        peer_state: OnceLock::new(),
        timers: watch::Sender::new(Timers::default()),
        proven: watch::Sender::new(Proven::Nothing),
    })
}

impl ConnectionSender {
    /// Who is connected.
    pub fn info(&self) -> &ConnectionInfo {
        &self.shared.info
    }

    /// Queues one message for the peer; waits while the peer is slow.
    ///
    /// # Errors
    /// [`Closed`] once either side has closed the connection.
    pub async fn send(&self, message: Bytes) -> Result<(), Closed> {
        if !self.shared.is_open() {
            return Err(Closed);
        }
        let push = self.queue.push(message);
        tokio::pin!(push);
        tokio::select! {
            biased;
            pushed = &mut push => pushed,
            () = self.shared.closing() => Err(Closed),
        }
    }

    /// Queues one message if there is room now: `Ok(false)` means there is none and the message was dropped.
    ///
    /// # Errors
    /// [`Closed`] once either side has closed the connection.
    pub fn try_send(&self, message: Bytes) -> Result<bool, Closed> {
        if !self.shared.is_open() {
            return Err(Closed);
        }
        self.queue.try_push(message)
    }

    /// Closes the connection: what is queued is still sent, nothing more is taken.
    pub fn close(&self) {
        self.shared.request_close();
    }

    /// Closes the connection at once because the peer sent what no honest peer sends; whoever made the connection learns of
    /// it through [`CloseReason::Liar`].
    pub fn close_as_liar(&self, reason: &str) {
        set_closed(&self.shared.state, CloseReason::Liar(reason.into()));
        self.close();
    }

    /// Whether the connection is closed or closing.
    pub fn is_closed(&self) -> bool {
        !self.shared.is_open()
    }

    /// Waits until the connection is closed and says why.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        closed_of(&self.shared)
    }

    /// As [`Connection::greeted`].
    pub fn greeted(&self) -> impl Future<Output = bool> + Send + 'static {
        let shared = self.shared.clone();
        async move { shared.proven(Proven::Header).await }
    }

    /// As [`Connection::proven`].
    pub fn proven(&self) -> impl Future<Output = bool> + Send + 'static {
        let shared = self.shared.clone();
        async move { shared.proven(Proven::Record).await }
    }

    /// As [`Connection::set_keep_alive`].
    pub fn set_keep_alive(&self, interval: Option<Duration>) {
        self.shared
            .timers
            .send_modify(|timers| timers.keep_alive = interval.filter(|d| !d.is_zero()));
    }

    /// As [`Connection::set_timeout`].
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        self.shared
            .timers
            .send_modify(|timers| timers.idle_timeout = timeout.filter(|d| !d.is_zero()));
    }
}

/// The future of `closed()`: it keeps no handle alive, or the connection would never close by being dropped.
fn closed_of(shared: &Arc<Shared>) -> impl Future<Output = CloseReason> + Send + use<> {
    let shared = shared.clone();
    async move { shared.closed().await }
}

impl ConnectionReceiver {
    /// Who is connected.
    pub fn info(&self) -> &ConnectionInfo {
        &self.shared.info
    }

    /// The next message of the peer, whole and in order. `None` once the connection is closed and drained.
    pub async fn recv(&mut self) -> Option<Bytes> {
        if let Ok(queued) = self.queue.try_recv() {
            return Some(queued.message);
        }
        tokio::select! {
            biased;
            queued = self.queue.recv() => queued.map(|queued| queued.message),
            // What was delivered before the close is queued by now.
            () = self.shared.closing() => self.try_recv(),
        }
    }

    /// The next message if one is there already.
    pub fn try_recv(&mut self) -> Option<Bytes> {
        self.queue.try_recv().ok().map(|queued| queued.message)
    }

    /// Waits until the connection is closed and says why.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        closed_of(&self.shared)
    }
}

impl ConnectionDriverEnd {
    /// Who is connected.
    pub fn info(&self) -> &ConnectionInfo {
        &self.outgoing.shared.info
    }

    /// The next message to put on the wire. `None` once this side closed and everything queued was taken.
    #[cfg(test)]
    async fn next_outgoing(&mut self) -> Option<Bytes> {
        self.outgoing.next().await
    }

    /// Delivers one message of the peer; waits while the layers above are slow. A message for a receiver that is
    /// gone, or for a closed connection, is dropped.
    pub async fn deliver(&self, message: Bytes) {
        self.incoming.deliver(message).await;
    }

    /// Marks the connection closed. The first reason given stays.
    pub fn finish(self, reason: CloseReason) {
        set_closed(&self.outgoing.shared.state, reason);
    }

    pub(crate) fn split(self) -> (DriverOutgoing, DriverIncoming) {
        (self.outgoing, self.incoming)
    }

    pub(crate) fn join(outgoing: DriverOutgoing, incoming: DriverIncoming) -> Self {
        Self { outgoing, incoming }
    }
}

impl DriverOutgoing {
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if let Some(message) = self.try_next() {
            return Some(message);
        }
        tokio::select! {
            biased;
            queued = self.queue.recv() => queued.map(|queued| queued.message),
            () = self.shared.closing() => self.try_next(),
        }
    }

    pub(crate) fn try_next(&mut self) -> Option<Bytes> {
        self.queue.try_recv().ok().map(|queued| queued.message)
    }

    pub(crate) fn timers(&self) -> watch::Receiver<Timers> {
        self.shared.timers.subscribe()
    }
}

impl DriverIncoming {
    pub(crate) async fn deliver(&self, message: Bytes) {
        let Some(incoming) = &self.queue else { return };
        tokio::select! {
            biased;
            _ = incoming.push(message) => {}
            () = self.shared.closing() => {}
        }
    }

    pub(crate) fn prove(&self, proven: Proven) {
        self.shared.proven.send_if_modified(|known| {
            let more = proven > *known;
            *known = proven.max(*known);
            more
        });
    }

    pub(crate) fn end(&mut self) {
        self.queue = None;
        self.shared.request_close();
    }

    pub(crate) fn timers(&self) -> watch::Receiver<Timers> {
        self.shared.timers.subscribe()
    }
}

impl Drop for DriverOutgoing {
    fn drop(&mut self) {
        set_closed(&self.shared.state, CloseReason::Local);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pair_carries_messages_both_ways_and_closes() {
        let (a, mut b) = Connection::memory_pair();
        a.send(Bytes::from_static(b"one")).await.unwrap();
        a.send(Bytes::new()).await.unwrap();
        b.send(Bytes::from_static(b"back")).await.unwrap();
        let (a_tx, mut a_rx) = a.split();
        assert_eq!(a_rx.recv().await.unwrap(), "back");
        a_tx.close();
        assert_eq!(b.recv().await.unwrap(), "one");
        assert_eq!(b.recv().await.unwrap(), "");
        assert_eq!(b.recv().await, None);
        assert_eq!(b.send(Bytes::new()).await, Err(Closed));
        assert_eq!(a_rx.recv().await, None);
        assert!(matches!(a_tx.closed().await, CloseReason::Local));
        assert!(matches!(b.closed().await, CloseReason::Remote));
    }

    #[tokio::test]
    async fn dropping_one_end_wakes_a_waiting_peer() {
        let (a, mut b) = Connection::memory_pair();
        let waiting = tokio::spawn(async move { b.recv().await });
        tokio::task::yield_now().await;
        drop(a);
        assert_eq!(waiting.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_slow_reader_blocks_the_sender_by_bytes_and_by_count() {
        let (a, mut b) = Connection::memory_pair();
        let (tx, _rx) = a.split();
        let mut queued = 0;
        while tx.try_send(Bytes::from(vec![0; 1 << 20])).unwrap() {
            queued += 1;
        }
        assert!((3..=4).contains(&queued), "{queued} MiB queued");
        for _ in 0..queued {
            b.recv().await.unwrap();
        }
        let huge = Bytes::from(vec![1; 3 * BYTE_BUDGET]);
        assert!(tx.try_send(huge.clone()).unwrap(), "a huge message passes alone");
        assert!(!tx.try_send(Bytes::new()).unwrap());
        assert_eq!(b.recv().await.unwrap(), huge);
        let mut count = 0;
        while tx.try_send(Bytes::new()).unwrap() {
            count += 1;
        }
        assert_eq!(count, DEFAULT_CAPACITY);
    }

    #[tokio::test]
    async fn a_driver_flushes_what_was_queued_before_the_close() {
        let (connection, mut driver) = Connection::new(Connection::memory_pair().0.info().clone(), 4);
        connection.send(Bytes::from_static(b"last words")).await.unwrap();
        drop(connection);
        assert_eq!(driver.next_outgoing().await.unwrap(), "last words");
        assert_eq!(driver.next_outgoing().await, None);
    }

    #[tokio::test]
    async fn a_failure_is_told_after_the_delivered_messages() {
        let (mut connection, driver) = Connection::new(Connection::memory_pair().0.info().clone(), 4);
        driver.deliver(Bytes::from_static(b"x")).await;
        driver.finish(CloseReason::Failed(Error::TimedOut));
        assert_eq!(connection.recv().await.unwrap(), "x");
        assert_eq!(connection.recv().await, None);
        assert!(connection.closed().await.is_failure());
    }
}
