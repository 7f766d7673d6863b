//! What `request`, `verify` and `commit` share: a source, the team's drive, and the network between.

use std::time::Duration;

use anyhow::bail;
use app::Link;
use corestore::Corestore;
use multisig::{MultisigError, Part, Patience, Release, Request, Team};
use peers::Peers;

use crate::args::Global;
use crate::network::join;
use crate::output::Output;
use crate::store;

/// How long connecting may take before the checks begin.
const CONNECT: Duration = Duration::from_secs(15);

/// How long the list of entries may take to arrive, and what little else a diff needs.
const STALLED: Duration = Duration::from_secs(180);

/// A release on the network.
pub(super) struct Session {
    pub(super) release: Release,
    pub(super) network: Peers,
    pub(super) patience: Patience,
}

/// Fails if a link that names a tree hash names another one than the request's.
pub(super) fn expect_hash(link: &Link, request: &Request) -> anyhow::Result<()> {
    if link.hash.is_some_and(|hash| hash != *request.tree_hash()) {
        bail!(
            "{link} names another tree hash than the drive has at that length: it is not the version that was meant"
        );
    }
    Ok(())
}

impl Session {
    /// Opens both drives, connects to their peers, and learns how far the team's drive is.
    pub(super) async fn open(
        store: &Corestore,
        source: &Link,
        length: u64,
        team: Team,
        wait: Duration,
        global: &Global,
        output: &Output,
    ) -> anyhow::Result<Self> {
        if source.key == team.key() {
            bail!("{source} is the team's own link: give the link that the release was provisioned onto");
        }
        let source = store::drive(store, source.key).await?;
        let release = Release::open(store, source, length, team)?;
        let network = join(global, store, None).await?;
        let topics = [
            release.source().discovery_key(),
            release.target(Part::Entries).discovery_key(),
        ];
        output.say("looking for peers...");
        let discoveries = topics.map(|topic| network.look_for(topic, false));
        let connect = async {
            for discovery in &discoveries {
                discovery.flushed().await;
            }
            network.swarm().flush().await;
        };
        let _ = tokio::time::timeout(CONNECT, connect).await;
        network.expect_dht()?;
        network.learn(release.target(Part::Entries), wait).await;
        if !release.is_first() {
            network.learn(release.target(Part::Contents), wait).await;
        }
        network.learn(release.source().core(), wait).await;
        Ok(Self {
            release,
            network,
            patience: Patience(wait),
        })
    }

    /// Fails if what is still to fetch could come from nobody: only when the guards on seeders were switched off.
    pub(super) fn expect_source(&self, length: u64) -> anyhow::Result<()> {
        let core = self.release.source().core();
        if core.peers().is_empty() && !core.has_range(0, length) {
            let why = anyhow::Error::from(self.network.no_source(core));
            return Err(why.context("this store holds only a part of the source, or nothing"));
        }
        Ok(())
    }

    /// Work that may need peers, with an end: whoever knows a drive only by its head can send nothing of it.
    pub(super) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, MultisigError>>,
    ) -> anyhow::Result<T> {
        match tokio::time::timeout(STALLED, work).await {
            Ok(done) => Ok(done?),
            Err(_) => {
                let link = Link::plain(self.release.source().key());
                bail!(
                    "the peers of {link} did not send its list of files within {} s: run `bosc seed {link}` on a machine that has it whole",
                    STALLED.as_secs()
                )
            }
        }
    }
}
