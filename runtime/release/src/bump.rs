//! The version in package.json, and which comes next by npm's rules.

use std::io::Write;
use std::path::Path;

use app::Document;
use semver::{Prerelease, Version};

use crate::error::refuse;
use crate::{ReleaseError, Why};

/// The version that follows a package.json's by npm's rules: `bump` is one, or names a part that is raised, with `preid` as the name
/// of a prerelease line.
///
/// # Errors
/// If it is neither, or the same version again.
pub fn next_version(package: &Document, bump: &str, preid: Option<&str>) -> Result<Version, ReleaseError> {
    let next = match parse_exact(bump) {
        Some(version) => version,
        None => raise(&package.version()?, bump, preid)?,
    };
    if package.version().is_ok_and(|version| version == next) {
        refuse!(
            Input,
            "Version not changed: {} has {next} already",
            package.origin()
        );
    }
    Ok(next)
}

/// Writes a version into a package.json, whole or not at all; its other text stays as it is.
///
/// # Errors
/// If the file cannot be written.
pub fn write_version(path: &Path, package: &Document, version: &Version) -> Result<(), ReleaseError> {
    let text = package.with_version(version)?;
    replace(path, text.as_bytes()).map_err(ReleaseError::io("write", path))
}

fn parse_exact(text: &str) -> Option<Version> {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

/// Writes the file whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("json.bosc-tmp");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    if let Ok(present) = std::fs::metadata(path) {
        file.set_permissions(present.permissions())?;
    }
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// The next version by npm's rules (`semver.inc`).
fn raise(version: &Version, bump: &str, preid: Option<&str>) -> Result<Version, ReleaseError> {
    let Version {
        major, minor, patch, ..
    } = *version;
    let was_pre = !version.pre.is_empty();
    let first = || {
        prerelease(&match preid {
            Some(id) => format!("{id}.0"),
            None => "0".to_owned(),
        })
    };
    let pre = |major, minor, patch| -> Result<Version, ReleaseError> {
        Ok(Version {
            pre: first()?,
            ..Version::new(major, minor, patch)
        })
    };
    Ok(match bump {
        "major" if was_pre && minor == 0 && patch == 0 => Version::new(major, 0, 0),
        "major" => Version::new(major + 1, 0, 0),
        "minor" if was_pre && patch == 0 => Version::new(major, minor, 0),
        "minor" => Version::new(major, minor + 1, 0),
        "patch" if was_pre => Version::new(major, minor, patch),
        "patch" => Version::new(major, minor, patch + 1),
        "premajor" => pre(major + 1, 0, 0)?,
        "preminor" => pre(major, minor + 1, 0)?,
        "prepatch" => pre(major, minor, patch + 1)?,
        "prerelease" if !was_pre => pre(major, minor, patch + 1)?,
        "prerelease" => {
            let pre = match preid {
                Some(id) if version.pre.split('.').next() != Some(id) => first()?,
                _ => prerelease(&count_up(&version.pre))?,
            };
            Version {
                pre,
                ..Version::new(major, minor, patch)
            }
        }
        other => refuse!(
            Input,
            "\"{other}\" is neither a version nor one of major, minor, patch, premajor, preminor, prepatch, prerelease"
        ),
    })
}

fn prerelease(text: &str) -> Result<Prerelease, ReleaseError> {
    Prerelease::new(text).map_err(|error| {
        ReleaseError::refused(
            Why::Input,
            format!("\"{text}\" cannot name a prerelease: {error}"),
        )
    })
}

/// Raises the last number in a prerelease, or adds one.
fn count_up(pre: &str) -> String {
    let mut parts: Vec<String> = pre.split('.').map(str::to_owned).collect();
    for part in parts.iter_mut().rev() {
        if let Ok(number) = part.parse::<u64>() {
            *part = (number + 1).to_string();
            return parts.join(".");
        }
    }
    format!("{pre}.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raises_as_npm_does() {
        let cases = [
            ("1.2.3", "patch", None, "1.2.4"),
            ("1.2.3", "minor", None, "1.3.0"),
            ("1.2.3", "major", None, "2.0.0"),
            ("1.2.3-rc.1", "patch", None, "1.2.3"),
            ("1.3.0-0", "minor", None, "1.3.0"),
            ("2.0.0-0", "major", None, "2.0.0"),
            ("1.2.3", "prerelease", None, "1.2.4-0"),
            ("1.2.4-0", "prerelease", None, "1.2.4-1"),
            ("1.2.3", "prerelease", Some("rc"), "1.2.4-rc.0"),
            ("1.2.4-rc.0", "prerelease", Some("rc"), "1.2.4-rc.1"),
            ("1.2.4-beta.3", "prerelease", Some("rc"), "1.2.4-rc.0"),
            ("1.2.4-rc", "prerelease", None, "1.2.4-rc.0"),
            ("1.2.3", "premajor", None, "2.0.0-0"),
            ("1.2.3", "preminor", Some("rc"), "1.3.0-rc.0"),
            ("1.2.3", "prepatch", None, "1.2.4-0"),
        ];
        for (from, bump, preid, to) in cases {
            let next = raise(&Version::parse(from).unwrap(), bump, preid).unwrap();
            assert_eq!(next.to_string(), to, "{from} {bump} {preid:?}");
        }
        assert!(raise(&Version::new(1, 0, 0), "sideways", None).is_err());
    }
}
