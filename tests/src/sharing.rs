//! A crowd of apps that take one release from one seed, in this process: real runtimes, swarms and stores, and a DHT on loopback.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use app::{Link, Seeding};
use bosc_runtime::{Runtime, RuntimeConfig, UpdaterEvent};
use core_store::{Core, CoreEvent};
use corestore::Corestore;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hyperdrive::{Hyperdrive, PutOptions};
use hyperswarm::{JoinOptions, Swarm, SwarmConfig};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::peers::noise;

/// How long the apps may take to find each other, and one of them to be next to have the release.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is to happen.
#[derive(Debug, Clone)]
pub struct Crowd {
    /// Apps that take the release.
    pub apps: usize,
    /// What is new in it, in bytes.
    pub bytes: usize,
    /// What the seed's uplink carries, in bytes a second.
    pub seed_rate: u64,
    /// Whether the apps have `bosc.seed`, at its default rate.
    pub gives_back: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Bytes of contents that the seed sent, those that somebody had already among them.
    pub seed: u64,
    /// Bytes of contents that the apps have together.
    pub all: u64,
    /// When each app had the release whole, after it was made.
    pub updated: Vec<Duration>,
}

impl Outcome {
    /// The part of all that the seed sent.
    pub fn seeds_share(&self) -> f64 {
        self.seed as f64 / self.all.max(1) as f64
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        write!(
            f,
            "{} apps fetched {:.1} MB; the seed sent {:.1} MB, {:.1} %; the first was done after {:.1} s, the last after {:.1} s",
            self.updated.len(),
            self.all as f64 / 1e6,
            self.seed as f64 / 1e6,
            100.0 * self.seeds_share(),
            seconds(self.updated.iter().min()),
            seconds(self.updated.iter().max()),
        )
    }
}

/// Adds up what a core hands out.
struct Meter {
    task: JoinHandle<()>,
    bytes: Arc<AtomicU64>,
}

impl Meter {
    fn start(core: &Core) -> Self {
        let bytes = Arc::<AtomicU64>::default();
        let (mut events, sum) = (core.events(), bytes.clone());
        let task = tokio::spawn(async move {
            // What was missed is not made up, and ends it: a share would look better than it is.
            while let Ok(event) = events.recv().await {
                if let CoreEvent::Upload { bytes, .. } = event {
                    sum.fetch_add(bytes, Relaxed);
                }
            }
        });
        Self { task, bytes }
    }

    fn read(&self) -> Result<u64> {
        ensure!(!self.task.is_finished(), "a meter missed events");
        Ok(self.bytes.load(Relaxed))
    }
}

/// The seed: a store, a drive and a swarm.
struct Seed {
    drive: Hyperdrive,
    swarm: Swarm,
}

impl Seed {
    async fn start(bootstrap: &str, rate: u64) -> Result<Self> {
        let store = Corestore::in_memory()?;
        store.limit_uplink(rate);
        let drive = Hyperdrive::create(&store, "release").await?;
        let config = SwarmConfig {
            bootstrap: Some(vec![bootstrap.to_owned()]),
            ..SwarmConfig::default()
        };
        let swarm = Swarm::new(config).await?;
        let mut connections = swarm.connections();
        tokio::spawn(async move {
            while let Some(connection) = connections.recv().await {
                drop(store.replicate(connection));
            }
        });
        let both = JoinOptions::default();
        swarm.join(drive.discovery_key().topic(), both).flushed().await;
        Ok(Self { drive, swarm })
    }

    /// Writes a bundle with `bytes` of something new, and the package.json that announces it.
    async fn release(&self, version: &str, bytes: usize) -> Result<()> {
        let bundle = format!("/by-arch/{}/app/App", app::Host::current());
        let package =
            serde_json::json!({ "name": "app", "productName": "App", "version": version }).to_string();
        let program = PutOptions {
            executable: true,
            ..PutOptions::default()
        };
        let mut batch = self.drive.batch().await?;
        batch
            .put(
                &format!("{bundle}/App"),
                "#!/bin/sh\necho 'bosc: ready'\n",
                program,
            )
            .await?;
        batch
            .put(
                &format!("{bundle}/data"),
                noise(bytes, version.len() as u64 + bytes as u64),
                PutOptions::default(),
            )
            .await?;
        let inner = format!("{bundle}/resources/app/package.json");
        batch.put(&inner, package.clone(), PutOptions::default()).await?;
        batch.put("/package.json", package, PutOptions::default()).await?;
        batch.flush().await?;
        Ok(())
    }
}

async fn app(home: &Path, link: &str, bootstrap: &str, gives_back: bool) -> Result<Runtime> {
    let bundle = home.join("apps/App/resources/app");
    std::fs::create_dir_all(&bundle)?;
    std::fs::write(bundle.join("package.json"), r#"{"name":"app","version":"1.0.0"}"#)?;
    let config = RuntimeConfig {
        dir: home.join("data"),
        app: Some(home.join("apps/App")),
        name: "App".to_owned(),
        version: "1.0.0".parse()?,
        upgrade: link.parse()?,
        updates: true,
        delay: Some(Duration::ZERO),
        bootstrap: Some(vec![bootstrap.to_owned()]),
        relays: Vec::new(),
        seed: gives_back.then(Seeding::default),
    };
    Ok(Runtime::start(config).await?)
}

/// Has the apps find the seed and each other, makes the release, and waits until all have it.
///
/// # Errors
/// If something cannot be started, or no app is done for three minutes.
pub async fn meet(crowd: &Crowd) -> Result<Outcome> {
    let network = dht::local::start(Ipv4Addr::LOCALHOST.into(), 0).await?;
    let bootstrap = network.bootstrap().to_string();
    let seed = Seed::start(&bootstrap, crowd.seed_rate).await?;
    seed.release("1.0.0", 1000).await?;
    let link = Link::plain(seed.drive.key()).to_string();
    let home = tempfile::tempdir()?;
    let mut apps = Vec::new();
    for number in 0..crowd.apps {
        let home = home.path().join(number.to_string());
        apps.push(app(&home, &link, &bootstrap, crowd.gives_back).await?);
    }
    let ready = async {
        while !apps
            .iter()
            .all(|app| app.state().last_contact.is_some() && app.gives_back() == crowd.gives_back)
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .context("the apps did not find the seed, or were not announced")?;
    let before = seed.drive.blobs().await?.byte_length();
    let meter = Meter::start(&seed.drive.blobs().await?);
    let waits: Vec<_> = apps.iter().map(|app| app.events()).collect();
    seed.release("1.0.1", crowd.bytes).await?;
    let start = Instant::now();
    let waits = waits.into_iter().map(|mut events| async move {
        loop {
            match events.recv().await {
                Ok(UpdaterEvent::Updated { .. }) => return Ok(start.elapsed()),
                Ok(UpdaterEvent::Error { message, .. }) => eprintln!("updater: {message}"),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(error) => return Err(anyhow::Error::from(error)),
            }
        }
    });
    let mut waits: FuturesUnordered<_> = waits.collect();
    let mut updated = Vec::new();
    while !waits.is_empty() {
        let next = tokio::time::timeout(PATIENCE, waits.next()).await;
        let next = next.with_context(|| format!("{} of {} apps were done", updated.len(), apps.len()))?;
        updated.extend(next.transpose()?);
    }
    let fresh = seed.drive.blobs().await?.byte_length() - before;
    let outcome = Outcome {
        seed: meter.read()?,
        all: fresh * apps.len() as u64,
        updated,
    };
    futures::future::join_all(apps.iter().map(Runtime::close)).await;
    seed.swarm.destroy().await;
    network.nodes().iter().for_each(dht::Node::destroy);
    Ok(outcome)
}
