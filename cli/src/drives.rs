//! The store, and the drives that commands open in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use app::Link;
use core_store::DownloadRange;
use corestore::{Corestore, WriterLock};
use etcetera::BaseStrategy;
use hypercore::Key;
use hyperdrive::Hyperdrive;
use serde_json::{Value, json};

use crate::args::Global;

/// The folder of the store: `--storage`, else the system's place for a program's data.
pub(crate) fn folder(global: &Global) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &global.storage {
        return Ok(folder.clone());
    }
    Ok(data_folder()
        .context("the system names no home folder: say where the store lies with --storage")?
        .join("bosc"))
}

/// Where the system keeps a person's data, for this machine alone: `~/.local/share` or what XDG_DATA_HOME says,
/// `~/Library/Application Support`, `AppData\Local`.
fn data_folder() -> Option<PathBuf> {
    let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
    // What Windows calls data roams to other machines, and a store must not be in two places; its cache folder is `AppData\Local`.
    Some(if cfg!(windows) {
        strategy.cache_dir()
    } else {
        strategy.data_dir()
    })
}

/// Opens the store. It holds secret keys, so that what is new of it is its owner's alone from the beginning; the folders of a
/// person stay as they are.
pub(crate) fn open_store(global: &Global) -> anyhow::Result<Corestore> {
    let folder = folder(global)?;
    make_private(&folder).with_context(|| format!("cannot open the store in {}", folder.display()))?;
    Ok(Corestore::open(&folder)?)
}

/// The store's database, as `corestore` names it, and the files that SQLite keeps beside it while it is open.
#[cfg(unix)]
const DATABASE: [&str; 3] = ["corestore.db", "corestore.db-wal", "corestore.db-shm"];

/// Makes the folder, if there is none, and the database for their owner alone. A database that others may read, as older
/// versions made it, is closed to them.
#[cfg(unix)]
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let [database, ..] = DATABASE;
    // SQLite takes an empty file for a new database, and gives the files beside it the same mode.
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(database));
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for name in DATABASE {
        let file = folder.join(name);
        let mode = match std::fs::metadata(&file) {
            Ok(metadata) => metadata.permissions().mode(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if mode & 0o077 != 0 {
            match std::fs::set_permissions(&file, PermissionsExt::from_mode(mode & 0o700)) {
                // SQLite may have deleted it meanwhile.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Elsewhere the folder has the rights of the person's data folder that it is in.
#[cfg(not(unix))]
fn make_private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Opens the store as its one writer.
pub(crate) fn open_store_to_write(global: &Global) -> anyhow::Result<(Corestore, WriterLock)> {
    let store = open_store(global)?;
    let lock = store.lock_writer()?;
    Ok((store, lock))
}

/// Opens a drive that must be ours.
pub(crate) async fn open_own(store: &Corestore, link: &Link) -> anyhow::Result<Hyperdrive> {
    if store.key_pair_of(&link.key)?.is_none() {
        bail!(
            "{} is not yours to write: its secret key is not in this store. Use the --storage it was made with, or make a link with `bosc touch`",
            Link::plain(link.key)
        );
    }
    Ok(Hyperdrive::open(store, link.key).await?)
}

/// Opens a drive by key.
pub(crate) async fn open(store: &Corestore, key: Key) -> anyhow::Result<Hyperdrive> {
    Hyperdrive::open(store, key)
        .await
        .with_context(|| format!("cannot open {}", Link::plain(key)))
}

/// The link with the drive's present version.
pub(crate) fn verlink(drive: &Hyperdrive) -> Link {
    Link::versioned(drive.fork(), drive.core().length(), drive.key())
}

/// Fails if a drive is not at the version that a link names: another fork, or another tree hash at its length. Fetches
/// what the hash needs, for `patience` at most.
pub(crate) async fn expect_version(
    drive: &Hyperdrive,
    link: &Link,
    patience: Duration,
) -> anyhow::Result<()> {
    if let Some(fork) = link.fork.filter(|fork| *fork != drive.fork()) {
        bail!(
            "{link} is not there: the link is of fork {fork}, and the drive was truncated and is at fork {}, with another history. \
             Ask whoever gave you the link for its present version",
            drive.fork()
        );
    }
    let (Some(length), Some(hash)) = (link.length, link.hash) else {
        return Ok(());
    };
    let Ok(found) = tokio::time::timeout(patience, drive.core().fetch_tree_hash(length)).await else {
        bail!(
            "the peers of {link} did not send what its hash is checked with: run `bosc seed {}` on a machine that has it whole",
            Link::plain(link.key)
        );
    };
    if found? != hash {
        bail!(
            "{link} names another tree hash than the drive has at length {length}: it is not the version that was meant"
        );
    }
    Ok(())
}

/// A core in `provision`'s result.
fn core_info(core: &core_store::Core, length: u64) -> anyhow::Result<Value> {
    let hash = Key(core.tree_hash(length)?).to_string();
    Ok(json!({ "id": core.key().to_string(), "length": length, "hash": hash }))
}

/// A drive in `provision`'s result: both cores and the links to it at `length`.
pub(crate) async fn drive_info(drive: &Hyperdrive, length: u64) -> anyhow::Result<Value> {
    let core = core_info(drive.core(), length)?;
    let blobs = if length == 0 {
        json!({})
    } else {
        let blobs = drive.blobs().await?;
        core_info(&blobs, blobs.length())?
    };
    let verlink = Link::versioned(drive.fork(), length, drive.key());
    let hashlink = Link {
        hash: Some(drive.core().tree_hash(length)?),
        ..verlink.clone()
    };
    Ok(json!({
        "core": core, "blobs": blobs, "link": Link::plain(drive.key()).to_string(),
        "verlink": verlink.to_string(), "hashlink": hashlink.to_string(),
    }))
}

/// Fetches everything up to the present length: entries, then contents.
pub(crate) async fn fetch_all(drive: &Hyperdrive, length: u64) -> anyhow::Result<()> {
    drive
        .core()
        .download(DownloadRange {
            start: 0,
            end: Some(length),
        })
        .done()
        .await?;
    if length > 1 {
        let blobs_length = drive.blobs_length(length).await?;
        let blobs = drive.blobs().await?;
        blobs
            .download(DownloadRange {
                start: 0,
                end: Some(blobs_length),
            })
            .done()
            .await?;
    }
    Ok(())
}
