//! A new link.

use std::sync::atomic::{AtomicBool, Ordering};

use app::Link;
use corestore::Corestore;
use hypercore::manifest::Manifest;
use hyperdrive::Hyperdrive;

use crate::ReleaseError;
use crate::error::refuse;

/// The letters of a key as text.
const Z32: &str = "ybndrfg8ejkmcpqxot1uwisza345h769";

/// Letters that a wished beginning may have: each makes the search 32 times as long, and four take about a minute.
const MAX_WISH: usize = 6;

/// Makes a drive whose secret key stays in the store, and returns its link. Needs no writer's lock: a new key pair is in nobody's
/// way.
///
/// # Errors
/// If the store cannot be written.
pub async fn touch(store: &Corestore) -> Result<Link, ReleaseError> {
    made(store, &name()).await
}

/// As [`touch`], with a key that begins with `wish`. Tries key pairs on all processors until one fits: some seconds for three letters,
/// a minute or two for four. Dropped, it goes on until it has found one and then forgets it.
///
/// # Errors
/// If no key begins so, or the search would take days.
pub async fn touch_vanity(store: &Corestore, wish: &str) -> Result<Link, ReleaseError> {
    if let Some(other) = wish.chars().find(|letter| !Z32.contains(*letter)) {
        refuse!(
            Input,
            "Vanity key must contain only z32 characters ({Z32}); {other:?} is none"
        );
    }
    if wish.len() > MAX_WISH {
        refuse!(
            Input,
            "\"{wish}\" is longer than {MAX_WISH} letters: the search would take days"
        );
    }
    let (searched, wish) = (store.clone(), wish.to_owned());
    let found = tokio::task::spawn_blocking(move || search(&searched, &wish)).await;
    match found {
        Ok(Some(name)) => made(store, &name).await,
        _ => refuse!(Missing, "the search was cut off"),
    }
}

/// The name of a key pair of the store whose drive's key begins so.
fn search(store: &Corestore, wish: &str) -> Option<String> {
    let done = AtomicBool::new(false);
    let try_all = || {
        while !done.load(Ordering::Relaxed) {
            let name = name();
            let pair = store.create_key_pair(&name).ok()?;
            let key = Manifest::single(pair.public_key).key();
            if key.to_string().starts_with(wish) {
                done.store(true, Ordering::Relaxed);
                return Some(name);
            }
        }
        None
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let searching: Vec<_> = (0..threads).map(|_| scope.spawn(try_all)).collect();
        let found = searching
            .into_iter()
            .filter_map(|thread| thread.join().ok().flatten());
        found.last()
    })
}

fn name() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

async fn made(store: &Corestore, name: &str) -> Result<Link, ReleaseError> {
    let drive = Hyperdrive::create_with(store, store.create_key_pair(name)?).await?;
    Ok(Link::plain(drive.key()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_begins_as_wished_and_is_ours_to_write() {
        let store = Corestore::in_memory().unwrap();
        let link = touch_vanity(&store, "ab").await.unwrap();
        assert!(link.key.to_string().starts_with("ab"), "{link}");
        assert!(store.key_pair_of(&link.key).unwrap().is_some());
        for wrong in ["l", "A", "0", "é", "abcdefg"] {
            assert!(touch_vanity(&store, wrong).await.is_err(), "{wrong}");
        }
    }
}
