//! The limit on waiting: nothing waits for peers for ever, only as long as they bring something.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Core;
use crate::CoreError;
use crate::storage::lock;

/// How long a reader waits without any peer bringing anything for its core, unless [`Storage::set_patience`](crate::Storage::set_patience)
/// or the reader says otherwise. Longer than a connection takes to be given up and
/// found again, so that a peer that restarts is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often in that time a reader looks for progress: it counts from when it was noticed.
const LOOKS: u32 = 12;

/// Watches over one wait for peers. What they claim does not count, only what was verified.
pub(super) struct Stall<'a> {
    core: &'a Core,
    /// What is waited for, for the error.
    index: u64,
    patience: Duration,
    /// The count of what peers brought, and when it last rose.
    seen: u64,
    since: Instant,
}

impl<'a> Stall<'a> {
    /// Without `patience` it is the store's. Fails at once if what peers send cannot be stored; tries that once more before.
    pub(super) fn new(core: &'a Core, index: u64, patience: Option<Duration>) -> Result<Self, CoreError> {
        if core.shared.failure().is_some() {
            core.shared.flush()?;
        }
        Ok(Self {
            core,
            index,
            patience: patience.unwrap_or_else(|| core.shared.storage.patience()),
            seen: core.shared.progress.load(Ordering::Acquire),
            since: Instant::now(),
        })
    }

    /// Changes how long to wait from the last progress on.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Waits for `event`, as long as peers bring something. Cancel safe if `event` is.
    ///
    /// # Errors
    /// [`CoreError::Stalled`], [`CoreError::NotAvailable`] at once in a [store without peers](crate::Storage::without_peers), or the error of a store that cannot be written.
    pub(super) async fn limit<T>(&mut self, event: impl Future<Output = T>) -> Result<T, CoreError> {
        tokio::pin!(event);
        if self.core.shared.storage.is_without_peers() {
            return Err(CoreError::NotAvailable {
                key: self.core.key(),
                index: self.index,
            });
        }
        let happened = loop {
            let now = self.core.shared.progress.load(Ordering::Acquire);
            if std::mem::replace(&mut self.seen, now) != now {
                self.since = Instant::now();
            }
            let patience = self.patience;
            let look = (self.since + patience).min(Instant::now() + patience / LOOKS);
            if let Ok(happened) = tokio::time::timeout_at(look, &mut event).await {
                break happened;
            }
            let quiet = self.core.shared.progress.load(Ordering::Acquire) == self.seen;
            if quiet && self.since.elapsed() >= patience {
                return Err(self.stalled(patience));
            }
        };
        match self.core.shared.failure() {
            Some(error) => Err(error.into()),
            None => Ok(happened),
        }
    }

    fn stalled(&self, patience: Duration) -> CoreError {
        let peers = lock(&self.core.shared.peers);
        CoreError::Stalled {
            key: self.core.key(),
            index: self.index,
            seconds: patience.as_secs(),
            peers: peers.len(),
            holding: peers
                .values()
                .filter(|peer| peer.remote_length > self.index)
                .count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CoreOptions, GetOptions, Storage};

    #[tokio::test]
    async fn a_store_may_have_its_readers_wait_for_less() {
        let options = CoreOptions {
            key: Some(hypercore::Key([1; 32])),
            ..CoreOptions::default()
        };
        let storage = Storage::in_memory().unwrap();
        let core = Core::open(&storage, options).unwrap();
        let patience = Duration::from_millis(600);
        storage.set_patience(patience);
        let began = Instant::now();
        let download = core.download(crate::DownloadRange {
            start: 0,
            end: Some(1),
        });
        let (got, done) = tokio::join!(core.get(0), download.done());
        assert!(matches!(got, Err(CoreError::Stalled { .. })), "{got:?}");
        assert!(matches!(done, Err(CoreError::Stalled { .. })), "{done:?}");
        let took = began.elapsed();
        assert!(took >= patience && took < patience * 3, "{took:?}");
    }

    #[tokio::test]
    async fn progress_right_after_the_start_does_not_double_the_wait() {
        let options = CoreOptions {
            key: Some(hypercore::Key([1; 32])),
            ..CoreOptions::default()
        };
        let core = Core::open(&Storage::in_memory().unwrap(), options).unwrap();
        let patience = Duration::from_millis(2400);
        let options = GetOptions {
            patience: Some(patience),
            ..GetOptions::default()
        };
        let (began, progress) = (Instant::now(), &core.shared.progress);
        let soon = async {
            tokio::time::sleep(patience / 8).await;
            progress.fetch_add(1, Ordering::AcqRel);
        };
        let (got, ()) = tokio::join!(core.get_with(0, options), soon);
        assert!(matches!(got, Err(CoreError::Stalled { .. })), "{got:?}");
        let took = began.elapsed();
        assert!(took >= patience && took < patience * 3 / 2, "{took:?}");
    }
}
