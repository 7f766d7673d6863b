//! A store and a swarm as one: whoever is met on a topic gets what the store holds of it, and the store what they have.
//!
//! The release tool and an app's updater join through this and nothing else, so that a rule about connections has one place.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod error;
mod words;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app::Link;
use base::{PublicKey, lock};
use core_store::Core;
use corestore::Corestore;
pub use error::PeersError;
use hypercore::DiscoveryKey;
use hyperdrive::Hyperdrive;
use hyperswarm::{Discovery, JoinOptions, Swarm, SwarmConfig, Threads};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Threads for sockets and what is encrypted on them: one for receiving, one for all else.
const NET_THREADS: usize = 2;

/// How long leaving may take: announcements are taken back at nodes that may be gone.
const LEAVING: Duration = Duration::from_secs(3);

/// A swarm whose connections replicate a store, and that looks for others where the store wants what no peer has. Ends with
/// [`close`](Self::close); dropped without, peers notice by silence.
pub struct Peers {
    store: Corestore,
    swarm: Swarm,
    bootstrap: Vec<String>,
    /// Whom there was a connection with, also a short one.
    met: Arc<Mutex<HashSet<PublicKey>>>,
    accepting: AbortHandle,
    /// Sockets have threads of their own: they never wait for the disk.
    _threads: Threads,
}

/// A peer came or went.
#[derive(Debug, Clone)]
pub enum PeerChange {
    /// There is a connection with it.
    Joined(PublicKey),
    /// There is none any more.
    Left(PublicKey),
}

impl Peers {
    /// Joins the network; no topic yet. Connections replicate on the runtime that this is called on. `changes` hears of peers.
    ///
    /// # Errors
    /// If there are no threads or no sockets to be had.
    pub async fn join(
        store: &Corestore,
        config: SwarmConfig,
        changes: Option<mpsc::UnboundedSender<PeerChange>>,
    ) -> Result<Self, PeersError> {
        let threads = Threads::start("bosc-net", NET_THREADS).map_err(PeersError::Threads)?;
        let bootstrap = config.bootstrap.clone().unwrap_or_default();
        let swarm = threads.run(Swarm::new(config)).await?;
        swarm.follow_wanting(store.storage().hunger());
        let met = Arc::default();
        let accepting = accept(store.clone(), &swarm, Arc::clone(&met), changes);
        Ok(Self {
            store: store.clone(),
            swarm,
            bootstrap,
            met,
            accepting,
            _threads: threads,
        })
    }

    /// The store that fills.
    pub fn store(&self) -> &Corestore {
        &self.store
    }

    /// The swarm, for what it alone knows.
    pub fn swarm(&self) -> &Swarm {
        &self.swarm
    }

    /// Looks for peers of a drive from now on; what is returned need not be kept.
    pub fn find(&self, drive: &Hyperdrive) -> Discovery {
        self.look_for(drive.discovery_key(), false)
    }

    /// Announces a drive and looks for its peers from now on.
    pub fn serve(&self, drive: &Hyperdrive) -> Discovery {
        self.look_for(drive.discovery_key(), true)
    }

    /// Looks for peers of a core from now on; with `server`, announces it as well.
    pub fn look_for(&self, core: DiscoveryKey, server: bool) -> Discovery {
        let options = JoinOptions { server, client: true };
        self.swarm.join(core.topic(), options)
    }

    /// Waits until a peer has proven that a drive has at least `length` blocks. May be dropped at any time.
    ///
    /// # Errors
    /// A sentence that says what to look at, if nobody has it within `timeout`.
    pub async fn wait_for(
        &self,
        drive: &Hyperdrive,
        length: u64,
        timeout: Duration,
    ) -> Result<(), PeersError> {
        let mut events = drive.core().events();
        let wait = async {
            while drive.core().length() < length.max(1) {
                let _ = events.recv().await;
            }
        };
        if tokio::time::timeout(timeout, wait).await.is_ok() {
            return Ok(());
        }
        let found = drive.core().length();
        if found > 0 {
            return Err(PeersError::Behind {
                key: drive.key(),
                found,
                length,
            });
        }
        self.expect_dht()?;
        Err(self.no_source(drive.core()))
    }

    /// Why a drive could be had from nobody: that nobody was met is said only if that is so.
    pub fn no_source(&self, entries: &Core) -> PeersError {
        let met = lock(&self.met).len();
        let peers = entries.peers();
        let claiming = peers.iter().filter(|peer| peer.remote_length > 0).count();
        let link = Link::plain(entries.key());
        let connected = self.swarm.connection_count();
        if met == 0
            && let Some(text) =
                words::out_of_reach(&link, &self.swarm.sought(&entries.discovery_key().topic()))
        {
            return PeersError::NoSource(text);
        }
        PeersError::NoSource(words::nobody(
            &link,
            met,
            claiming,
            connected,
            !self.bootstrap.is_empty(),
        ))
    }

    /// Fails if a DHT was named and none of its nodes answers.
    ///
    /// # Errors
    /// [`PeersError::NoDht`].
    pub fn expect_dht(&self) -> Result<(), PeersError> {
        if !self.bootstrap.is_empty() && self.swarm.node().node_count() == 0 {
            return Err(PeersError::NoDht(self.bootstrap.join(", ")));
        }
        Ok(())
    }

    /// Learns how long a core is elsewhere, and takes that length over: waits up to `patience` for a first peer that has
    /// it, and as long again for its proof. A core that nobody has stays as it is. May be dropped at any time.
    pub async fn learn(&self, core: &Core, patience: Duration) {
        let mut events = core.events();
        let longest = || core.peers().iter().map(|peer| peer.remote_length).max();
        let told = async {
            while longest().is_none_or(|length| length == 0) {
                let _ = events.recv().await;
            }
        };
        if tokio::time::timeout(patience, told).await.is_err() {
            return;
        }
        let proven = async {
            while longest().is_some_and(|length| core.length() < length) {
                let _ = events.recv().await;
            }
        };
        let _ = tokio::time::timeout(patience, proven).await;
    }

    /// Looks for a newer version of a drive of which some version is stored already. False if no peer could be asked
    /// within `timeout`. May be dropped at any time.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn catch_up(&self, drive: &Hyperdrive, timeout: Duration) -> Result<bool, PeersError> {
        let discovery = self.find(drive);
        let mut events = drive.core().events();
        let found = async {
            discovery.flushed().await;
            self.swarm.flush().await;
            // A connection has yet to say whether it carries this drive.
            while drive.core().peers().is_empty() && self.swarm.connection_count() > 0 {
                let _ = events.recv().await;
            }
            drive.core().update(false).await
        };
        match tokio::time::timeout(timeout, found).await {
            Ok(result) => {
                result?;
                Ok(!drive.core().peers().is_empty())
            }
            Err(_) => Ok(false),
        }
    }

    /// Leaves the network, within three seconds. The store stays open.
    pub async fn close(&self) {
        self.accepting.abort();
        let _ = tokio::time::timeout(LEAVING, self.swarm.destroy()).await;
    }
}

/// Replicates with everybody who is met.
fn accept(
    store: Corestore,
    swarm: &Swarm,
    met: Arc<Mutex<HashSet<PublicKey>>>,
    changes: Option<mpsc::UnboundedSender<PeerChange>>,
) -> AbortHandle {
    let mut connections = swarm.connections();
    let task = Handle::current().spawn(async move {
        while let Some(connection) = connections.recv().await {
            let key = connection.info().remote_public_key;
            lock(&met).insert(key);
            let replication = store.replicate(connection);
            if let Some(changes) = changes.clone() {
                let _ = changes.send(PeerChange::Joined(key));
                tokio::spawn(async move {
                    // Why it ended is logged where it ends.
                    let _ = replication.closed().await;
                    let _ = changes.send(PeerChange::Left(key));
                });
            }
        }
    });
    task.abort_handle()
}
