//! The runtime: store, swarm and drive of one app.

mod follow;
mod give_back;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app::{Folders, Host, Link, Seeding, layout};
use base::{PublicKey, lock};
use corestore::Corestore;
use hyperdrive::Hyperdrive;
use hyperswarm::{Discovery, SwarmConfig, Threads};
use peers::Peers;
use semver::Version;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use self::give_back::{Giving, PEERS, Part};
use crate::bundle::{self, Staged};
use crate::check::{self, Release};
use crate::error::{ApplyError, RuntimeError};
use crate::file;
use crate::words::Told;

/// Threads for the store and the updater. They may wait for the disk.
const WORK_THREADS: usize = 2;

/// What the runtime of an app needs to know.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// The app's data folder, in which [`Folders`] says what is where.
    pub dir: PathBuf,
    /// The installed bundle, which updates replace; `None` in development, where there are no updates.
    pub app: Option<PathBuf>,
    /// Name of the bundle on the drive, by [`app::Layout::bundle_name`].
    pub name: String,
    /// The running version.
    pub version: Version,
    /// The link to follow. Of a versioned link only the key counts.
    pub upgrade: Link,
    /// Whether to look for updates. Without, no socket and no store is opened.
    pub updates: bool,
    /// Longest random delay before a release is looked at; `None` is one hour, zero is at once.
    pub delay: Option<Duration>,
    /// DHT nodes to start from; `None` is the public network.
    pub bootstrap: Option<Vec<String>>,
    /// Blind relays to meet seeders at to whom no way opens.
    pub relays: Vec<PublicKey>,
    /// Serve what this app has of its release to others; `None`: it does not. Without updates it never does.
    pub seed: Option<Seeding>,
}

/// Something happened to the updater. Serializes as an object with `name` and the fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum UpdaterEvent {
    /// The drive grew; it will be looked at within the nominal delay.
    UpdateScheduled {
        /// Milliseconds.
        delay: u64,
    },
    /// A newer version is being staged.
    Updating {
        /// It.
        next_version: String,
    },
    /// A file of it was staged.
    UpdatingDelta {
        /// `add`, `change` or `remove`.
        op: String,
        /// Path on the drive.
        key: String,
        /// Bytes of the file.
        bytes_added: u64,
        /// Bytes staged so far.
        bytes: u64,
        /// Bytes of the whole bundle.
        total_bytes: u64,
    },
    /// A newer version is staged whole and can be applied.
    Updated {
        /// It.
        next_version: String,
        /// The drive's length.
        length: u64,
        /// The drive's fork.
        fork: u64,
    },
    /// The drive's history was rewritten: its owner cut it and went on, or somebody who has the owner's key did. What is
    /// on the new fork is followed.
    Forked {
        /// The drive's fork.
        fork: u64,
        /// The fork that was seen before.
        before: u64,
    },
    /// A check or a download failed; it is tried again.
    Error {
        /// A sentence for a person; the log has paths and causes.
        message: String,
        /// A constant to tell errors apart by, such as `UPDATE_NO_ROOM`.
        code: String,
    },
}

impl From<Told> for UpdaterEvent {
    fn from(Told { code, message }: Told) -> Self {
        Self::Error {
            message,
            code: code.to_owned(),
        }
    }
}

/// Where the updater is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdaterState {
    /// The running version.
    pub version: String,
    /// A newer version is being staged.
    pub updating: bool,
    /// A newer version is ready.
    pub updated: bool,
    /// It was put in place; the next start runs it.
    pub applied: bool,
    /// The version that is being staged or ready.
    pub next_version: Option<String>,
    /// The version on the drive is this one, which did not start here before: it is only tried again if asked to.
    pub taken_back: Option<String>,
    /// When a peer was last there that had the drive as far as it was known: milliseconds since 1970; `None` if not in this
    /// start. An app that hears from nobody for days may be kept from its updates.
    pub last_contact: Option<u64>,
    /// What failed last, if nothing succeeded since: a sentence for a person.
    pub last_error: Option<String>,
}

/// Counts of an app's network and store, of now and since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuntimeStats {
    /// Connections and what came of looking for peers.
    pub swarm: hyperswarm::Stats,
    /// Blocks sent, received and mended.
    pub store: core_store::Stats,
}

struct Ready {
    release: Release,
    bundle: Staged,
}

struct Inner {
    config: RuntimeConfig,
    state: Mutex<UpdaterState>,
    ready: Mutex<Option<Ready>>,
    /// One swap at a time.
    applying: tokio::sync::Mutex<()>,
    events: broadcast::Sender<UpdaterEvent>,
    network: Option<(Peers, Hyperdrive)>,
    /// How much of an update is staged.
    staged_bytes: AtomicU64,
    /// A check is wanted at once.
    look_again: Notify,
    giving: Giving,
    stop: CancellationToken,
}

/// The runtime of one app. Clones share it. [`close`](Self::close) ends it.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
    /// Disk and hashes have threads of their own, as sockets have: whoever embeds this keeps its own for its page.
    _threads: Option<Arc<Threads>>,
}

impl Runtime {
    /// Starts. With updates on and an installed app it opens the store in the data folder and joins the swarm.
    ///
    /// # Errors
    /// If the store, the drive or the swarm cannot be opened.
    pub async fn start(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        Self::start_with(config, Giving::default()).await
    }

    async fn start_with(config: RuntimeConfig, giving: Giving) -> Result<Self, RuntimeError> {
        let follow = config.updates && config.app.is_some();
        let mut following = None;
        if follow {
            let work = Threads::start("bosc-work", WORK_THREADS).map_err(|source| RuntimeError::Io {
                path: config.dir.clone(),
                source,
            })?;
            let config = config.clone();
            let connected = work.run(async move { connect(&config).await }).await?;
            following = Some((connected, work));
        }
        let state = UpdaterState {
            version: config.version.to_string(),
            updating: false,
            updated: false,
            applied: false,
            next_version: None,
            taken_back: None,
            last_contact: None,
            last_error: None,
        };
        let (network, discovery, threads) = match following {
            Some(((peers, drive, discovery), work)) => (Some((peers, drive)), Some(discovery), Some(work)),
            None => (None, None, None),
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            ready: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
            events: broadcast::Sender::new(1024),
            network,
            staged_bytes: AtomicU64::new(0),
            look_again: Notify::new(),
            giving,
            stop: CancellationToken::new(),
            config,
        });
        if let (Some((peers, drive)), Some(discovery), Some(work)) = (&inner.network, discovery, &threads) {
            if let Some(Seeding { rate }) = inner.config.seed {
                let part = Part {
                    swarm: peers.swarm().clone(),
                    topic: drive.discovery_key().topic(),
                    uplink: peers.store().limit_uplink(rate),
                    handles: vec![discovery],
                };
                work.handle().spawn(inner.clone().give_back(part));
            }
            work.handle().spawn(inner.clone().follow(drive.clone()));
        }
        Ok(Self {
            inner,
            _threads: threads.map(Arc::new),
        })
    }

    /// Events from now on.
    pub fn events(&self) -> broadcast::Receiver<UpdaterEvent> {
        self.inner.events.subscribe()
    }

    /// Where the updater is now, for a window that was not there when it was told.
    pub fn state(&self) -> UpdaterState {
        if self
            .inner
            .network
            .iter()
            .any(|(_, drive)| follow::has_seeder(drive))
        {
            self.inner.heard();
        }
        lock(&self.inner.state).clone()
    }

    /// Counts of the network and the store; `None` if updates are not looked for.
    pub fn stats(&self) -> Option<RuntimeStats> {
        let (peers, _) = self.inner.network.as_ref()?;
        Some(RuntimeStats {
            swarm: peers.swarm().stats(),
            store: peers.store().storage().stats(),
        })
    }

    /// The folder for the app's own data.
    pub fn app_storage(&self) -> PathBuf {
        Folders(&self.inner.config.dir).app_storage()
    }

    /// Puts the staged version in place of the running bundle; returns after the swap. `false`: there was none to apply, or it
    /// is in place already.
    pub async fn apply_update(&self) -> Result<bool, ApplyError> {
        let _one_at_a_time = self.inner.applying.lock().await;
        let Some(app) = self.inner.config.app.clone() else {
            return Err(ApplyError::NotInstalled);
        };
        let Some(ready) = lock(&self.inner.ready).take() else {
            return Ok(false);
        };
        let (dir, from) = (
            self.inner.config.dir.clone(),
            self.inner.config.version.to_string(),
        );
        let (bundle, to) = (ready.bundle.clone(), ready.release.version.to_string());
        let span = tracing::error_span!("update", %from, %to);
        let done = tokio::task::spawn_blocking(move || {
            span.in_scope(|| bundle::apply(&dir, &app, &bundle, &from, &to))
        })
        .await;
        match done {
            Ok(Ok(())) => {
                lock(&self.inner.state).applied = true;
                Ok(true)
            }
            Ok(Err(
                error @ (ApplyError::CannotRun { .. }
                | ApplyError::NotNewer { .. }
                | ApplyError::Altered { .. }),
            )) => {
                discard(&self.inner.next_dir(), &ready.release);
                let told = error.told();
                {
                    let mut state = lock(&self.inner.state);
                    state.updated = false;
                    state.next_version = None;
                    state.last_error = Some(told.message.clone());
                }
                self.inner.emit(told.into());
                self.inner.look_again.notify_one();
                Err(error)
            }
            Ok(Err(error)) => {
                // It can be tried again.
                *lock(&self.inner.ready) = Some(ready);
                Err(error)
            }
            Err(panic) => {
                let path = self.inner.config.dir.clone();
                Err(ApplyError::Io {
                    path,
                    source: std::io::Error::other(panic),
                })
            }
        }
    }

    /// Whether this app is announced as one that serves its release.
    pub fn gives_back(&self) -> bool {
        self.inner.giving.is_announced()
    }

    /// Tells whether the connection is metered; `None` if that is not known, which is so at first. Nothing is served over one that is.
    /// Whoever embeds this is asked because the system's answer comes over its desktop's ways.
    pub fn set_metered(&self, metered: Option<bool>) {
        self.inner.giving.set_metered(metered);
    }

    /// Installs versions again that were taken back because they did not start, and looks for one at once. Whether there were any.
    ///
    /// # Errors
    /// If the note in the app's data folder cannot be written.
    pub async fn retry_update(&self) -> std::io::Result<bool> {
        let dir = self.inner.config.dir.clone();
        let forgiven = tokio::task::spawn_blocking(move || bundle::forgive(&dir)).await;
        let any = forgiven.map_err(std::io::Error::other)??;
        lock(&self.inner.state).taken_back = None;
        self.inner.look_again.notify_one();
        Ok(any)
    }

    /// Stops following, leaves the swarm and closes the store.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        if let Some(stats) = self.stats() {
            tracing::info!(?stats, "stops looking for updates");
        }
        if let Some((peers, _)) = &self.inner.network {
            peers.close().await;
            if let Err(error) = peers.store().close() {
                tracing::error!(%error, "could not close the store");
            }
        }
    }
}

async fn connect(config: &RuntimeConfig) -> Result<(Peers, Hyperdrive, Discovery), RuntimeError> {
    let folders = Folders(&config.dir);
    let next = folders.next();
    if let Some(app) = &config.app {
        bundle::secure_previous(&config.dir, app, &config.version.to_string());
    }
    // What was staged before was for a process that is gone; its blocks are in the store.
    match std::fs::remove_dir_all(&next) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(RuntimeError::Io { path: next, source });
        }
        _ => {}
    }
    let store_dir = folders.store();
    // The store has a secret in it.
    file::private_dir(&store_dir).map_err(|source| RuntimeError::Io {
        path: store_dir.clone(),
        source,
    })?;
    let store = Corestore::open_alone(store_dir)?;
    let drive = Hyperdrive::open(&store, config.upgrade.key).await?;
    // A new key pair for each start: with a lasting one anybody on the topic could follow this install from address to address.
    let swarm_config = SwarmConfig {
        key_pair: None,
        bootstrap: config.bootstrap.clone(),
        relays: config.relays.clone(),
        ..match config.seed {
            None => SwarmConfig::default(),
            Some(_) => SwarmConfig {
                max_peers: PEERS,
                max_inbound: PEERS,
                ..SwarmConfig::default()
            },
        }
    };
    let peers = Peers::join(&store, swarm_config, None).await?;
    let discovery = peers.find(&drive);
    Ok((peers, drive, discovery))
}

impl Inner {
    fn emit(&self, event: UpdaterEvent) {
        tracing::debug!(?event, "updater");
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    /// A seeder is there.
    fn heard(&self) {
        lock(&self.state).last_contact = Some(follow::now());
    }

    fn next_dir(&self) -> PathBuf {
        Folders(&self.config.dir).next()
    }

    fn prefix(&self) -> String {
        layout::on_drive(&Host::current(), &self.config.name)
    }
}

/// Deletes an update that was refused, or that a newer one replaced before it was applied.
fn discard(next: &Path, release: &Release) {
    let folder = check::folder(next, release);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(path = %folder.display(), %error, "could not delete an update that is not wanted any more");
    }
}

#[cfg(test)]
mod tests;
