//! What a person is told when an update does not go on: a sentence without paths and numbers of errors, and a constant for the page to
//! tell them apart by. The log has the rest.

use core_store::CoreError;
use hyperdrive::DriveError;

use crate::check::CheckError;
use crate::error::{ApplyError, RuntimeError};
use crate::obstacle::is_full;

/// What went wrong, for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// A constant.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
}

impl Told {
    /// Every code.
    pub const CODES: [&'static str; 14] = [
        "UPDATE_BUSY",
        "UPDATE_CANNOT_RUN",
        "UPDATE_CHANGED",
        "UPDATE_DISK",
        "UPDATE_FAILED",
        "UPDATE_NOT_FOR_THIS_MACHINE",
        "UPDATE_NOT_INSTALLED",
        "UPDATE_NOT_NEWER",
        "UPDATE_NOT_WRITABLE",
        "UPDATE_NO_NETWORK",
        "UPDATE_NO_ROOM",
        "UPDATE_REFUSED",
        "UPDATE_STALLED",
        "UPDATE_STORE",
    ];

    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

const FULL: &str =
    "There is not enough room on the disk for the update. Make some room; the update then comes by itself.";
const DISK: &str =
    "The update could not be kept on the disk. It is tried again; if it stays so, look at the disk.";

impl CheckError {
    /// What a person is told.
    pub(crate) fn told(&self) -> Told {
        match self {
            Self::NoRoom { .. } => Told::new("UPDATE_NO_ROOM", FULL),
            Self::NotReplaceable { version, .. } => Told::new(
                "UPDATE_NOT_WRITABLE",
                format!(
                    "Version {version} is there, but this app lies in a folder that may not be written. Move the app to a folder of yours, \
                     or ask whoever installed it to update it."
                ),
            ),
            Self::Drive(error) => of_drive(error),
            Self::Io { source, .. } => of_io(source),
            Self::Stalled(_) => Told::new(
                "UPDATE_STALLED",
                "Nothing of the update arrives at the moment. It is tried again by itself.",
            ),
            Self::NotFound(_) => Told::new(
                "UPDATE_NOT_FOR_THIS_MACHINE",
                "There is a newer version, but not for this kind of computer.",
            ),
            Self::Package(_) | Self::Unfit { .. } | Self::Below { .. } => Told::new(
                "UPDATE_REFUSED",
                "The newer version is not what it says to be, so it was not installed. This one goes on.",
            ),
            Self::Differs { .. } | Self::Rewritten => Told::new(
                "UPDATE_CHANGED",
                "The update changed while it was fetched. It is fetched again by itself.",
            ),
        }
    }
}

impl ApplyError {
    /// What a person is told.
    pub fn told(&self) -> Told {
        match self {
            Self::NotInstalled => Told::new(
                "UPDATE_NOT_INSTALLED",
                "This app runs from a project folder: only an installed app can be updated.",
            ),
            Self::CannotRun { version, .. } => Told::new(
                "UPDATE_CANNOT_RUN",
                format!(
                    "Version {version} cannot run on this computer. It was not installed, and this one goes on."
                ),
            ),
            Self::Altered { .. } => Told::new(
                "UPDATE_CHANGED",
                "The update was changed on the disk before it was installed. It is fetched again by itself.",
            ),
            Self::NotNewer { installed, .. } => Told::new(
                "UPDATE_NOT_NEWER",
                format!("Version {installed} is installed already. Start the app again to use it."),
            ),
            Self::Busy { .. } => Told::new(
                "UPDATE_BUSY",
                "Another window of this app is installing an update. Try again in a moment.",
            ),
            Self::Swap { source, .. } if is_full(source) => Told::new("UPDATE_NO_ROOM", FULL),
            Self::Swap { .. } => Told::new(
                "UPDATE_NOT_WRITABLE",
                "The app lies in a folder that may not be written. Move it to a folder of yours, or ask whoever installed it to update it.",
            ),
            Self::NoExchange { .. } => Told::new(
                "UPDATE_NOT_WRITABLE",
                "The app lies on a disk on which it cannot be replaced in one step. Move it to another one, such as the computer's own.",
            ),
            Self::Io { source, .. } => of_io(source),
        }
    }
}

impl RuntimeError {
    /// What a person is told.
    pub fn told(&self) -> Told {
        match self {
            Self::Peers(_) => Told::new(
                "UPDATE_NO_NETWORK",
                "The network cannot be used, so that no updates are looked for. Start the app again to try it again.",
            ),
            Self::Io { source, .. } if is_full(source) => Told::new("UPDATE_NO_ROOM", FULL),
            Self::Store(_) | Self::Drive(_) | Self::Io { .. } => Told::new(
                "UPDATE_STORE",
                "What the app keeps of its updates cannot be used, so that none are looked for. Everything else works.",
            ),
        }
    }
}

fn of_drive(error: &DriveError) -> Told {
    match error {
        DriveError::Io { source, .. } => of_io(source),
        DriveError::Core(CoreError::Stalled { .. } | CoreError::NotAvailable { .. }) => Told::new(
            "UPDATE_STALLED",
            "Nothing of the update arrives at the moment. It is tried again by itself.",
        ),
        // SQLite's word for it.
        error if error.to_string().contains("disk is full") => Told::new("UPDATE_NO_ROOM", FULL),
        _ => Told::new(
            "UPDATE_FAILED",
            "The update could not be fetched. It is tried again by itself.",
        ),
    }
}

fn of_io(error: &std::io::Error) -> Told {
    if is_full(error) {
        Told::new("UPDATE_NO_ROOM", FULL)
    } else {
        Told::new("UPDATE_DISK", DISK)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_code_is_listed_and_every_listed_code_is_said() {
        let source = include_str!("words.rs");
        let said = source.split("Told::new(").skip(1);
        let mut said: Vec<&str> = said.filter_map(|rest| rest.split('"').nth(1)).collect();
        said.retain(|code| code.starts_with("UPDATE_"));
        said.sort_unstable();
        said.dedup();
        assert_eq!(said, Told::CODES);
    }

    #[test]
    fn no_person_reads_a_path_or_the_number_of_an_error() {
        let path = PathBuf::from("/home/ada/.config/App/pear-runtime/next/15.0/x");
        let denied = || io::Error::from_raw_os_error(13);
        let full = || io::Error::from_raw_os_error(28);
        let io = |source| CheckError::Io {
            path: path.clone(),
            source,
        };
        let swap = |source| ApplyError::Swap {
            path: path.clone(),
            source,
        };
        for (told, code) in [
            (io(full()).told(), "UPDATE_NO_ROOM"),
            (io(denied()).told(), "UPDATE_DISK"),
            (swap(denied()).told(), "UPDATE_NOT_WRITABLE"),
            (swap(full()).told(), "UPDATE_NO_ROOM"),
            (CheckError::Stalled(120).told(), "UPDATE_STALLED"),
        ] {
            assert_eq!(told.code, code);
            let bare = !told.message.contains('/') && !told.message.contains("os error");
            assert!(bare && told.message.ends_with('.'), "{}", told.message);
        }
    }
}
