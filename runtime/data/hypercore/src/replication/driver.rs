//! Pumps one connection: protomux channels in, [`Peer`]s behind them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use protomux::{ChannelId, Event, Mux};
use secret_stream::{Connection, ConnectionInfo, ConnectionReceiver, ConnectionSender};
use tokio::sync::{Notify, mpsc, watch};

use super::peer::Peer;
use crate::messages::PROTOCOL;
use crate::{Core, DiscoveryKey};

/// Bytes on their way to a slow peer before we stop answering its requests.
const MAX_QUEUED: usize = 4 * 1024 * 1024;
/// Messages taken in before answering, so that answers leave in batches.
const MAX_TAKEN: usize = 64;
const TICK: Duration = Duration::from_millis(500);

/// Finds the core with a discovery key that a peer asks for; `None` refuses.
pub type Lookup = Arc<dyn Fn(DiscoveryKey) -> Option<Core> + Send + Sync>;

/// A running replication of one connection. It goes on when this handle is dropped; [`close`](Self::close) ends it.
#[derive(Clone)]
pub struct Replication {
    commands: mpsc::UnboundedSender<Core>,
    info: ConnectionInfo,
    closer: ConnectionSender,
    ended: watch::Receiver<Option<Option<String>>>,
}

impl Replication {
    /// Replicates `core` over this connection as well.
    pub fn attach(&self, core: &Core) {
        // A connection that has ended replicates nothing.
        let _ = self.commands.send(core.clone());
    }

    /// Who is at the other end.
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Closes the connection.
    pub fn close(&self) {
        self.closer.close();
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.ended.borrow().is_some() || self.commands.is_closed()
    }

    /// Waits for the end; the reason, if the peer was dropped for a fault of its own.
    pub async fn closed(&self) -> Option<String> {
        let mut ended = self.ended.clone();
        let reason = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| reason.clone());
        reason.flatten()
    }
}

/// Replicates over `connection`: the `cores` given, those attached later, and those that the peer asks for and `lookup` finds.
/// Needs a tokio runtime.
pub fn replicate(connection: Connection, cores: Vec<Core>, lookup: Lookup) -> Replication {
    let info = connection.info().clone();
    let (sender, receiver) = connection.split();
    let (commands, inbox) = mpsc::unbounded_channel();
    let (end, ended) = watch::channel(None);
    let replication = Replication {
        commands,
        info: info.clone(),
        closer: sender.clone(),
        ended,
    };
    let driver = Driver {
        info,
        mux: Mux::new(),
        channels: HashMap::new(),
        by_key: HashMap::new(),
        wake: Arc::new(Notify::new()),
        lookup,
    };
    tokio::spawn(async move {
        let reason = driver.run(sender.clone(), receiver, cores, inbox).await.err();
        if let Some(reason) = &reason {
            tracing::warn!(%reason, "dropped a peer");
        }
        sender.close();
        let _ = end.send(Some(reason));
    });
    replication
}

struct Driver {
    info: ConnectionInfo,
    mux: Mux,
    channels: HashMap<ChannelId, Peer>,
    by_key: HashMap<DiscoveryKey, (ChannelId, Core)>,
    wake: Arc<Notify>,
    lookup: Lookup,
}

/// The queue to the task that writes to the connection, with a count of the bytes in it.
struct Writer {
    queue: mpsc::UnboundedSender<Bytes>,
    queued: Arc<AtomicUsize>,
}

impl Writer {
    fn spawn(sender: ConnectionSender, wake: Arc<Notify>) -> Self {
        let (queue, mut frames) = mpsc::unbounded_channel::<Bytes>();
        let queued = Arc::new(AtomicUsize::new(0));
        let writer = Self {
            queue,
            queued: queued.clone(),
        };
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                let length = frame.len();
                if sender.send(frame).await.is_err() {
                    return;
                }
                let before = queued.fetch_sub(length, Ordering::AcqRel);
                if before >= MAX_QUEUED / 2 && before - length < MAX_QUEUED / 2 {
                    wake.notify_one();
                }
            }
        });
        writer
    }

    fn send(&self, frame: Bytes) {
        self.queued.fetch_add(frame.len(), Ordering::AcqRel);
        // The reading side notices a closed connection.
        let _ = self.queue.send(frame);
    }

    fn room(&self) -> usize {
        MAX_QUEUED.saturating_sub(self.queued.load(Ordering::Acquire))
    }
}

fn next_peer_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Driver {
    async fn run(
        mut self,
        sender: ConnectionSender,
        mut receiver: ConnectionReceiver,
        cores: Vec<Core>,
        mut inbox: mpsc::UnboundedReceiver<Core>,
    ) -> Result<(), String> {
        let writer = Writer::spawn(sender, self.wake.clone());
        cores.into_iter().for_each(|core| self.open(core));
        let mut tick = tokio::time::interval(TICK);
        let mut commands_open = true;
        loop {
            self.pump(&writer)?;
            let wake = self.wake.clone();
            tokio::select! {
                message = receiver.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    self.receive(&message)?;
                    for _ in 0..MAX_TAKEN {
                        let Some(message) = receiver.try_recv() else { break };
                        self.receive(&message)?;
                    }
                }
                core = inbox.recv(), if commands_open => match core {
                    Some(core) => self.open(core),
                    None => commands_open = false,
                },
                () = wake.notified() => {}
                _ = tick.tick() => {}
            }
        }
    }

    fn open(&mut self, core: Core) {
        let key = core.discovery_key();
        if self.by_key.contains_key(&key) {
            return;
        }
        let id = next_peer_id();
        core.attach(id, self.wake.clone());
        let peer = Peer::new(core.clone(), id, &self.info);
        let channel = self.mux.open(PROTOCOL, &key.0, &peer.handshake());
        self.channels.insert(channel, peer);
        self.by_key.insert(key, (channel, core));
    }

    fn receive(&mut self, message: &Bytes) -> Result<(), String> {
        self.mux.receive(message).map_err(|error| error.to_string())?;
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Requested { protocol, id } => self.on_requested(&protocol, &id),
                Event::Opened { channel, handshake } => {
                    if let Some(peer) = self.channels.get_mut(&channel) {
                        peer.handle_open(&handshake).map_err(|error| error.to_string())?;
                    }
                }
                Event::Message {
                    channel,
                    kind,
                    payload,
                } => {
                    if let Some(peer) = self.channels.get_mut(&channel) {
                        peer.handle_message(kind, &payload, Instant::now())
                            .map_err(|error| error.to_string())?;
                    }
                }
                Event::Closed { channel } => {
                    // Dropping the peer gives back what it was asked for. If it opens the core again, so do we.
                    if let Some(peer) = self.channels.remove(&channel) {
                        self.by_key.remove(&peer.core().discovery_key());
                    }
                }
            }
        }
        Ok(())
    }

    fn on_requested(&mut self, protocol: &str, id: &Bytes) {
        let key = <[u8; 32]>::try_from(&id[..]).ok().map(DiscoveryKey);
        match key
            .filter(|_| protocol == PROTOCOL)
            .and_then(|key| (self.lookup)(key))
        {
            Some(core) if !self.by_key.contains_key(&core.discovery_key()) => self.open(core),
            _ => self.mux.reject(protocol, id),
        }
    }

    fn pump(&mut self, writer: &Writer) -> Result<(), String> {
        let now = Instant::now();
        let active = self
            .channels
            .values()
            .filter(|peer| peer.has_uploads())
            .count()
            .max(1);
        let budget = (writer.room() / active).min(1024 * 1024);
        let mut more = false;
        for (channel, peer) in &mut self.channels {
            peer.poll(now, budget).map_err(|error| error.to_string())?;
            while let Some((kind, payload)) = peer.poll_outgoing() {
                self.mux.send(*channel, kind, &payload);
            }
            more |= peer.has_uploads();
        }
        while let Some(frame) = self.mux.poll_outgoing() {
            writer.send(frame);
        }
        if more && writer.room() > MAX_QUEUED / 2 {
            self.wake.notify_one();
        }
        Ok(())
    }
}
