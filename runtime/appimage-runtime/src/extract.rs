//! Unpacking the AppImage: for the app to run where there is no FUSE, or for a person.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use appimage::{Image, ImageError, Kind, Node};
use glob::Pattern;
use rustix::fs::StatVfsMountFlags;

use crate::{helper, own};

/// What is written at once, in bytes: a few blocks.
const CHUNK_BYTES: usize = 512 * 1024;

/// What is left free beside the unpacked app, in bytes.
const SPARE: u64 = 16 * 1024 * 1024;

/// Unpacks everything into a new folder of this user's alone, which is deleted when the app has ended. Returns where.
pub(crate) fn for_app(image: &Image) -> Result<PathBuf, String> {
    // Held by this process until the app begins, and by the helper from before that.
    let (folder, _held) = own::make(own::UNPACKED, &room_for(image)?)
        .map_err(|error| format!("no folder can be made to unpack the app in: {error}"))?;
    let id = std::process::id().to_string();
    let cleaned = helper::start(&[OsStr::new(helper::CLEAN), folder.as_os_str(), OsStr::new(&id)]);
    let unpacked = match cleaned {
        Ok(_) => all(image, &folder, None, |_| {}),
        Err(error) => Err(format!("nobody would delete the unpacked app: {error}")),
    };
    if let Err(error) = unpacked {
        let _ = fs::remove_dir_all(&folder);
        return Err(error);
    }
    Ok(folder)
}

/// A folder on a disk with room, from which programs may be started.
fn room_for(image: &Image) -> Result<PathBuf, String> {
    let mut needed = SPARE;
    let walked = image.walk(|_, node| {
        if let Kind::File(contents) = &node.kind {
            needed = needed.saturating_add(contents.size);
        }
        Ok::<_, ImageError>(())
    });
    walked.map_err(spoilt)?;
    let mut tried = String::new();
    for place in own::places() {
        let why = match rustix::fs::statvfs(&place) {
            Err(error) => error.to_string(),
            Ok(disk)
                if disk
                    .f_flag
                    .contains(StatVfsMountFlags::from_bits_retain(ST_NOEXEC)) =>
            {
                "no program may be started there".to_owned()
            }
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < needed => {
                format!(
                    "it has less than the {} MB free that are needed",
                    needed / 1_000_000 + 1
                )
            }
            Ok(_) => return Ok(place),
        };
        tried.push_str(&format!("\n  {}: {why}", place.display()));
    }
    Err(format!(
        "the app can be unpacked nowhere; install FUSE (fuse3), or name a folder in TMPDIR:{tried}"
    ))
}

/// The system's flag for a disk from which no program may be started.
const ST_NOEXEC: u64 = 8;

fn spoilt(error: ImageError) -> String {
    format!("the file cannot be used ({error}); get it anew")
}

/// Unpacks what matches, or everything; `done` hears of each path.
pub(crate) fn all(
    image: &Image,
    to: &Path,
    pattern: Option<&Pattern>,
    mut done: impl FnMut(&Path),
) -> Result<(), String> {
    let mut folders = Vec::new();
    image
        .walk(|path, node| {
            // A pattern that names a folder takes what is in it as well.
            let wanted = |pattern: &Pattern| path.ancestors().any(|part| pattern.matches_path(part));
            if pattern.is_some_and(|pattern| !wanted(pattern)) {
                return Ok(());
            }
            let target = to.join(path);
            let written = write(image, node, &target);
            written.map_err(|error| Stop(format!("cannot write {}: {error}", target.display())))?;
            if matches!(node.kind, Kind::Folder(_)) {
                folders.push((target, mode(node)));
            }
            done(path);
            Ok::<_, Stop>(())
        })
        .map_err(|Stop(why)| why)?;
    // Last, as nothing could be written in a folder that may not be.
    for (folder, mode) in folders.iter().rev() {
        fs::set_permissions(folder, Permissions::from_mode(*mode))
            .map_err(|error| format!("cannot set the mode of {}: {error}", folder.display()))?;
    }
    Ok(())
}

/// Why unpacking stopped.
struct Stop(String);

impl From<ImageError> for Stop {
    fn from(error: ImageError) -> Self {
        Self(spoilt(error))
    }
}

/// A node's mode, in which the owner may always read, and delete what is in a folder.
fn mode(node: &Node) -> u32 {
    let least = if matches!(node.kind, Kind::Folder(_)) {
        0o700
    } else {
        0o400
    };
    u32::from(node.mode & 0o777) | least
}

fn write(image: &Image, node: &Node, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        // With a pattern, the folders around what matches.
        fs::create_dir_all(parent)?;
    }
    match &node.kind {
        Kind::Folder(_) => match fs::create_dir(target) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && target.symlink_metadata()?.is_dir() =>
            {
                Ok(())
            }
            other => other,
        },
        Kind::Link(link) => {
            replace(target)?;
            let link: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(link);
            std::os::unix::fs::symlink(link, target)
        }
        Kind::File(contents) => {
            replace(target)?;
            let mut file = fs::File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(target)?;
            let mut chunk = vec![0; CHUNK_BYTES];
            let mut at = 0;
            while at < contents.size {
                let count = image.read(node, at, &mut chunk)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.write_all(chunk.get(..count).unwrap_or_default())?;
                at += count as u64;
            }
            file.set_permissions(Permissions::from_mode(mode(node)))
        }
    }
}

/// Makes room for a file of an earlier unpacking. What a link there leads to is not touched.
fn replace(target: &Path) -> io::Result<()> {
    match fs::remove_file(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
