//! A `package.json` as it is written: bounded, one JSON object, of which the version can be changed and nothing else.
//!
//! Of a release that others made no more is asked than this. What an app must hold besides is [`Manifest`](crate::Manifest)'s.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstObjectProp, CstRootNode};
use semver::Version;
use serde_json::Value;

use crate::error::quoted;
use crate::{Link, ManifestError};

/// Largest `package.json` that is read, in bytes: a thousand times what apps have, and little enough to hold and parse at once.
pub const MAX_PACKAGE_BYTES: u64 = 1024 * 1024;

/// Longest version in bytes: npm's bound.
const MAX_VERSION_BYTES: usize = 256;

/// A `package.json` that is one JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    origin: String,
    text: String,
    value: Value,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ManifestError::Missing`] if there is none; if it cannot be read, is larger than 1 MiB, or is not one JSON object.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let mut text = Vec::new();
        // One byte more than may be there tells a file that is too large from one that just fits.
        let read = File::open(path).and_then(|file| file.take(MAX_PACKAGE_BYTES + 1).read_to_end(&mut text));
        let path = || path.to_owned();
        match read {
            Ok(_) => Self::parse(&text, &path().display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(ManifestError::Missing { path: path() }),
            Err(source) => Err(ManifestError::Read { path: path(), source }),
        }
    }

    /// Takes the bytes of a `package.json`; `origin` says in messages where they are from.
    ///
    /// # Errors
    /// If they are more than 1 MiB, or not one JSON object.
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, ManifestError> {
        let origin = origin.to_owned();
        if bytes.len() as u64 > MAX_PACKAGE_BYTES {
            return Err(ManifestError::TooLarge { origin });
        }
        let value: Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(source) => return Err(ManifestError::Json { origin, source }),
        };
        let field = |what: &str| {
            Err(ManifestError::Field {
                origin: origin.clone(),
                what: what.to_owned(),
            })
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return field("it is not UTF-8; save it as UTF-8");
        };
        if !value.is_object() {
            return field("it must hold one JSON object with \"name\" and \"version\"");
        }
        Ok(Self {
            text: text.to_owned(),
            origin,
            value,
        })
    }

    /// Where it is from: its path, or where on a drive it is.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The text, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All of it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The text of a field; `None` if it is not there, is empty or is no text.
    pub fn field(&self, name: &str) -> Option<&str> {
        let text = self.value.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    }

    /// `productName`, or `name` without one, whatever they are.
    pub fn product_name(&self) -> Option<&str> {
        self.field("productName").or_else(|| self.field("name"))
    }

    /// `version`.
    ///
    /// # Errors
    /// If it is missing or no semantic version.
    pub fn version(&self) -> Result<Version, ManifestError> {
        let Some(text) = self.field("version") else {
            return Err(self.wrong("\"version\" is missing; add one, such as \"version\": \"1.0.0\""));
        };
        let wrong = |why: &str| {
            self.wrong(&format!(
                "\"version\" is {}, which is not a semantic version ({why}); run `bosc version 1.0.0`",
                quoted(text)
            ))
        };
        if text.len() > MAX_VERSION_BYTES {
            return Err(wrong("it is longer than 256 bytes"));
        }
        Version::parse(text).map_err(|error| wrong(&error.to_string()))
    }

    /// The text with another version, everything else byte for byte as it was.
    ///
    /// # Errors
    /// If it has no version, or one that is no text.
    pub fn with_version(&self, version: &Version) -> Result<String, ManifestError> {
        self.with_text("version", &version.to_string())?.ok_or_else(|| {
            self.wrong("there is no version to change; add one, such as \"version\": \"1.0.0\"")
        })
    }

    /// The text with another link in `upgrade`, everything else byte for byte as it was.
    ///
    /// # Errors
    /// If it has no such field, or one that is no text.
    pub fn with_upgrade(&self, link: &Link) -> Result<String, ManifestError> {
        self.with_text("upgrade", &link.to_string())?.ok_or_else(|| {
            self.wrong("there is no \"upgrade\" to change; add one, such as \"upgrade\": \"\"")
        })
    }

    /// The text with another text in the field `name`; `None` if it has no such field, or one that is no text.
    fn with_text(&self, name: &str, text: &str) -> Result<Option<String>, ManifestError> {
        let root = CstRootNode::parse(&self.text, &ParseOptions::default())
            .map_err(|error| self.wrong(&format!("its {name} cannot be changed: {error}")))?;
        // Of a field that is there twice the last one counts, as it does for who reads the file.
        let named = |field: &CstObjectProp| {
            field
                .name()
                .is_some_and(|found| found.decoded_value().is_ok_and(|found| found == name))
        };
        let fields = root
            .object_value()
            .map(|object| object.properties())
            .unwrap_or_default();
        let field = fields.into_iter().rfind(named);
        let Some(present) = field.and_then(|field| field.value()?.as_string_lit()) else {
            return Ok(None);
        };
        present.set_raw_value(Value::String(text.to_owned()).to_string());
        Ok(Some(root.to_string()))
    }

    pub(crate) fn wrong(&self, what: &str) -> ManifestError {
        ManifestError::Field {
            origin: self.origin.clone(),
            what: what.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes(), "package.json").unwrap()
    }

    #[test]
    fn only_the_version_changes() {
        let text = "{\n\t\"a\": {\"version\": \"9\"}, \"x\\\"version\": \"8\",\r\n  \"version\" : \"1.0.0\",\n \"b\": [ \"version\" ] }\n";
        let changed = document(text).with_version(&Version::new(1, 0, 1)).unwrap();
        assert_eq!(changed, text.replace("\"1.0.0\"", "\"1.0.1\""));
        // The same name in other letters.
        let escaped = document("{\"versi\\u006fn\":\"1.0.0\"}");
        let changed = escaped.with_version(&Version::new(1, 0, 1)).unwrap();
        assert_eq!(changed, "{\"versi\\u006fn\":\"1.0.1\"}");
        for text in ["{\"a\":{\"version\":\"1.0.0\"}}", "{\"version\":1}", "{}"] {
            let error = document(text).with_version(&Version::new(1, 0, 1)).unwrap_err();
            assert!(error.to_string().contains("no version to change"), "{error}");
        }
    }

    #[test]
    fn of_two_versions_the_one_that_counts_changes() {
        let new = Version::new(1, 0, 1);
        for text in [
            r#"{"version":"1.0.0","a":1,"version":"0.9.0"}"#,
            r#"{"version":"1.0.0","\u0076ersion":"0.9.0"}"#,
            r#"{"version":{"version":"1.0.0"},"version":"0.9.0","b":"version"}"#,
        ] {
            let changed = document(text).with_version(&new).unwrap();
            assert_eq!(changed, text.replace("0.9.0", "1.0.1"));
            assert_eq!(document(&changed).version().unwrap(), new);
        }
        assert!(
            document(r#"{"version":"1.0.0","version":1}"#)
                .with_version(&new)
                .is_err()
        );
    }

    #[test]
    fn a_release_of_others_needs_no_more_than_an_object() {
        let theirs = document(r#"{"name":"a b","productName":"","version":"1.0.0","bosc":7}"#);
        assert_eq!(theirs.product_name(), Some("a b"));
        assert_eq!(theirs.version().unwrap(), Version::new(1, 0, 0));
        let empty = document("{}");
        assert_eq!((empty.product_name(), empty.field("upgrade")), (None, None));
        assert!(empty.version().unwrap_err().to_string().contains("is missing"));
        let long = |bytes: usize| format!(r#"{{"version":"1.0.0-{}"}}"#, "a".repeat(bytes - 6));
        assert!(document(&long(256)).version().is_ok());
        let error = document(&long(257)).version().unwrap_err().to_string();
        assert!(
            error.contains("longer than 256 bytes") && error.len() < 300,
            "{error}"
        );
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package.json");
        let says = |part: &str| {
            let error = Document::read(&path).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains(path.to_str().unwrap()),
                "{error}"
            );
        };
        says("not found: an app needs a package.json");
        let fits = format!("{{}}{}", " ".repeat(MAX_PACKAGE_BYTES as usize - 2));
        std::fs::write(&path, &fits).unwrap();
        assert_eq!(Document::read(&path).unwrap().text(), fits);
        std::fs::write(&path, fits + " ").unwrap();
        says("too large");
        std::fs::write(&path, b"{\"a\":\"\xff\"}").unwrap();
        says("not a valid package.json");
        std::fs::write(&path, "[]").unwrap();
        says("one JSON object");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        says("cannot read");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse(&bytes, "it");
        }
    }
}
