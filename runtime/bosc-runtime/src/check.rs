//! One look at the drive: is there a newer version, and is it staged whole?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use app::{Document, Fits, Host, MAX_PACKAGE_BYTES, ManifestError, Unfit, check_bundle, layout};
use futures::TryStreamExt;
use hyperdrive::{Diff, DiffOp, Drive, DriveError, Hyperdrive, LocalDrive, MirrorOptions, mirror};
use semver::Version;

use crate::bundle::Staged;
use crate::file::private_dir;
use crate::obstacle::{self, Room};
use crate::seen::{Below, Mark};

/// A release on the drive, at one length.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) version: Version,
    pub(crate) fork: u64,
    pub(crate) length: u64,
    /// The drive's `/package.json`.
    pub(crate) package: Document,
}

impl Release {
    /// Where it is.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            fork: self.fork,
            length: self.length,
            version: self.version.clone(),
        }
    }
}

/// Why a check failed; each is a sentence for the `error` event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Drive(#[from] DriveError),
    #[error("the release on the drive cannot be used: {0}")]
    Package(#[from] ManifestError),
    #[error("update not found: the release has no build for this machine at {0}")]
    NotFound(String),
    #[error("the staged update at {path} differs from the drive at {key}; it will be fetched again")]
    Differs { path: PathBuf, key: String },
    #[error("the release was rewritten while it was fetched; it will be looked at again")]
    Rewritten,
    #[error("version {version} is not installed: {source}")]
    Unfit { version: Version, source: Box<Unfit> },
    #[error("version {version} is not installed: {source}")]
    Below { version: Version, source: Below },
    #[error(
        "nothing of the update arrived for {0} s: the peers at hand do not have all of it; it is tried again"
    )]
    Stalled(u64),
    #[error(
        "version {version} is not fetched: {path} cannot be written, so that it could not be put in place: {source}"
    )]
    NotReplaceable {
        version: Version,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("version {version} is not fetched: it takes {} bytes at {path}, and {} are free", room.needed, room.free)]
    NoRoom {
        version: Version,
        path: PathBuf,
        room: Room,
    },
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

impl CheckError {
    /// Whether the release itself is refused: it stays so until the drive changes.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unfit { .. } | Self::Below { .. } | Self::NotReplaceable { .. }
        )
    }
}

/// Compares versions by npm's rules: build metadata does not count.
pub(crate) fn is_newer(remote: &Version, current: &Version) -> bool {
    remote.cmp_precedence(current).is_gt()
}

/// Reads the release at the drive's present length; `None` if there is none yet.
pub(crate) async fn look(drive: &Hyperdrive) -> Result<Option<Release>, CheckError> {
    let (fork, length) = (drive.fork(), drive.core().length());
    if length < 2 {
        return Ok(None);
    }
    let Some(package) = package_of(&drive.checkout(length)).await? else {
        return Ok(None);
    };
    Ok(Some(Release {
        version: package.version()?,
        fork,
        length,
        package,
    }))
}

/// Reads the package.json of a drive; `None` if it has none.
pub(crate) async fn package_of(drive: &Hyperdrive) -> Result<Option<Document>, CheckError> {
    let path = layout::PACKAGE_ON_DRIVE;
    let bytes = drive.get_at_most(path, MAX_PACKAGE_BYTES).await?;
    Ok(bytes.map(|bytes| Document::parse(&bytes, path)).transpose()?)
}

/// How far staging is.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) diff: Diff,
    /// Bytes staged so far.
    pub(crate) bytes: u64,
    /// Bytes of the whole bundle.
    pub(crate) total: u64,
}

/// Where a release is staged.
pub(crate) fn folder(next: &Path, release: &Release) -> PathBuf {
    next.join(format!("{}.{}", release.length, release.fork))
}

/// The files of one build: size, executable flag and link target of each.
type Files = BTreeMap<String, (u64, bool, Option<String>)>;

/// What of a release is staged, and how.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The machine it is for.
    pub(crate) host: &'a Host,
    /// Where its build is on the drive.
    prefix: String,
    files: Files,
    /// Bytes of them.
    pub(crate) total: u64,
    /// Others fetch it at the same time, and from us: contents are fetched whole before any is put in place, since who reads
    /// files in their order waits for what all others wait for.
    pub(crate) shared: bool,
}

/// Finds the build for a machine, of which nothing but the list of its files is fetched.
pub(crate) async fn find<'a>(
    drive: &Hyperdrive,
    release: &Release,
    host: &'a Host,
    name: &str,
) -> Result<Wanted<'a>, CheckError> {
    let prefix = layout::on_drive(host, name);
    let files = entries(&drive.checkout(release.length), &prefix).await?;
    if files.is_empty() {
        return Err(CheckError::NotFound(prefix));
    }
    Ok(Wanted {
        host,
        prefix,
        total: files.values().map(|(size, ..)| size).sum(),
        files,
        shared: false,
    })
}

/// Fails if a release could not be put in place of the bundle `app`, or there is no room for it at `data`. Blocks.
pub(crate) fn expect_place(
    version: &Version,
    app: Option<&Path>,
    data: &Path,
    bytes: u64,
) -> Result<(), CheckError> {
    // First, as it writes nothing. A disk of which nothing is known gets its chance.
    if let Ok(room) = Room::at(data, bytes)
        && !room.is_enough()
    {
        return Err(CheckError::NoRoom {
            version: version.clone(),
            path: data.to_owned(),
            room,
        });
    }
    match app.map(obstacle::replaceable) {
        Some(Err((path, source))) => Err(no_place(version, path, source, bytes)),
        _ => Ok(()),
    }
}

/// Why nothing can be written beside the bundle. Room can be made; a right stays refused.
pub(crate) fn no_place(version: &Version, path: PathBuf, source: std::io::Error, bytes: u64) -> CheckError {
    let version = version.clone();
    match Room::at(&path, bytes) {
        Ok(room) if obstacle::is_full(&source) => CheckError::NoRoom { version, path, room },
        _ => CheckError::NotReplaceable {
            version,
            path,
            source,
        },
    }
}

/// Mirrors the release's bundle into `next/<length>.<fork>` and checks that it is whole and what the drive
/// announces; returns the staged bundle.
pub(crate) async fn stage(
    drive: &Hyperdrive,
    release: &Release,
    wanted: Wanted<'_>,
    next: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<Staged, CheckError> {
    let Wanted {
        host,
        prefix,
        files: wanted,
        total,
        shared,
    } = wanted;
    let (checkout, prefix) = (drive.checkout(release.length), prefix.as_str());
    let root = folder(next, release);
    let io = |source| CheckError::Io {
        path: root.clone(),
        source,
    };
    private_dir(&root).map_err(io)?;
    let local = LocalDrive::new(&root);
    // Everything is asked for at once, so that many small files cost no round trips.
    let mut download = Some(checkout.download(prefix).await?);
    if shared && let Some(download) = download.take() {
        download.done().await?;
    }
    let options = MirrorOptions {
        prefix: vec![prefix.to_owned()],
        ..MirrorOptions::default()
    };
    let mut changes = mirror(&checkout, &local, options);
    let mut bytes = 0;
    while let Some(diff) = changes.try_next().await? {
        if diff.op != DiffOp::Remove {
            bytes += diff.bytes_added;
        }
        progress(Progress { diff, bytes, total });
    }
    drop(download);
    let staged = entries(&local, prefix).await?;
    if let Some(key) = wanted
        .iter()
        .find(|(key, entry)| staged.get(*key) != Some(entry))
        .map(|(key, _)| key)
    {
        return Err(CheckError::Differs {
            path: root,
            key: key.clone(),
        });
    }
    if let Some(key) = staged.keys().find(|key| !wanted.contains_key(*key)) {
        return Err(CheckError::Differs {
            path: root,
            key: key.clone(),
        });
    }
    // A writer that truncates while we read makes another history of the same blocks.
    if drive.fork() != release.fork {
        return Err(CheckError::Rewritten);
    }
    let bundle = root.join(prefix.trim_start_matches('/'));
    let unfit = |source| CheckError::Unfit {
        version: release.version.clone(),
        source: Box::new(source),
    };
    if let Fits::NoPackage(path) = check_bundle(&release.package, host, &bundle).map_err(unfit)? {
        return Err(unfit(Unfit::NoPackage { path }));
    }
    local.sync().await?;
    let sealed = tokio::task::spawn_blocking(move || Staged::seal(bundle)).await;
    sealed.map_err(std::io::Error::other).flatten().map_err(io)
}

/// Size, executable flag and link target of everything beneath a prefix, or of the file there. Of a link counts where it leads:
/// on disk it may be spelt otherwise than on the drive.
pub(crate) async fn entries(drive: &dyn Drive, prefix: &str) -> Result<Files, DriveError> {
    let mut out = BTreeMap::new();
    for entry in drive.list_or_entry(prefix).await? {
        let size = drive.size(&entry).await?;
        let leads_to = entry
            .linkname
            .map(|link| hyperdrive::path::resolve_link(&entry.key, &link).unwrap_or(link));
        // Where the disk does not keep it, it is the same of all.
        let executable = entry.executable && LocalDrive::KEEPS_EXECUTABLE;
        out.insert(entry.key, (size, executable, leads_to));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_in_npm() {
        let newer = |remote: &str, current: &str| {
            is_newer(
                &Version::parse(remote).unwrap(),
                &Version::parse(current).unwrap(),
            )
        };
        assert!(newer("1.0.2", "1.0.1") && newer("1.0.10", "1.0.9") && newer("2.0.0", "1.9.9"));
        assert!(
            newer("1.0.0", "1.0.0-rc.1")
                && newer("1.0.0-rc.10", "1.0.0-rc.9")
                && newer("1.0.0-rc.1", "1.0.0-1")
        );
        assert!(newer("1.0.0-a.b", "1.0.0-a"));
        assert!(!newer("1.0.1", "1.0.1") && !newer("1.0.0", "1.0.1") && !newer("1.0.1+build", "1.0.1"));
    }
}
