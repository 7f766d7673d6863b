//! The store, and the drives that commands open in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use app::Link;
use core_store::{Core, DownloadRange};
use corestore::{Corestore, WriterLock};
use etcetera::BaseStrategy;
use hypercore::Key;
use hyperdrive::Hyperdrive;

use crate::ReleaseError;
use crate::error::refuse;
use crate::progress::Progress;

/// The folder of the store unless one is named: in the system's place for a program's data.
///
/// # Errors
/// If the system names no home folder.
pub fn default_folder() -> Result<PathBuf, ReleaseError> {
    let Some(data) = data_folder() else {
        refuse!(
            Missing,
            "the system names no home folder: say where the store lies with --storage"
        )
    };
    Ok(data.join("bosc"))
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
///
/// # Errors
/// If the folder cannot be made, or the store not be opened.
pub fn open_store(folder: &Path) -> Result<Corestore, ReleaseError> {
    if folder.exists() && !folder.is_dir() {
        refuse!(
            Input,
            "{} is a file: name the store's folder with --storage",
            folder.display()
        );
    }
    make_private(folder).map_err(ReleaseError::io("open the store in", folder))?;
    Ok(Corestore::open(folder)?)
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

/// Opens the store as its one writer, until the lock is dropped.
///
/// # Errors
/// As [`open_store`], and if another process writes to it.
pub fn open_store_to_write(folder: &Path) -> Result<(Corestore, WriterLock), ReleaseError> {
    let store = open_store(folder)?;
    let lock = store.lock_writer()?;
    Ok((store, lock))
}

/// Opens a drive that must be ours.
///
/// # Errors
/// [`Why::NotOurs`](crate::Why::NotOurs) if its secret key is not in the store.
pub async fn open_own(store: &Corestore, link: &Link) -> Result<Hyperdrive, ReleaseError> {
    if store.key_pair_of(&link.key)?.is_none() {
        refuse!(
            NotOurs,
            "{} is not yours to write: its secret key is not in this store. Use the --storage it was made with, or make a link with `bosc touch`",
            Link::plain(link.key)
        );
    }
    Ok(Hyperdrive::open(store, link.key).await?)
}

/// The link with the drive's present version.
pub fn verlink(drive: &Hyperdrive) -> Link {
    Link::versioned(drive.fork(), drive.core().length(), drive.key())
}

/// Fails if a drive is not at the version that a link names: another fork, or another tree hash at its length. Fetches
/// what the hash needs, for `patience` at most.
///
/// # Errors
/// [`Why::Missing`](crate::Why::Missing) with what is there instead.
pub async fn expect_version(drive: &Hyperdrive, link: &Link, patience: Duration) -> Result<(), ReleaseError> {
    if let Some(fork) = link.fork.filter(|fork| *fork != drive.fork()) {
        refuse!(
            Missing,
            "{link} is not there: the link is of fork {fork}, and the drive was truncated and is at fork {}, with another history. \
             Ask whoever gave you the link for its present version",
            drive.fork()
        );
    }
    let (Some(length), Some(hash)) = (link.length, link.hash) else {
        return Ok(());
    };
    let Ok(found) = tokio::time::timeout(patience, drive.core().fetch_tree_hash(length)).await else {
        refuse!(
            Missing,
            "the peers of {link} did not send what its hash is checked with: run `bosc seed {}` on a machine that has it whole",
            Link::plain(link.key)
        );
    };
    if found? != hash {
        refuse!(
            Missing,
            "{link} names another tree hash than the drive has at length {length}: it is not the version that was meant"
        );
    }
    Ok(())
}

/// A core at one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreAt {
    /// Its key.
    pub key: Key,
    /// Blocks.
    pub length: u64,
    /// The hash of their tree.
    pub hash: [u8; 32],
}

/// A drive at one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveAt {
    /// Its entries.
    pub core: CoreAt,
    /// Its contents; `None` if it is empty.
    pub blobs: Option<CoreAt>,
    /// The link to that version.
    pub verlink: Link,
}

impl DriveAt {
    /// A drive at `length` entries, which are here.
    ///
    /// # Errors
    /// If they are not.
    pub async fn of(drive: &Hyperdrive, length: u64) -> Result<Self, ReleaseError> {
        let blobs = match length {
            0 => None,
            _ => {
                let blobs = drive.blobs().await?;
                Some(CoreAt::of(&blobs, blobs.length())?)
            }
        };
        Ok(Self {
            core: CoreAt::of(drive.core(), length)?,
            blobs,
            verlink: Link::versioned(drive.fork(), length, drive.key()),
        })
    }

    /// The link to that version and no other with the same numbers: it names the tree's hash.
    pub fn hashlink(&self) -> Link {
        Link {
            hash: Some(self.core.hash),
            ..self.verlink.clone()
        }
    }
}

impl CoreAt {
    fn of(core: &Core, length: u64) -> Result<Self, ReleaseError> {
        Ok(Self {
            key: core.key(),
            length,
            hash: core.tree_hash(length)?,
        })
    }
}

/// How often what has arrived is counted.
const COUNTED: Duration = Duration::from_millis(200);

/// Fetches everything up to the present length: entries, then contents. What is there already counts as fetched.
pub(crate) async fn fetch_all(
    drive: &Hyperdrive,
    length: u64,
    progress: &mut dyn Progress,
) -> Result<(), ReleaseError> {
    drive
        .core()
        .download(DownloadRange {
            start: 0,
            end: Some(length),
        })
        .done()
        .await?;
    if length <= 1 {
        return Ok(());
    }
    let end = drive.blobs_length(length).await?;
    let blobs = drive.blobs().await?;
    let download = blobs.download(DownloadRange {
        start: 0,
        end: Some(end),
    });
    let fetched = download.done();
    let meter = match blobs.count_stored(0, end) {
        stored if stored == end => None,
        _ => progress.meter("fetching"),
    };
    let Some(meter) = meter else {
        return Ok(fetched.await?);
    };
    // Blocks are counted, and shown as bytes: of one that is not there nobody knows how many it has.
    let bytes = blobs.byte_length();
    meter.expect(bytes);
    let count = || {
        let arrived = u128::from(bytes) * u128::from(blobs.count_stored(0, end)) / u128::from(end.max(1));
        meter.add(
            u64::try_from(arrived)
                .unwrap_or(bytes)
                .saturating_sub(meter.done()),
        );
    };
    tokio::pin!(fetched);
    loop {
        tokio::select! {
            done = &mut fetched => return Ok(done?),
            () = tokio::time::sleep(COUNTED) => count(),
        }
    }
}
