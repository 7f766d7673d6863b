//! Why a `package.json` cannot be used, with what to do about it.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// A `package.json` cannot be used. Every message names it and says what to write, or which command to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// There is none.
    #[error("{}", missing(path))]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than any sensible one.
    #[error("{origin} is too large: a package.json has at most 1 MiB")]
    TooLarge {
        /// Its path, or where on a drive it is.
        origin: String,
    },
    /// It is not JSON.
    #[error("{origin} is not a valid package.json: {source}; correct it and try again")]
    Json {
        /// Its path, or where on a drive it is.
        origin: String,
        /// Where and what.
        source: serde_json::Error,
    },
    /// A field is missing, or its value cannot be used.
    #[error("{origin}: {what}")]
    Field {
        /// Its path, or where on a drive it is.
        origin: String,
        /// A whole clause: the field, what is wrong with it, and what to do.
        what: String,
    },
}

/// The words for a package.json that is not there: it may be the folder that is misspelt.
fn missing(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => format!(
            "{} is no folder: name the one that the app's package.json is in",
            folder.display()
        ),
        _ => format!(
            "{} not found: an app needs a package.json with \"name\" and \"version\"; run this in the app's folder, or name it",
            path.display()
        ),
    }
}

/// Most characters of a value that a message shows: enough to find it by.
const MAX_SHOWN: usize = 100;

/// The start of a value, for a message.
pub(crate) fn short(value: impl Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// The start of a text, in quotes and with what a terminal would act on escaped.
pub(crate) fn quoted(text: &str) -> String {
    short(format_args!("{text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_shows_the_start_of_a_long_value() {
        assert_eq!(quoted("a\u{1b}b"), r#""a\u{1b}b""#);
        let long = "ü".repeat(10_000);
        assert_eq!(short(&long).chars().count(), MAX_SHOWN + 1);
        assert_eq!(
            short(long.chars().take(MAX_SHOWN).collect::<String>())
                .chars()
                .count(),
            MAX_SHOWN
        );
    }
}
