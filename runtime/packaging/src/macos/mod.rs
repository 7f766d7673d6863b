//! What macOS wants in a bundle besides the app: its description, and its icon. And what signs it is told.

pub(crate) mod dmg;
mod icon;
mod info;
mod rights;

use std::io;

use app::Manifest;
use plist::{Dictionary, Value};

use crate::icons::Icons;
use crate::tree::{Item, Tree};
use crate::{PackagingError, xml};

pub(crate) use icon::SIZES as ICON_SIZES;
pub(crate) use rights::entitlements;

/// The icon's name in `Contents/Resources`.
const ICON: &str = "icon.icns";

/// Refuses what macOS cannot be told.
pub(crate) fn check(manifest: &Manifest) -> Result<(), PackagingError> {
    xml::check("productName", &manifest.product_name)?;
    xml::check("bosc.window.title", &manifest.window.title)
}

/// Puts into a bundle what makes an `.app` of it.
pub(crate) fn complete(bundle: &mut Tree, icons: &Icons, manifest: &Manifest) -> Result<(), PackagingError> {
    let icon = icon::icns(icons)?;
    bundle.put(
        "Contents/Info.plist",
        Item::bytes(info::plist(manifest, icon.is_some())?),
    )?;
    bundle.put("Contents/PkgInfo", Item::bytes(*b"APPL????"))?;
    if let Some(icon) = icon {
        bundle.put(format!("Contents/Resources/{ICON}"), Item::bytes(icon))?;
    }
    Ok(())
}

/// A property list as XML.
fn written(dictionary: Dictionary) -> Result<Vec<u8>, PackagingError> {
    let mut bytes = Vec::new();
    Value::Dictionary(dictionary)
        .to_writer_xml(&mut bytes)
        .map_err(|error| PackagingError::io("write", "Info.plist".as_ref())(io::Error::other(error)))?;
    bytes.push(b'\n');
    Ok(bytes)
}
