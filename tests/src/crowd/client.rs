//! The clients of a crowd, many in one process: each with a swarm, a key and a store of its own, as an app has them.
//!
//! The process is told what to do by files in its folder, and says on stdout how far it is.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use app::Link;
use core_store::DownloadRange;
use corestore::Corestore;
use hyperdrive::Hyperdrive;
use hyperswarm::{JoinOptions, Swarm, SwarmConfig};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Arrival, GO, LEAVE};
use crate::watch::Watched;

const POLL: Duration = Duration::from_millis(10);

/// What the clients of one process do.
#[derive(Debug, Clone)]
pub struct Group {
    /// The DHT's address.
    pub bootstrap: String,
    /// What they fetch.
    pub link: Link,
    /// Where the stores go, and the files that tell them what to do.
    pub folder: PathBuf,
    /// The number of the first of them.
    pub first: usize,
    /// How many they are.
    pub count: usize,
    /// Whether they stay connected when they have everything, until they are told to leave.
    pub stay: bool,
}

struct Client {
    swarm: Swarm,
    store: Corestore,
    drive: Hyperdrive,
    folder: PathBuf,
}

/// Runs a group to its end.
///
/// # Errors
/// If a client cannot start, or what it fetches fails.
pub async fn run(group: Group) -> Result<()> {
    let mut clients = Vec::new();
    for number in group.first..group.first + group.count {
        clients.push((number, Client::prepare(&group, number).await?));
    }
    println!("prepared");
    appears(&group.folder, GO).await;
    let before = Watched(std::process::id()).cpu()?;
    let go = Instant::now();
    let mut fetching = JoinSet::new();
    for (number, client) in clients {
        let stay = group.stay;
        fetching.spawn(async move {
            let arrival = client.fetch(number, go).await?;
            println!("{arrival}");
            if stay {
                return anyhow::Ok(Some(client));
            }
            client.leave().await?;
            Ok(None)
        });
    }
    let mut staying = Vec::new();
    while let Some(fetched) = fetching.join_next().await {
        staying.extend(fetched??);
    }
    let spent = Watched(std::process::id()).cpu()?.saturating_sub(before);
    println!("spent {}", spent.as_millis());
    if group.stay {
        appears(&group.folder, LEAVE).await;
        let leaving = staying.into_iter().map(Client::leave);
        futures::future::try_join_all(leaving).await?;
        println!("left");
    }
    Ok(())
}

impl Client {
    async fn prepare(group: &Group, number: usize) -> Result<Self> {
        let folder = group.folder.join(format!("client-{number}"));
        let store = Corestore::open_alone(&folder)?;
        let config = SwarmConfig {
            bootstrap: Some(vec![group.bootstrap.clone()]),
            ..SwarmConfig::default()
        };
        let swarm = Swarm::new(config).await?;
        swarm.follow_wanting(store.storage().hunger());
        Ok(Self {
            swarm,
            drive: Hyperdrive::open(&store, group.link.key).await?,
            store,
            folder,
        })
    }

    /// Fetches all there is.
    async fn fetch(&self, number: usize, go: Instant) -> Result<Arrival> {
        let mut connections = self.swarm.connections();
        let store = self.store.clone();
        let (met, mut first) = tokio::sync::watch::channel((0, Duration::ZERO));
        let replicating = tokio::spawn(async move {
            while let Some(connection) = connections.recv().await {
                store.replicate(connection);
                met.send_modify(|(count, at)| {
                    *count += 1;
                    *at = if *count == 1 { go.elapsed() } else { *at };
                });
            }
        });
        let options = JoinOptions {
            server: false,
            client: true,
        };
        self.swarm.join(self.drive.discovery_key().topic(), options);
        let fetched = self.everything().await;
        fetched.with_context(|| format!("client {number}"))?;
        let (connections, connected) = *first.borrow_and_update();
        ensure!(!replicating.is_finished(), "the swarm of client {number} ended");
        Ok(Arrival {
            number,
            connected,
            done: go.elapsed(),
            connections,
            failures: u32::try_from(self.swarm.stats().total.failed)?,
        })
    }

    async fn everything(&self) -> Result<()> {
        let core = self.drive.core();
        let mut events = core.events();
        while core.length() == 0 {
            let _ = events.recv().await;
        }
        let blobs = self.drive.blobs().await?;
        let mut events = blobs.events();
        while blobs.length() == 0 {
            let _ = events.recv().await;
        }
        let range = |length| DownloadRange {
            start: 0,
            end: Some(length),
        };
        core.download(range(core.length())).done().await?;
        blobs.download(range(blobs.length())).done().await?;
        Ok(())
    }

    /// Leaves as a program does that ends in good order, and gives back what it took of the disk.
    async fn leave(self) -> Result<()> {
        self.swarm.destroy().await;
        self.store.close()?;
        drop((self.drive, self.store));
        Ok(std::fs::remove_dir_all(&self.folder)?)
    }
}

async fn appears(folder: &Path, name: &str) {
    while !folder.join(name).exists() {
        sleep(POLL).await;
    }
}
