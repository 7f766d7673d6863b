//! What can be made.

use std::fmt;
use std::str::FromStr;

use app::{Host, Layout, Manifest, layout};

use crate::{deb, desktop, macos, msix, windows};

/// A form in which people get an app. To add one: a name here, a file that makes it, and its arm in `plan.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// The bundle as it is: what other formats hold.
    Folder,
    /// That in an archive, for every system.
    Zip,
    /// One file that runs on every Linux.
    AppImage,
    /// A package of Debian and what descends from it.
    Deb,
    /// A disk image of macOS.
    Dmg,
    /// A package of Windows, unsigned.
    Msix,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Folder,
        Self::Zip,
        Self::AppImage,
        Self::Deb,
        Self::Dmg,
        Self::Msix,
    ];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Zip => "zip",
            Self::AppImage => "appimage",
            Self::Deb => "deb",
            Self::Dmg => "dmg",
            Self::Msix => "msix",
        }
    }

    /// Whether installed apps update from it; those that another format installed do from the folder.
    pub fn is_released(self) -> bool {
        matches!(self, Self::Folder | Self::AppImage)
    }

    /// What the result is called.
    pub(crate) fn file_name(self, host: &Host, manifest: &Manifest) -> String {
        let product = &manifest.product_name;
        match self {
            Self::Folder => Layout::of(host, layout::Format::Folder).bundle_name(product),
            Self::AppImage => Layout::of(host, layout::Format::File).bundle_name(product),
            Self::Deb => deb::file_name(host, manifest),
            Self::Zip | Self::Dmg => format!("{product}-{}-{host}.{}", manifest.version, self.name()),
            Self::Msix => format!("{product}.msix"),
        }
    }

    /// Why it cannot be made for a machine on this one, and what to do; `None` if it can.
    pub(crate) fn refused(self, host: &Host, here: &Host) -> Option<String> {
        let mac = || host.platform() == "darwin";
        match self {
            Self::Folder | Self::Zip => None,
            Self::AppImage if host.platform() != "linux" => Some("it is for Linux".to_owned()),
            Self::AppImage if host != here => Some(format!(
                "what stands at its head was built with this bosc, for {here}; make it on a machine like {host}"
            )),
            Self::AppImage => None,
            Self::Deb => deb::architecture(host)
                .is_none()
                .then(|| "it is for Linux on x86-64 or ARM".to_owned()),
            Self::Dmg if !mac() => Some("it is for macOS".to_owned()),
            Self::Dmg if here.platform() != "darwin" => Some(
                "it takes hdiutil, which macOS alone has; make a zip here, or the disk image on a Mac"
                    .to_owned(),
            ),
            Self::Dmg => None,
            Self::Msix => msix::architecture(host)
                .is_none()
                .then(|| "it is for Windows on x86-64 or ARM".to_owned()),
        }
    }

    /// The widths of the icon that it shows, in pixels.
    pub(crate) fn icon_sizes(self, host: &Host) -> Vec<u32> {
        let bundle: &[u32] = match host.platform() {
            "darwin" => &macos::ICON_SIZES,
            "win32" => &windows::ICON_SIZES,
            _ => &[],
        };
        let own: &[u32] = match self {
            Self::AppImage | Self::Deb => &desktop::ICON_SIZES,
            Self::Msix => &msix::ICON_SIZES,
            Self::Folder | Self::Zip | Self::Dmg => &[],
        };
        [bundle, own].concat()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Zip => "a zip",
            Self::AppImage => "an AppImage",
            Self::Deb => "a deb",
            Self::Dmg => "a disk image",
            Self::Msix => "an MSIX",
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
