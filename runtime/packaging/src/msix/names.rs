//! Names of files in an MSIX: what Windows takes, and how the zip says them.

use std::collections::BTreeMap;

use crate::PackagingError;
use crate::tree::{Item, Tree};

/// Longest path inside a package, in UTF-16 units: with where Windows puts packages it stays below the 260 that it takes.
const MAX_PATH_UNITS: usize = 180;

/// What no file on Windows may be called, with any ending.
const DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// A path as the zip has it: all but what stands for itself in every URL is escaped.
pub(super) fn part(path: &str) -> String {
    let mut part = String::new();
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => part.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => part.push(char::from(byte)),
            byte => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}

/// Whether a word is a device's name, alone or with an ending.
pub(super) fn is_device(word: &str) -> bool {
    let stem = word.split('.').next().unwrap_or_default().trim_end();
    DEVICES.contains(&stem.to_ascii_lowercase().as_str())
}

/// Refuses files that Windows has no place for.
pub(super) fn check(bundle: &Tree) -> Result<(), PackagingError> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for (path, item) in bundle.items() {
        let refused = |why: String| {
            Err(PackagingError::Unusable {
                path: path.into(),
                why,
            })
        };
        if matches!(item, Item::Link(_)) {
            return Err(link(path));
        }
        if let Some(word) = path.split('/').find(|word| !usable(word)) {
            return refused(format!(
                "Windows has no files that are called {word:?}; give it another name"
            ));
        }
        if path.encode_utf16().count() > MAX_PATH_UNITS {
            return refused(format!(
                "in an MSIX its path may have {MAX_PATH_UNITS} characters; give it a shorter one"
            ));
        }
        if let Some(other) = taken.insert(path.to_lowercase(), path) {
            return refused(format!("to Windows {other} has the same name; rename one"));
        }
    }
    Ok(())
}

/// That a link is in the way.
pub(super) fn link(path: &str) -> PackagingError {
    PackagingError::Unusable {
        path: path.into(),
        why: "it is a link, which an MSIX does not have; put the file itself there".to_owned(),
    }
}

fn usable(word: &str) -> bool {
    // The last two begin what XML does not have.
    let forbidden = |c: char| c.is_control() || "\\:*?\"<>|\u{fffe}\u{ffff}".contains(c);
    !word.is_empty() && !word.ends_with(['.', ' ']) && !word.contains(forbidden) && !is_device(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_escaped_as_urls_are() {
        assert_eq!(part("a/b-c_d.e~"), "a/b-c_d.e~");
        assert_eq!(part("My App [1]+%.ü"), "My%20App%20%5B1%5D%2B%25.%C3%BC");
    }

    #[test]
    fn files_that_windows_has_no_place_for_are_refused_in_words() {
        let refused = |paths: &[&str]| {
            let mut tree = Tree::default();
            for path in paths {
                tree.put(*path, Item::bytes("")).unwrap();
            }
            check(&tree).map_err(|error| error.to_string())
        };
        refused(&["a/b c", "a/é", "console", "a/.env"]).unwrap();
        let long = "a".repeat(181);
        for (paths, says) in [
            (&["a/con.txt"][..], "\"con.txt\""),
            (&["NUL"], "another name"),
            (&["a:b"], "\"a:b\""),
            (&["a\\b"], "another name"),
            (&["a./b"], "another name"),
            (&["a\u{1b}"], "another name"),
            (&["A/b", "a/B"], "same name"),
            (&[long.as_str()], "180"),
        ] {
            let error = refused(paths).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let mut tree = Tree::default();
        tree.put("l", Item::Link("a".into())).unwrap();
        let error = check(&tree).unwrap_err().to_string();
        assert!(error.contains("it is a link"), "{error}");
    }
}
