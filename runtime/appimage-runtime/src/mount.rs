//! Mounting the AppImage, which a helper then serves.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

use crate::helper;
use crate::options::file;

/// Whether the files are served for as long as somebody uses them, or for as long as the helper's standard input is open.
pub(crate) const FOR_APP: &str = "app";
/// The other.
pub(crate) const WHILE_HELD: &str = "held";

/// Mounts it for the app that is started next; returns where. It is unmounted when nothing of it is open any more.
pub(crate) fn for_app() -> io::Result<PathBuf> {
    mount(FOR_APP).map(|(folder, _)| folder)
}

/// Mounts it until the second is dropped.
pub(crate) fn while_held() -> io::Result<(PathBuf, ChildStdin)> {
    mount(WHILE_HELD)
}

fn mount(how: &str) -> io::Result<(PathBuf, ChildStdin)> {
    let folder = tempfile::Builder::new().prefix(&prefix()).tempdir()?.keep();
    let args = [
        OsStr::new(helper::SERVE),
        folder.as_os_str(),
        OsStr::new(how),
        file_name_or(&file()),
    ]
    .map(OsStr::to_owned);
    match helper::start(&args.each_ref().map(|arg| arg.as_os_str())) {
        Ok(held) => Ok((folder, held)),
        Err(error) => {
            // Nothing is mounted there.
            let _ = std::fs::remove_dir(&folder);
            Err(error)
        }
    }
}

fn file_name_or(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}

/// How such folders are called, for whoever lists mounts: the first letters of the file's name.
fn prefix() -> String {
    let name = file();
    let name = name
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let plain = name.chars().filter(char::is_ascii_alphanumeric).take(12);
    format!(".mount_{}", plain.collect::<String>())
}
