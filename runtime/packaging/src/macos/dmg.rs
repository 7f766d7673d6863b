//! A disk image with the app and a link to where apps are put. macOS's `hdiutil` makes it; nothing else writes that file system well.

use std::path::Path;
use std::process::Command;

use crate::tree::{Item, Tree};
use crate::{PackagingError, folder};

/// Writes the image of a bundle, which is called `name` in it. `to` is alone in its folder. Blocks.
pub(crate) fn write(bundle: Tree, name: &str, product: &str, to: &Path) -> Result<(), PackagingError> {
    let mut tree = Tree::default();
    tree.put_all(name, bundle)?;
    tree.put("Applications", Item::Link("/Applications".to_owned()))?;
    let contents = to.with_file_name("contents");
    folder::write(&tree, &contents)?;
    let ran = Command::new("hdiutil")
        .args([
            "create",
            "-quiet",
            "-fs",
            "HFS+",
            "-format",
            "UDZO",
            "-volname",
            product,
            "-srcfolder",
        ])
        .arg(&contents)
        .arg(to)
        .status();
    match ran {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(PackagingError::Dmg(format!(
            "hdiutil ended with {status}; see what it says above"
        ))),
        Err(error) => Err(PackagingError::Dmg(format!("hdiutil cannot be run: {error}"))),
    }
}
