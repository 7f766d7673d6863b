//! What can be made.

use std::fmt;
use std::str::FromStr;

use app::{Host, Layout, Manifest, layout};

use crate::deb;

/// A form in which people get an app. To add one: a name here, a file that makes it, and its arm in `plan.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// The bundle as it is: what other formats hold.
    Folder,
    /// One file that runs on every Linux.
    AppImage,
    /// A package of Debian and what descends from it.
    Deb,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Folder, Self::AppImage, Self::Deb];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::AppImage => "appimage",
            Self::Deb => "deb",
        }
    }

    /// Whether installed apps update from it; those that a deb installed do from the folder.
    pub fn is_released(self) -> bool {
        !matches!(self, Self::Deb)
    }

    /// What the result is called.
    pub(crate) fn file_name(self, host: &Host, manifest: &Manifest) -> String {
        let product = &manifest.product_name;
        match self {
            Self::Folder => Layout::of(host, layout::Format::Folder).bundle_name(product),
            Self::AppImage => Layout::of(host, layout::Format::File).bundle_name(product),
            Self::Deb => deb::file_name(host, manifest),
        }
    }

    /// What a machine must be for this to be made on it, unless `host` is such a one. A format holds the program of the machine that
    /// it is made on.
    pub(crate) fn needs(self, host: &Host) -> Option<&'static str> {
        match self {
            Self::Folder => None,
            Self::AppImage => (host.platform() != "linux").then_some("Linux"),
            Self::Deb => deb::architecture(host)
                .is_none()
                .then_some("Linux on x86-64 or ARM"),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::AppImage => "an AppImage",
            Self::Deb => "a deb",
        })
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("expected one of {names}")
        })
    }
}
