//! What an app and its bundle may be called, on every system that either goes to.

/// Longest `name` in bytes: npm's bound.
const MAX_NAME_BYTES: usize = 214;
/// Longest `productName` in bytes: with `.AppImage`, or a dot and `.lock`, it stays below the 255 that file systems have.
const MAX_PRODUCT_BYTES: usize = 200;

/// Whether a `name` can be a URL scheme's and a folder's: with a scope or without, of letters, digits, `-`, `_` and `.`.
pub(crate) fn usable_name(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let (scope, bare) = match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').unwrap_or_default(),
        None => ("no-scope", name),
    };
    name.len() <= MAX_NAME_BYTES && part(scope) && part(bare)
}

/// Whether a `productName` can be one folder's name on every system.
pub(crate) fn usable_product_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_PRODUCT_BYTES
        && !name.starts_with('.')
        && !name.ends_with('.')
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || "/\\:*?\"<>|".contains(c))
}

/// A path inside the app as people write it, as drives write it; `None` if it names nothing in there.
pub(crate) fn path_inside(path: &str) -> Option<String> {
    if path.split(['/', '\\']).any(|part| part == "..") {
        return None;
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_not_usable() {
        for name in [
            "",
            "..",
            "../x",
            "/etc/x",
            "a/b",
            "a\\b",
            ".x",
            "a b",
            "ü",
            "a\u{1b}[2K",
            "a\n",
            "-x",
            "@x",
            "@/x",
            "@../x",
            "@a\\../x",
            "@a/../x",
            "@a/b/c",
            "C:x",
        ] {
            assert!(!usable_name(name), "{name:?}");
        }
        for name in ["pear-chat", "a", "A_b.c", "0x", "@my-org/my.app"] {
            assert!(usable_name(name), "{name:?}");
        }
        assert!(usable_name(&"a".repeat(214)) && !usable_name(&"a".repeat(215)));
        for product in [
            "", "..", "../x", "/x", "a/b", "a\\b", "a:b", "a ", "a.", ".a", "a\0", "a?", "a\u{9b}m",
        ] {
            assert!(!usable_product_name(product), "{product:?}");
        }
        assert!(usable_product_name("My App") && usable_product_name("Übung"));
    }

    #[test]
    fn paths_stay_inside_the_app() {
        assert_eq!(path_inside("./ui/main.html").as_deref(), Some("ui/main.html"));
        assert_eq!(path_inside("/build/").as_deref(), Some("build"));
        assert_eq!(path_inside("/./a//./b").as_deref(), Some("a/b"));
        assert_eq!(path_inside("a..b/..c").as_deref(), Some("a..b/..c"));
        for path in ["", ".", "./", "/", "..", "../x", "a/../../x", "a\\..\\x"] {
            assert_eq!(path_inside(path), None, "{path:?}");
        }
    }
}
