//! What a staged bundle holds, file by file, so that it can be told whether it is still the same when it is put in place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes hashed at once.
const CHUNK_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Folder,
    Link(PathBuf),
    File { executable: bool, hash: [u8; 32] },
}

/// Everything in a bundle with its hash; the bundle itself has the empty path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Contents(BTreeMap<PathBuf, Item>);

impl Contents {
    fn of(bundle: &Path) -> io::Result<Self> {
        let mut items = BTreeMap::new();
        for entry in walkdir::WalkDir::new(bundle) {
            let entry = entry?;
            let path = entry.path().strip_prefix(bundle).map_err(io::Error::other)?;
            let kind = entry.file_type();
            let item = if kind.is_dir() {
                Item::Folder
            } else if kind.is_symlink() {
                Item::Link(fs::read_link(entry.path())?)
            } else {
                hash(entry.path())?
            };
            items.insert(path.to_owned(), item);
        }
        Ok(Self(items))
    }

    /// The first path that is not the same in both.
    fn difference(&self, other: &Self) -> Option<PathBuf> {
        let both = self.0.keys().chain(other.0.keys());
        both.filter(|path| self.0.get(*path) != other.0.get(*path))
            .min()
            .cloned()
    }
}

fn hash(path: &Path) -> io::Result<Item> {
    let mut file = File::open(path)?;
    let mut hasher = base::hash::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            n => hasher.update(chunk.get(..n).unwrap_or_default()),
        }
    }
    let hash = hasher.finish();
    #[cfg(unix)]
    let executable = {
        use std::os::unix::fs::PermissionsExt;
        file.metadata()?.permissions().mode() & 0o111 != 0
    };
    #[cfg(not(unix))]
    let executable = false;
    Ok(Item::File { executable, hash })
}

/// A bundle that was staged, with what it held then.
#[derive(Debug, Clone)]
pub struct Staged {
    path: PathBuf,
    contents: Contents,
}

impl Staged {
    /// Notes down what the bundle at `path` holds. Blocks: all of it is read.
    ///
    /// # Errors
    /// If something of it cannot be read.
    pub fn seal(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let contents = Contents::of(&path)?;
        Ok(Self { path, contents })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What differs between the bundle as it was sealed and the one at `path`, which may be a copy. Blocks: all of it is read.
    pub(super) fn difference(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let differs = self.contents.difference(&Contents::of(path)?);
        Ok(differs.map(|differs| path.join(differs)))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_is_found() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let bundle = root.path().join(name);
            fs::create_dir_all(bundle.join("lib")).unwrap();
            fs::write(bundle.join("App"), "program").unwrap();
            fs::write(bundle.join("lib/data"), vec![7; CHUNK_BYTES + 1]).unwrap();
            symlink("lib/data", bundle.join("link")).unwrap();
            bundle
        };
        let bundle = make("App");
        let sealed = Staged::seal(&bundle).unwrap();
        assert_eq!(sealed.difference(&bundle).unwrap(), None);
        assert_eq!(sealed.difference(&make("Copy")).unwrap(), None);
        type Change = (&'static str, fn(&Path));
        let changes: [Change; 7] = [
            ("lib/data", |bundle| {
                let mut bytes = vec![7; CHUNK_BYTES + 1];
                bytes[CHUNK_BYTES] ^= 1;
                fs::write(bundle.join("lib/data"), bytes).unwrap();
            }),
            ("App", |bundle| {
                fs::set_permissions(bundle.join("App"), fs::Permissions::from_mode(0o755)).unwrap()
            }),
            ("App", |bundle| fs::remove_file(bundle.join("App")).unwrap()),
            ("more", |bundle| fs::write(bundle.join("more"), "").unwrap()),
            ("lib/more", |bundle| {
                fs::create_dir(bundle.join("lib/more")).unwrap()
            }),
            ("link", |bundle| {
                fs::remove_file(bundle.join("link")).unwrap();
                symlink("App", bundle.join("link")).unwrap();
            }),
            ("link", |bundle| {
                fs::remove_file(bundle.join("link")).unwrap();
                fs::copy(bundle.join("lib/data"), bundle.join("link")).unwrap();
            }),
        ];
        for (n, (path, change)) in changes.into_iter().enumerate() {
            let bundle = make(&format!("changed-{n}"));
            change(&bundle);
            assert_eq!(
                sealed.difference(&bundle).unwrap(),
                Some(bundle.join(path)),
                "{n}"
            );
        }
    }
}
