//! Why peers could not help.

use app::Link;
use hypercore::Key;

/// What failed. A sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeersError {
    /// The system gave no threads.
    #[error("cannot start the network's threads: {0}")]
    Threads(#[source] std::io::Error),
    /// The swarm could not be joined.
    #[error(transparent)]
    Swarm(#[from] hyperswarm::SwarmError),
    /// None of the DHT nodes that were named answers.
    #[error("no DHT node answers at {0}: check --bootstrap, or start one with `bosc dht`")]
    NoDht(String),
    /// Peers have the drive, and less of it than is wanted.
    #[error(
        "{} has {found} blocks, not the {length} that the link names: is the seeder up to date?",
        Link::plain(*key)
    )]
    Behind {
        /// The drive.
        key: Key,
        /// How much of it there is.
        found: u64,
        /// How much was wanted.
        length: u64,
    },
    /// Nobody has the drive, or nobody who has it could be met.
    #[error("{0}")]
    NoSource(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] core_store::CoreError),
}
