//! How a bundle is laid out, and whether it is the release that a drive or a deployment folder announces.
//!
//! `/package.json` names an app and a version; what is installed and started is a bundle beneath `/by-arch`. Nothing but this
//! comparison ties the two together: without it a bundle of another version would be installed over and over again, and one
//! of another app or machine once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Largest package.json that is read, in bytes; the shell starts no app with a larger one.
const MAX_PACKAGE_BYTES: u64 = 1024 * 1024;

/// How much of a program is read to learn what machine it is for. Headers of PE programs are found in the first 4 KiB.
const HEAD_BYTES: u64 = 4096;

/// What [`check_bundle`] could say of a bundle that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    /// Its package.json says what is announced.
    Same,
    /// It is one file (an AppImage, an installer), which is not looked into.
    OneFile,
    /// It has no package.json where apps on Bosc keep it.
    NoPackage,
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
        /// What the bundle says; empty if it says nothing.
        inner: String,
        /// What was announced.
        announced: String,
    },
    /// Its package.json cannot be used.
    #[error("{path} cannot be used: {reason}; make the bundle again with `bosc make`")]
    Package {
        /// The bundle's package.json.
        path: PathBuf,
        /// Why.
        reason: String,
    },
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
        host: String,
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

/// Where a bundle keeps its package.json. In a bundle that is one file there is none to find.
pub fn package_path(bundle: &Path) -> PathBuf {
    let resources = if has_extension(bundle, "app") {
        bundle.join("Contents/Resources")
    } else {
        bundle.join("resources")
    };
    resources.join("app").join("package.json")
}

/// The program that starts a bundle: the file itself, or the one in it that bears its name.
pub(crate) fn program_path(host: &str, bundle: &Path) -> PathBuf {
    if bundle.is_file() {
        return bundle.to_owned();
    }
    let name = product(bundle);
    if has_extension(bundle, "app") {
        bundle.join("Contents/MacOS").join(name)
    } else if host.starts_with("win32-") {
        bundle.join(format!("{name}.exe"))
    } else {
        bundle.join(name)
    }
}

/// The bundle's name on the drive, wherever and under whatever name it is installed here.
pub fn name_on_drive(bundle: Option<&Path>, product_name: &str) -> String {
    let extension = match bundle {
        Some(bundle) if bundle.is_file() => ".AppImage",
        _ if cfg!(target_os = "macos") => ".app",
        _ => "",
    };
    format!("{product_name}{extension}")
}

/// A bundle's name without the suffix that its platform gives it.
pub fn product(bundle: &Path) -> String {
    let name = bundle.file_name().unwrap_or_default().to_string_lossy();
    [".app", ".AppImage", ".msix", ".exe"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(&name)
        .to_owned()
}

fn has_extension(bundle: &Path, extension: &str) -> bool {
    bundle.extension().is_some_and(|found| found == extension)
}

/// Compares a bundle for `host` (`linux-x64`) with the package.json that announces it: name, product name, version, the
/// upgrade link if the bundle has one, and the machine its program is for. A program that is not of a known format, such as
/// a script, is not judged by its machine.
///
/// # Errors
/// The first difference.
pub fn check_bundle(announced: &Value, host: &str, bundle: &Path) -> Result<Fits, Unfit> {
    check_machine(host, &program_path(host, bundle))?;
    if bundle.is_file() {
        return Ok(Fits::OneFile);
    }
    let path = package_path(bundle);
    let Some(inner) = read_package(&path)? else {
        return Ok(Fits::NoPackage);
    };
    let text = |package: &Value, field: &str| {
        let text = package.get(field).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let product_of = |package: &Value| match text(package, "productName") {
        name if name.is_empty() => text(package, "name"),
        name => name,
    };
    let mut fields: Vec<_> = ["name", "version"]
        .into_iter()
        .map(|field| (field, text(&inner, field), text(announced, field)))
        .collect();
    fields.push(("productName", product_of(&inner), product_of(announced)));
    let upgrade = text(&inner, "upgrade");
    if !upgrade.is_empty() {
        fields.push(("upgrade", upgrade, text(announced, "upgrade")));
    }
    match fields
        .into_iter()
        .find(|(_, inner, announced)| inner != announced)
    {
        None => Ok(Fits::Same),
        Some((field, inner, announced)) => Err(Unfit::Differs {
            path,
            field,
            inner,
            announced,
        }),
    }
}

/// Reads a package.json of at most 1 MiB; `None` if there is none.
fn read_package(path: &Path) -> Result<Option<Value>, Unfit> {
    let unusable = |reason: String| Unfit::Package {
        path: path.to_owned(),
        reason,
    };
    let text = match read_start(path, MAX_PACKAGE_BYTES + 1) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Unfit::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    if text.len() as u64 > MAX_PACKAGE_BYTES {
        return Err(unusable("it is larger than 1 MiB".to_owned()));
    }
    let package: Value = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    if package.is_object() {
        Ok(Some(package))
    } else {
        Err(unusable("it is not a JSON object".to_owned()))
    }
}

/// The version in a bundle's package.json, if it can be read.
pub(crate) fn version_of(bundle: &Path) -> Option<String> {
    let package = read_package(&package_path(bundle)).ok()??;
    package.get("version")?.as_str().map(str::to_owned)
}

fn read_start(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(bytes).read_to_end(&mut start)?;
    Ok(start)
}

fn check_machine(host: &str, program: &Path) -> Result<(), Unfit> {
    let head = match read_start(program, HEAD_BYTES) {
        Ok(head) => head,
        // Whether there is a program at all shows when it is asked to run.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(Unfit::Io {
                path: program.to_owned(),
                source,
            });
        }
    };
    let hosts = hosts_of(&head);
    if hosts.is_empty() || hosts.iter().any(|found| found == host) {
        return Ok(());
    }
    Err(Unfit::Machine {
        path: program.to_owned(),
        found: hosts.join(" and "),
        host: host.to_owned(),
    })
}

/// The hosts that a program can run on, by its first bytes (ELF, Mach-O, PE); none if it is of another format.
fn hosts_of(head: &[u8]) -> Vec<String> {
    let bytes = |at: usize, n: usize| at.checked_add(n).and_then(|end| head.get(at..end));
    let le16 = |at| Some(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?));
    let le32 = |at| Some(u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?));
    let be32 = |at| Some(u32::from_be_bytes(bytes(at, 4)?.try_into().ok()?));
    let host = |platform: &str, arch: Option<&str>| format!("{platform}-{}", arch.unwrap_or("unknown"));
    let mach = |cpu: Option<u32>| match cpu {
        Some(0x0100_0007) => Some("x64"),
        Some(0x0100_000c) => Some("arm64"),
        _ => None,
    };
    match bytes(0, 4) {
        Some(b"\x7fELF") => {
            // Byte 5 is the byte order; the two machines we know are little-endian.
            let arch = match (bytes(5, 1), le16(18)) {
                (Some([1]), Some(62)) => Some("x64"),
                (Some([1]), Some(183)) => Some("arm64"),
                _ => None,
            };
            vec![host("linux", arch)]
        }
        Some(b"\xcf\xfa\xed\xfe") => vec![host("darwin", mach(le32(4)))],
        // Several programs in one file. Java classes begin alike; their next field is a version above 40.
        Some(b"\xca\xfe\xba\xbe") => match be32(4) {
            Some(count @ 1..=16) => (0..count as usize)
                .map(|i| host("darwin", mach(be32(8 + i * 20))))
                .collect(),
            _ => Vec::new(),
        },
        Some([b'M', b'Z', ..]) => {
            let at = le32(0x3c).map_or(0, |at| at as usize);
            if bytes(at, 4) != Some(b"PE\0\0") {
                return Vec::new();
            }
            let arch = match at.checked_add(4).and_then(le16) {
                Some(0x8664) => Some("x64"),
                Some(0xaa64) => Some("arm64"),
                _ => None,
            };
            vec![host("win32", arch)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bundle(root: &Path, name: &str, package: &str) -> PathBuf {
        let bundle = root.join(name);
        let path = package_path(&bundle);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, package).unwrap();
        bundle
    }

    #[test]
    fn a_bundle_must_say_what_is_announced() {
        let root = tempfile::tempdir().unwrap();
        let announced = json!({"name":"a","productName":"App","version":"1.0.2","upgrade":"pear://x"});
        let check = |text: &str| {
            let checked = check_bundle(&announced, "linux-x64", &bundle(root.path(), "App", text));
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(&announced.to_string()), Ok(Fits::Same));
        // Without a link of its own the bundle cannot lead elsewhere.
        assert_eq!(
            check(r#"{"name":"a","productName":"App","version":"1.0.2"}"#),
            Ok(Fits::Same)
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
            ("{", "cannot be used"),
            ("[]", "cannot be used"),
        ] {
            let error = check(text).unwrap_err();
            assert!(
                error.contains(says) && error.contains("App/resources/app/package.json"),
                "{error}"
            );
        }
    }

    #[test]
    fn each_platform_has_its_layout() {
        let root = tempfile::tempdir().unwrap();
        let package = r#"{"name":"App","version":"1.0.0"}"#;
        let announced: Value = serde_json::from_str(package).unwrap();
        let mac = bundle(root.path(), "App.app", package);
        assert!(mac.join("Contents/Resources/app/package.json").is_file());
        assert_eq!(
            check_bundle(&announced, "darwin-arm64", &mac).unwrap(),
            Fits::Same
        );
        assert_eq!(program_path("darwin-arm64", &mac), mac.join("Contents/MacOS/App"));
        let folder = bundle(root.path(), "App", package);
        assert_eq!(program_path("win32-x64", &folder), folder.join("App.exe"));
        assert_eq!(program_path("linux-x64", &folder), folder.join("App"));
        let image = root.path().join("App.AppImage");
        std::fs::write(&image, "image").unwrap();
        assert_eq!(program_path("linux-x64", &image), image);
        assert_eq!(
            check_bundle(&announced, "linux-x64", &image).unwrap(),
            Fits::OneFile
        );
        std::fs::create_dir(root.path().join("Bare")).unwrap();
        assert_eq!(
            check_bundle(&announced, "linux-x64", &root.path().join("Bare")).unwrap(),
            Fits::NoPackage
        );
    }

    #[test]
    fn a_program_must_be_for_the_machine_it_is_announced_for() {
        let here = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(hosts_of(&here), [crate::host::current()]);

        let elf = |machine: u8| [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &[machine, 0]].concat();
        assert_eq!(hosts_of(&elf(62)), ["linux-x64"]);
        assert_eq!(hosts_of(&elf(183)), ["linux-arm64"]);
        assert_eq!(hosts_of(&elf(3)), ["linux-unknown"]);
        assert_eq!(hosts_of(b"\xcf\xfa\xed\xfe\x0c\0\0\x01"), ["darwin-arm64"]);
        let fat = |cpu: [u8; 4]| [&cpu[..], &[0; 16]].concat();
        let universal = [
            &b"\xca\xfe\xba\xbe\0\0\0\x02"[..],
            &fat([1, 0, 0, 7]),
            &fat([1, 0, 0, 12]),
        ]
        .concat();
        assert_eq!(hosts_of(&universal), ["darwin-x64", "darwin-arm64"]);
        let mut pe = vec![0; 0x80];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x78;
        pe[0x78..0x7e].copy_from_slice(b"PE\0\0\x64\x86");
        assert_eq!(hosts_of(&pe), ["win32-x64"]);
        assert!(hosts_of(b"#!/bin/sh\n").is_empty() && hosts_of(b"").is_empty());

        let root = tempfile::tempdir().unwrap();
        let package = r#"{"name":"App","version":"1.0.0"}"#;
        let announced: Value = serde_json::from_str(package).unwrap();
        let bundle = bundle(root.path(), "App", package);
        std::fs::write(bundle.join("App"), elf(62)).unwrap();
        check_bundle(&announced, "linux-x64", &bundle).unwrap();
        let error = check_bundle(&announced, "linux-arm64", &bundle)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("a program for linux-x64, but it is announced for linux-arm64"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_program_is_judged_without_a_panic(start in 0usize..4, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let starts: [&[u8]; 4] = [b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ"];
            hosts_of(&[starts[start], &rest].concat());
        }
    }
}
