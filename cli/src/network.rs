//! The swarm of a command that needs peers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use app::Link;
use base::lock;
use core_store::Core;
use corestore::Corestore;
use hypercore::{DiscoveryKey, PublicKey};
use hyperdrive::Hyperdrive;
use hyperswarm::{Discovery, JoinOptions, Sought, Swarm, SwarmConfig, Threads};
use tokio::sync::mpsc;

use crate::args::Global;

/// Threads for sockets and what is encrypted on them.
const NET_THREADS: usize = 2;

/// A swarm whose connections replicate the store.
pub(crate) struct Network {
    pub(crate) swarm: Swarm,
    /// Sockets have threads of their own: they never wait for the disk.
    _threads: Threads,
    bootstrap: Vec<String>,
    /// Blind relays that were named, as text.
    pub(crate) relays: Vec<String>,
    /// Public keys of the peers that there was a connection with, also a short one.
    met: Arc<Mutex<HashSet<PublicKey>>>,
}

/// A peer came or went.
#[derive(Debug, Clone)]
pub(crate) enum PeerChange {
    Joined(PublicKey),
    Left(PublicKey),
}

impl Network {
    /// Joins. `changes` hears of peers.
    pub(crate) async fn start(
        global: &Global,
        store: &Corestore,
        changes: Option<mpsc::UnboundedSender<PeerChange>>,
    ) -> anyhow::Result<Self> {
        let bootstrap = (!global.bootstrap.is_empty()).then(|| global.bootstrap.clone());
        let key_pair = Some(store.create_key_pair("bosc swarm")?);
        let threads =
            Threads::start("bosc-net", NET_THREADS).context("cannot start the network's threads")?;
        let config = SwarmConfig {
            key_pair,
            bootstrap,
            relays: global.relay.clone(),
            ..SwarmConfig::default()
        };
        let swarm = threads.run(Swarm::new(config)).await?;
        swarm.follow_wanting(store.storage().hunger());
        let mut connections = swarm.connections();
        let store = store.clone();
        let met = Arc::<Mutex<HashSet<PublicKey>>>::default();
        let meeting = met.clone();
        tokio::spawn(async move {
            while let Some(connection) = connections.recv().await {
                let key = connection.info().remote_public_key;
                lock(&meeting).insert(key);
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
        Ok(Self {
            swarm,
            _threads: threads,
            bootstrap: global.bootstrap.clone(),
            relays: global.relay.iter().map(ToString::to_string).collect(),
            met,
        })
    }

    /// Looks for peers of a drive.
    pub(crate) fn find(&self, drive: &Hyperdrive) -> Discovery {
        self.join(drive.discovery_key(), false)
    }

    /// Announces a drive and looks for its peers.
    pub(crate) fn serve(&self, drive: &Hyperdrive) -> Discovery {
        self.join(drive.discovery_key(), true)
    }

    /// Looks for peers of a core; with `server`, announces it as well.
    pub(crate) fn join(&self, core: DiscoveryKey, server: bool) -> Discovery {
        let options = JoinOptions { server, client: true };
        self.swarm.join(core.topic(), options)
    }

    /// Waits until a peer told of a drive with at least `length` blocks.
    ///
    /// # Errors
    /// A sentence that says what to look at, if nobody has it within `timeout`.
    pub(crate) async fn wait_for(
        &self,
        drive: &Hyperdrive,
        length: u64,
        timeout: Duration,
    ) -> anyhow::Result<()> {
        let mut events = drive.core().events();
        let wait = async {
            while drive.core().length() < length.max(1) {
                let _ = events.recv().await;
            }
        };
        if tokio::time::timeout(timeout, wait).await.is_ok() {
            return Ok(());
        }
        let link = Link::plain(drive.key());
        let found = drive.core().length();
        if found > 0 {
            bail!(
                "{link} has {found} blocks, not the {length} that the link names: is the seeder up to date?"
            );
        }
        self.expect_dht()?;
        Err(self.no_source(drive.core()))
    }

    /// Why a drive could be had from nobody: that nobody was met is said only if that is so.
    pub(crate) fn no_source(&self, entries: &Core) -> anyhow::Error {
        let met = lock(&self.met).len();
        let peers = entries.peers();
        let claiming = peers.iter().filter(|peer| peer.remote_length > 0).count();
        let link = Link::plain(entries.key());
        let connected = self.swarm.connection_count();
        if met == 0
            && let Some(text) = out_of_reach(&link, &self.swarm.sought(&entries.discovery_key().topic()))
        {
            return anyhow::anyhow!(text);
        }
        anyhow::anyhow!(nobody(&link, met, claiming, connected))
    }

    /// Fails if a DHT was named and none of its nodes answers.
    pub(crate) fn expect_dht(&self) -> anyhow::Result<()> {
        if !self.bootstrap.is_empty() && self.swarm.node().node_count() == 0 {
            let nodes = self.bootstrap.join(", ");
            bail!("no DHT node answers at {nodes}: check --bootstrap, or start one with `bosc dht`");
        }
        Ok(())
    }

    /// Learns how long a core is elsewhere, and takes that length over: waits up to `patience` for a first peer that has
    /// it, and as long again for its proof. A core that nobody has stays as it is.
    pub(crate) async fn learn(&self, core: &Core, patience: Duration) {
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
    /// within `timeout`.
    pub(crate) async fn catch_up(&self, drive: &Hyperdrive, timeout: Duration) -> anyhow::Result<bool> {
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

    /// Leaves the network.
    pub(crate) async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(3), self.swarm.destroy()).await;
    }
}

/// The words for a drive that came from nobody: `met` peers were connected at some time, `connected` are now, and `claiming`
/// of these say that they have it.
fn nobody(link: &Link, met: usize, claiming: usize, connected: usize) -> String {
    let peers = |count: usize| match count {
        1 => "1 peer".to_owned(),
        _ => format!("{count} peers"),
    };
    if claiming > 0 {
        format!(
            "{} of {link} answered, but what was sent does not verify or did not come in time: try again, or with a longer --timeout; \
             if it stays so, seed it from a machine that is known to be good",
            peers(claiming)
        )
    } else if met > 0 && connected == 0 {
        format!(
            "{} on the topic of {link} answered, and no connection lasted: what was sent does not verify, or the peer is busy or gone. \
             Try again, or run `bosc seed {link}` on the machine that has it",
            peers(met)
        )
    } else if met > 0 {
        format!(
            "{} on the topic of {link} answered, and nobody among them has it: run `bosc seed {link}` on the machine that has it",
            peers(met)
        )
    } else {
        format!(
            "nobody seeds {link}, or nobody who does could be reached: run `bosc seed {link}` on the machine that has it, and look that \
             both use the same --bootstrap"
        )
    }
}

/// The words for peers that were found but not met; none if there were none.
fn out_of_reach(link: &Link, sought: &Sought) -> Option<String> {
    let peers = match sought.found {
        0 => return None,
        1 => "1 peer".to_owned(),
        many => format!("{many} peers"),
    };
    let why = sought
        .last_failure
        .as_deref()
        .unwrap_or("they did not answer in time");
    Some(format!(
        "found {peers} of {link}, none could be reached: {why}. Try again, or with a longer --timeout; \
         if it stays so, look at the network of the machine that has it"
    ))
}

/// Ctrl-C, or what a service manager sends.
pub(crate) async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_said_of_nobody_alone() {
        let link = Link::plain(hypercore::Key([7; 32]));
        for (met, claiming, connected, says) in [
            (1, 1, 1, "1 peer of"),
            (3, 2, 2, "2 peers of"),
            (2, 0, 0, "2 peers on the topic"),
            (2, 0, 1, "nobody among them"),
        ] {
            let text = nobody(&link, met, claiming, connected);
            assert!(text.contains(says) && text.contains(&link.to_string()), "{text}");
            assert!(!text.contains("nobody seeds"), "{text}");
        }
        assert!(nobody(&link, 0, 0, 0).contains("nobody seeds"));
    }

    #[test]
    fn peers_that_were_found_but_not_reached_are_counted_and_the_reason_is_named() {
        let link = Link::plain(hypercore::Key([7; 32]));
        assert_eq!(out_of_reach(&link, &Sought::default()), None);
        let sought = Sought {
            found: 3,
            failed: 2,
            last_failure: Some("no path".into()),
            ..Sought::default()
        };
        let text = out_of_reach(&link, &sought).unwrap();
        let begin = format!("found 3 peers of {link}, none could be reached: no path");
        assert!(text.starts_with(&begin), "{text}");
    }
}
