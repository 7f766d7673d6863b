//! How a command that needs peers joins them.

use corestore::Corestore;
use peers::{PeerChange, Peers};
use tokio::sync::mpsc;

use crate::args::Global;
use crate::store;

/// Joins as a store. `changes` hears of peers.
pub(crate) async fn join(
    global: &Global,
    corestore: &Corestore,
    changes: Option<mpsc::UnboundedSender<PeerChange>>,
) -> anyhow::Result<Peers> {
    Ok(release::join(corestore, store::swarm(global), changes).await?)
}
