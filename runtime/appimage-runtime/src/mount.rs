//! Mounting the AppImage, which a helper then serves.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;

use crate::options::file;
use crate::{helper, own};

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
    let (folder, _held) = own::make(&begins(), &std::env::temp_dir())?;
    let args = [
        OsStr::new(helper::SERVE),
        folder.as_os_str(),
        OsStr::new(how),
        file_name_or(&file()),
        OsStr::new(&std::process::id().to_string()),
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

/// How the folder's name begins, for whoever lists mounts: with the first letters of the file's name.
fn begins() -> String {
    let name = file();
    let name = name
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let plain = name.chars().filter(char::is_ascii_alphanumeric).take(12);
    format!("{}{}", own::MOUNTED, plain.collect::<String>())
}
