//! `package.json` as the release commands read it.

use std::path::{Path, PathBuf};

use bosc_runtime::Link;
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstObjectProp, CstRootNode};
use semver::Version;
use serde_json::Value;

/// Something in package.json keeps a command from working.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("{0} not found: run this in the app's folder, or name its package.json")]
    Missing(PathBuf),
    #[error("{path} is not usable: {reason}")]
    Invalid { path: PathBuf, reason: String },
    #[error("{path} has no `{field}`: {hint}")]
    Field {
        path: PathBuf,
        field: &'static str,
        hint: &'static str,
    },
    #[error(
        "the `upgrade` field of {path} is not a link ({source}): run `bosc touch` and put the link it prints there"
    )]
    Upgrade {
        path: PathBuf,
        source: bosc_runtime::LinkError,
    },
}

impl PackageError {
    /// Upstream's code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "ERR_INVALID_PROJECT_DIR",
            _ => "ERR_INVALID_MANIFEST",
        }
    }
}

/// What we need of a package.json.
#[derive(Debug)]
pub(crate) struct Package {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its text, byte for byte.
    pub(crate) text: String,
    /// All of it.
    pub(crate) value: Value,
}

impl Package {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, PackageError> {
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => PackageError::Missing(path.to_owned()),
            _ => PackageError::Invalid {
                path: path.to_owned(),
                reason: error.to_string(),
            },
        })?;
        Self::parse(path, text)
    }

    pub(crate) fn parse(path: &Path, text: String) -> Result<Self, PackageError> {
        let invalid = |reason: String| PackageError::Invalid {
            path: path.to_owned(),
            reason,
        };
        let value: Value = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if !value.is_object() {
            return Err(invalid("it is not a JSON object".to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            text,
            value,
        })
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.value
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// `name`: what the shell takes for one, and so nothing that leads elsewhere as a part of a path.
    pub(crate) fn name(&self) -> Result<&str, PackageError> {
        let hint = "give the app a name, such as \"my-app\"";
        let name = self.field("name").ok_or(PackageError::Field {
            path: self.path.clone(),
            field: "name",
            hint,
        })?;
        if !usable_name(name) {
            return Err(self.invalid(format!(
                "its name \"{name}\" is not one: use letters, digits, '-', '_' and '.', such as \"my-app\""
            )));
        }
        Ok(name)
    }

    /// `productName`, or `name`: what the bundle is called.
    pub(crate) fn product_name(&self) -> Result<&str, PackageError> {
        let name = self.name()?;
        let product = match self.value.get("productName") {
            None | Some(Value::Null) => name,
            Some(product) => product.as_str().unwrap_or_default(),
        };
        if !usable_file_name(product) {
            return Err(self.invalid(format!(
                "\"{product}\" cannot be the name of a bundle: productName must be usable as a folder's name on every system, \
                 such as \"MyApp\""
            )));
        }
        Ok(product)
    }

    fn invalid(&self, reason: String) -> PackageError {
        PackageError::Invalid {
            path: self.path.clone(),
            reason,
        }
    }

    /// `version`.
    pub(crate) fn version(&self) -> Result<Version, PackageError> {
        let hint = "run `bosc version 1.0.0` to set one";
        let text = self.field("version").ok_or(PackageError::Field {
            path: self.path.clone(),
            field: "version",
            hint,
        })?;
        Version::parse(text).map_err(|error| PackageError::Invalid {
            path: self.path.clone(),
            reason: format!("its version \"{text}\" is not one ({error}); run `bosc version 1.0.0`"),
        })
    }

    /// `upgrade`: the link that installed apps follow.
    pub(crate) fn upgrade(&self) -> Result<Link, PackageError> {
        let hint = "installed apps would never update; run `bosc touch` and put the link it prints there";
        let text = self.field("upgrade").ok_or(PackageError::Field {
            path: self.path.clone(),
            field: "upgrade",
            hint,
        })?;
        text.parse().map_err(|source| PackageError::Upgrade {
            path: self.path.clone(),
            source,
        })
    }

    /// Strings of the array at a JSON pointer.
    pub(crate) fn strings(&self, pointer: &str) -> Vec<String> {
        let list = self.value.pointer(pointer).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// The text with another version, everything else byte for byte as it was.
    pub(crate) fn with_version(&self, version: &Version) -> Result<String, PackageError> {
        let options = ParseOptions::default();
        let root =
            CstRootNode::parse(&self.text, &options).map_err(|error| self.invalid(error.to_string()))?;
        // Of a field that is there twice the last one counts, as it does for who reads the file.
        let named = |field: &CstObjectProp| {
            field
                .name()
                .is_some_and(|name| name.decoded_value().is_ok_and(|name| name == "version"))
        };
        let fields = root
            .object_value()
            .map(|object| object.properties())
            .unwrap_or_default();
        let field = fields.into_iter().rfind(named);
        if let Some(text) = field.and_then(|field| field.value()?.as_string_lit()) {
            text.set_raw_value(Value::String(version.to_string()).to_string());
            return Ok(root.to_string());
        }
        let reason = "it has no version to change".to_owned();
        Err(PackageError::Invalid {
            path: self.path.clone(),
            reason,
        })
    }
}

/// Whether the shell takes a name: its own rules (`shell/src/package.rs`), and the same letters for a scope.
fn usable_name(name: &str) -> bool {
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
    name.len() <= 214 && part(scope) && part(bare)
}

/// Whether a name can be one folder's on every system, as the shell asks it.
fn usable_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && !name.ends_with('.')
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || "/\\:*?\"<>|".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(text: &str) -> Package {
        Package::parse(Path::new("package.json"), text.to_owned()).unwrap()
    }

    #[test]
    fn only_the_version_changes() {
        let text = "{\n\t\"a\": {\"version\": \"9\"}, \"x\\\"version\": \"8\",\r\n  \"version\" : \"1.0.0\",\n \"b\": [ \"version\" ] }\n";
        let changed = package(text).with_version(&Version::new(1, 0, 1)).unwrap();
        assert_eq!(changed, text.replace("\"1.0.0\"", "\"1.0.1\""));
        assert!(
            package("{\"a\":{\"version\":\"1.0.0\"}}")
                .with_version(&Version::new(1, 0, 1))
                .is_err()
        );
        // The same name in other letters.
        let escaped = package("{\"versi\\u006fn\":\"1.0.0\"}");
        let changed = escaped.with_version(&Version::new(1, 0, 1)).unwrap();
        assert_eq!(changed, "{\"versi\\u006fn\":\"1.0.1\"}");
        assert!(
            package("{\"version\":1}")
                .with_version(&Version::new(1, 0, 1))
                .is_err()
        );
    }

    #[test]
    fn of_two_versions_the_one_that_counts_changes() {
        let new = Version::new(1, 0, 1);
        for text in [
            r#"{"version":"1.0.0","a":1,"version":"0.9.0"}"#,
            r#"{"version":"1.0.0","\u0076ersion":"0.9.0"}"#,
            r#"{"version":{"version":"1.0.0"},"version":"0.9.0","b":"version"}"#,
        ] {
            let changed = package(text).with_version(&new).unwrap();
            assert_eq!(changed, text.replace("0.9.0", "1.0.1"));
            assert_eq!(package(&changed).version().unwrap(), new);
        }
        assert!(
            package(r#"{"version":"1.0.0","version":1}"#)
                .with_version(&new)
                .is_err()
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let bare = package("{}");
        assert!(bare.version().unwrap_err().to_string().contains("no `version`"));
        assert!(bare.upgrade().unwrap_err().to_string().contains("bosc touch"));
        assert!(package("{\"upgrade\":\"pear://later\"}").upgrade().is_err());
        assert!(Package::parse(Path::new("p"), "[]".into()).is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let with = |name: &str, product: Option<&str>| {
            let mut value = serde_json::json!({ "name": name });
            if let Some(product) = product {
                value["productName"] = product.into();
            }
            package(&value.to_string())
        };
        for name in [
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
            let bad = with(name, Some("Fine"));
            for error in [bad.name().unwrap_err(), bad.product_name().unwrap_err()] {
                let error = error.to_string();
                assert!(
                    error.contains("package.json") && error.contains("name"),
                    "{name}: {error}"
                );
            }
        }
        for name in ["pear-chat", "a", "A_b.c", "0x", "@my-org/my.app"] {
            assert_eq!(with(name, Some("My App")).name().unwrap(), name);
            assert_eq!(with(name, Some("My App")).product_name().unwrap(), "My App");
        }
        for product in [
            "", "..", "../x", "/x", "a/b", "a\\b", "a:b", "a ", "a.", ".a", "a\0", "a?", "a\u{9b}m",
        ] {
            assert!(with("fine", Some(product)).product_name().is_err(), "{product:?}");
        }
        assert!(
            with("@scope/name", None).product_name().is_err(),
            "a scope is no folder's name"
        );
        assert_eq!(with("name", None).product_name().unwrap(), "name");
        assert!(
            package("{\"name\":\"a\",\"productName\":1}")
                .product_name()
                .is_err()
        );
    }
}
