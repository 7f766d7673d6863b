//! `bosc version`: npm's `version`, for package.json alone.

use std::io::Write;

use anyhow::{Context, bail};
use app::Document;
use semver::{Prerelease, Version};
use serde_json::json;

use crate::args;
use crate::output::Output;

pub(crate) fn run(args: &args::Version, output: &Output) -> anyhow::Result<()> {
    let package = Document::read(&args.package)?;
    let Some(bump) = args.bump.as_deref() else {
        let version = package.version()?;
        output.result(&version.to_string());
        output.done(json!({ "version": version.to_string() }));
        return Ok(());
    };
    let next = match parse_exact(bump) {
        Some(version) => version,
        None => raise(&package.version()?, bump, args.preid.as_deref())?,
    };
    if package.version().is_ok_and(|version| version == next) {
        bail!(
            "Version not changed: {} has {next} already",
            args.package.display()
        );
    }
    let text = package.with_version(&next)?;
    replace(&args.package, text.as_bytes())
        .with_context(|| format!("cannot write {}", args.package.display()))?;
    output.result(&format!("v{next}"));
    output.done(json!({ "version": next.to_string() }));
    Ok(())
}

fn parse_exact(text: &str) -> Option<Version> {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

/// Writes the file whole or not at all.
fn replace(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("json.bosc-tmp");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.set_permissions(std::fs::metadata(path)?.permissions())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// The next version by npm's rules (`semver.inc`).
fn raise(version: &Version, bump: &str, preid: Option<&str>) -> anyhow::Result<Version> {
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
    let pre = |major, minor, patch| -> anyhow::Result<Version> {
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
        other => bail!(
            "\"{other}\" is neither a version nor one of major, minor, patch, premajor, preminor, prepatch, prerelease"
        ),
    })
}

fn prerelease(text: &str) -> anyhow::Result<Prerelease> {
    Prerelease::new(text).with_context(|| format!("\"{text}\" cannot name a prerelease"))
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
