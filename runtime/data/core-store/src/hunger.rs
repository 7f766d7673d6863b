//! Whether something is wanted that no peer at hand brings, so that whoever finds peers looks for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::Storage;
use crate::core::Shared;
use crate::storage::{WeakStorage, lock};

/// How often it is looked at while something is wanted.
const LOOK: Duration = Duration::from_secs(1);
/// How often at most while nothing is.
const CALM: Duration = Duration::from_millis(50);

/// A store's.
#[derive(Debug, Default)]
pub(crate) struct Hunger {
    /// Something may be wanted now, or a peer went.
    news: watch::Sender<()>,
    hungry: watch::Sender<bool>,
    is_watched: AtomicBool,
}

impl Hunger {
    /// Has it looked at.
    pub(crate) fn look(&self) {
        self.news.send_replace(());
    }
}

impl Storage {
    /// Whether something is wanted that no peer at hand brings: at once where nobody is connected, else after it was asked of nobody
    /// for one to two seconds. Whoever finds peers should look for others while it is so. The first call needs a tokio runtime; the
    /// task that it starts there sleeps while nothing is wanted.
    pub fn hunger(&self) -> watch::Receiver<bool> {
        let hunger = self.hunger_state();
        if !hunger.is_watched.swap(true, Ordering::AcqRel) {
            tokio::spawn(run(self.downgrade(), hunger.news.subscribe()));
            hunger.look();
        }
        hunger.hungry.subscribe()
    }
}

/// What is wanted, and who brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing is wanted.
    None,
    /// It was asked for.
    Asked,
    /// Some of it is asked of nobody. With the count of what peers brought for those cores, by which it is seen to be between two
    /// requests.
    Unasked(u64),
    /// Nobody is connected.
    Alone,
}

/// Looks until the store is gone.
async fn run(storage: WeakStorage, mut news: watch::Receiver<()>) {
    while news.changed().await.is_ok() {
        let mut before = Need::None;
        loop {
            let Some(storage) = storage.upgrade() else { return };
            let need = need(&storage.open_cores());
            let hungry = match need {
                Need::None | Need::Asked => false,
                Need::Unasked(_) => need == before,
                Need::Alone => true,
            };
            let known = &storage.hunger_state().hungry;
            known.send_if_modified(|known| std::mem::replace(known, hungry) != hungry);
            drop(storage);
            if need == Need::None {
                sleep(CALM).await;
                break;
            }
            sleep(LOOK).await;
            before = need;
        }
    }
}

fn need(cores: &[Arc<Shared>]) -> Need {
    let (mut is_wanted, mut unasked) = (false, None);
    for core in cores {
        let front = lock(&core.front);
        let wants = lock(&core.wants);
        if !wants.lacks(&front.bitfield, front.head.length) {
            continue;
        }
        is_wanted = true;
        if wants.inflight() == 0 {
            let brought = core.progress.load(Ordering::Acquire);
            unasked = Some(brought.wrapping_add(unasked.unwrap_or_default()));
        }
    }
    if !is_wanted {
        Need::None
    } else if cores.iter().all(|core| lock(&core.drivers).is_empty()) {
        Need::Alone
    } else {
        unasked.map_or(Need::Asked, Need::Unasked)
    }
}

#[cfg(test)]
mod tests {
    use base::KeyPair;
    use secret_stream::Connection;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::replication::{Replication, replicate};
    use crate::{Core, CoreOptions, DownloadRange};

    fn replicated(one: &Core, other: &Core) -> Replication {
        let (here, there) = Connection::memory_pair();
        let lookup = Arc::new(|_| None);
        drop(replicate(there, vec![other.clone()], lookup.clone()));
        replicate(here, vec![one.clone()], lookup)
    }

    fn copy_of(core: &Core) -> Core {
        let options = CoreOptions {
            key: Some(core.key()),
            ..CoreOptions::default()
        };
        Core::open(&Storage::in_memory().unwrap(), options).unwrap()
    }

    async fn becomes(hunger: &mut watch::Receiver<bool>, state: bool) -> Duration {
        let start = Instant::now();
        let changed = timeout(
            Duration::from_secs(20),
            hunger.wait_for(|hungry| *hungry == state),
        );
        changed.await.unwrap().unwrap();
        start.elapsed()
    }

    #[tokio::test]
    async fn what_no_connected_peer_has_makes_hungry_until_one_comes_that_brings_it() {
        let options = CoreOptions {
            key_pair: Some(KeyPair::from_seed([5; 32])),
            ..CoreOptions::default()
        };
        let whole = Core::open(&Storage::in_memory().unwrap(), options).unwrap();
        let blocks: Vec<_> = (0..20).map(|n: u8| vec![n; 100].into()).collect();
        whole.append(&blocks).unwrap();
        let (partial, client) = (copy_of(&whole), copy_of(&whole));
        let first = replicated(&partial, &whole);
        let half = DownloadRange {
            start: 0,
            end: Some(10),
        };
        partial.get(0).await.unwrap();
        partial.download(half).done().await.unwrap();
        first.close();

        let mut hunger = client.storage().hunger();
        let reader = client.clone();
        let read = tokio::spawn(async move { reader.get(3).await });
        assert!(becomes(&mut hunger, true).await < LOOK / 2, "nobody is connected");
        let _partial = replicated(&client, &partial);
        read.await.unwrap().unwrap();
        becomes(&mut hunger, false).await;

        let all = DownloadRange {
            start: 0,
            end: Some(10),
        };
        client.download(all).done().await.unwrap();
        let brief = timeout(3 * LOOK, hunger.wait_for(|hungry| *hungry))
            .await
            .is_err();
        assert!(brief, "what a peer has is brought");

        let reader = client.clone();
        let read = tokio::spawn(async move { reader.get(15).await });
        let took = becomes(&mut hunger, true).await;
        assert!(took > LOOK / 2 && took < 4 * LOOK, "{took:?}");
        let _whole = replicated(&client, &whole);
        assert_eq!(read.await.unwrap().unwrap()[..], [15; 100]);
        becomes(&mut hunger, false).await;

        let dropped = timeout(LOOK / 10, client.get(25)).await;
        assert!(dropped.is_err());
        tokio::time::sleep(2 * LOOK).await;
        assert!(!*hunger.borrow(), "who gave up wants nothing");
    }
}
