//! A deb: a package of Debian and what descends from it. The bundle is the system's, in `/usr/lib`, and marked as such: each user who
//! starts it gets a copy, which then updates itself.

mod archive;
mod control;
mod depends;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use app::{Host, Layout, Manifest, layout};

use crate::icons::Icons;
use crate::tree::{Item, Tree};
use crate::{PackagingError, desktop};

/// The version of the format, and the whole of the member that says it.
const FORMAT: &[u8] = b"2.0\n";

/// What Debian calls the machine of a host; `None` for those that it does not run on.
pub(crate) fn architecture(host: &Host) -> Option<&'static str> {
    match (host.platform(), host.arch()) {
        ("linux", "x64") => Some("amd64"),
        ("linux", "arm64") => Some("arm64"),
        _ => None,
    }
}

/// What the package of an app is called.
pub(crate) fn file_name(host: &Host, manifest: &Manifest) -> String {
    let version = control::version(manifest);
    format!(
        "{}_{version}_{}.deb",
        manifest.name,
        architecture(host).unwrap_or("all")
    )
}

/// Refuses what Debian would not install.
pub(crate) fn check(manifest: &Manifest) -> Result<(), PackagingError> {
    control::check_name(manifest)
}

/// Writes the deb of a bundle.
pub(crate) fn write(
    bundle: &Tree,
    icons: &Icons,
    manifest: &Manifest,
    host: &Host,
    time: u32,
    to: &Path,
) -> Result<(), PackagingError> {
    let files = files(bundle, icons, manifest, host)?;
    let depends = depends::of(bundle)?;
    let control = control::control(manifest, architecture(host).unwrap_or("all"), &files, &depends)?;
    let mut control_files = Tree::default();
    control_files.put("control", Item::bytes(control))?;
    let io = |error| PackagingError::io("write", to)(error);
    let mut file = BufWriter::new(File::create(to).map_err(io)?);
    let members = [
        ("debian-binary", FORMAT.to_vec()),
        ("control.tar.gz", archive::tar_gz(&control_files, time)?),
        ("data.tar.gz", archive::tar_gz(&files, time)?),
    ];
    archive::ar(&mut file, &members, time).map_err(io)?;
    file.flush().map_err(io)
}

/// Everything that is installed.
fn files(bundle: &Tree, icons: &Icons, manifest: &Manifest, host: &Host) -> Result<Tree, PackagingError> {
    let (name, product) = (&manifest.name, &manifest.product_name);
    let layout = Layout::of(host, layout::Format::Folder);
    let below = format!("usr/lib/{name}/{product}");
    let mut tree = Tree::default();
    tree.put_all(&below, bundle.clone())?;
    tree.put(format!("{below}/{}", layout::PACKAGED), Item::bytes(*b"deb\n"))?;
    let program = layout.program(Path::new(product));
    let program = program.to_string_lossy();
    tree.put(
        format!("usr/bin/{name}"),
        Item::Link(format!("../lib/{name}/{program}")),
    )?;
    let entry = desktop::entry(manifest, name, icons.any())?;
    tree.put(
        format!("usr/share/applications/{name}.desktop"),
        Item::bytes(entry),
    )?;
    tree.put_all("usr/share", desktop::theme(icons, name)?)?;
    let docs = format!("usr/share/doc/{name}");
    tree.put(
        format!("{docs}/copyright"),
        Item::bytes(control::copyright(manifest)),
    )?;
    let changes = archive::gz(control::changes(manifest).as_bytes())?;
    tree.put(format!("{docs}/changelog.gz"), Item::bytes(changes))?;
    Ok(tree)
}
