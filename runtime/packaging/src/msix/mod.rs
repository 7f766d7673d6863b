//! An MSIX: Windows' package, a zip whose files are listed with hashes of their blocks. It is written unsigned; Windows installs it once
//! it is signed by whom `bosc.make.publisher` names.
//!
//! The files in it are not compressed: blocks must be compressed each by itself, which no zip writer here does. The format allows both.
//!
//! Sources: Microsoft's "App package schema reference" and "App package block map schema", ECMA-376 part 2 (Open Packaging Conventions).

mod block_map;
mod content_types;
mod manifest;
mod names;

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use app::{Host, Layout, Manifest, layout};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use self::block_map::BlockMap;
use crate::icons::Icons;
use crate::tree::{Item, Source, Tree};
use crate::{PackagingError, time};

/// The pictures that Windows shows of an app, with their widths in pixels.
const LOGOS: [(&str, u32); 3] = [
    ("Assets/Square150x150Logo.png", 150),
    ("Assets/Square44x44Logo.png", 44),
    ("Assets/StoreLogo.png", 50),
];

/// The widths of those.
pub(crate) const ICON_SIZES: [u32; 3] = [44, 50, 150];

/// What is no file of the app's.
const MANIFEST: &str = "AppxManifest.xml";
const BLOCK_MAP: &str = "AppxBlockMap.xml";
const CONTENT_TYPES: &str = "[Content_Types].xml";

/// What Windows calls the machine of a host; `None` for those that it does not run on.
pub(crate) fn architecture(host: &Host) -> Option<&'static str> {
    match (host.platform(), host.arch()) {
        ("win32", "x64") => Some("x64"),
        ("win32", "arm64") => Some("arm64"),
        _ => None,
    }
}

/// Refuses what Windows would not install.
pub(crate) fn check(
    dir: &Path,
    bundle: &Tree,
    icons: &Icons,
    manifest: &Manifest,
) -> Result<(), PackagingError> {
    manifest::Words::of(manifest)?;
    if LOGOS.iter().any(|(_, size)| icons.get(*size).is_none()) {
        let why = if icons.any() {
            "an MSIX shows it 150 pixels wide; make it at least so, better 512"
        } else {
            "it is not there, and an MSIX must have one; put a square PNG there of at least 150 pixels, better 512"
        };
        return Err(PackagingError::Icon {
            path: dir.join(layout::ICON),
            why: why.to_owned(),
        });
    }
    names::check(bundle)
}

/// Writes the MSIX of a bundle.
pub(crate) fn write(
    bundle: &Tree,
    icons: &Icons,
    manifest: &Manifest,
    host: &Host,
    time: u32,
    to: &Path,
) -> Result<(), PackagingError> {
    let io = |error| PackagingError::io("write", to)(error);
    let mut files = bundle.clone();
    files.put(layout::PACKAGED, Item::bytes(*b"msix\n"))?;
    for (path, size) in LOGOS {
        files.put(path, Item::bytes(icons.get(size).unwrap_or_default()))?;
    }
    let program = Layout::of(host, layout::Format::Folder).program(manifest.product_name.as_ref());
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    let words = manifest::Words::of(manifest)?;
    let description = words.manifest(&program, architecture(host).unwrap_or("neutral"));
    let file = File::create(to).map_err(io)?;
    let mut package = Package {
        zip: ZipWriter::new(BufWriter::new(file)),
        options: SimpleFileOptions::default()
            .last_modified_time(time::in_archives(time))
            .compression_method(CompressionMethod::Stored),
        blocks: BlockMap::default(),
        to,
    };
    for (path, item) in files.items() {
        let Item::File { from, .. } = item else {
            return Err(names::link(path));
        };
        package.add(path, from)?;
    }
    package.add(MANIFEST, &Source::Bytes(description.map_err(io)?))?;
    let blocks = package.blocks.written().map_err(io)?;
    package.add_unlisted(BLOCK_MAP, &blocks)?;
    let parts = files.items().map(|(path, _)| path);
    let types = content_types::written(parts).map_err(io)?;
    package.add_unlisted(CONTENT_TYPES, &types)?;
    let failed = |error: zip::result::ZipError| io(error.into());
    package.zip.finish().map_err(failed)?.flush().map_err(io)
}

/// A package that is being written.
struct Package<'a, W: Write + Seek> {
    zip: ZipWriter<W>,
    options: SimpleFileOptions,
    blocks: BlockMap,
    to: &'a Path,
}

impl<W: Write + Seek> Package<'_, W> {
    /// Adds a file and its blocks.
    fn add(&mut self, path: &str, from: &Source) -> Result<(), PackagingError> {
        let (mut contents, bytes) = from.open()?;
        // What stands before the contents would be longer, and Windows wants that length.
        if bytes >= u32::MAX.into() {
            return Err(PackagingError::Unusable {
                path: path.into(),
                why: "an MSIX takes files below 4 GiB here; split it, or leave it out".to_owned(),
            });
        }
        let io = |error| PackagingError::io("write", self.to)(error);
        let name = names::part(path);
        self.zip
            .start_file(&name, self.options)
            .map_err(|error| io(error.into()))?;
        let to = &mut self.zip;
        self.blocks.add(path, &name, &mut contents, to).map_err(io)
    }

    /// Adds what lists the others.
    fn add_unlisted(&mut self, name: &str, contents: &[u8]) -> Result<(), PackagingError> {
        let io = |error| PackagingError::io("write", self.to)(error);
        self.zip
            .start_file(name, self.options)
            .map_err(|error| io(error.into()))?;
        self.zip.write_all(contents).map_err(io)
    }
}
