//! Whether enough peers hold a core, so that a release does not end with the machine it is made on
//! (npm `hyper-multisig` lib/verify.js).

use std::collections::BTreeMap;
use std::time::Duration;

use core_store::Core;
use hypercore::PublicKey;

/// How many peers must hold all of a core.
pub const MIN_PEERS: usize = 2;
/// How often to look.
const LOOK: Duration = Duration::from_millis(100);

/// How long each guard waits for peers to connect or to catch up.
#[derive(Debug, Clone, Copy)]
pub struct Patience(pub Duration);

/// A connected peer that has a core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The peer.
    pub public_key: PublicKey,
    /// Blocks that it holds from the start without a gap.
    pub length: u64,
    /// Whether that is all that is asked for.
    pub full: bool,
}

/// The connected peers of a core, and whether they hold its first `length` blocks.
pub fn holders(core: &Core, length: u64) -> Vec<Holder> {
    let fork = core.fork();
    let mut found = BTreeMap::new();
    for peer in core.peers() {
        let same_fork = peer.remote_fork == fork;
        let held = if same_fork {
            peer.remote_contiguous_length
        } else {
            0
        };
        let holder = Holder {
            public_key: peer.remote_public_key,
            length: held,
            full: same_fork && peer.synced && held >= length,
        };
        // One peer may be connected twice.
        let known = found
            .entry(peer.remote_public_key)
            .or_insert_with(|| holder.clone());
        if holder.length > known.length {
            *known = holder;
        }
    }
    found.into_values().collect()
}

/// What is missing of [`MIN_PEERS`] full copies.
pub(crate) enum Shortage {
    /// Too few peers: how many there are.
    Peers(usize),
    /// Too few of them hold everything: how many do, and how far the others are.
    Copies(usize, String),
}

/// Waits until enough peers hold the first `length` blocks.
pub(crate) async fn well_seeded(core: &Core, length: u64, patience: Patience) -> Result<(), Shortage> {
    if wait(patience, || holders(core, length).len() >= MIN_PEERS).await {
        let full = || holders(core, length).iter().filter(|holder| holder.full).count();
        if wait(patience, || full() >= MIN_PEERS).await {
            return Ok(());
        }
        let state: Vec<String> = holders(core, length)
            .iter()
            .map(|holder| format!("{} has {} of {length}", short(&holder.public_key), holder.length))
            .collect();
        return Err(Shortage::Copies(full(), state.join(", ")));
    }
    Err(Shortage::Peers(holders(core, length).len()))
}

/// Waits until a core has `length` blocks.
pub(crate) async fn long_enough(core: &Core, length: u64, patience: Patience) -> bool {
    wait(patience, || core.length() >= length).await
}

async fn wait(patience: Patience, condition: impl Fn() -> bool) -> bool {
    let reached = async {
        while !condition() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(patience.0, reached).await.is_ok()
}

fn short(key: &PublicKey) -> String {
    key.to_string().chars().take(8).collect()
}
