//! What a mirror checks before it writes anything.

use crate::entry::Entry;
use crate::error::DriveError;
use crate::local_path::{check_key, check_link};
use crate::path;
use std::collections::BTreeMap;

/// Refuses a list of entries that cannot be written as it stands. The list may come from a stranger, so that all of it is
/// looked at before the first byte is written; the error names the entry.
pub(crate) fn check(entries: &BTreeMap<String, Entry>, to_folder: bool) -> Result<(), DriveError> {
    for (key, entry) in entries {
        if path::normalize(key).ok().as_ref() != Some(key) {
            return Err(DriveError::refused(key, "its name is not in normal form"));
        }
        if !to_folder {
            continue;
        }
        check_key(key)?;
        if let Some(target) = &entry.linkname {
            check_link(key, target)?;
        }
        let mut folder = path::parent(key);
        while folder != "/" {
            if entries.contains_key(folder) {
                return Err(DriveError::refused(
                    key,
                    format!("{folder} is a file or link, and cannot be a folder too"),
                ));
            }
            folder = path::parent(folder);
        }
    }
    if to_folder && cfg!(any(target_os = "macos", windows)) {
        check_case(entries)?;
    }
    Ok(())
}

/// On disks that do not tell `A` from `a`, two such entries would overwrite each other.
fn check_case(entries: &BTreeMap<String, Entry>) -> Result<(), DriveError> {
    let mut seen = BTreeMap::new();
    for key in entries.keys() {
        for (at, _) in key
            .match_indices('/')
            .filter(|(at, _)| *at > 0)
            .chain([(key.len(), "")])
        {
            let name = key.get(..at).unwrap_or(key);
            let first = seen.entry(name.to_lowercase()).or_insert_with(|| name.to_owned());
            if first != name {
                let reason = format!("this disk cannot tell it from {first}");
                return Err(DriveError::refused(key, reason));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(keys: &[(&str, Option<&str>)]) -> BTreeMap<String, Entry> {
        let entry = |key: &str, link: Option<&str>| Entry {
            seq: 1,
            key: key.into(),
            executable: false,
            linkname: link.map(str::to_owned),
            blob: None,
            metadata: None,
        };
        keys.iter()
            .map(|(key, link)| (key.to_string(), entry(key, *link)))
            .collect()
    }

    #[test]
    fn hostile_lists_are_refused_as_a_whole() {
        for (keys, named) in [
            (&[("/ok", None), ("/../x", None)][..], "/../x"),
            (&[("/a/../../x", None)], "/a/../../x"),
            (&[("relative", None)], "relative"),
            (&[("/a\0", None)], "/a"),
            (&[("/link", Some("../outside"))], "/link"),
            (&[("/a", Some("b")), ("/a/x", None)], "/a/x"),
            (&[("/a", None), ("/a/b/c", None)], "/a/b/c"),
        ] {
            let error = check(&entries(keys), true).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        check(
            &entries(&[("/a", None), ("/b/l", Some("../a")), ("/b/m", Some("/a"))]),
            true,
        )
        .unwrap();
    }

    #[test]
    fn names_that_differ_in_case_only_are_found() {
        assert!(check_case(&entries(&[("/Lib/a", None), ("/lib/b", None)])).is_err());
        assert!(check_case(&entries(&[("/lib/a", None), ("/lib/b", None)])).is_ok());
    }
}
