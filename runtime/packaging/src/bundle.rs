//! What an app's bundle holds: its program, and the app beside it.

use std::path::Path;

use app::{Host, Layout, Manifest, layout};

use crate::icons::Icons;
use crate::tree::{Item, Source, Tree};
use crate::{PackagingError, macos, windows};

/// What goes into a bundle besides package.json, where it exists, unless package.json's `bosc.files` lists other paths.
const DEFAULT_FILES: [&str; 3] = ["renderer", "workers", "build"];

/// The paths of what goes into a bundle, in the app's folder.
pub(crate) fn files(dir: &Path, manifest: &Manifest) -> Result<Vec<String>, PackagingError> {
    let Some(files) = &manifest.files else {
        let there = DEFAULT_FILES.iter().filter(|file| dir.join(file).exists());
        return Ok(there.map(|file| (*file).to_owned()).collect());
    };
    match files
        .iter()
        .map(|file| dir.join(file))
        .find(|file| !file.exists())
    {
        Some(path) => Err(PackagingError::NoFile { path }),
        None => Ok(files.clone()),
    }
}

/// Everything in the bundle.
pub(crate) fn tree(
    dir: &Path,
    manifest: &Manifest,
    host: &Host,
    icons: &Icons,
    program: &Path,
) -> Result<Tree, PackagingError> {
    let layout = Layout::of(host, layout::Format::Folder);
    let bundle = Path::new(&layout.bundle_name(&manifest.product_name)).to_owned();
    let inside = |path: &Path| {
        let path = path.strip_prefix(&bundle).unwrap_or(path);
        // Written with the platform's own separator on Windows alone.
        path.to_string_lossy().replace('\\', "/")
    };
    let mut tree = Tree::default();
    let executable = Item::File {
        from: Source::Path(program.to_owned()),
        executable: true,
    };
    tree.put(inside(&layout.program(&bundle)), executable)?;
    let app = layout.app(&bundle).map(|app| inside(&app)).unwrap_or_default();
    let mut files = files(dir, manifest)?;
    files.push(layout::PACKAGE.to_owned());
    // A file may be listed by itself and with its folder.
    files.sort();
    let mut taken: Vec<String> = Vec::new();
    for file in files {
        let covered = |other: &String| file == *other || file.starts_with(&format!("{other}/"));
        if !taken.iter().any(covered) {
            tree.put_from_disk(&format!("{app}/{file}"), &dir.join(&file))?;
            taken.push(file);
        }
    }
    match host.platform() {
        "darwin" => macos::complete(&mut tree, icons, manifest)?,
        "win32" => windows::complete(&mut tree, icons)?,
        _ => {}
    }
    Ok(tree)
}
