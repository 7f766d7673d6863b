//! From a drive's path to a path on this machine, without ever leaving the folder.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::DriveError;
use crate::path;

/// Names that Windows reserves for devices, whatever their extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Checks a path that comes from a drive, and so perhaps from a stranger, before it is written to: it must be in normal
/// form already, so that it means the same everywhere, and each name must be an ordinary file name here.
pub(crate) fn check_key(key: &str) -> Result<(), DriveError> {
    let refuse = |reason: &str| Err(DriveError::refused(key, reason));
    if key.contains('\0') {
        return refuse("its name holds a NUL");
    }
    let Some(names) = key.strip_prefix('/') else {
        return refuse("its name does not start with /");
    };
    for name in names.split('/') {
        match name {
            "" | "." | ".." => return refuse("its name leads out of the folder, or is not in normal form"),
            _ if name.contains('\\') => return refuse("its name holds a backslash"),
            _ if cfg!(windows) && !fits_windows(name) => {
                return refuse("Windows cannot hold a file of that name");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether Windows takes a name for what it is: no drive letters or streams (`:`), wildcards, trailing dots, devices.
fn fits_windows(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or(name)
        .trim_end()
        .to_ascii_lowercase();
    let numbered = |prefix| {
        let digits = stem.strip_prefix(prefix).unwrap_or_default();
        digits.chars().count() == 1
            && digits
                .chars()
                .all(|digit| matches!(digit, '0'..='9' | '¹' | '²' | '³'))
    };
    !name.contains(['<', '>', ':', '"', '|', '?', '*'])
        && !name.chars().any(|char| char < ' ')
        && !name.ends_with(['.', ' '])
        && !DEVICES.contains(&stem.as_str())
        && !numbered("com")
        && !numbered("lpt")
}

/// Checks where a link leads: it must stay inside the folder, on the disk as well as by its text. Returns the link as it is
/// written to disk, relative, so that it still holds after the folder is moved.
///
/// On a disk `..` goes up from where the name before it leads, which may be a link to elsewhere; so it may stand at the
/// beginning alone, where it goes up from real folders. After that a link only goes down, from folders inside or from where
/// another such link leads, so that on the disk, too, none of them leaves the folder.
pub(crate) fn check_link(key: &str, target: &str) -> Result<String, DriveError> {
    check_key(key)?;
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
    if cfg!(windows) && !first_name.into_iter().chain(names).all(fits_windows) {
        return refuse("leads to what Windows cannot hold");
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
    fn windows_names() {
        for name in [
            "C:", "a:b", "nul", "NUL.txt", "com1", "Lpt9.x", "a.", "a ", "a?", "a\u{1}",
        ] {
            assert!(!fits_windows(name), "{name:?}");
        }
        for name in ["a", "console", "com", "com10", ".x", "a.b"] {
            assert!(fits_windows(name), "{name:?}");
        }
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
