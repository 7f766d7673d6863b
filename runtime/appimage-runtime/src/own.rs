//! The folders that this program makes for a while, in which an app is mounted or unpacked: what they are called, who holds them, and
//! how those go that nobody holds any more.
//!
//! Each is deleted by a helper when its app has ended. A helper that is killed, or a machine that loses its power, leaves one behind;
//! the next start of any app of ours by the same user deletes it. A folder that is in use is told by a lock on it, so that no list is
//! kept that could be wrong.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::{cleaner, serve};

/// How folders in which an app is mounted begin. Indexers know `.mount_` as what they need not look into.
pub(crate) const MOUNTED: &str = ".mount_bosc_";

/// How folders of unpacked apps begin: as other AppImages', but for the last part, as those are not ours to delete.
pub(crate) const UNPACKED: &str = "appimage_extracted_bosc_";

/// The type of a file system that is served by a program, as the system tells it.
const FUSE: u64 = 0x6573_5546;

/// Keeps a folder from being taken for one that was left behind.
pub(crate) struct Held(#[expect(dead_code, reason = "the lock goes with the file")] File);

/// Where such folders are made, in the order in which they are tried.
pub(crate) fn places() -> impl Iterator<Item = PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let places = [Some(std::env::temp_dir()), cache, Some("/var/tmp".into())];
    places.into_iter().flatten().filter(|place| place.is_absolute())
}

/// Makes a folder for this user alone, and holds it.
pub(crate) fn make(begins: &str, place: &Path) -> io::Result<(PathBuf, Held)> {
    loop {
        let folder = tempfile::Builder::new().prefix(begins).tempdir_in(place)?.keep();
        match hold(&folder) {
            // Another start found it before it was held.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let _ = fs::remove_dir(&folder);
                return Err(error);
            }
            Ok(held) => return Ok((folder, held)),
        }
    }
}

/// Holds a folder, beside whoever does already.
pub(crate) fn hold(folder: &Path) -> io::Result<Held> {
    let file = File::open(folder)?;
    file.lock_shared()?;
    // Whoever deletes a folder has it to himself meanwhile.
    let (held, there) = (file.metadata()?, fs::symlink_metadata(folder)?);
    if (held.dev(), held.ino()) != (there.dev(), there.ino()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Held(file))
}

/// Whether a folder is called as those of unpacked apps are.
pub(crate) fn is_unpacked(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(UNPACKED)
}

/// Deletes what earlier starts left behind, on a thread of its own, as a mount that hangs is waited for. What cannot be deleted stays
/// for the next time: nobody could be told here.
pub(crate) fn sweep() {
    std::thread::spawn(sweep_all);
}

fn sweep_all() {
    for place in places() {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(MOUNTED) {
                let _ = sweep_mounted(&entry.path());
            } else if name.starts_with(UNPACKED) {
                let _ = sweep_unpacked(&entry.path());
            }
        }
    }
}

fn sweep_mounted(folder: &Path) -> io::Result<()> {
    // Asks whoever serves the files; the rest may be remembered long after nobody does.
    match statfs(folder) {
        Err(Errno::NOTCONN) => {
            serve::unmount(folder, true);
        }
        Err(error) => return Err(error.into()),
        Ok(found) if u64::try_from(found.f_type).ok() == Some(FUSE) => return Ok(()),
        Ok(_) => {}
    }
    let _free = free(folder)?;
    fs::remove_dir(folder)
}

fn sweep_unpacked(folder: &Path) -> io::Result<()> {
    let _free = free(folder)?;
    if cleaner::used(folder) {
        // Its helper was killed, and it was not.
        return Ok(());
    }
    fs::remove_dir_all(folder)
}

/// Takes hold of a folder of this user's that nobody else holds.
fn free(folder: &Path) -> io::Result<File> {
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let file = File::open(folder)?;
    file.try_lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Path) -> Vec<String> {
        let entries = fs::read_dir(place).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_held_folder_stays_and_others_go() {
        let place = tempfile::tempdir().unwrap();
        let (held, lock) = make(UNPACKED, place.path()).unwrap();
        let helper = hold(&held).unwrap();
        let (left, _) = make(UNPACKED, place.path()).unwrap();
        fs::write(left.join("file"), "x").unwrap();
        sweep_unpacked(&held).unwrap_err();
        sweep_unpacked(&left).unwrap();
        assert_eq!(names(place.path()).len(), 1);
        drop(lock);
        sweep_unpacked(&held).unwrap_err();
        drop(helper);
        sweep_unpacked(&held).unwrap();
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn a_mount_point_that_nobody_holds_goes_if_nothing_is_in_it() {
        let place = tempfile::tempdir().unwrap();
        let (held, _lock) = make(MOUNTED, place.path()).unwrap();
        let (empty, _) = make(MOUNTED, place.path()).unwrap();
        let (full, _) = make(MOUNTED, place.path()).unwrap();
        fs::write(full.join("file"), "x").unwrap();
        sweep_mounted(&held).unwrap_err();
        sweep_mounted(&empty).unwrap();
        sweep_mounted(&full).unwrap_err();
        assert!(held.is_dir() && !empty.exists() && full.join("file").is_file());
    }

    #[test]
    fn a_link_to_a_folder_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("file"), "x").unwrap();
        let link = place.path().join(format!("{UNPACKED}x"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        sweep_unpacked(&link).unwrap_err();
        assert!(target.join("file").is_file() && link.is_symlink());
    }

    #[test]
    fn a_program_that_runs_from_an_unpacked_app_keeps_it() {
        let place = tempfile::tempdir().unwrap();
        let (folder, _) = make(UNPACKED, place.path()).unwrap();
        let program = folder.join("sleep");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut child = std::process::Command::new(&program).arg("60").spawn().unwrap();
        sweep_unpacked(&folder).unwrap();
        assert!(program.is_file());
        child.kill().unwrap();
        child.wait().unwrap();
        sweep_unpacked(&folder).unwrap();
        assert!(!folder.exists());
    }
}
