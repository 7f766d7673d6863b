//! `AppxManifest.xml`: what Windows is told of an app.

use std::io;

use app::Manifest;

use super::names::is_device;
use crate::{PackagingError, author, desktop, xml};

/// How long the name that Windows knows an app by may be, in bytes.
const IDENTITY_BYTES: std::ops::RangeInclusive<usize> = 3..=50;
/// The largest number in a version.
const MAX_VERSION_PART: u64 = 65535;
/// Longest name that is shown, and longest description, in characters.
const MAX_SHOWN: usize = 256;
const MAX_DESCRIPTION: usize = 2048;
/// How long the scheme of an app's links may be, in bytes.
const SCHEME_BYTES: std::ops::RangeInclusive<usize> = 2..=39;

/// The first Windows that takes an MSIX without more (10, version 1809), and the last that the format was looked up for.
const SYSTEMS: [(&str, &str); 3] = [
    ("Name", "Windows.Desktop"),
    ("MinVersion", "10.0.17763.0"),
    ("MaxVersionTested", "10.0.22621.0"),
];

const NAMESPACES: [(&str, &str); 4] = [
    (
        "xmlns",
        "http://schemas.microsoft.com/appx/manifest/foundation/windows10",
    ),
    (
        "xmlns:uap",
        "http://schemas.microsoft.com/appx/manifest/uap/windows10",
    ),
    (
        "xmlns:rescap",
        "http://schemas.microsoft.com/appx/manifest/foundation/windows10/restrictedcapabilities",
    ),
    ("IgnorableNamespaces", "uap rescap"),
];

/// What an app may ask for, by the words of `bosc.permissions`, and what Windows calls it.
const DEVICES: [(&str, &str); 3] = [
    ("camera", "webcam"),
    ("geolocation", "location"),
    ("microphone", "microphone"),
];

/// What package.json says, as Windows takes it.
#[derive(Debug, PartialEq)]
pub(super) struct Words<'a> {
    identity: &'a str,
    publisher: &'a str,
    publisher_shown: String,
    version: String,
    title: String,
    description: String,
    scheme: Option<&'a str>,
    devices: Vec<&'static str>,
}

impl<'a> Words<'a> {
    /// Takes them, or refuses the first that Windows does not take.
    pub(super) fn of(manifest: &'a Manifest) -> Result<Self, PackagingError> {
        let making = &manifest.making;
        let publisher = making.publisher.as_deref().ok_or_else(|| {
            refused(
                "bosc.make.publisher",
                "is missing, and an MSIX must name who signs it",
                "write the subject of the certificate, such as \"CN=Example, O=Example\"",
            )
        })?;
        xml::check("bosc.make.publisher", publisher)?;
        let title = shown(
            "bosc.window.title",
            &manifest.window.title,
            &manifest.product_name,
            MAX_SHOWN,
        )?;
        let description = manifest.document.field("description").unwrap_or_default();
        let name = author::of(manifest).0.unwrap_or_default();
        Ok(Self {
            identity: identity(&making.identifier)?,
            publisher,
            publisher_shown: shown("author", &name, &title, MAX_SHOWN)?,
            version: version(manifest)?,
            description: shown("description", description, &title, MAX_DESCRIPTION)?,
            title,
            scheme: scheme(&manifest.name),
            devices: DEVICES
                .into_iter()
                .filter(|(word, _)| manifest.permissions.iter().any(|asked| asked == word))
                .map(|(_, device)| device)
                .collect(),
        })
    }

    /// The whole file, for an app whose program is called so.
    pub(super) fn manifest(&self, program: &str, architecture: &str) -> io::Result<Vec<u8>> {
        let identity = [
            ("Name", self.identity),
            ("Publisher", self.publisher),
            ("Version", &self.version),
            ("ProcessorArchitecture", architecture),
        ];
        xml::document(|xml| {
            let package = xml.create_element("Package").with_attributes(NAMESPACES);
            package.write_inner_content(|xml| {
                xml.create_element("Identity")
                    .with_attributes(identity)
                    .write_empty()?;
                xml.create_element("Properties").write_inner_content(|xml| {
                    xml::text(xml, "DisplayName", &self.title)?;
                    xml::text(xml, "PublisherDisplayName", &self.publisher_shown)?;
                    xml::text(xml, "Description", &self.description)?;
                    xml::text(xml, "Logo", r"Assets\StoreLogo.png")
                })?;
                xml.create_element("Dependencies").write_inner_content(|xml| {
                    let family = xml.create_element("TargetDeviceFamily");
                    family.with_attributes(SYSTEMS).write_empty().map(drop)
                })?;
                xml.create_element("Resources").write_inner_content(|xml| {
                    let language = xml.create_element("Resource");
                    language
                        .with_attribute(("Language", "en-us"))
                        .write_empty()
                        .map(drop)
                })?;
                xml.create_element("Applications")
                    .write_inner_content(|xml| self.application(xml, program))?;
                xml.create_element("Capabilities").write_inner_content(|xml| {
                    let full = xml.create_element("rescap:Capability");
                    full.with_attribute(("Name", "runFullTrust")).write_empty()?;
                    for device in &self.devices {
                        let capability = xml.create_element("DeviceCapability");
                        capability.with_attribute(("Name", *device)).write_empty()?;
                    }
                    Ok(())
                })?;
                Ok(())
            })?;
            Ok(())
        })
    }

    fn application(&self, xml: &mut xml::Xml, program: &str) -> io::Result<()> {
        let application = xml.create_element("Application").with_attributes([
            ("Id", "App"),
            ("Executable", program),
            ("EntryPoint", "Windows.FullTrustApplication"),
        ]);
        application.write_inner_content(|xml| {
            let visual = xml.create_element("uap:VisualElements").with_attributes([
                ("DisplayName", self.title.as_str()),
                ("Description", &self.description),
                ("BackgroundColor", "transparent"),
                ("Square150x150Logo", r"Assets\Square150x150Logo.png"),
                ("Square44x44Logo", r"Assets\Square44x44Logo.png"),
            ]);
            visual.write_empty()?;
            let Some(scheme) = self.scheme else {
                return Ok(());
            };
            xml.create_element("Extensions").write_inner_content(|xml| {
                let extension = xml.create_element("uap:Extension");
                let extension = extension.with_attribute(("Category", "windows.protocol"));
                extension.write_inner_content(|xml| {
                    let protocol = xml.create_element("uap:Protocol");
                    protocol.with_attribute(("Name", scheme)).write_empty().map(drop)
                })?;
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(())
    }
}

fn refused(field: &'static str, what: &str, advice: &str) -> PackagingError {
    PackagingError::Field {
        field,
        what: what.to_owned(),
        advice: advice.to_owned(),
    }
}

/// A text on one line that has its place, or another that stands for it.
fn shown(field: &'static str, text: &str, otherwise: &str, most: usize) -> Result<String, PackagingError> {
    xml::check(field, text)?;
    let text = match xml::one_line(text) {
        text if text.is_empty() => otherwise.to_owned(),
        text => text,
    };
    if text.chars().count() > most {
        let what = format!("is too long for an MSIX, which takes {most} characters");
        return Err(refused(field, &what, "write a shorter one"));
    }
    Ok(text)
}

/// Windows' rule for the names of packages.
fn identity(identifier: &str) -> Result<&str, PackagingError> {
    let lower = identifier.to_ascii_lowercase();
    let reserved = is_device(&lower) || lower.starts_with("xn--") || lower.contains(".xn--");
    if IDENTITY_BYTES.contains(&identifier.len()) && !reserved {
        return Ok(identifier);
    }
    let what = format!(
        "{identifier:?} cannot be an MSIX's name, which has 3 to 50 letters and begins with no device's"
    );
    Err(PackagingError::Field {
        field: "bosc.make.identifier",
        what,
        advice: "write another, such as \"org.example.my-app\"".to_owned(),
    })
}

/// Four numbers. Windows has no prereleases: one would count as its release.
fn version(manifest: &Manifest) -> Result<String, PackagingError> {
    let version = &manifest.version;
    let parts = [version.major, version.minor, version.patch];
    if !version.pre.is_empty() {
        return Err(refused(
            "version",
            "is a prerelease, which an MSIX cannot say",
            "write three numbers alone, such as \"1.2.3\", or make another format",
        ));
    }
    if parts.iter().any(|part| *part > MAX_VERSION_PART) {
        return Err(refused(
            "version",
            "has a number above 65535, which an MSIX cannot say",
            "write a smaller one, or make another format",
        ));
    }
    let [major, minor, patch] = parts;
    Ok(format!("{major}.{minor}.{patch}.0"))
}

/// The scheme of the app's links, if Windows takes it.
fn scheme(name: &str) -> Option<&str> {
    Some(name).filter(|name| desktop::is_scheme(name) && SCHEME_BYTES.contains(&name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(more: &str) -> Manifest {
        let text = format!(r#"{{"name":"my-chat","productName":"My App",{more}}}"#);
        Manifest::parse(text.as_bytes(), "p").unwrap()
    }

    #[test]
    fn it_says_what_package_json_does() {
        let manifest = package(
            r#""version":"1.20.3+5","description":"One\n <two> & \"three\"","author":"A & B <a@example.org>",
            "bosc":{"permissions":["microphone"],"window":{"title":"Ü & Co"},
            "make":{"identifier":"org.example.chat","publisher":"CN=\"A, B\", O=C & D"}}"#,
        );
        let written = Words::of(&manifest)
            .unwrap()
            .manifest("My App.exe", "x64")
            .unwrap();
        let text = String::from_utf8(written).unwrap();
        let read = roxmltree::Document::parse(&text).unwrap();
        let found = |name: &str| {
            read.descendants()
                .find(|node| node.tag_name().name() == name)
                .unwrap()
        };
        let has = |name: &str, attribute: &str, value: &str| {
            assert_eq!(
                found(name).attribute(attribute),
                Some(value),
                "{name} {attribute}"
            );
        };
        has("Identity", "Name", "org.example.chat");
        has("Identity", "Publisher", "CN=\"A, B\", O=C & D");
        has("Identity", "Version", "1.20.3.0");
        has("Identity", "ProcessorArchitecture", "x64");
        has("Application", "Executable", "My App.exe");
        has("VisualElements", "DisplayName", "Ü & Co");
        has("VisualElements", "Description", "One <two> & \"three\"");
        has("Protocol", "Name", "my-chat");
        has("Capability", "Name", "runFullTrust");
        has("DeviceCapability", "Name", "microphone");
        assert_eq!(found("PublisherDisplayName").text(), Some("A & B"));
        assert_eq!(found("Logo").text(), Some(r"Assets\StoreLogo.png"));
        assert_eq!(
            found("VisualElements").tag_name().namespace(),
            Some("http://schemas.microsoft.com/appx/manifest/uap/windows10")
        );
    }

    #[test]
    fn what_windows_does_not_take_is_refused_with_the_field_and_what_to_write() {
        let good = r#""version":"1.0.0","bosc":{"make":{"publisher":"CN=A"}}"#;
        let words = package(good);
        assert_eq!(Words::of(&words).unwrap().identity, "bosc.my-chat");
        let make =
            |make: &str| format!(r#""version":"1.0.0","bosc":{{"make":{{"publisher":"CN=A",{make}}}}}"#);
        let long = format!("org.{}", "a".repeat(47));
        for (more, field, says) in [
            (
                r#""version":"1.0.0""#.to_owned(),
                "bosc.make.publisher",
                "subject of the certificate",
            ),
            (good.replace("1.0.0", "1.0.0-rc.1"), "version", "three numbers"),
            (good.replace("1.0.0", "1.65536.0"), "version", "65535"),
            (
                make(&format!(r#""identifier":"{long}""#)),
                "bosc.make.identifier",
                "3 to 50",
            ),
            (
                make(r#""identifier":"con.example""#),
                "bosc.make.identifier",
                "org.example.my-app",
            ),
            (
                make(r#""identifier":"a.xn--b""#),
                "bosc.make.identifier",
                "org.example.my-app",
            ),
            (
                format!(r#""description":"a\u0001b",{good}"#),
                "description",
                "U+0001",
            ),
            (
                format!(r#""description":"{}",{good}"#, "a".repeat(2049)),
                "description",
                "2048",
            ),
            (
                format!(r#""author":"{}",{good}"#, "ü".repeat(257)),
                "author",
                "256",
            ),
        ] {
            let error = Words::of(&package(&more)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("\"{field}\"")) && error.contains(says),
                "{error}"
            );
        }
        Words::of(&package(&good.replace("1.0.0", "65535.0.65535"))).unwrap();
        assert_eq!(scheme(&format!("a{}", "b".repeat(39))), None);
        assert_eq!(scheme("My_App"), None);
    }
}
