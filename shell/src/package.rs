//! The app's `package.json`: the fields the host needs, checked, and the whole document for `bridge.pkg()`.

use std::path::{Path, PathBuf};

use base::PublicKey;
use bosc_runtime::Seeding;
use serde::Deserialize;
use serde_json::Value;

/// Largest `package.json` the host reads, in bytes.
const MAX_PACKAGE_BYTES: u64 = 1024 * 1024;

/// The page opened when `package.json` names none in `bosc.page`.
pub const DEFAULT_PAGE: &str = "renderer/index.html";

/// Why a `package.json` cannot be used. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}; an app needs a package.json with \"name\" and \"version\"")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any sensible `package.json`.
    #[error("{path} is {bytes} bytes long; a package.json may have at most 1 MiB")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The file is not JSON, or a field has the wrong type.
    #[error("{path} is not a valid package.json: {source}; correct it and start again")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// A field is missing or its value cannot be used.
    #[error("{path}: {what}")]
    Field {
        /// The file.
        path: PathBuf,
        /// A whole clause: the field, what is wrong with it, and what to write instead.
        what: String,
    },
}

/// An RGB colour, written `"#rrggbb"` in `package.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    /// Reads `#rrggbb` or `#rgb`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix('#')?;
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let n = u32::from_str_radix(hex, 16).ok()?;
        match hex.len() {
            6 => Some(Color((n >> 16) as u8, (n >> 8) as u8, n as u8)),
            3 => {
                let wide = |v: u32| ((v & 15) * 17) as u8;
                Some(Color(wide(n >> 8), wide(n >> 4), wide(n)))
            }
            _ => None,
        }
    }
}

/// How the window looks before the page says anything, from `bosc.window`.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowConfig {
    /// Title; `productName` if absent.
    pub title: String,
    /// Inner width in logical pixels, 960 if absent.
    pub width: f64,
    /// Inner height in logical pixels, 680 if absent.
    pub height: f64,
    /// Smallest inner width in logical pixels, 360 if absent.
    pub min_width: f64,
    /// Smallest inner height in logical pixels, 320 if absent.
    pub min_height: f64,
    /// Colour behind the page until it has painted, with a light system theme; white if absent.
    pub background: Color,
    /// The same with a dark system theme; `background` if absent.
    pub background_dark: Color,
}

/// A checked `package.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// The whole document, as `bridge.pkg()` returns it.
    pub document: Value,
    /// `name`: also the scheme of the app's deep links.
    pub name: String,
    /// `productName`, or `name` without one: the bundle's and the storage folder's name.
    pub product_name: String,
    /// `version`, a semantic version.
    pub version: String,
    /// `upgrade`: the `pear://` link that updates come from; none means no updates.
    pub upgrade: Option<String>,
    /// `bosc.page`: the first page, a path inside the app.
    pub page: String,
    /// `bosc.window`.
    pub window: WindowConfig,
    /// `bosc.contentSecurityPolicy`: replaces the strict default.
    pub content_security_policy: Option<String>,
    /// `bosc.permissions`: what the page may ask of the system (`microphone`, `camera`, `notifications`, …).
    pub permissions: Vec<String>,
    /// `bosc.files`: what goes into a bundle; `None` if it is not said.
    pub files: Option<Vec<String>>,
    /// `bosc.relays`: public keys of blind relays, to meet seeders at to whom no way opens.
    pub relays: Vec<PublicKey>,
    /// `bosc.seed`: the app serves what it has of its release to others, and how fast; `None`, the default: it does not.
    pub seed: Option<Seeding>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPackage {
    name: Option<String>,
    product_name: Option<String>,
    version: Option<String>,
    upgrade: Option<String>,
    #[serde(default)]
    bosc: RawBosc,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawBosc {
    page: Option<String>,
    window: RawWindow,
    content_security_policy: Option<String>,
    permissions: Vec<String>,
    files: Vec<String>,
    relays: Vec<String>,
    seed: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawWindow {
    title: Option<String>,
    width: Option<f64>,
    height: Option<f64>,
    min_width: Option<f64>,
    min_height: Option<f64>,
    background_color: Option<String>,
    background_color_dark: Option<String>,
}

impl Package {
    /// Reads and checks `dir/package.json`.
    pub fn read(dir: &Path) -> Result<Self, PackageError> {
        let path = dir.join("package.json");
        let read = |source| PackageError::Read {
            path: path.clone(),
            source,
        };
        let bytes = std::fs::metadata(&path).map_err(read)?.len();
        if bytes > MAX_PACKAGE_BYTES {
            return Err(PackageError::TooLarge { path, bytes });
        }
        let text = std::fs::read(&path).map_err(read)?;
        Self::parse(&text, &path)
    }

    /// Checks the text of a `package.json`; `path` is for messages only.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, PackageError> {
        let parse = |source| PackageError::Parse {
            path: path.to_owned(),
            source,
        };
        let field = |what: &str| PackageError::Field {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        let document: Value = serde_json::from_slice(text).map_err(parse)?;
        if !document.is_object() {
            return Err(field("must hold one JSON object with \"name\" and \"version\""));
        }
        let raw = RawPackage::deserialize(&document).map_err(parse)?;

        let name = raw.name.unwrap_or_default();
        if !usable_name(&name) {
            return Err(field(
                "\"name\" must be a name of letters, digits, '-', '_' and '.', for example \"pear-chat\"",
            ));
        }
        let product_name = raw.product_name.unwrap_or_else(|| name.clone());
        if !usable_file_name(&product_name) {
            return Err(field(
                "\"productName\" must be usable as a folder name, for example \"PearChat\"",
            ));
        }
        let Some(version) = raw.version else {
            return Err(field(
                "has no \"version\"; add one, for example \"version\": \"1.0.0\"",
            ));
        };
        if semver::Version::parse(&version).is_err() {
            return Err(field(&format!(
                "\"version\" is {version:?}, which is not a semantic version; write it as \"1.0.0\""
            )));
        }
        let page = raw.bosc.page.unwrap_or_else(|| DEFAULT_PAGE.to_owned());
        let window = window_config(raw.bosc.window, &product_name, &field)?;
        let relays = raw.bosc.relays.iter().map(|text| {
            text.parse().map_err(|error| {
                field(&format!(
                    "\"bosc.relays\" names {text:?}, which is no public key ({error}); `bosc relay` prints the one of a relay"
                ))
            })
        });
        let relays = relays.collect::<Result<Vec<PublicKey>, _>>()?;
        Ok(Package {
            name,
            version,
            upgrade: raw.upgrade.filter(|link| !link.is_empty()),
            page: plain(&page),
            window,
            content_security_policy: raw.bosc.content_security_policy,
            permissions: raw.bosc.permissions,
            files: Some(raw.bosc.files)
                .filter(|files| !files.is_empty())
                .map(|files| files.iter().map(|file| plain(file)).collect()),
            relays,
            seed: seeding(&raw.bosc.seed, &field)?,
            product_name,
            document,
        })
    }
}

/// A path inside the app as people write it, as drives write it.
fn plain(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').to_owned()
}

fn seeding(raw: &Value, field: &dyn Fn(&str) -> PackageError) -> Result<Option<Seeding>, PackageError> {
    let settings = match raw {
        Value::Null | Value::Bool(false) => return Ok(None),
        Value::Bool(true) => return Ok(Some(Seeding::default())),
        Value::Object(settings) if settings.keys().all(|key| key == "rate") => settings,
        other => {
            return Err(field(&format!(
                "\"bosc.seed\" is {other}; write true, false, or {{ \"rate\": \"500kb\" }}"
            )));
        }
    };
    let Some(rate) = settings.get("rate") else {
        return Ok(Some(Seeding::default()));
    };
    match rate.as_str().and_then(bytes_a_second) {
        Some(rate) => Ok(Some(Seeding { rate })),
        None => Err(field(&format!(
            "\"bosc.seed.rate\" is {rate}; write how much the app may send to others in a second, from \"10kb\" to \"1000mb\""
        ))),
    }
}

/// `500kb`, `2mb`: bytes, in thousands or millions. `None` for anything else, and for what would serve nobody or be meant otherwise.
fn bytes_a_second(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (number, unit) = match (text.strip_suffix("kb"), text.strip_suffix("mb")) {
        (Some(number), _) => (number, 1e3),
        (_, Some(number)) => (number, 1e6),
        _ => return None,
    };
    let rate = number.trim_end().parse::<f64>().ok()? * unit;
    (1e4..=1e9).contains(&rate).then_some(rate as u64)
}

fn window_config(
    raw: RawWindow,
    product_name: &str,
    field: &dyn Fn(&str) -> PackageError,
) -> Result<WindowConfig, PackageError> {
    let size = |value: Option<f64>, default: f64, what: &str| match value {
        None => Ok(default),
        Some(v) if v.is_finite() && (100.0..=16384.0).contains(&v) => Ok(v),
        Some(v) => Err(field(&format!(
            "\"bosc.window.{what}\" is {v}; it must be between 100 and 16384 pixels"
        ))),
    };
    let color = |value: Option<String>, default: Color, what: &str| match value {
        None => Ok(default),
        Some(text) => Color::parse(&text).ok_or_else(|| {
            field(&format!(
                "\"bosc.window.{what}\" is {text:?}; write a colour as \"#rrggbb\""
            ))
        }),
    };
    let background = color(raw.background_color, Color(255, 255, 255), "backgroundColor")?;
    let min_width = size(raw.min_width, 360.0, "minWidth")?;
    let min_height = size(raw.min_height, 320.0, "minHeight")?;
    Ok(WindowConfig {
        title: raw.title.unwrap_or_else(|| product_name.to_owned()),
        width: size(raw.width, 960.0, "width")?.max(min_width),
        height: size(raw.height, 680.0, "height")?.max(min_height),
        min_width,
        min_height,
        background,
        background_dark: color(raw.background_color_dark, background, "backgroundColorDark")?,
    })
}

/// Whether `name` can be a URL scheme's and a file's name.
fn usable_name(name: &str) -> bool {
    let bare = name
        .strip_prefix('@')
        .map_or(name, |scoped| scoped.split_once('/').map_or("", |(_, n)| n));
    !bare.is_empty()
        && name.len() <= 214
        && bare.starts_with(|c: char| c.is_ascii_alphanumeric())
        && bare
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether `name` can be one folder's name on every system.
fn usable_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || "/\\:*?\"<>|".contains(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Package, PackageError> {
        Package::parse(text.as_bytes(), Path::new("app/package.json"))
    }

    #[test]
    fn a_small_package_gets_defaults() {
        let package = parse(r#"{"name":"pear-chat","version":"1.0.0"}"#).unwrap();
        assert_eq!(package.product_name, "pear-chat");
        assert_eq!(package.page, "renderer/index.html");
        assert_eq!(package.upgrade, None);
        assert_eq!((package.window.width, package.window.height), (960.0, 680.0));
        assert_eq!(package.window.background, Color(255, 255, 255));
        assert_eq!(package.document["name"], "pear-chat");
    }

    #[test]
    fn window_settings_are_read() {
        let package = parse(
            r##"{"name":"a","productName":"A b","version":"1.0.0-rc.1","upgrade":"pear://x",
            "bosc":{"page":"./ui/main.html","window":{"title":"T","width":500,"height":400,
            "backgroundColor":"#fa0","backgroundColorDark":"#102030"}}}"##,
        )
        .unwrap();
        assert_eq!(package.page, "ui/main.html");
        assert_eq!(package.upgrade.as_deref(), Some("pear://x"));
        assert_eq!(package.window.background, Color(0xff, 0xaa, 0));
        assert_eq!(package.window.background_dark, Color(0x10, 0x20, 0x30));
        assert_eq!(package.window.title, "T");
    }

    #[test]
    fn an_app_gives_back_only_if_it_says_so_and_as_fast_as_it_says() {
        let seed = |seed: &str| {
            let text = format!(r#"{{"name":"a","version":"1.0.0","bosc":{{{seed}}}}}"#);
            parse(&text).map(|package| package.seed.map(|seed| seed.rate))
        };
        assert_eq!(seed("").unwrap(), None);
        assert_eq!(seed(r#""seed":false"#).unwrap(), None);
        assert_eq!(seed(r#""seed":true"#).unwrap(), Some(500_000));
        assert_eq!(seed(r#""seed":{}"#).unwrap(), Some(500_000));
        for (rate, bytes) in [("2mb", 2_000_000), ("80 KB", 80_000), ("0.5MB", 500_000)] {
            let text = format!(r#""seed":{{"rate":"{rate}"}}"#);
            assert_eq!(seed(&text).unwrap(), Some(bytes), "{rate}");
        }
        for rate in [
            "", "2", "2m", "-2mb", "0kb", "9kb", "2gb", "1e99mb", "NaNmb", "infmb",
        ] {
            let message = seed(&format!(r#""seed":{{"rate":"{rate}"}}"#))
                .unwrap_err()
                .to_string();
            assert!(
                message.contains("\"bosc.seed.rate\"") && message.contains("\"10kb\""),
                "{message}"
            );
        }
        for other in [r#"{"speed":"2mb"}"#, r#""yes""#, "1", "[true]"] {
            let message = seed(&format!(r#""seed":{other}"#)).unwrap_err().to_string();
            assert!(message.contains("\"bosc.seed\" is"), "{message}");
        }
        assert!(seed(r#""seed":{"rate":2}"#).is_err());
    }

    #[test]
    fn each_mistake_has_its_own_sentence() {
        for (text, part) in [
            ("[]", "one JSON object"),
            ("{", "not a valid package.json"),
            (r#"{"version":"1.0.0"}"#, "\"name\" must be"),
            (r#"{"name":"../x","version":"1.0.0"}"#, "\"name\" must be"),
            (
                r#"{"name":"a","productName":"a/b","version":"1.0.0"}"#,
                "\"productName\" must be",
            ),
            (
                r#"{"name":"a","productName":"..","version":"1.0.0"}"#,
                "\"productName\" must be",
            ),
            (r#"{"name":"a"}"#, "has no \"version\""),
            (r#"{"name":"a","version":"one"}"#, "not a semantic version"),
            (
                r#"{"name":"a","version":"1.0.0","bosc":{"window":{"width":3}}}"#,
                "between 100 and 16384",
            ),
            (
                r#"{"name":"a","version":"1.0.0","bosc":{"window":{"backgroundColor":"tomato"}}}"#,
                "\"#rrggbb\"",
            ),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
            assert!(message.contains("app/package.json"), "{message}");
        }
    }

    #[test]
    fn a_missing_file_says_what_an_app_needs() {
        let dir = tempfile::tempdir().unwrap();
        let message = Package::read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("an app needs a package.json"), "{message}");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,200}") {
            let _ = parse(&text);
            let _ = Color::parse(&text);
        }
    }
}
