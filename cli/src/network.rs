//! How a command that needs peers joins them, and when it is to stop.

use corestore::Corestore;
use hyperswarm::SwarmConfig;
use peers::{PeerChange, Peers};
use release::IDENTITY;
use tokio::sync::mpsc;

use crate::args::Global;
use crate::store;

/// Joins as this store: peers know it again by the same key pair. `changes` hears of peers.
pub(crate) async fn join(
    global: &Global,
    corestore: &Corestore,
    changes: Option<mpsc::UnboundedSender<PeerChange>>,
) -> anyhow::Result<Peers> {
    let config = SwarmConfig {
        key_pair: Some(corestore.create_key_pair(IDENTITY)?),
        ..store::swarm(global)
    };
    Ok(Peers::join(corestore, config, changes).await?)
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
