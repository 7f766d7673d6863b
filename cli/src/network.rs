//! How a command that needs peers joins them, and when it is to stop.

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
