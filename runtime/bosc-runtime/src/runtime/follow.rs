//! The task that follows a drive: when it looks, what it does with what it finds.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use app::{Host, layout};
use core_store::{CoreError, CoreEvent};
use hyperdrive::{DriveError, Hyperdrive};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::Instrument;

use super::{Inner, Ready, UpdaterEvent, discard, lock};
use crate::bundle::Note;
use crate::check::{self, CheckError, Release};
use crate::schedule::Schedule;
use crate::seen::Seen;
use crate::status::{Keeper, Status};

/// After a failed check, when to try again if the drive does not grow before.
pub(super) const RETRY: Duration = Duration::from_secs(30);

/// When it is looked again whether there is room on the disk: who has made some waits for the update.
const ROOM_AGAIN: Duration = Duration::from_secs(5);

/// Background work for which there are no peers is not tried less often than this.
const RARELY: Duration = Duration::from_secs(3600);

/// A check that got nothing new from any peer for this long is given up, and tried again later.
pub(super) const STALLED: Duration = if cfg!(test) {
    Duration::from_secs(3)
} else {
    Duration::from_secs(120)
};

/// What earlier checks found.
struct Before {
    /// The highest release of this link, over all starts.
    seen: Seen,
    /// The running version's blocks were asked for.
    prefetched: bool,
    /// Fork and length of the release that was refused for what it is.
    refused: Option<(u64, u64)>,
}

impl Inner {
    /// Follows the drive until told to stop.
    pub(super) async fn follow(self: Arc<Self>, drive: Hyperdrive) {
        let mut events = drive.core().events();
        let place = || (drive.fork(), drive.core().length());
        let mut known = place();
        let mut schedule = Schedule::new(Instant::now(), self.config.delay, rand::random());
        schedule.retry_at(Instant::now());
        let mut found = Before {
            seen: Seen::load(&self.config.dir, drive.key().to_string()),
            prefetched: false,
            refused: None,
        };
        let mut status = Keeper::new(&self.config.dir);
        loop {
            let due = schedule.next_due();
            status.keep(self.status(due));
            tokio::select! {
                () = self.stop.cancelled() => return,
                event = events.recv() => match event {
                    Ok(event) => {
                        if tells_of_a_seeder(&drive, &event) {
                            self.heard();
                        }
                        // Events that were missed are no appends; whether there were some shows here.
                        let now = place();
                        if std::mem::replace(&mut known, now) != now {
                            schedule.handle_append(Instant::now());
                            self.emit(UpdaterEvent::UpdateScheduled { delay: schedule.delay().as_millis() as u64 });
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                () = self.look_again.notified() => schedule.retry_at(Instant::now()),
                () = sleep_until(due), if due.is_some() => {
                    schedule.handle_check();
                    let checked = drive.core().length();
                    let result = tokio::select! {
                        () = self.stop.cancelled() => return,
                        result = self.check(&drive, &mut found) => result,
                        () = stalled(&drive, &self.staged_bytes) => Err(CheckError::Stalled(STALLED.as_secs())),
                    };
                    match result {
                        Ok(()) if drive.core().length() > checked => schedule.handle_append(Instant::now()),
                        Ok(()) => {}
                        Err(error) => {
                            tracing::warn!(%error, "the update does not go on");
                            let told = error.told();
                            let before = {
                                let mut state = lock(&self.state);
                                state.updating = false;
                                state.last_error.replace(told.message.clone())
                            };
                            // What is tried again every half minute is told once.
                            if before.as_ref() != Some(&told.message) {
                                self.emit(told.into());
                            }
                            // What is on the drive will not become another release by itself.
                            if !error.is_refusal() {
                                let room = matches!(error, CheckError::NoRoom { .. });
                                schedule.retry_at(Instant::now() + if room { ROOM_AGAIN } else { RETRY });
                            }
                        }
                    }
                }
            }
        }
    }

    /// Where the updater is, if it looks at the drive next at `due`.
    fn status(&self, due: Option<Instant>) -> Status {
        let at = now();
        let until = |due: Instant| due.saturating_duration_since(Instant::now());
        Status {
            pid: std::process::id(),
            at,
            next_look: due.map(|due| at.saturating_add(until(due).as_millis() as u64)),
            updater: lock(&self.state).clone(),
        }
    }

    /// One check, and staging if there is something newer.
    async fn check(&self, drive: &Hyperdrive, found: &mut Before) -> Result<(), CheckError> {
        let Some(release) = check::look(drive).await? else {
            return Ok(());
        };
        let floor = found.seen.mark().cloned();
        if let Some(before) = floor.as_ref().filter(|before| before.fork < release.fork) {
            // The owner cut the drive's history and went on from there, or somebody who has the key did.
            tracing::warn!(
                fork = release.fork,
                before = before.fork,
                "the drive's history was rewritten"
            );
            self.emit(UpdaterEvent::Forked {
                fork: release.fork,
                before: before.fork,
            });
        }
        found.seen.raise(&release.mark());
        if found.refused == Some((release.fork, release.length)) {
            return Ok(());
        }
        match release.version.cmp_precedence(&self.config.version) {
            Ordering::Less => return Ok(()),
            Ordering::Equal => {
                if !std::mem::replace(&mut found.prefetched, true) {
                    self.prefetch(drive);
                }
                return Ok(());
            }
            Ordering::Greater => {}
        }
        if let Some(floor) = floor {
            let bad = Note::load(&self.config.dir).is_bad(&floor.version.to_string());
            if let Err(source) = floor.admits(&release.mark(), bad) {
                found.refused = Some((release.fork, release.length));
                return Err(CheckError::Below {
                    version: release.version,
                    source,
                });
            }
        }
        let next_version = release.version.to_string();
        let bad = Note::load(&self.config.dir).is_bad(&next_version);
        lock(&self.state).taken_back = bad.then(|| next_version.clone());
        if bad {
            tracing::warn!(version = %next_version, "not installed: it did not start before");
            return Ok(());
        }
        if lock(&self.ready)
            .as_ref()
            .is_some_and(|ready| (ready.release.fork, ready.release.length) == (release.fork, release.length))
        {
            return Ok(());
        }
        if lock(&self.state).applied {
            return Ok(());
        }
        let (host, next) = (Host::current(), self.next_dir());
        let mut wanted = check::find(drive, &release, &host, &self.config.name).await?;
        self.expect_place(&release, wanted.total)
            .await
            .inspect_err(|error| {
                if error.is_refusal() {
                    found.refused = Some((release.fork, release.length));
                }
            })?;
        {
            let mut state = lock(&self.state);
            state.updating = true;
            state.next_version = Some(next_version.clone());
        }
        self.emit(UpdaterEvent::Updating {
            next_version: next_version.clone(),
        });
        wanted.shared = self.share(drive).await?;
        let staged = check::stage(drive, &release, wanted, &next, |progress| {
            self.staged_bytes.store(progress.bytes, atomic::Ordering::Relaxed);
            self.emit(UpdaterEvent::UpdatingDelta {
                op: format!("{:?}", progress.diff.op).to_lowercase(),
                key: progress.diff.key,
                bytes_added: progress.diff.bytes_added,
                bytes: progress.bytes,
                total_bytes: progress.total,
            });
        })
        .instrument(tracing::error_span!("update", from = %self.config.version, to = %next_version))
        .await;
        let staged = staged.inspect_err(|error| {
            if error.is_refusal() {
                found.refused = Some((release.fork, release.length));
            }
            // Its blocks are in the store; what lies here may be what fills the disk.
            discard(&next, &release);
        })?;
        let (length, fork) = (release.length, release.fork);
        let before = lock(&self.ready).replace(Ready {
            release,
            bundle: staged,
        });
        if let Some(before) = before {
            discard(&next, &before.release);
        }
        {
            let mut state = lock(&self.state);
            state.updating = false;
            state.updated = true;
            state.last_error = None;
        }
        self.emit(UpdaterEvent::Updated {
            next_version,
            length,
            fork,
        });
        Ok(())
    }

    /// Fails if the release could not be put in place, or there is no room for it.
    async fn expect_place(&self, release: &Release, bytes: u64) -> Result<(), CheckError> {
        let (version, app, data) = (
            release.version.clone(),
            self.config.app.clone(),
            self.config.dir.clone(),
        );
        let look =
            tokio::task::spawn_blocking(move || check::expect_place(&version, app.as_deref(), &data, bytes));
        match look.await {
            Ok(result) => result,
            Err(panic) => Err(CheckError::Io {
                path: self.config.dir.clone(),
                source: std::io::Error::other(panic),
            }),
        }
    }

    /// If this app gives back: it fetches in an order of its own from now on, and is found by others that fetch. Whether it does.
    async fn share(&self, drive: &Hyperdrive) -> Result<bool, DriveError> {
        if self.config.seed.is_none() {
            return Ok(false);
        }
        drive.blobs().await?.share_downloads(rand::random());
        self.giving.offer();
        Ok(true)
    }

    /// Fetches the running version's blocks in the background, so that the next release costs only what changed.
    fn prefetch(&self, drive: &Hyperdrive) {
        let length = drive.core().length();
        let (drive, prefix, stop, events, giving) = (
            drive.checkout(length),
            self.prefix(),
            self.stop.clone(),
            self.events.clone(),
            self.giving.clone(),
        );
        tokio::spawn(async move {
            let work = again(|| {
                let (drive, prefix, giving) = (drive.clone(), prefix.clone(), giving.clone());
                async move {
                    drive.download(&prefix).await?.done().await?;
                    giving.offer();
                    // What else is here may be a newer release that is being fetched.
                    if drive.core().length() == length {
                        let freed = drive
                            .clear_contents_but(&[layout::PACKAGE_ON_DRIVE, &prefix])
                            .await?;
                        tracing::debug!(freed, "deleted blocks of other versions");
                    }
                    Ok(())
                }
            });
            tokio::select! {
                () = stop.cancelled() => {}
                result = work => if let Err(error) = result {
                    tracing::warn!(%error, "the running version's blocks are not fetched");
                    let _ = events.send(CheckError::from(error).told().into());
                },
            }
        });
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether an event shows that a peer is there which has the drive as far as we know it.
fn tells_of_a_seeder(drive: &Hyperdrive, event: &CoreEvent) -> bool {
    match event {
        CoreEvent::Append { .. } | CoreEvent::Truncate { .. } | CoreEvent::Download { .. } => true,
        CoreEvent::PeerUpdate(_) => has_seeder(drive),
        _ => false,
    }
}

/// Whether a peer is connected that says it has the drive as far as we know it.
pub(super) fn has_seeder(drive: &Hyperdrive) -> bool {
    let (fork, length) = (drive.fork(), drive.core().length());
    let peers = drive.core().peers();
    let has = |length_of: u64| length_of > 0 && length_of >= length;
    peers
        .iter()
        .any(|peer| peer.synced && peer.remote_fork >= fork && has(peer.remote_length))
}

/// Does background work again whenever peers brought nothing for too long, with pauses that grow from [`RETRY`] to [`RARELY`].
async fn again<T, F>(work: impl Fn() -> F) -> Result<T, DriveError>
where
    F: Future<Output = Result<T, DriveError>>,
{
    let mut pause = RETRY;
    loop {
        match work().await {
            Err(DriveError::Core(CoreError::Stalled { .. } | CoreError::NotAvailable { .. })) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RARELY);
            }
            done => return done,
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Returns once nothing new came from any peer, and nothing was staged, for [`STALLED`].
async fn stalled(drive: &Hyperdrive, staged_bytes: &AtomicU64) {
    let progress = || staged_bytes.load(atomic::Ordering::Relaxed);
    let mut entries = drive.core().events();
    // Which core holds the contents is in a block of the entries, which may not be there yet.
    let blobs = async {
        match drive.blobs().await {
            Ok(blobs) => blobs.events(),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::pin!(blobs);
    let mut contents: Option<broadcast::Receiver<CoreEvent>> = None;
    let mut staged = progress();
    loop {
        let unknown = contents.is_none();
        let quiet = async {
            let more = async {
                match contents.as_mut() {
                    Some(events) => arrival(events).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = arrival(&mut entries) => None,
                () = more => None,
                events = &mut blobs, if unknown => Some(events),
            }
        };
        match tokio::time::timeout(STALLED, quiet).await {
            Ok(None) => {}
            Ok(Some(events)) => contents = Some(events),
            Err(_) if std::mem::replace(&mut staged, progress()) == progress() => return,
            Err(_) => {}
        }
    }
}

/// Waits until a core grew or a block of it arrived.
async fn arrival(events: &mut broadcast::Receiver<CoreEvent>) {
    loop {
        match events.recv().await {
            Ok(CoreEvent::Append { .. } | CoreEvent::Truncate { .. } | CoreEvent::Download { .. }) => return,
            // Whatever they were; a flood of others must not look like progress.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use super::*;

    fn stalled() -> DriveError {
        let (key, index) = (base::Key([0; 32]), 0);
        CoreError::Stalled {
            key,
            index,
            seconds: 60,
            peers: 0,
            holding: 0,
        }
        .into()
    }

    #[tokio::test(start_paused = true)]
    async fn background_work_without_peers_is_tried_again_with_pauses_and_other_errors_end_it() {
        let (began, tries) = (tokio::time::Instant::now(), Cell::new(0));
        let work = || match tries.replace(tries.get() + 1) {
            0..10 => ready(Err(stalled())),
            _ => ready(Ok(())),
        };
        again(work).await.unwrap();
        // 30 s, doubled up to an hour.
        let waited: u64 = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600].iter().sum();
        assert_eq!((tries.get(), began.elapsed().as_secs()), (11, waited));

        let tries = Cell::new(0);
        let failed = again(|| {
            tries.set(tries.get() + 1);
            ready(Err::<(), _>(DriveError::LinkLoop { path: "/a".into() }))
        });
        failed.await.unwrap_err();
        assert_eq!(tries.get(), 1);
    }
}
