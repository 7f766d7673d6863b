//! An app's links, in a file beside its package.json, so that nobody has to paste them. They are no secrets: the keys to write them
//! stay in the store.

use std::path::{Path, PathBuf};

use app::Link;
use serde_json::{Value, json};

use crate::ReleaseError;
use crate::bump::replace;
use crate::error::refuse;

/// The file's name.
pub const LINKS: &str = "bosc.json";

/// More bytes than two links take.
const MAX_BYTES: u64 = 64 << 10;

/// The links of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// The link that every version is staged on.
    pub stage: Option<Link>,
    /// The link that released versions go onto.
    pub provision: Option<Link>,
}

impl Links {
    /// Reads those of an app's folder; none if there is no file.
    ///
    /// # Errors
    /// If the file is not what it must be.
    pub fn read(dir: &Path) -> Result<Self, ReleaseError> {
        let path = file(dir);
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ReleaseError::io("read", &path)(error)),
            Ok(found) if found.len() > MAX_BYTES => {
                refuse!(Input, "{} is larger than {MAX_BYTES} bytes", path.display())
            }
            Ok(_) => {}
        }
        let text = std::fs::read(&path).map_err(ReleaseError::io("read", &path))?;
        let written: Value = match serde_json::from_slice(&text) {
            Ok(Value::Object(written)) => Value::Object(written),
            Ok(_) => refuse!(Input, "{} is not one JSON object", path.display()),
            Err(error) => refuse!(Input, "{} is no JSON: {error}", path.display()),
        };
        let link = |name: &str| -> Result<Option<Link>, ReleaseError> {
            match written.get(name) {
                None => Ok(None),
                Some(Value::String(text)) => match text.parse() {
                    Ok(link) => Ok(Some(link)),
                    Err(error) => refuse!(Input, "{}: \"{name}\" is not a link: {error}", path.display()),
                },
                Some(_) => refuse!(Input, "{}: \"{name}\" must be a link as a text", path.display()),
            }
        };
        Ok(Self {
            stage: link("stage")?,
            provision: link("provision")?,
        })
    }

    /// Writes them, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), ReleaseError> {
        let text = |link: &Option<Link>| link.as_ref().map(ToString::to_string);
        let links = json!({ "stage": text(&self.stage), "provision": text(&self.provision) });
        let path = file(dir);
        replace(&path, format!("{links:#}\n").as_bytes()).map_err(ReleaseError::io("write", &path))
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join(LINKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_kept_and_what_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Links::read(dir.path()).unwrap(), Links::default());
        let link = |byte| Some(Link::plain(hypercore::Key([byte; 32])));
        let links = Links {
            stage: link(1),
            provision: link(2),
        };
        links.write(dir.path()).unwrap();
        assert_eq!(Links::read(dir.path()).unwrap(), links);
        links.write(dir.path()).unwrap();
        for wrong in ["", "[]", r#"{"stage":1}"#, r#"{"stage":"pear://x"}"#] {
            std::fs::write(file(dir.path()), wrong).unwrap();
            let error = Links::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains("bosc.json"), "{error}");
        }
        std::fs::write(file(dir.path()), vec![b' '; 70_000]).unwrap();
        assert!(Links::read(dir.path()).is_err());
    }
}
