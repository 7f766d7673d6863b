//! Which names the disks of a system hold as they are, and which they take for one: what is written elsewhere than it was meant to be, or
//! over something else, is refused before.

use std::borrow::Cow;
use std::collections::BTreeMap;

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::error::DriveError;

/// Names that Windows reserves for devices, whatever their extension; `COM` and `LPT` with a digit besides.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
/// Units of UTF-16 in one name, at most, on the disks of Windows and macOS. Whole paths may be longer than the 260 of old programs: what
/// writes here asks the system in a way that has no such limit.
const MOST_UNITS: usize = 255;
/// Characters with a meaning of their own in a path of Windows: streams and drives, patterns, what a shell takes away.
const SIGNS: [char; 7] = ['<', '>', ':', '"', '|', '?', '*'];

/// The rules of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Linux and its like: a name is its bytes.
    Unix,
    /// macOS: letters in either case are one, and so are an accent and the letter that bears it.
    Macos,
    /// Windows: as macOS, and many names are not for files.
    Windows,
}

impl Names {
    /// Those of this system.
    pub const HERE: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::Macos
    } else {
        Self::Unix
    };

    /// Checks paths of a drive that are to lie in one folder of such a system.
    ///
    /// # Errors
    /// For the first that the system would not hold under its name, or takes for another one before it.
    pub fn check<'a>(self, keys: impl IntoIterator<Item = &'a str>) -> Result<(), DriveError> {
        let mut seen = BTreeMap::new();
        for key in keys {
            for name in key.split('/') {
                if let Some(reason) = self.against(name) {
                    return Err(DriveError::refused(key, reason));
                }
            }
            if self != Self::Unix {
                self.alone(key, &mut seen)?;
            }
        }
        Ok(())
    }

    /// Why the system does not hold a file of that name; `None` if it does.
    pub(crate) fn against(self, name: &str) -> Option<Cow<'static, str>> {
        if self == Self::Unix {
            return None;
        }
        if name.encode_utf16().count() > MOST_UNITS {
            return Some(format!("a name in it is longer than {MOST_UNITS} characters: shorten it").into());
        }
        if self == Self::Macos {
            return None;
        }
        let sign = |sign: &char| SIGNS.contains(sign) || *sign < ' ';
        if let Some(found) = name.chars().find(sign) {
            return Some(format!("Windows takes no {found:?} in a name: rename it").into());
        }
        if name.ends_with(['.', ' ']) {
            let why =
                "Windows drops a dot or space at the end of a name, and would take it for another: rename it";
            return Some(why.into());
        }
        is_device(name).then(|| format!("Windows takes the name {name:?} for a device: rename it").into())
    }

    /// Checks that neither a path nor a folder of it is one with what was seen before, spelt otherwise.
    fn alone<'a>(self, key: &'a str, seen: &mut BTreeMap<String, &'a str>) -> Result<(), DriveError> {
        let composed = ComposingNormalizerBorrowed::new_nfc();
        let folders = key.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        for at in folders.chain([key.len()]) {
            let path = key.get(..at).unwrap_or(key);
            let same = composed.normalize(&path.to_lowercase()).into_owned();
            let first = *seen.entry(same).or_insert(path);
            if first != path {
                let system = if self == Self::Windows { "Windows" } else { "macOS" };
                let reason = format!("a disk of {system} may not tell it from {first}: rename one of them");
                return Err(DriveError::refused(key, reason));
            }
        }
        Ok(())
    }
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let stem = stem.trim_end().to_ascii_lowercase();
    let numbered = |prefix| {
        let digit = stem.strip_prefix(prefix).map(|rest| rest.chars());
        digit.is_some_and(|mut rest| {
            matches!(rest.next(), Some('0'..='9' | '¹' | '²' | '³')) && rest.next().is_none()
        })
    };
    DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(names: Names, keys: &[&str]) -> String {
        names.check(keys.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn windows_refuses_what_it_would_hold_under_another_name() {
        for (name, word) in [
            ("C:", "':'"),
            ("a:b", "':'"),
            ("a?", "'?'"),
            ("a\u{1}", "'\\u{1}'"),
            ("nul", "device"),
            ("CON", "device"),
            ("NUL.txt", "device"),
            ("aux .c", "device"),
            ("com1", "device"),
            ("Lpt9.x", "device"),
            ("COM\u{b9}", "device"),
            ("conin$", "device"),
            ("a.", "dot or space"),
            ("a ", "dot or space"),
            ("...", "dot or space"),
        ] {
            let error = why(Names::Windows, &[&format!("/by/{name}/x")]);
            assert!(
                error.contains(word) && error.contains("rename"),
                "{name:?}: {error}"
            );
            Names::Macos.check([name]).unwrap();
        }
        for name in [
            "a", "console", "com", "com10", "comx", ".x", "a.b", " a", "\u{fc}",
        ] {
            Names::Windows.check([name]).unwrap();
        }
    }

    #[test]
    fn a_name_is_measured_as_the_disk_does() {
        let longest = "\u{1f600}".repeat(127);
        Names::Windows.check([longest.as_str()]).unwrap();
        let longer = format!("/{longest}ab");
        for names in [Names::Windows, Names::Macos] {
            assert!(why(names, &[&longer]).contains("longer than 255"));
        }
        Names::Unix.check([longer.as_str()]).unwrap();
        // Many names make a path that is as long as it likes.
        Names::Windows.check(["/folder".repeat(100).as_str()]).unwrap();
    }

    #[test]
    fn names_that_a_disk_takes_for_one_are_refused() {
        for (one, other) in [
            ("/a/Readme", "/A/other"),
            ("/caf\u{e9}", "/cafe\u{301}"),
            ("/\u{c5}", "/a\u{30a}"),
        ] {
            for names in [Names::Windows, Names::Macos] {
                let error = why(names, &[one, other]);
                assert!(error.contains("may not tell it from"), "{error}");
            }
            Names::Unix.check([one, other]).unwrap();
        }
        let apart = ["/a/x", "/a/y", "/cafe", "/caf\u{e9}"];
        Names::Windows.check(apart).unwrap();
        Names::Macos.check(apart).unwrap();
    }
}
