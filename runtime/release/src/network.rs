//! The network, joined when something that is not here is first needed: drives that were made here need none.

use corestore::Corestore;
use hyperswarm::SwarmConfig;
use peers::{PeerChange, Peers};
use tokio::sync::{OnceCell, mpsc};

use crate::ReleaseError;

/// The name of a store's key pair: peers know it again by that.
const IDENTITY: &str = "bosc swarm";

/// Joins as a store: with its key pair, whatever `config` says. `changes` hears of peers.
///
/// # Errors
/// If the network cannot be joined.
pub async fn join(
    store: &Corestore,
    config: SwarmConfig,
    changes: Option<mpsc::UnboundedSender<PeerChange>>,
) -> Result<Peers, ReleaseError> {
    let config = SwarmConfig {
        key_pair: Some(store.create_key_pair(IDENTITY)?),
        ..config
    };
    Ok(Peers::join(store, config, changes).await?)
}

/// A store, and the way to its peers.
pub struct Network {
    store: Corestore,
    config: SwarmConfig,
    peers: OnceCell<Peers>,
}

impl Network {
    /// Of a store; nothing is joined yet. The key pair is the store's own, whatever `config` says.
    pub fn new(store: Corestore, config: SwarmConfig) -> Self {
        Self {
            store,
            config,
            peers: OnceCell::new(),
        }
    }

    /// The store.
    pub fn store(&self) -> &Corestore {
        &self.store
    }

    /// The peers; joins if that has not been done.
    ///
    /// # Errors
    /// If the network cannot be joined.
    pub async fn peers(&self) -> Result<&Peers, ReleaseError> {
        let join = || join(&self.store, self.config.clone(), None);
        self.peers.get_or_try_init(join).await
    }

    /// Leaves, and closes the store.
    ///
    /// # Errors
    /// If the store has something left to write and cannot.
    pub async fn close(self) -> Result<(), ReleaseError> {
        if let Some(peers) = self.peers.get() {
            peers.close().await;
        }
        Ok(self.store.close()?)
    }
}
