//! Pumps one connection: protomux channels in, [`Peer`]s behind them. What a peer wants done with the store is done on a thread
//! for such work, one batch of a connection at a time, so that sockets never wait for a disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hypercore::DiscoveryKey;
use hypercore::messages::PROTOCOL;
use hypercore::messages::kind::DATA;
use hypercore::replication::{Action, Change, Done, Handshake, Job, Peer, PeerError, View};
use protomux::{ChannelId, Event, Mux, MuxError};
use secret_stream::{Connection, ConnectionInfo, ConnectionReceiver, ConnectionSender};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::allowance::Allowance;
use super::core_view::{CoreView, work_all};
use super::outbound::{ALL, MAX_BACKLOG, Outbound};
use super::uplink::{SharedUplink, Turns};
use crate::{Core, CoreError, CoreEvent};

/// What one batch of the store's work may read for the peer.
const MAX_BATCH: usize = 1024 * 1024;
/// Messages taken in before answering, so that answers leave in batches, and others have their turn.
const MAX_TAKEN: usize = 64;
/// Events of those messages looked at before others have their turn. A frame of 16 MiB can hold millions.
const MAX_EVENTS: usize = 1024;
/// Answers of the peer that wait to be verified before we stop reading, and as much again is being verified. They are blocks of up
/// to 15 MiB, and lie in memory; one batch hashes as fast with a few of them as with many.
const MAX_UNVERIFIED: usize = 2 * 1024 * 1024;
const TICK: Duration = Duration::from_millis(500);
/// What a channel that a peer opens costs, as that many of the smallest messages: the store is asked for a core, and an answer sent.
const COST_OF_OPENING: u32 = 8;
/// How long what a peer sent before it closed is still looked at: what it sent last may be what we asked for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Finds the core with a discovery key that a peer asks for; `None` refuses.
pub type Lookup = Arc<dyn Fn(DiscoveryKey) -> Option<Core> + Send + Sync>;

/// Why a replication ended other than by a closed connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicationError {
    /// The peer broke the rules, or lied.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The peer broke the rules of the channels below.
    #[error(transparent)]
    Channel(#[from] MuxError),
    /// Our store failed. Not the peer's fault.
    #[error(transparent)]
    Store(#[from] CoreError),
}

impl ReplicationError {
    /// Whether the peer is to blame: it should not be dialled again at once.
    pub fn is_peers_fault(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

/// What a replication came to: `None` while it runs.
type Ended = Option<Result<(), ReplicationError>>;

/// A running replication of one connection. It goes on when this handle is dropped; [`close`](Self::close) ends it.
#[derive(Clone)]
pub struct Replication {
    commands: mpsc::UnboundedSender<Core>,
    info: ConnectionInfo,
    closer: ConnectionSender,
    ended: watch::Receiver<Ended>,
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

    /// Waits for the end. Cancel safe.
    ///
    /// # Errors
    /// If it did not end because the connection was closed: by whose fault.
    pub async fn closed(&self) -> Result<(), ReplicationError> {
        let mut ended = self.ended.clone();
        let outcome = ended.wait_for(Option::is_some).await;
        outcome.ok().and_then(|ended| ended.clone()).unwrap_or(Ok(()))
    }
}

/// Replicates over `connection`: the `cores` given, those attached later, and those that the peer asks for and `lookup` finds.
/// Needs a tokio runtime.
pub fn replicate(connection: Connection, cores: Vec<Core>, lookup: Lookup) -> Replication {
    replicate_within(connection, cores, lookup, None)
}

/// As [`replicate`]; with `uplink`, blocks are handed out as fast as that allows for all connections that have it.
pub fn replicate_within(
    connection: Connection,
    cores: Vec<Core>,
    lookup: Lookup,
    uplink: Option<SharedUplink>,
) -> Replication {
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
    let mut driver = Driver {
        info,
        mux: Mux::new(),
        channels: HashMap::new(),
        by_key: HashMap::new(),
        wake: Arc::new(Notify::new()),
        lookup,
        jobs: Vec::new(),
        unverified: 0,
        allowance: Allowance::new(Instant::now()),
        turns: uplink.map(Turns::new),
    };
    let span = tracing::error_span!("conn", peer = %driver.info.remote_public_key.short());
    let replicating = async move {
        let outcome = driver.run(sender.clone(), receiver, cores, inbox).await;
        if let Err(error) = &outcome {
            tracing::warn!(%error, "ended a replication");
        }
        driver.close();
        match &outcome {
            // Whoever dials for us keeps it out for a while.
            Err(error) if error.is_peers_fault() => sender.close_as_liar(&error.to_string()),
            _ => sender.close(),
        }
        let _ = end.send(Some(outcome));
    };
    tokio::spawn(replicating.instrument(span));
    replication
}

/// A core on this connection.
struct Channel {
    core: Core,
    peer: Peer,
    /// Number of the peer at the core.
    id: u64,
    events: broadcast::Receiver<CoreEvent>,
}

impl Channel {
    /// Hears of what happened to the core.
    fn look(&mut self) {
        loop {
            let change = match self.events.try_recv() {
                Ok(CoreEvent::Truncate { length, .. }) => Change::Truncated(length),
                Ok(CoreEvent::Append { length }) => Change::Grown(length),
                Ok(CoreEvent::Download { index, .. }) => Change::Stored(index),
                Ok(_) => continue,
                Err(TryRecvError::Lagged(_)) => Change::Missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            self.peer.handle_change(change);
        }
    }
}

/// A job for the store, with the core it is about and whom to tell.
struct Task {
    channel: ChannelId,
    id: u64,
    core: Core,
    job: Job,
}

/// What came of a batch: for each job whom to tell.
type Results = Vec<(ChannelId, u64, Result<Done, CoreError>)>;

struct Driver {
    info: ConnectionInfo,
    mux: Mux,
    channels: HashMap<ChannelId, Channel>,
    by_key: HashMap<DiscoveryKey, ChannelId>,
    wake: Arc<Notify>,
    lookup: Lookup,
    /// What the store is to do next.
    jobs: Vec<Task>,
    /// Bytes of answers among those jobs.
    unverified: usize,
    allowance: Allowance,
    /// `None`: blocks are handed out as fast as the peer takes them.
    turns: Option<Turns>,
}

/// Starts the task that writes frames to the connection, in order.
fn spawn_writer(sender: ConnectionSender) -> mpsc::UnboundedSender<Bytes> {
    let (queue, mut frames) = mpsc::unbounded_channel::<Bytes>();
    tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    queue
}

fn handshake(info: &ConnectionInfo) -> Handshake {
    Handshake {
        is_initiator: info.is_initiator,
        hash: info.handshake_hash,
        remote_public_key: info.remote_public_key,
    }
}

fn next_peer_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Driver {
    async fn run(
        &mut self,
        sender: ConnectionSender,
        mut receiver: ConnectionReceiver,
        cores: Vec<Core>,
        mut inbox: mpsc::UnboundedReceiver<Core>,
    ) -> Result<(), ReplicationError> {
        let frames = spawn_writer(sender);
        let mut outbound = Outbound::new(&ALL, self.wake.clone());
        cores.into_iter().for_each(|core| self.open(core));
        let mut tick = tokio::time::interval(TICK);
        let mut commands_open = true;
        let mut working: Option<JoinHandle<Results>> = None;
        // Also heard of while the connection is not read.
        let closed = receiver.closed();
        tokio::pin!(closed);
        let mut ends = None;
        loop {
            self.pump(&frames, &mut outbound);
            if working.is_none() && !self.jobs.is_empty() {
                working = Some(self.work(outbound.room().min(MAX_BATCH)));
            }
            let backlog = self.mux.has_backlog();
            let ready = self.allowance.ready_at(Instant::now());
            let turn = self.turns.as_ref().and_then(Turns::ready_at);
            let reads =
                outbound.queued() < MAX_BACKLOG && self.unverified < MAX_UNVERIFIED && ready.is_none();
            let wake = self.wake.clone();
            tokio::select! {
                results = join(&mut working) => {
                    working = None;
                    self.on_results(results)?;
                }
                () = std::future::ready(()), if backlog && reads => {
                    self.look_at_events()?;
                    tokio::task::yield_now().await;
                }
                message = receiver.recv(), if !backlog && reads => {
                    let Some(message) = message else { return Ok(()) };
                    self.mux.receive(&message)?;
                    self.look_at_events()?;
                    for _ in 0..MAX_TAKEN {
                        if self.mux.has_backlog()
                            || self.unverified >= MAX_UNVERIFIED
                            || self.allowance.ready_at(Instant::now()).is_some()
                        {
                            break;
                        }
                        let Some(message) = receiver.try_recv() else { break };
                        self.mux.receive(&message)?;
                        self.look_at_events()?;
                    }
                }
                reason = &mut closed, if ends.is_none() => {
                    if !reads {
                        tracing::debug!(%reason, "a connection closed while it was not read");
                        return Ok(());
                    }
                    ends = Some(Instant::now() + LAST_WORDS);
                }
                () = sleep_until(ends), if ends.is_some() => return Ok(()),
                core = inbox.recv(), if commands_open => match core {
                    Some(core) => self.open(core),
                    None => commands_open = false,
                },
                () = sleep_until(ready), if ready.is_some() => {}
                () = sleep_until(turn), if turn.is_some() => {}
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
        let events = core.events();
        let peer = Peer::new(core.key(), CoreView(&core).head(), &handshake(&self.info));
        let channel = self.mux.open(PROTOCOL, &key.0, &peer.handshake());
        let opened = Channel {
            core,
            peer,
            id,
            events,
        };
        self.channels.insert(channel, opened);
        self.by_key.insert(key, channel);
    }

    /// Gives back what a core's peer held. If the peer opens the core again, so do we.
    fn forget(&mut self, channel: ChannelId) {
        if let Some(mut gone) = self.channels.remove(&channel) {
            self.by_key.remove(&gone.core.discovery_key());
            gone.peer.close(&mut CoreView(&gone.core));
            gone.core.detach(gone.id);
        }
    }

    fn close(&mut self) {
        let channels: Vec<ChannelId> = self.channels.keys().copied().collect();
        channels.into_iter().for_each(|channel| self.forget(channel));
    }

    /// Looks at some of what arrived.
    fn look_at_events(&mut self) -> Result<(), ReplicationError> {
        let now = Instant::now();
        for _ in 0..MAX_EVENTS {
            if self.allowance.ready_at(now).is_some() {
                break;
            }
            let Some(event) = self.mux.poll_event() else { break };
            let mut cost = 1;
            match event {
                Event::Requested { protocol, id } => {
                    cost = COST_OF_OPENING;
                    self.on_requested(&protocol, &id);
                }
                Event::Opened { channel, handshake } => {
                    if let Some(opened) = self.channels.get_mut(&channel) {
                        opened.peer.handle_open(&handshake)?;
                    }
                }
                Event::Message {
                    channel,
                    kind,
                    payload,
                } => {
                    if let Some(Channel { core, peer, .. }) = self.channels.get_mut(&channel) {
                        cost = peer.handle_message(kind, &payload, now, &mut CoreView(core))?;
                        self.act(channel);
                    }
                }
                Event::Closed { channel } => self.forget(channel),
            }
            self.allowance.spend(cost);
        }
        Ok(self.mux.check()?)
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

    /// Does what a peer wants done: sends, and puts aside what the store is to do.
    fn act(&mut self, channel: ChannelId) {
        let Some(Channel { core, peer, id, .. }) = self.channels.get_mut(&channel) else {
            return;
        };
        while let Some(action) = peer.poll_action() {
            match action {
                Action::Send(kind, payload) => {
                    if let Some(turns) = self.turns.as_mut().filter(|_| kind == DATA) {
                        turns.spend(payload.len());
                    }
                    self.mux.send_owned(channel, kind, payload);
                }
                Action::Publish(info) => core.set_peer(*id, info),
                Action::Store(job) => {
                    self.unverified += size(&job);
                    self.jobs.push(Task {
                        channel,
                        id: *id,
                        core: core.clone(),
                        job,
                    });
                }
            }
        }
    }

    fn pump(&mut self, frames: &mpsc::UnboundedSender<Bytes>, outbound: &mut Outbound) {
        let now = Instant::now();
        let active = self
            .channels
            .values()
            .filter(|channel| channel.peer.has_uploads())
            .count();
        outbound.take_part(active > 0 || !self.jobs.is_empty());
        let turn = self
            .turns
            .as_mut()
            .map_or(MAX_BATCH, |turns| turns.budget(now, active > 0));
        let budget = (outbound.room().min(turn) / active.max(1)).min(MAX_BATCH);
        let open = self.turns.as_ref().is_none_or(Turns::is_open);
        let channels: Vec<ChannelId> = self.channels.keys().copied().collect();
        for channel in channels {
            if let Some(opened) = self.channels.get_mut(&channel) {
                opened.look();
                opened.peer.set_uploading(open);
                opened.peer.poll(now, budget, &mut CoreView(&opened.core));
            }
            self.act(channel);
        }
        while let Some(frame) = self.mux.poll_outgoing() {
            // The reading side notices a closed connection.
            let _ = frames.send(outbound.count(frame));
        }
    }

    /// Has the store do what waits.
    fn work(&mut self, mut budget: usize) -> JoinHandle<Results> {
        let tasks = std::mem::take(&mut self.jobs);
        self.unverified = 0;
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let _here = span.entered();
            let (tell, jobs): (Vec<_>, Vec<_>) = tasks
                .into_iter()
                .map(|task| ((task.channel, task.id), (task.core, task.job)))
                .unzip();
            let done = work_all(jobs, &mut budget);
            let told = tell.into_iter().zip(done);
            told.map(|((channel, id), done)| (channel, id, done)).collect()
        })
    }

    fn on_results(&mut self, results: Results) -> Result<(), ReplicationError> {
        let now = Instant::now();
        for (channel, id, done) in results {
            let done = done?;
            // A channel that was closed and opened again has another peer.
            if let Some(Channel { core, peer, .. }) =
                self.channels.get_mut(&channel).filter(|opened| opened.id == id)
            {
                peer.handle_done(done, now, &mut CoreView(core))?;
                self.act(channel);
            }
        }
        Ok(())
    }
}

/// What a job holds in memory that came from the peer.
fn size(job: &Job) -> usize {
    match job {
        Job::Verify { data, .. } => data.block.as_ref().map_or(0, |block| block.value.len()),
        _ => 0,
    }
}

/// Waits until then; for ever if it is never. Cancel safe.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for the work in progress; for ever if there is none. Cancel safe.
async fn join(working: &mut Option<JoinHandle<Results>>) -> Results {
    match working {
        // It only fails if it panicked or the runtime ends.
        Some(handle) => handle.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
