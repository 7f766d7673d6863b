//! What a package holds: paths, and where each one's contents come from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::PackagingError;

/// Files and links by their paths inside, in the order of those. Folders are those that the paths name; an empty one is left out, as on
/// a drive.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tree(BTreeMap<String, Item>);

/// What is at a path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    File { from: Source, executable: bool },
    Link(String),
}

/// Where a file's contents come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    Path(PathBuf),
    Bytes(Vec<u8>),
}

impl Source {
    /// What reads it, and how many bytes it has.
    pub(crate) fn open(&self) -> Result<(Box<dyn Read + '_>, u64), PackagingError> {
        match self {
            Self::Bytes(bytes) => Ok((Box::new(bytes.as_slice()), bytes.len() as u64)),
            Self::Path(path) => {
                let file = File::open(path).map_err(PackagingError::io("read", path))?;
                let found = file.metadata().map_err(PackagingError::io("read", path))?;
                Ok((Box::new(file), found.len()))
            }
        }
    }
}

impl Item {
    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::File {
            from: Source::Bytes(bytes.into()),
            executable: false,
        }
    }

    pub(crate) fn mode(&self) -> u16 {
        match self {
            Self::File { executable: true, .. } => 0o755,
            Self::File { .. } => 0o644,
            Self::Link(_) => 0o777,
        }
    }
}

impl Tree {
    /// Puts something at a path, which is free.
    pub(crate) fn put(&mut self, path: impl Into<String>, item: Item) -> Result<(), PackagingError> {
        let path = path.into();
        if self.0.contains_key(&path) {
            return Err(PackagingError::Unusable {
                path: path.into(),
                why: "two things would have this place; rename one".to_owned(),
            });
        }
        self.0.insert(path, item);
        Ok(())
    }

    /// Everything, with paths in order.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.0.iter().map(|(path, item)| (path.as_str(), item))
    }

    /// All folders that the paths name, each before what is in it.
    pub(crate) fn folders(&self) -> Vec<String> {
        let mut folders = std::collections::BTreeSet::new();
        for path in self.0.keys() {
            let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            folders.extend(above.map(str::to_owned));
        }
        folders.into_iter().collect()
    }

    /// Puts all of another below a folder.
    pub(crate) fn put_all(&mut self, below: &str, other: Self) -> Result<(), PackagingError> {
        for (path, item) in other.0 {
            let path = if below.is_empty() {
                path
            } else {
                format!("{below}/{path}")
            };
            self.put(path, item)?;
        }
        Ok(())
    }

    /// Puts the file, link or folder at `from` at a path.
    pub(crate) fn put_from_disk(&mut self, path: &str, from: &Path) -> Result<(), PackagingError> {
        for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(from).to_owned();
                PackagingError::io("read", &path)(error.into())
            })?;
            let unusable = |why: &str| PackagingError::Unusable {
                path: entry.path().to_owned(),
                why: why.to_owned(),
            };
            let inside = entry.path().strip_prefix(from).unwrap_or(Path::new(""));
            let mut at = path.to_owned();
            for part in inside.iter() {
                let part = part
                    .to_str()
                    .ok_or_else(|| unusable("its name is no text; rename it"))?;
                at = if at.is_empty() {
                    part.to_owned()
                } else {
                    format!("{at}/{part}")
                };
            }
            let kind = entry.file_type();
            if kind.is_dir() {
                continue;
            }
            let item = if kind.is_symlink() {
                let link =
                    std::fs::read_link(entry.path()).map_err(PackagingError::io("read", entry.path()))?;
                let link = link.to_str();
                Item::Link(
                    link.ok_or_else(|| unusable("its target is no text; rename it"))?
                        .to_owned(),
                )
            } else if kind.is_file() {
                Item::File {
                    from: Source::Path(entry.path().to_owned()),
                    executable: is_executable(&entry),
                }
            } else {
                return Err(unusable("it is no file, folder or link; remove it"));
            };
            self.put(at, item)?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn is_executable(entry: &walkdir::DirEntry) -> bool {
    use std::os::unix::fs::PermissionsExt;
    entry
        .metadata()
        .is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(_: &walkdir::DirEntry) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_and_folders_come_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.put("b/c/d", Item::bytes("d")).unwrap();
        tree.put("a", Item::Link("b/c".into())).unwrap();
        tree.put("a", Item::bytes("")).unwrap_err();
        assert_eq!(tree.folders(), ["b", "b/c"]);
        let mut outer = Tree::default();
        outer.put_all("usr", tree).unwrap();
        let paths: Vec<&str> = outer.items().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr/a", "usr/b/c/d"]);
        assert_eq!(outer.folders(), ["usr", "usr/b", "usr/b/c"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_lies_on_a_disk_is_taken_with_its_links_and_whether_it_runs() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("lib/empty")).unwrap();
        std::fs::write(dir.path().join("lib/tool"), "x").unwrap();
        std::fs::set_permissions(
            dir.path().join("lib/tool"),
            std::fs::Permissions::from_mode(0o700),
        )
        .unwrap();
        symlink("tool", dir.path().join("lib/link")).unwrap();
        let mut tree = Tree::default();
        tree.put_from_disk("app/lib", &dir.path().join("lib")).unwrap();
        let found: Vec<(&str, u16)> = tree.items().map(|(path, item)| (path, item.mode())).collect();
        assert_eq!(found, [("app/lib/link", 0o777), ("app/lib/tool", 0o755)]);
        let socket = dir.path().join("lib/socket");
        let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = Tree::default().put_from_disk("app/lib", &dir.path().join("lib"));
        assert!(error.unwrap_err().to_string().contains("no file, folder or link"));
    }
}
