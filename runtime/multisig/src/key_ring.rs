//! The folder of a signer's keys: `<name>.public` and `<name>`, the secret one encrypted (the Pear CLI's `~/.pear`).
//!
//! Files may hold raw bytes, as `pear` writes them, or z-base-32 text, as `hypercore-sign` does; new ones are raw, and only their
//! owner may read the secret ones.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hypercore::PublicKey;

use crate::secret_key::{EncryptedKey, SecretKeyError};

/// Ending of the files with public keys.
const PUBLIC: &str = "public";

/// A folder of keys.
#[derive(Debug, Clone)]
pub struct KeyRing {
    folder: PathBuf,
}

/// A key's name: letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

/// Where a key's two files are, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// The public key.
    pub public: PathBuf,
    /// The encrypted secret key.
    pub secret: PathBuf,
}

/// One key of a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// Its name.
    pub name: KeyName,
    /// The public key.
    pub public_key: PublicKey,
    /// Whether the secret key is here too.
    pub owned: bool,
}

/// A key cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// The name has other characters.
    #[error("\"{0}\" is no name for a key: use letters, digits, _ and - alone")]
    Name(String),
    /// There is such a key already.
    #[error(
        "Key \"{0}\" already exists; choose another name, or remove it first with `bosc multisig keys remove {0}`"
    )]
    Exists(KeyName),
    /// There is no such key.
    #[error("Key \"{0}\" not found in {1}; `bosc multisig keys list` shows what is there")]
    NotFound(KeyName, PathBuf),
    /// Only the public key is here.
    #[error("No private key found for \"{0}\" in {1}; make a key of your own with `bosc multisig keys get`")]
    NoSecret(KeyName, PathBuf),
    /// A public key file holds something else.
    #[error("{0} holds no public key; restore it from your backup")]
    Public(PathBuf),
    /// The two files are of different keys.
    #[error("{0} and {1} are of different keys; restore both from your backup")]
    Mismatch(PathBuf, PathBuf),
    /// A secret key file holds something else.
    #[error("{path}: {source}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SecretKeyError,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl FromStr for KeyName {
    type Err = KeyRingError;

    fn from_str(text: &str) -> Result<Self, KeyRingError> {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() || !text.chars().all(good) {
            return Err(KeyRingError::Name(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyRing {
    /// The keys in `folder`, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a key's files are, or would be.
    pub fn files(&self, name: &KeyName) -> KeyFiles {
        KeyFiles {
            public: self.folder.join(format!("{name}.{PUBLIC}")),
            secret: self.folder.join(&name.0),
        }
    }

    /// All keys, by name. Files that are no keys are left out.
    pub fn list(&self) -> Result<Vec<NamedKey>, KeyRingError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(&self.folder)(error)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let path = entry.map_err(io(&self.folder))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let name = stem.filter(|_| path.extension().is_some_and(|ending| ending == PUBLIC));
            if let Some(name) = name.and_then(|name| name.parse().ok())
                && let Ok(public_key) = read_public(&path)
            {
                let owned = self.files(&name).secret.is_file();
                keys.push(NamedKey {
                    name,
                    public_key,
                    owned,
                });
            }
        }
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    /// A public key.
    ///
    /// # Errors
    /// [`KeyRingError::NotFound`] if neither file is there.
    pub fn public_key(&self, name: &KeyName) -> Result<NamedKey, KeyRingError> {
        let files = self.files(name);
        if !files.public.is_file() && !files.secret.is_file() {
            return Err(KeyRingError::NotFound(name.clone(), self.folder.clone()));
        }
        if files.public.is_file() {
            let owned = files.secret.is_file();
            return Ok(NamedKey {
                name: name.clone(),
                public_key: read_public(&files.public)?,
                owned,
            });
        }
        // Version 1 holds it too: whoever stopped us between the two files did no harm.
        let public_key = read_secret(&files.secret)?
            .public_key()
            .ok_or_else(|| KeyRingError::Public(files.public.clone()))?;
        self.write(&files.public, &public_key.0)?;
        Ok(NamedKey {
            name: name.clone(),
            public_key,
            owned: true,
        })
    }

    /// An encrypted secret key, with its public key.
    ///
    /// # Errors
    /// [`KeyRingError::NoSecret`] if only the public key, or none, is here; [`KeyRingError::Mismatch`] if the two differ.
    pub fn secret_key(&self, name: &KeyName) -> Result<EncryptedKey, KeyRingError> {
        let files = self.files(name);
        if !files.secret.is_file() {
            return Err(KeyRingError::NoSecret(name.clone(), self.folder.clone()));
        }
        let secret = read_secret(&files.secret)?;
        restrict(&files.secret)?;
        let public_key = self.public_key(name)?.public_key;
        match secret.public_key() {
            Some(own) if own != public_key => Err(KeyRingError::Mismatch(files.public, files.secret)),
            _ => Ok(secret.with_public_key(public_key)),
        }
    }

    /// Where a new key would be stored.
    ///
    /// # Errors
    /// [`KeyRingError::Exists`] if the name is taken, [`KeyRingError::Mismatch`] if the secret is of another key.
    pub fn check_new(
        &self,
        name: &KeyName,
        public_key: &PublicKey,
        secret: Option<&EncryptedKey>,
    ) -> Result<KeyFiles, KeyRingError> {
        let files = self.files(name);
        if files.public.exists() || files.secret.exists() {
            return Err(KeyRingError::Exists(name.clone()));
        }
        let own = secret.and_then(EncryptedKey::public_key);
        if own.is_some_and(|own| own != *public_key) {
            return Err(KeyRingError::Mismatch(files.public, files.secret));
        }
        Ok(files)
    }

    /// Stores a key, the secret part first. Nothing that exists is written over.
    ///
    /// # Errors
    /// As [`check_new`](Self::check_new), and if the files cannot be written.
    pub fn add(
        &self,
        name: &KeyName,
        public_key: &PublicKey,
        secret: Option<&EncryptedKey>,
    ) -> Result<KeyFiles, KeyRingError> {
        let files = self.check_new(name, public_key, secret)?;
        if let Some(secret) = secret {
            let secret = secret.clone().with_public_key(*public_key);
            self.write(&files.secret, &secret.encode())?;
        }
        self.write(&files.public, &public_key.0)?;
        Ok(files)
    }

    /// Deletes both files of a key.
    pub fn remove(&self, name: &KeyName) -> Result<(), KeyRingError> {
        let files = self.files(name);
        let mut found = false;
        for path in [files.public, files.secret] {
            match std::fs::remove_file(&path) {
                Ok(()) => found = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io(&path)(error)),
            }
        }
        if found {
            Ok(())
        } else {
            Err(KeyRingError::NotFound(name.clone(), self.folder.clone()))
        }
    }

    /// Writes a file that only its owner may read, at once or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), KeyRingError> {
        if !self.folder.is_dir() {
            std::fs::create_dir_all(&self.folder).map_err(io(&self.folder))?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(&self.folder, std::fs::Permissions::from_mode(0o700))
                    .map_err(io(&self.folder))?;
            }
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(io(&self.folder))?;
        file.write_all(bytes).map_err(io(path))?;
        file.as_file().sync_all().map_err(io(path))?;
        file.persist_noclobber(path)
            .map_err(|error| io(path)(error.error))?;
        Ok(())
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> KeyRingError {
    let path = path.to_owned();
    |source| KeyRingError::Io { path, source }
}

fn read_secret(path: &Path) -> Result<EncryptedKey, KeyRingError> {
    let bytes = std::fs::read(path).map_err(io(path))?;
    EncryptedKey::read(&bytes).map_err(|source| KeyRingError::Secret {
        path: path.to_owned(),
        source,
    })
}

fn read_public(path: &Path) -> Result<PublicKey, KeyRingError> {
    let bytes = std::fs::read(path).map_err(io(path))?;
    decode_public_key(&bytes).ok_or_else(|| KeyRingError::Public(path.to_owned()))
}

/// The public key that a file holds: its 32 bytes, as `pear` stores them, or text, as `hypercore-sign` does.
pub fn decode_public_key(file: &[u8]) -> Option<PublicKey> {
    let raw = <[u8; 32]>::try_from(file).ok().map(PublicKey);
    raw.or_else(|| std::str::from_utf8(file).ok()?.trim().parse().ok())
}

/// Takes a secret file away from other users of the machine: other tools do not.
fn restrict(path: &Path) -> Result<(), KeyRingError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let found = std::fs::metadata(path).map_err(io(path))?.permissions();
        if found.mode() & 0o077 != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(found.mode() & 0o700))
                .map_err(io(path))?;
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (PublicKey, EncryptedKey) {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/multisig/vectors.json")).unwrap();
        let field = |name: &str| hex::decode(vectors["low"][name].as_str().unwrap()).unwrap();
        let key = EncryptedKey::decode(&field("file")).unwrap();
        (PublicKey(field("publicKey").try_into().unwrap()), key)
    }

    fn name(text: &str) -> KeyName {
        text.parse().unwrap()
    }

    #[test]
    fn keys_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::new(folder.path().join("keys"));
        assert_eq!(ring.list().unwrap(), []);
        let (public, secret) = sealed();
        ring.add(&name("me"), &public, Some(&secret)).unwrap();
        ring.add(&name("bob"), &PublicKey([2; 32]), None).unwrap();
        let found = ring.list().unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|key| (key.name.to_string(), key.owned))
            .collect();
        assert_eq!(found, [("bob".to_owned(), false), ("me".to_owned(), true)]);
        assert_eq!(ring.secret_key(&name("me")).unwrap(), secret);
        assert!(matches!(
            ring.secret_key(&name("bob")),
            Err(KeyRingError::NoSecret(..))
        ));
        assert!(matches!(
            ring.add(&name("me"), &public, None),
            Err(KeyRingError::Exists(_))
        ));
        ring.remove(&name("me")).unwrap();
        assert!(matches!(
            ring.remove(&name("me")),
            Err(KeyRingError::NotFound(..))
        ));
        assert!(matches!(
            ring.public_key(&name("me")),
            Err(KeyRingError::NotFound(..))
        ));
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::new(folder.path().join("keys"));
        let (public, secret) = sealed();
        let files = ring.add(&name("me"), &public, Some(&secret)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(ring.folder()), mode(&files.secret)), (0o700, 0o600));
        std::fs::set_permissions(&files.secret, std::fs::Permissions::from_mode(0o644)).unwrap();
        ring.secret_key(&name("me")).unwrap();
        assert_eq!(mode(&files.secret), 0o600);
    }

    #[test]
    fn files_of_other_tools_are_read_and_foreign_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::new(folder.path().to_owned());
        let (public, secret) = sealed();
        let files = ring.files(&name("default"));
        std::fs::write(&files.secret, z32::encode(&secret.encode_legacy())).unwrap();
        assert!(
            matches!(ring.secret_key(&name("default")), Err(KeyRingError::Public(_))),
            "version 0 names no public key"
        );
        std::fs::write(&files.public, format!("{public}\n")).unwrap();
        assert_eq!(ring.secret_key(&name("default")).unwrap(), secret);
        std::fs::write(&files.secret, secret.encode()).unwrap();
        std::fs::remove_file(&files.public).unwrap();
        assert_eq!(ring.public_key(&name("default")).unwrap().public_key, public);
        assert!(
            files.public.is_file(),
            "the public key is written beside the secret one again"
        );
        std::fs::write(&files.public, [7; 32]).unwrap();
        assert!(matches!(
            ring.secret_key(&name("default")),
            Err(KeyRingError::Mismatch(..))
        ));
        for bad in ["", "../up", "a b", "a.public", "ä"] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad}");
        }
    }
}
