//! The highest release that was ever seen of a link, kept outside the bundle: `<dir>/pear-runtime/seen.json`.
//!
//! The running version alone is no floor: a version that was taken back, and a store that was deleted, would let older
//! releases in again, if somebody holds the newer ones back.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use app::Folders;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::file;

/// How far a drive was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) fork: u64,
    pub(crate) length: u64,
    pub(crate) version: Version,
}

/// A release that is below what was seen before.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Below {
    #[error(
        "length {length} on fork {fork} was seen before, and the drive is behind it: the peers at hand do not have the newest release, or hold it back"
    )]
    Behind { fork: u64, length: u64 },
    #[error("version {0} was seen before: an older one is not installed")]
    Older(Version),
}

impl Mark {
    /// Whether a release may be installed after this one was seen. `known_bad`: this version was taken back, so that an older
    /// release is a way out.
    pub(crate) fn admits(&self, release: &Mark, known_bad: bool) -> Result<(), Below> {
        if (release.fork, release.length) < (self.fork, self.length) {
            return Err(Below::Behind {
                fork: self.fork,
                length: self.length,
            });
        }
        match release.version.cmp_precedence(&self.version) {
            Ordering::Less if !known_bad => Err(Below::Older(self.version.clone())),
            _ => Ok(()),
        }
    }

    /// The higher of both, place and version each for itself.
    fn raised(&self, release: &Mark) -> Mark {
        let ahead = (release.fork, release.length) > (self.fork, self.length);
        let (fork, length) = if ahead {
            (release.fork, release.length)
        } else {
            (self.fork, self.length)
        };
        let newer = release.version.cmp_precedence(&self.version).is_gt();
        Mark {
            fork,
            length,
            version: if newer { &release.version } else { &self.version }.clone(),
        }
    }
}

/// What is kept. Another link is another history.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    key: String,
    #[serde(flatten)]
    mark: Mark,
}

/// The mark of one link in one data folder.
#[derive(Debug)]
pub(crate) struct Seen {
    path: PathBuf,
    key: String,
    mark: Option<Mark>,
}

impl Seen {
    /// Reads it. What is missing, damaged or of another link is none.
    pub(crate) fn load(dir: &Path, key: String) -> Self {
        let path = Folders(dir).seen();
        let kept = std::fs::read(&path).ok().and_then(|bytes| {
            serde_json::from_slice::<Kept>(&bytes)
                .inspect_err(|error| {
                    tracing::warn!(path = %path.display(), %error, "what was seen before is damaged and is ignored");
                })
                .ok()
        });
        let mark = kept.filter(|kept| kept.key == key).map(|kept| kept.mark);
        Self { path, key, mark }
    }

    pub(crate) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Keeps what was just seen, if it is higher. A disk that refuses is logged.
    pub(crate) fn raise(&mut self, release: &Mark) {
        let raised = self
            .mark
            .as_ref()
            .map_or_else(|| release.clone(), |mark| mark.raised(release));
        if self.mark.as_ref() == Some(&raised) {
            return;
        }
        let kept = Kept {
            key: self.key.clone(),
            mark: raised.clone(),
        };
        if let Err(error) = file::write_whole(&self.path, &kept) {
            tracing::error!(path = %self.path.display(), %error, "could not write down which release was seen");
        }
        self.mark = Some(raised);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(fork: u64, length: u64, version: &str) -> Mark {
        Mark {
            fork,
            length,
            version: Version::parse(version).unwrap(),
        }
    }

    #[test]
    fn nothing_below_what_was_seen_is_admitted() {
        let seen = mark(1, 10, "1.2.0");
        for (release, fine) in [
            (mark(1, 10, "1.2.0"), true),
            (mark(1, 11, "1.2.1"), true),
            (mark(2, 3, "1.2.1"), true),
            (mark(1, 9, "1.2.1"), false),
            (mark(0, 99, "1.2.1"), false),
            (mark(1, 11, "1.1.0"), false),
        ] {
            assert_eq!(seen.admits(&release, false).is_ok(), fine, "{release:?}");
        }
        // 1.2.0 does not start here: an older release is a way out, but not from an older drive.
        assert!(seen.admits(&mark(1, 11, "1.1.0"), true).is_ok());
        assert!(seen.admits(&mark(1, 9, "1.1.0"), true).is_err());
    }

    #[test]
    fn the_highest_is_kept_for_each_link() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Seen::load(dir.path(), "a".to_owned());
        assert_eq!(seen.mark(), None);
        seen.raise(&mark(0, 10, "1.2.0"));
        seen.raise(&mark(0, 7, "1.1.0"));
        seen.raise(&mark(1, 3, "1.1.0"));
        let again = Seen::load(dir.path(), "a".to_owned());
        assert_eq!(again.mark(), Some(&mark(1, 3, "1.2.0")));
        assert_eq!(Seen::load(dir.path(), "b".to_owned()).mark(), None);
        std::fs::write(dir.path().join("pear-runtime/seen.json"), "{").unwrap();
        assert_eq!(Seen::load(dir.path(), "a".to_owned()).mark(), None);
    }
}
