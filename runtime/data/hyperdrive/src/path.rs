//! Paths inside a drive: absolute, `/` between names, no `.` or `..` (npm `unix-path-resolve`, and stricter where a path
//! comes from the network).

use crate::error::DriveError;

/// Names a path of a drive. Relative paths start at the root, `\` separates like `/`, `.` and empty names vanish, `..`
/// goes up.
///
/// # Errors
/// When `..` leads above the root, when the path holds a NUL, or when nothing is left.
pub fn normalize(path: &str) -> Result<String, DriveError> {
    let resolved = resolve("/", path)?;
    match resolved.as_str() {
        "/" => Err(DriveError::Path {
            path: path.into(),
            reason: "it names no file",
        }),
        _ => Ok(resolved),
    }
}

/// Like [`normalize`] for a folder: no `/` at the end, and the root is the empty string.
pub(crate) fn normalize_folder(path: &str) -> Result<String, DriveError> {
    let resolved = resolve("/", path)?;
    Ok(resolved.trim_end_matches('/').to_owned())
}

/// The path that `link`, found in the entry `key`, leads to. A relative link starts at the folder of the entry, as on a
/// disk (npm `hyperdrive` starts at the entry itself when it follows links, which leads nowhere).
///
/// # Errors
/// When the link leads above the root, or holds a NUL.
pub fn resolve_link(key: &str, link: &str) -> Result<String, DriveError> {
    resolve(parent(key), link)
}

/// The folder of a path: `/a` for `/a/b`, `/` for `/a`.
pub fn parent(key: &str) -> &str {
    match key.rfind('/') {
        Some(0) | None => "/",
        Some(at) => key.get(..at).unwrap_or("/"),
    }
}

/// True when `path` is `folder` or lies beneath it. Both in normal form.
pub fn is_within(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    match path.strip_prefix(folder) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn resolve(base: &str, path: &str) -> Result<String, DriveError> {
    let refuse = |reason| DriveError::Path {
        path: path.into(),
        reason,
    };
    if path.contains('\0') {
        return Err(refuse("it holds a NUL"));
    }
    let absolute = path.starts_with(['/', '\\']);
    let mut names: Vec<&str> = Vec::new();
    let base = if absolute { "" } else { base };
    for name in base.split('/').chain(path.split(['/', '\\'])) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop().ok_or(refuse("it leads above the root"))?),
            name => names.push(name),
        }
    }
    Ok(format!("/{}", names.join("/")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_take_their_normal_form() {
        for (path, normal) in [
            ("a", "/a"),
            ("/a/b/", "/a/b"),
            ("a//./b", "/a/b"),
            ("/a/../b", "/b"),
            ("a\\b", "/a/b"),
            ("/a/b/..", "/a"),
            ("/ä b", "/ä b"),
        ] {
            assert_eq!(normalize(path).unwrap(), normal, "{path}");
        }
        for path in ["", "/", ".", "/..", "/a/../..", "../a", "a\0b", "a/.."] {
            assert!(normalize(path).is_err(), "{path:?}");
        }
        assert_eq!(normalize_folder("/").unwrap(), "");
        assert_eq!(normalize_folder("a/b/").unwrap(), "/a/b");
    }

    #[test]
    fn links_start_at_their_folder() {
        assert_eq!(resolve_link("/a/b/link", "c").unwrap(), "/a/b/c");
        assert_eq!(resolve_link("/a/b/link", "../c").unwrap(), "/a/c");
        assert_eq!(resolve_link("/link", "/c").unwrap(), "/c");
        assert!(resolve_link("/a/link", "../../c").is_err());
    }

    #[test]
    fn within_means_whole_names() {
        assert!(
            is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/") && is_within("/a", "")
        );
        assert!(!is_within("/ab", "/a") && !is_within("/", "/a"));
    }

    proptest! {
        #[test]
        fn normal_forms_are_safe_and_stable(path in "[a-c./\\\\\0]{0,12}") {
            if let Ok(normal) = normalize(&path) {
                prop_assert_eq!(normalize(&normal).unwrap(), normal.clone());
                prop_assert!(normal.starts_with('/') && !normal.ends_with('/') && !normal.contains("//"));
                prop_assert!(normal.split('/').all(|name| name != ".." && name != "."));
            }
        }
    }
}
