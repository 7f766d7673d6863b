//! From the path of a request to a key of the drive: decoded once, and never outside the app.

/// Longest request path served, in bytes.
const MAX_PATH_BYTES: usize = 4096;

/// Turns a URL path (`/renderer/a%20b.js`) into a drive path (`renderer/a b.js`).
///
/// `None` for anything that could mean a place outside the app or two places at once: `..`, `.` or empty segments,
/// backslashes, NUL and other control characters, drive letters, bad escapes, text that is not UTF-8.
/// A path that ends in `/` means the `index.html` in that folder.
pub fn drive_path(url_path: &str) -> Option<String> {
    if url_path.len() > MAX_PATH_BYTES {
        return None;
    }
    let decoded = decode(url_path.strip_prefix('/')?)?;
    let path = if decoded.is_empty() || decoded.ends_with('/') {
        decoded + "index.html"
    } else {
        decoded
    };
    let clean = path.split('/').all(|segment| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && !segment.chars().any(|c| c == '\\' || c == ':' || c.is_control())
    });
    clean.then_some(path)
}

/// Undoes `%xx` escapes.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter().copied();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Writes a drive path as a URL path, each segment escaped.
pub fn url_path(drive_path: &str) -> String {
    let mut out = String::with_capacity(drive_path.len() + 1);
    for segment in drive_path.split('/') {
        out.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_paths() {
        for (url, drive) in [
            ("/renderer/index.html", "renderer/index.html"),
            ("/", "index.html"),
            ("/renderer/", "renderer/index.html"),
            ("/a%20b/%C3%A9.js", "a b/é.js"),
            ("/..hidden", "..hidden"),
        ] {
            assert_eq!(drive_path(url).as_deref(), Some(drive), "{url}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_app() {
        for url in [
            "/../etc/passwd",
            "/a/../../b",
            "/%2e%2e/x",
            "/a/%2E%2e%2fb",
            "/..%5c..%5cx",
            "/a\\b",
            "//etc/passwd",
            "/%2Fetc/passwd",
            "/a//b",
            "/./a",
            "/C:/x",
            "/a%00.html",
            "/%ff",
            "/%2",
            "/%zz",
            "relative",
            "",
        ] {
            assert_eq!(drive_path(url), None, "{url}");
        }
        assert_eq!(drive_path(&format!("/{}", "a".repeat(MAX_PATH_BYTES))), None);
    }

    proptest! {
        #[test]
        fn accepted_paths_stay_inside(url in "/?[a./%\\\\0-9:e]{0,24}") {
            if let Some(path) = drive_path(&url) {
                prop_assert!(!path.starts_with('/'));
                prop_assert!(path.split('/').all(|s| s != ".." && s != "." && !s.is_empty()));
            }
        }

        #[test]
        fn any_file_name_round_trips(name in "[^/\\\\:\\p{Cc}]{1,20}") {
            prop_assume!(name != "." && name != "..");
            prop_assert_eq!(drive_path(&url_path(&name)), Some(name));
        }
    }
}
