//! Versions of one installed bundle beside each other, and a pointer that says which of them is in use.
//!
//! ```text
//! PearChat/                  what was installed
//!   PearChat.exe             runs the version in use, which may be another
//!   resources/app/...
//!   versions/
//!     current                the name of a folder beside it, one line of text
//!     1.0.2/PearChat/        a bundle like the outer one
//! ```
//!
//! Windows moves no folder while a file in it is open, and a program that runs is open. Chrome and Squirrel therefore give each version a
//! folder of its own and have a small program beside them that starts the right one; Velopack waits for the app to end, moves two folders,
//! and has none in place if it is stopped between the two. Here the pointer is one small file that is replaced in one step, so that at
//! any moment one whole version is in use, and the program that starts it is the one that was installed: it is known to run, and takes
//! a version back that does not.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use semver::Version;

use crate::fit;

const FOLDER: &str = "versions";
const POINTER: &str = "current";

/// More than the longest name of a folder, in bytes.
const MAX_POINTER_BYTES: u64 = 256;

/// How often a name that is taken is tried with another number behind it.
const MAX_TRIES: u32 = 1000;

/// The versions in an installed bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions<'a>(pub &'a Path);

impl<'a> Versions<'a> {
    /// The installed bundle of which `bundle` is a version, or that is `bundle` itself.
    pub fn around(bundle: &'a Path) -> Self {
        let outer = bundle.ancestors().nth(3).filter(|outer| {
            let between = bundle.ancestors().nth(2).and_then(Path::file_name);
            between == Some(OsStr::new(FOLDER)) && outer.file_name() == bundle.file_name()
        });
        Self(outer.unwrap_or(bundle))
    }

    /// The folder of all versions but the installed one.
    pub fn folder(self) -> PathBuf {
        self.0.join(FOLDER)
    }

    /// The file that names the version in use.
    pub fn pointer(self) -> PathBuf {
        self.folder().join(POINTER)
    }

    /// The bundle in a folder of [`folder`](Self::folder): it bears the outer one's name, as the program in it does.
    pub fn bundle(self, name: &str) -> PathBuf {
        let inner = self.0.file_name().unwrap_or("app".as_ref());
        self.folder().join(name).join(inner)
    }

    /// The name of a folder for a version, at which nothing is yet.
    ///
    /// # Errors
    /// If there is none, or the system does not say.
    pub fn free_name(self, version: &str) -> io::Result<String> {
        let names = (1..MAX_TRIES).map(|number| match number {
            1 => version.to_owned(),
            _ => format!("{version}_{number}"),
        });
        for name in names.filter(|name| is_name(name)) {
            if !self.folder().join(&name).try_exists()? {
                return Ok(name);
            }
        }
        Err(io::Error::other(format!(
            "no folder in {} is free for version {version}",
            self.folder().display()
        )))
    }

    /// The name that the pointer says, whether or not something is there; `None` if there is no pointer or it says nothing usable.
    pub fn named(self) -> Option<String> {
        let mut text = String::new();
        let file = File::open(self.pointer()).ok()?;
        file.take(MAX_POINTER_BYTES).read_to_string(&mut text).ok()?;
        let name = text.trim();
        is_name(name).then(|| name.to_owned())
    }

    /// The name of the folder in which a bundle of these lies; `None` for the outer one and for what is elsewhere.
    pub fn name_of(self, bundle: &Path) -> Option<String> {
        let name = bundle.parent()?.file_name()?.to_str()?;
        (self.bundle(name) == bundle).then(|| name.to_owned())
    }

    /// The bundle in use: the one that the pointer names, or the outer one. A newer outer one was installed over it since and counts.
    /// A version that cannot be read counts as named, so that its start is tried and it is taken back.
    pub fn current(self) -> PathBuf {
        let Some(named) = self.named().map(|name| self.bundle(&name)) else {
            return self.0.to_owned();
        };
        let version =
            |bundle: &Path| fit::version_of(bundle).and_then(|version| Version::parse(&version).ok());
        let overtaken = match (version(self.0), version(&named)) {
            (Some(outer), Some(inner)) => outer >= inner,
            _ => false,
        };
        if overtaken || !named.is_dir() {
            self.0.to_owned()
        } else {
            named
        }
    }
}

/// Whether a text is the name of one folder on every system.
fn is_name(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    let one = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-+_".contains(letter);
    one && text.chars().all(plain) && !text.starts_with('.') && !text.ends_with('.') && text != POINTER
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[cfg(not(target_os = "macos"))]
    fn bundle(path: &Path, version: &str) {
        let app = path.join("resources/app");
        fs::create_dir_all(&app).unwrap();
        fs::write(app.join("package.json"), format!("{{\"version\":\"{version}\"}}")).unwrap();
    }

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn the_pointer_says_which_version_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let outer = dir.path().join("App");
        bundle(&outer, "1.0.0");
        let versions = Versions(&outer);
        let point = |text: &str| fs::write(versions.pointer(), text).unwrap();
        assert_eq!(versions.current(), outer);
        let inner = versions.bundle("1.0.1");
        bundle(&inner, "1.0.1");
        assert_eq!(versions.current(), outer, "nothing points to it yet");
        point("1.0.1\n");
        assert_eq!(versions.current(), inner);
        // Whichever of them runs, the installed one is found.
        assert_eq!(Versions::around(&inner), versions);
        assert_eq!(Versions::around(&outer), versions);
        assert_eq!(versions.name_of(&inner).as_deref(), Some("1.0.1"));
        assert_eq!(versions.name_of(&outer), None);
        // Of one that cannot be read the start is tried.
        fs::write(inner.join("resources/app/package.json"), "{").unwrap();
        assert_eq!(versions.current(), inner);
        // What a person installed over it is newer.
        bundle(&inner, "1.0.1");
        bundle(&outer, "1.0.1");
        assert_eq!(versions.current(), outer);
        for text in [
            "",
            "1.0.7",
            "../1.0.1",
            "1.0.1/App",
            "/",
            "C:\\x",
            "current",
            ".",
            &"1".repeat(300),
        ] {
            bundle(&outer, "1.0.0");
            point(text);
            assert_eq!(versions.current(), outer, "{text}");
        }
    }

    #[test]
    fn a_version_that_is_there_already_gets_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let outer = dir.path().join("App");
        let versions = Versions(&outer);
        assert_eq!(versions.free_name("1.0.1-rc.1+b").unwrap(), "1.0.1-rc.1+b");
        fs::create_dir_all(versions.bundle("1.0.1")).unwrap();
        assert_eq!(versions.free_name("1.0.1").unwrap(), "1.0.1_2");
        versions.free_name("../1.0.1").unwrap_err();
    }

    #[test]
    fn a_folder_that_happens_to_be_called_so_is_no_outer_bundle() {
        for path in [
            "/a/versions/App",
            "/App/versions/App",
            "/Other/versions/1/App",
            "App",
            "",
        ] {
            assert_eq!(Versions::around(Path::new(path)).0, Path::new(path));
        }
    }
}
