//! The secret seed of a key pair in a file of its own, as 64 hex digits, for its owner alone.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use base::KeyPair;
use zeroize::Zeroizing;

/// Of a file that is one: the digits and a line's end or two.
const MAX_BYTES: u64 = 128;

/// Reads the key pair in `path`; makes the file with a new one if there is none.
pub(crate) fn read_or_make(path: &Path) -> anyhow::Result<KeyPair> {
    match read(path) {
        Err(error) if is_missing(&error) => {
            let key_pair = KeyPair::generate();
            if make(path, &key_pair)? {
                return Ok(key_pair);
            }
            // Another process was quicker.
            read(path)
        }
        result => result,
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

fn read(path: &Path) -> anyhow::Result<KeyPair> {
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .with_context(|| format!("cannot read the key file {}", path.display()))?;
    let mut seed = Zeroizing::new([0; 32]);
    if hex::decode_to_slice(text.trim(), seed.as_mut_slice()).is_err() {
        bail!(
            "{} is no key file: it should hold 64 hex digits. Give another with --key-file, or delete it to get a new key",
            path.display()
        );
    }
    Ok(KeyPair::from_seed(*seed))
}

/// False if there is such a file already.
fn make(path: &Path, key_pair: &KeyPair) -> anyhow::Result<bool> {
    let cannot = || format!("cannot make the key file {}", path.display());
    if let Some(folder) = path.parent() {
        bosc_runtime::private_dir(folder).with_context(cannot)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        opened => opened.with_context(cannot)?,
    };
    let mut text = Zeroizing::new([0; 65]);
    let [digits @ .., end] = &mut *text;
    *end = b'\n';
    let written = hex::encode_to_slice(key_pair.seed().as_slice(), digits)
        .map_err(std::io::Error::other)
        .and_then(|()| file.write_all(text.as_slice()))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is none.
        let _ = fs::remove_file(path);
    }
    written.with_context(cannot)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_the_same_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/relay.key");
        let made = read_or_make(&path).unwrap();
        assert_eq!(read_or_make(&path).unwrap(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(&path, "abc").unwrap();
        let error = read_or_make(&path).unwrap_err().to_string();
        assert!(error.contains("64 hex digits"), "{error}");
        fs::remove_file(&path).unwrap();
        assert_ne!(read_or_make(&path).unwrap(), made);
    }
}
