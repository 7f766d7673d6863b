//! What Debian is told of a package.

use app::Manifest;

use crate::tree::{Item, Source, Tree};
use crate::{PackagingError, author};

/// The version as Debian orders it: a prerelease comes before its release.
pub(super) fn version(manifest: &Manifest) -> String {
    let version = &manifest.version;
    let mut text = format!("{}.{}.{}", version.major, version.minor, version.patch);
    if !version.pre.is_empty() {
        // A hyphen would begin Debian's own revision.
        text.push_str(&format!("~{}", version.pre.as_str().replace('-', ".")));
    }
    if !version.build.is_empty() {
        text.push_str(&format!("+{}", version.build.as_str().replace('-', ".")));
    }
    text
}

/// Debian's rule for the names of packages.
pub(super) fn check_name(manifest: &Manifest) -> Result<(), PackagingError> {
    let name = &manifest.name;
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let other = |c: char| first(c) || "+-.".contains(c);
    if name.len() >= 2 && name.starts_with(first) && name.chars().all(other) {
        return Ok(());
    }
    Err(PackagingError::DebName { name: name.clone() })
}

/// The package's `control`.
pub(super) fn control(
    manifest: &Manifest,
    architecture: &str,
    files: &Tree,
    depends: &[String],
) -> Result<String, PackagingError> {
    let mut control = String::new();
    let mut field = |name: &str, value: &str| control.push_str(&format!("{name}: {}\n", one_line(value)));
    field("Package", &manifest.name);
    field("Version", &version(manifest));
    field("Architecture", architecture);
    field("Maintainer", &maintainer(manifest));
    field("Installed-Size", &kibibytes(files)?.to_string());
    field("Depends", &depends.join(", "));
    field("Section", "misc");
    field("Priority", "optional");
    if let Some(homepage) = manifest.document.field("homepage") {
        field("Homepage", homepage);
    }
    let title = &manifest.window.title;
    let description = manifest.document.field("description").unwrap_or(title);
    let description = description.trim_end_matches('.');
    field("Description", description);
    control.push_str(&format!(
        " {}\n updates itself from peer to peer. This package brings its first version: each\n user who \
         starts it gets a copy of their own, which takes over newer ones.\n",
        one_line(title)
    ));
    Ok(control)
}

/// `author` of package.json.
fn maintainer(manifest: &Manifest) -> String {
    let (name, address) = author::of(manifest);
    let name = name.unwrap_or_else(|| format!("The authors of {}", manifest.window.title));
    let address = address.unwrap_or_else(|| "nobody@localhost".to_owned());
    format!("{} <{address}>", name.replace(['<', '>', ','], " "))
}

/// What all files take on a disk, as Debian counts it.
fn kibibytes(files: &Tree) -> Result<u64, PackagingError> {
    let mut total = files.folders().len() as u64;
    for (_, item) in files.items() {
        let bytes = match item {
            Item::Link(_) => 0,
            Item::File {
                from: Source::Bytes(bytes),
                ..
            } => bytes.len() as u64,
            Item::File {
                from: Source::Path(path),
                ..
            } => {
                let found = std::fs::metadata(path).map_err(PackagingError::io("read", path))?;
                found.len()
            }
        };
        total += bytes.div_ceil(1024).max(1);
    }
    Ok(total)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The file that Debian wants to say under which terms the app comes.
pub(super) fn copyright(manifest: &Manifest) -> String {
    let licence = manifest.document.field("license").unwrap_or("not stated");
    format!(
        "{} {}\n\nCopyright (C) {}\n\nLicence: {}\n\nOn Debian, common licences are in /usr/share/common-licenses.\n",
        one_line(&manifest.window.title),
        manifest.version,
        maintainer(manifest),
        one_line(licence),
    )
}

/// The list of changes that Debian wants: this is the version that the package was made for.
pub(super) fn changes(manifest: &Manifest) -> String {
    format!(
        "{} ({}) unstable; urgency=medium\n\n  * Version {}.\n\n -- {}  Tue, 01 Jan 1980 00:00:00 +0000\n",
        manifest.name,
        version(manifest),
        manifest.version,
        maintainer(manifest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text.as_bytes(), "p").unwrap()
    }

    #[test]
    fn versions_keep_their_order() {
        let version = |text: &str| version(&manifest(&format!(r#"{{"name":"a","version":"{text}"}}"#)));
        assert_eq!(version("1.0.1"), "1.0.1");
        assert_eq!(version("1.0.1-rc-a.1+b-2"), "1.0.1~rc.a.1+b.2");
    }

    #[test]
    fn the_author_is_the_maintainer() {
        for (author, expected) in [
            (r#""A B <a@b.c> (https://b.c)""#, "A B <a@b.c>"),
            (r#""A, B""#, "A  B <nobody@localhost>"),
            (r#"{"name":"A","email":"a@b.c"}"#, "A <a@b.c>"),
            ("7", "The authors of app <nobody@localhost>"),
        ] {
            let manifest = manifest(&format!(
                r#"{{"name":"app","version":"1.0.0","author":{author}}}"#
            ));
            assert_eq!(maintainer(&manifest), expected);
        }
    }

    #[test]
    fn a_name_that_debian_refuses_is_refused() {
        let check = |name: &str| check_name(&manifest(&format!(r#"{{"name":"{name}","version":"1.0.0"}}"#)));
        check("pear-chat").unwrap();
        for name in ["Chat", "my_chat", "c"] {
            assert!(check(name).unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn nothing_in_package_json_makes_another_field() {
        let manifest = manifest(
            r#"{"name":"app","version":"1.0.0","description":"One\nDepends: evil","author":"A\nB <a@b.c>"}"#,
        );
        let control = control(&manifest, "amd64", &Tree::default(), &["libc6".to_owned()]).unwrap();
        assert!(
            control.contains("\nDescription: One Depends: evil\n"),
            "{control}"
        );
        assert!(control.contains("\nMaintainer: A B <a@b.c>\n"), "{control}");
        assert_eq!(control.matches("\nDepends:").count(), 1);
    }
}
