//! A bundle as a zip, in a folder of its name: on macOS a double click makes the app of it again. Modes and links are kept.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::tree::{Item, Tree};
use crate::{PackagingError, time};

/// The slowest: what is made once is fetched often.
const LEVEL: i64 = 9;

/// Writes the zip of a tree, which has one folder above all.
pub(crate) fn write(tree: &Tree, time: u32, to: &Path) -> Result<(), PackagingError> {
    let io = |error| PackagingError::io("write", to)(error);
    let failed = |error: zip::result::ZipError| PackagingError::io("write", to)(error.into());
    let file = File::create(to).map_err(io)?;
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let options = SimpleFileOptions::default()
        .last_modified_time(time::in_archives(time))
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL));
    for folder in tree.folders() {
        zip.add_directory(folder, options.unix_permissions(0o755))
            .map_err(failed)?;
    }
    for (path, item) in tree.items() {
        let options = options.unix_permissions(item.mode().into());
        match item {
            Item::Link(link) => zip.add_symlink(path, link, options).map_err(failed)?,
            Item::File { from, .. } => {
                let (mut contents, bytes) = from.open()?;
                let options = options.large_file(bytes >= u32::MAX.into());
                zip.start_file(path, options).map_err(failed)?;
                io::copy(&mut contents, &mut zip).map_err(io)?;
            }
        }
    }
    zip.finish().map_err(failed)?.flush().map_err(io)
}
