//! What a mirror checks before it writes anything.

use crate::entry::Entry;
use crate::error::DriveError;
use crate::local_path::{check_key_for, check_link_for};
use crate::local_write::TEMPORARY;
use crate::names::Names;
use crate::path;

/// A list of entries in which a path can be looked up.
pub(crate) trait Entries {
    /// All of them, by path.
    fn all(&self) -> impl Iterator<Item = &Entry>;

    /// Whether there is one at a path.
    fn holds(&self, key: &str) -> bool;
}

/// Refuses a list of entries that cannot be written as it stands. The list may come from a stranger, so that all of it is
/// looked at before the first byte is written; the error names the entry.
///
/// `folder` are the rules of the disk that it goes to; `None` if it goes into a drive. `prefixes` are the folders and files that are
/// mirrored, none for everything. Links must lead into one of them: a bundle that is written and then moved must not lead to what
/// happens to lie beside it there.
pub(crate) fn check(
    entries: &impl Entries,
    folder: Option<Names>,
    prefixes: &[String],
) -> Result<(), DriveError> {
    let prefixes: Vec<String> = prefixes
        .iter()
        .map(|prefix| path::normalize_folder(prefix))
        .collect::<Result<_, _>>()?;
    for entry in entries.all() {
        let key = &entry.key;
        if path::normalize(key).ok().as_ref() != Some(key) {
            return Err(DriveError::refused(key, "its name is not in normal form"));
        }
        let Some(names) = folder else {
            continue;
        };
        check_key_for(names, key)?;
        if key.split('/').any(|name| name.starts_with(TEMPORARY)) {
            return Err(DriveError::refused(
                key,
                format!("names that begin with {TEMPORARY} are those of files being written"),
            ));
        }
        if let Some(target) = &entry.linkname {
            check_link_for(names, key, target)?;
            check_goal(key, target, &prefixes)?;
        }
        let mut above = path::parent(key);
        while above != "/" {
            if entries.holds(above) {
                return Err(DriveError::refused(
                    key,
                    format!("{above} is a file or link, and cannot be a folder too"),
                ));
            }
            above = path::parent(above);
        }
    }
    match folder {
        Some(names) => names.check(entries.all().map(|entry| entry.key.as_str())),
        None => Ok(()),
    }
}

/// Checks that a link which [`check_link`] accepted ends in what is mirrored.
fn check_goal(key: &str, target: &str, prefixes: &[String]) -> Result<(), DriveError> {
    let goal = path::resolve_link(key, target)?;
    if prefixes.is_empty() || prefixes.iter().any(|prefix| path::is_within(&goal, prefix)) {
        return Ok(());
    }
    let all = prefixes.join(", ");
    Err(DriveError::refused(
        key,
        format!("the link leads to {goal}, out of {all}"),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    impl Entries for BTreeMap<String, Entry> {
        fn all(&self) -> impl Iterator<Item = &Entry> {
            self.values()
        }

        fn holds(&self, key: &str) -> bool {
            self.contains_key(key)
        }
    }

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
            let error = check(&entries(keys), Some(Names::HERE), &[])
                .unwrap_err()
                .to_string();
            assert!(error.contains(named), "{error}");
        }
        check(
            &entries(&[("/a", None), ("/b/l", Some("../a")), ("/b/m", Some("/a"))]),
            Some(Names::HERE),
            &[],
        )
        .unwrap();
    }

    #[test]
    fn links_through_links_are_refused_where_they_could_go_up() {
        for list in [
            &[("/d/e/up", Some("../..")), ("/l", Some("d/e/up/../secret"))][..],
            &[("/d/up", Some("..")), ("/l", Some("/d/up/../x"))],
        ] {
            let error = check(&entries(list), Some(Names::HERE), &[])
                .unwrap_err()
                .to_string();
            assert!(error.contains("\"/l\" is refused"), "{error}");
        }
        // As libraries and the frameworks of macOS have them.
        let good = [
            ("/lib.so", Some("lib.so.1")),
            ("/lib.so.1", Some("./lib.so.1.2")),
            ("/lib.so.1.2", None),
            ("/F.framework/Versions/A/F", None),
            ("/F.framework/Versions/Current", Some("A")),
            ("/F.framework/F", Some("Versions/Current/F")),
        ];
        check(&entries(&good), Some(Names::HERE), &[]).unwrap();
    }

    #[test]
    fn the_names_of_the_system_that_is_written_to_count() {
        for list in [
            &[("/ok", None), ("/sub/NUL.txt", None)][..],
            &[("/a/Readme", None), ("/A/other", None)],
            &[("/l", Some("aux"))],
        ] {
            let error = check(&entries(list), Some(Names::Windows), &[])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("is refused") && error.contains("Windows"),
                "{error}"
            );
            check(&entries(list), Some(Names::Unix), &[]).unwrap();
            check(&entries(list), None, &[]).unwrap();
        }
    }

    #[test]
    fn links_stay_within_what_is_mirrored() {
        let list = entries(&[("/app/Cool/l", Some("../../package.json")), ("/app/Cool/f", None)]);
        check(&list, Some(Names::HERE), &[]).unwrap();
        check(
            &list,
            Some(Names::HERE),
            &["/app/Cool".into(), "package.json".into()],
        )
        .unwrap();
        for prefix in ["/app/Cool", "app/Cool/"] {
            let error = check(&list, Some(Names::HERE), &[prefix.into()])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("/app/Cool/l") && error.contains("out of /app/Cool"),
                "{error}"
            );
        }
        let inside = entries(&[
            ("/app/Cool/a/l", Some("../b")),
            ("/app/Cool/m", Some("/app/Cool/b")),
        ]);
        check(&inside, Some(Names::HERE), &["/app/Cool".into()]).unwrap();
        let out = entries(&[("/app/Cool/m", Some("/app/Cooler"))]);
        assert!(check(&out, Some(Names::HERE), &["/app/Cool".into()]).is_err());
    }

    #[cfg(unix)]
    mod on_the_disk {
        use proptest::prelude::*;

        use super::*;
        use crate::local_path::{check_link, join};

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.saturating_mul(4)))]
            /// Whatever a list of links says: what is accepted leads, on a real disk, nowhere outside the folder.
            #[test]
            fn accepted_links_stay_inside_on_the_disk(
                list in prop::collection::btree_map(
                    prop::sample::select(&["/a", "/c", "/b/a", "/b/c", "/b/b/a"][..]),
                    prop::sample::select(&[
                        "..", "../..", "../a", "../c", "a", "c", "b/a", "/b/a", "b/c/x", "b/b/a/x",
                        "a/..", "b/a/..", "b/c/../x", "b/b/a/../..", "/b/a/..", "../b/a/../..",
                    ][..]),
                    2..5,
                ),
            ) {
                let list: Vec<(&str, Option<&str>)> = list.into_iter().map(|(key, link)| (key, Some(link))).collect();
                if check(&entries(&list), Some(Names::HERE), &[]).is_err() {
                    return Ok(());
                }
                let room = tempfile::tempdir().unwrap();
                std::fs::write(room.path().join("x"), "secret").unwrap();
                let root = room.path().join("inside");
                std::fs::create_dir(&root).unwrap();
                for (key, target) in &list {
                    let full = join(&root, key);
                    std::fs::create_dir_all(full.parent().unwrap()).unwrap();
                    let link = check_link(key, target.unwrap()).unwrap();
                    std::os::unix::fs::symlink(link, full).unwrap();
                }
                let real = std::fs::canonicalize(&root).unwrap();
                for (key, target) in &list {
                    if let Ok(goal) = std::fs::canonicalize(join(&root, key)) {
                        prop_assert!(goal.starts_with(&real), "{key} → {target:?} leads to {}", goal.display());
                    }
                }
            }
        }
    }
}
