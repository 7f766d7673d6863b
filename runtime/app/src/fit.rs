//! Whether a bundle is the release that a drive or a deployment folder announces.
//!
//! `/package.json` names an app and a version; what is installed and started is a bundle beneath `/by-arch`. Nothing but this
//! comparison ties the two together: without it a bundle of another version would be installed over and over again, and one
//! of another app or machine once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use appimage::{Image, ImageError};

use crate::error::short;
use crate::machine::{HEAD_BYTES, hosts_of};
use crate::{Document, Host, Layout, MAX_PACKAGE_BYTES, ManifestError};

/// What [`check_bundle`] could say of a bundle that is not refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Fits {
    /// Its package.json, this one, says what is announced.
    Same(Document),
    /// It is one file that cannot be looked into (an installer, an AppImage of another kind than ours).
    OneFile,
    /// It has no package.json at this place, where apps on Bosc keep it.
    NoPackage(PathBuf),
}

/// Why a bundle is not the release that was announced. Each is a sentence with the advice for whoever makes releases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// A field of its package.json differs.
    #[error(
        "{path} has the {field} \"{inner}\", but the release is announced with \"{announced}\": make the bundle again with `bosc make`"
    )]
    Differs {
        /// The bundle's package.json.
        path: PathBuf,
        /// `name`, `productName`, `version` or `upgrade`.
        field: &'static str,
        /// The start of what the bundle says; empty if it says nothing.
        inner: String,
        /// The start of what was announced.
        announced: String,
    },
    /// Its package.json cannot be used.
    #[error("{0}; make the bundle again with `bosc make`")]
    Package(ManifestError),
    /// It has none.
    #[error("{path} is missing: no app on Bosc starts without it; make the bundle again with `bosc make`")]
    NoPackage {
        /// Where it should be.
        path: PathBuf,
    },
    /// Its program is for other machines.
    #[error(
        "{path} is a program for {found}, but it is announced for {host}: name each bundle for its own machine"
    )]
    Machine {
        /// The program.
        path: PathBuf,
        /// What it is for.
        found: String,
        /// The folder beneath `by-arch`.
        host: Host,
    },
    /// Something of it cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Compares a bundle for `host` with the package.json that announces it: name, product name, version, the upgrade link if the
/// bundle has one, and the machine its program is for. A program that is not of a known format, such as a script, is not judged
/// by its machine.
///
/// # Errors
/// The first difference.
pub fn check_bundle(announced: &Document, host: &Host, bundle: &Path) -> Result<Fits, Unfit> {
    let layout = Layout::at(host, bundle);
    check_machine(host, &layout.program(bundle))?;
    let (path, inner) = match layout.manifest(bundle) {
        Some(path) => match Document::read(&path) {
            Ok(inner) => (path, inner),
            Err(ManifestError::Missing { path }) => return Ok(Fits::NoPackage(path)),
            Err(error) => return Err(Unfit::Package(error)),
        },
        None => match package_in(&layout, bundle)? {
            Some(inner) => (PathBuf::from(inner.origin()), inner),
            None => return Ok(Fits::OneFile),
        },
    };
    let both = |field: &'static str| (field, inner.field(field), announced.field(field));
    let mut fields = vec![
        both("name"),
        both("version"),
        ("productName", inner.product_name(), announced.product_name()),
    ];
    if inner.field("upgrade").is_some() {
        fields.push(both("upgrade"));
    }
    let differs = fields
        .into_iter()
        .find(|(_, inner, announced)| inner != announced);
    let Some((field, found, announced)) = differs else {
        return Ok(Fits::Same(inner));
    };
    Err(Unfit::Differs {
        path,
        field,
        inner: short(found.unwrap_or_default()),
        announced: short(announced.unwrap_or_default()),
    })
}

/// The package.json in an installed bundle, a folder or an AppImage; `None` if it is one file that cannot be looked into.
///
/// # Errors
/// If it cannot be read, or there is none in a folder.
pub fn package_of(bundle: &Path) -> Result<Option<Document>, Unfit> {
    let layout = Layout::at(&Host::current(), bundle);
    match layout.manifest(bundle) {
        Some(path) => Document::read(&path).map(Some).map_err(Unfit::Package),
        None => package_in(&layout, bundle),
    }
}

/// The version in an installed bundle's package.json, if it can be read. It need be no version.
pub fn version_of(bundle: &Path) -> Option<String> {
    let package = package_of(bundle).ok()??;
    package.field("version").map(str::to_owned)
}

/// The package.json in a bundle that is one file; `None` if that is no AppImage which can be looked into, or has none where apps on
/// Bosc keep it.
fn package_in(layout: &Layout, bundle: &Path) -> Result<Option<Document>, Unfit> {
    let image = match Image::open(bundle) {
        Ok(image) => image,
        Err(ImageError::NoImage(_) | ImageError::Unsupported(_)) => return Ok(None),
        Err(source) => return Err(unreadable(bundle, source)),
    };
    let inside = layout.manifest_inside();
    let text = image
        .find(&inside)
        .and_then(|file| match file {
            // One byte more, so that what is too long is refused as such.
            Some(file) => image.contents(&file, MAX_PACKAGE_BYTES + 1),
            None => Ok(None),
        })
        .map_err(|source| unreadable(bundle, source))?;
    let origin = bundle.join(inside).display().to_string();
    text.map(|text| Document::parse(&text, &origin).map_err(Unfit::Package))
        .transpose()
}

fn unreadable(bundle: &Path, source: ImageError) -> Unfit {
    Unfit::Io {
        path: bundle.to_owned(),
        source: source.into(),
    }
}

/// The hosts that a program can run on, by its first bytes; none if it is of no known format, such as a script.
///
/// # Errors
/// If it cannot be read.
pub fn machines(program: &Path) -> io::Result<Vec<String>> {
    let mut head = Vec::new();
    File::open(program)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(hosts_of(&head))
}

fn check_machine(host: &Host, program: &Path) -> Result<(), Unfit> {
    let hosts = match machines(program) {
        Ok(hosts) => hosts,
        // Whether there is a program at all shows when it is asked to run.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(Unfit::Io {
                path: program.to_owned(),
                source,
            });
        }
    };
    let name = host.to_string();
    if hosts.is_empty() || hosts.contains(&name) {
        return Ok(());
    }
    Err(Unfit::Machine {
        path: program.to_owned(),
        found: hosts.join(" and "),
        host: host.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn host(name: &str) -> Host {
        name.parse().unwrap()
    }

    fn bundle(root: &Path, host: &Host, name: &str, package: &str) -> PathBuf {
        let bundle = root.join(name);
        let path = Layout::at(host, &bundle).manifest(&bundle).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, package).unwrap();
        bundle
    }

    fn announced(text: &str) -> Document {
        Document::parse(text.as_bytes(), "/package.json").unwrap()
    }

    #[test]
    fn a_bundle_must_say_what_is_announced() {
        let (root, host) = (tempfile::tempdir().unwrap(), host("linux-x64"));
        let value = json!({"name":"a","productName":"App","version":"1.0.2","upgrade":"pear://x"});
        let announced = announced(&value.to_string());
        let check = |text: &str| {
            let checked = check_bundle(&announced, &host, &bundle(root.path(), &host, "App", text));
            checked
                .map(|fits| matches!(fits, Fits::Same(_)))
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(announced.text()), Ok(true));
        // Without a link of its own the bundle cannot lead elsewhere.
        assert_eq!(
            check(r#"{"name":"a","productName":"App","version":"1.0.2"}"#),
            Ok(true)
        );
        for (text, says) in [
            (
                r#"{"name":"a","productName":"App","version":"1.0.1"}"#,
                "has the version \"1.0.1\"",
            ),
            (
                r#"{"name":"b","productName":"App","version":"1.0.2"}"#,
                "has the name \"b\"",
            ),
            (r#"{"name":"a","version":"1.0.2"}"#, "has the productName \"a\""),
            (r#"{"name":"a","productName":"App"}"#, "has the version \"\""),
            (
                r#"{"name":"a","productName":"App","version":"1.0.2","upgrade":"pear://y"}"#,
                "has the upgrade \"pear://y\"",
            ),
            ("{", "not a valid package.json"),
            ("[]", "one JSON object"),
        ] {
            let error = check(text).unwrap_err();
            assert!(
                error.contains(says) && error.contains("App/resources/app/package.json"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_bundle_is_looked_into_where_its_platform_has_its_app() {
        let root = tempfile::tempdir().unwrap();
        let package = r#"{"name":"App","version":"1.0.0"}"#;
        let announced = announced(package);
        for (name, file) in [
            ("darwin-arm64", "App.app"),
            ("win32-x64", "App"),
            ("linux-x64", "App"),
        ] {
            let host = host(name);
            let bundle = bundle(root.path(), &host, file, package);
            let fits = check_bundle(&announced, &host, &bundle).unwrap();
            assert!(matches!(fits, Fits::Same(inner) if inner.text() == package));
        }
        let image = root.path().join("App.AppImage");
        std::fs::write(&image, "image").unwrap();
        let linux = host("linux-x64");
        assert_eq!(check_bundle(&announced, &linux, &image).unwrap(), Fits::OneFile);
        assert_eq!(version_of(&image), None);
        let bare = root.path().join("Bare");
        std::fs::create_dir(&bare).unwrap();
        assert_eq!(
            check_bundle(&announced, &linux, &bare).unwrap(),
            Fits::NoPackage(bare.join("resources/app/package.json"))
        );
    }

    #[test]
    fn a_program_must_be_for_the_machine_it_is_announced_for() {
        let root = tempfile::tempdir().unwrap();
        let package = r#"{"name":"App","version":"1.0.0"}"#;
        let announced = announced(package);
        let bundle = bundle(root.path(), &host("linux-x64"), "App", package);
        let elf = [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &[62, 0]].concat();
        std::fs::write(bundle.join("App"), elf).unwrap();
        check_bundle(&announced, &host("linux-x64"), &bundle).unwrap();
        for other in ["linux-arm64", "plan9-mips"] {
            let error = check_bundle(&announced, &host(other), &bundle)
                .unwrap_err()
                .to_string();
            let says = format!("a program for linux-x64, but it is announced for {other}");
            assert!(error.contains(&says), "{error}");
        }
    }
}
