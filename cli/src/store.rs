//! The store that a command works on, as its arguments name it.

use std::path::PathBuf;

use anyhow::Context;
use app::Link;
use corestore::{Corestore, WriterLock};
use hypercore::Key;
use hyperdrive::Hyperdrive;
use hyperswarm::SwarmConfig;
use release::Network;

use crate::args::Global;

/// The folder of the store: `--storage`, else the system's place for a program's data.
pub(crate) fn folder(global: &Global) -> anyhow::Result<PathBuf> {
    Ok(match &global.storage {
        Some(folder) => folder.clone(),
        None => release::default_folder()?,
    })
}

/// Opens it to read, and to write what stands in nobody's way.
pub(crate) fn open(global: &Global) -> anyhow::Result<Corestore> {
    Ok(release::open_store(&folder(global)?)?)
}

/// Opens it as its one writer.
pub(crate) fn open_to_write(global: &Global) -> anyhow::Result<(Corestore, WriterLock)> {
    Ok(release::open_store_to_write(&folder(global)?)?)
}

/// Opens a drive in it.
pub(crate) async fn drive(store: &Corestore, key: Key) -> anyhow::Result<Hyperdrive> {
    let opened = Hyperdrive::open(store, key).await;
    opened.with_context(|| format!("cannot open {}", Link::plain(key)))
}

/// The store with the way to its peers, which is taken when it is needed.
pub(crate) fn network(global: &Global, store: Corestore) -> Network {
    Network::new(store, swarm(global))
}

/// The swarm that the arguments describe.
pub(crate) fn swarm(global: &Global) -> SwarmConfig {
    SwarmConfig {
        bootstrap: (!global.bootstrap.is_empty()).then(|| global.bootstrap.clone()),
        relays: global.relay.clone(),
        ..SwarmConfig::default()
    }
}
