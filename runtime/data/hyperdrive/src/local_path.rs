//! From a drive's path to a path on this machine, without ever leaving the folder.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::DriveError;
use crate::names::Names;
use crate::path;

/// Checks a path that comes from a drive, and so perhaps from a stranger, before it is written to: it must be in normal
/// form already, so that it means the same everywhere, and each name must be an ordinary file name here.
pub(crate) fn check_key(key: &str) -> Result<(), DriveError> {
    check_key_for(Names::HERE, key)
}

/// The same for another system.
pub(crate) fn check_key_for(names: Names, key: &str) -> Result<(), DriveError> {
    let refuse = |reason: &str| Err(DriveError::refused(key, reason));
    if key.contains('\0') {
        return refuse("its name holds a NUL");
    }
    let Some(path) = key.strip_prefix('/') else {
        return refuse("its name does not start with /");
    };
    for name in path.split('/') {
        match name {
            "" | "." | ".." => return refuse("its name leads out of the folder, or is not in normal form"),
            _ if name.contains('\\') => return refuse("its name holds a backslash"),
            _ => {
                if let Some(reason) = names.against(name) {
                    return refuse(&reason);
                }
            }
        }
    }
    Ok(())
}

/// Checks where a link leads: it must stay inside the folder, on the disk as well as by its text. Returns the link as it is
/// written to disk, relative, so that it still holds after the folder is moved.
///
/// On a disk `..` goes up from where the name before it leads, which may be a link to elsewhere; so it may stand at the
/// beginning alone, where it goes up from real folders. After that a link only goes down, from folders inside or from where
/// another such link leads, so that on the disk, too, none of them leaves the folder.
pub(crate) fn check_link(key: &str, target: &str) -> Result<String, DriveError> {
    check_link_for(Names::HERE, key, target)
}

/// The same for another system.
pub(crate) fn check_link_for(system: Names, key: &str, target: &str) -> Result<String, DriveError> {
    check_key_for(system, key)?;
    let refuse = |why: &str| Err(DriveError::refused(key, format!("the link {why}, to {target:?}")));
    if target.is_empty()
        || target.contains('\0')
        || target.contains('\\')
        || Path::new(target).has_root() != target.starts_with('/')
    {
        return refuse("leads out of the folder");
    }
    let Ok(goal) = path::resolve_link(key, target) else {
        return refuse("leads out of the folder");
    };
    let mut names = target.split('/').filter(|name| !matches!(*name, "" | "."));
    let absolute = target.starts_with('/');
    let first_name = names.find(|name| absolute || *name != "..");
    if first_name == Some("..") || names.clone().any(|name| name == "..") {
        return refuse("goes up after a name, where it may be anywhere");
    }
    let mut goals = first_name.into_iter().chain(names);
    if let Some(reason) = goals.find_map(|name| system.against(name)) {
        return refuse(&format!("leads to a name that cannot be here ({reason})"));
    }
    if !absolute {
        return Ok(target.to_owned());
    }
    let depth = key.matches('/').count() - 1;
    let up = "../".repeat(depth);
    let relative = format!("{up}{}", goal.trim_start_matches('/'));
    Ok(if relative.is_empty() { ".".into() } else { relative })
}

/// Joins a checked path to the root.
pub(crate) fn join(root: &Path, key: &str) -> PathBuf {
    let mut full = root.to_path_buf();
    full.extend(key.split('/').filter(|name| !name.is_empty()));
    full
}

/// What is at a path, without following a link; `None` for nothing.
pub(crate) fn look(full: &Path) -> Result<Option<Metadata>, DriveError> {
    match std::fs::symlink_metadata(full) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(DriveError::io(full)(error)),
    }
}

/// Walks down to the folder of a checked path. Real folders only: a link or a file on the way is refused. Missing folders
/// are made when `create` is set; else `None` says that the folder is not there.
pub(crate) fn parent_folder(root: &Path, key: &str, create: bool) -> Result<Option<PathBuf>, DriveError> {
    check_key(key)?;
    if create {
        std::fs::create_dir_all(root).map_err(DriveError::io(root))?;
    }
    let mut full = root.to_path_buf();
    for name in path::parent(key).split('/').filter(|name| !name.is_empty()) {
        full.push(name);
        if look(&full)?.is_none() {
            if !create {
                return Ok(None);
            }
            match std::fs::create_dir(&full) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(DriveError::io(&full)(error));
                }
                _ => {}
            }
        }
        match look(&full)? {
            Some(metadata) if metadata.is_dir() => {}
            Some(metadata) if metadata.is_symlink() => {
                let reason = format!(
                    "{} is a link, and what lies behind it is not ours",
                    full.display()
                );
                return Err(DriveError::refused(key, reason));
            }
            _ => {
                return Err(DriveError::refused(
                    key,
                    format!("{} is not a folder", full.display()),
                ));
            }
        }
    }
    Ok(Some(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_keys_are_refused_and_named() {
        for key in [
            "/../x",
            "/a/../../x",
            "x",
            "",
            "/",
            "/a//b",
            "/./a",
            "/a\0b",
            "/a\\..\\b",
            "//etc/passwd",
        ] {
            let error = check_key(key).unwrap_err().to_string();
            assert!(error.contains("is refused"), "{key:?}: {error}");
        }
        for key in ["/a", "/a/b.c", "/ä/ü", "/.hidden", "/a/...", "/ space"] {
            check_key(key).unwrap();
        }
    }

    #[test]
    fn another_systems_names_are_checked_on_any() {
        let key = check_key_for(Names::Windows, "/a/CON").unwrap_err().to_string();
        assert!(
            key.contains("\"/a/CON\" is refused") && key.contains("device"),
            "{key}"
        );
        let link = check_link_for(Names::Windows, "/a/b/l", "../nul.txt")
            .unwrap_err()
            .to_string();
        assert!(link.contains("/a/b/l") && link.contains("device"), "{link}");
        assert_eq!(check_link_for(Names::Windows, "/a/b/l", "../c").unwrap(), "../c");
        check_link_for(Names::Unix, "/a/b/l", "../nul.txt").unwrap();
    }

    #[test]
    fn links_stay_inside() {
        assert_eq!(check_link("/a/b/l", "../c").unwrap(), "../c");
        assert_eq!(check_link("/a/b/l", "/c/d").unwrap(), "../../c/d");
        assert_eq!(check_link("/l", "/c").unwrap(), "c");
        for target in ["../../../etc/passwd", "..", "/../x", "", "a\0", "..\\.."] {
            assert!(check_link("/l", target).is_err(), "{target:?}");
        }
    }

    #[test]
    fn links_go_up_at_their_beginning_alone() {
        for target in [
            "d/../x",
            "d/e/up/../secret",
            "../a/../b",
            "./d/..",
            "/d/../x",
            "/./..",
            "a/b/../..",
        ] {
            let error = check_link("/a/b/l", target).unwrap_err().to_string();
            assert!(
                error.contains("/a/b/l") && error.contains("the link"),
                "{target}: {error}"
            );
        }
        for (target, written) in [
            ("../../x", "../../x"),
            ("./../x", "./../x"),
            ("d/./e", "d/./e"),
            ("d//e/", "d//e/"),
            ("..", ".."),
            ("...", "..."),
            ("..a/b", "..a/b"),
            ("/./d//e", "../../d/e"),
        ] {
            assert_eq!(check_link("/a/b/l", target).unwrap(), written, "{target}");
        }
    }
}
