//! A disk image with the app and a link to where apps are put. macOS's `hdiutil` makes it; nothing else writes that file system well.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::tree::{Item, Tree};
use crate::{PackagingError, folder};

/// Writes the image of a bundle, which is called `name` in it. `to` is alone in its folder. Blocks.
pub(crate) fn write(bundle: Tree, name: &str, product: &str, to: &Path) -> Result<(), PackagingError> {
    write_with("hdiutil".as_ref(), bundle, name, product, to)
}

fn write_with(
    hdiutil: &OsStr,
    bundle: Tree,
    name: &str,
    product: &str,
    to: &Path,
) -> Result<(), PackagingError> {
    let mut tree = Tree::default();
    tree.put_all(name, bundle)?;
    tree.put("Applications", Item::Link("/Applications".to_owned()))?;
    let contents = to.with_file_name("contents");
    folder::write(&tree, &contents)?;
    let ran = Command::new(hdiutil)
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_tool_gets_the_app_beside_a_link_to_where_apps_are_put() {
        let dir = tempfile::tempdir().unwrap();
        // The last two of what it is given are the folder and the image.
        let tool = dir.path().join("tool");
        let script = "#!/bin/sh\nfor last; do folder=$to; to=$last; done\n\
            { echo \"$@\"; ls -l \"$folder\"; ls \"$folder/My App.app\"; } >\"$to\"\n";
        std::fs::write(&tool, script).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut bundle = Tree::default();
        bundle.put("Contents/PkgInfo", Item::bytes("APPL")).unwrap();
        let to = dir.path().join("My App.dmg");
        write_with(tool.as_os_str(), bundle.clone(), "My App.app", "My App", &to).unwrap();
        let said = std::fs::read_to_string(&to).unwrap();
        for words in [
            "create ",
            "-volname My App ",
            "Applications -> /Applications",
            "My App.app\n",
            "Contents\n",
        ] {
            assert!(said.contains(words), "{said}");
        }

        std::fs::write(&tool, "#!/bin/sh\nexit 3\n").unwrap();
        let refused = |tool: &OsStr, to: &str| {
            let to = dir.path().join(to).join("a.dmg");
            std::fs::create_dir(to.parent().unwrap()).unwrap();
            write_with(tool, bundle.clone(), "a.app", "a", &to)
                .unwrap_err()
                .to_string()
        };
        let error = refused(tool.as_os_str(), "fails");
        assert!(
            error.contains("hdiutil ended with") && error.contains('3'),
            "{error}"
        );
        let error = refused("/nowhere/hdiutil".as_ref(), "none");
        assert!(error.contains("hdiutil cannot be run"), "{error}");
    }
}
