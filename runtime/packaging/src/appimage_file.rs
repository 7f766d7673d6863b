//! An AppImage: a program that makes its files reachable, and behind it a squashfs with a bundle, laid out as a folder's.
//!
//! The squashfs is compressed by gzip, in blocks of 128 KiB: every tool for AppImages reads that, and our own program needs no C library
//! for it. zstd would save a tenth.

use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;

use appimage::elf;
use backhand::compression::{CompressionOptions, Compressor, Gzip};
use backhand::{FilesystemCompressor, FilesystemWriter, NodeHeader};

use crate::PackagingError;
use crate::tree::{Item, Source, Tree};

/// The program at its head, built with this crate. Empty where no AppImages are made.
const RUNTIME: &[u8] = include_bytes!(env!("BOSC_APPIMAGE_RUNTIME"));

/// What is inflated to read any of it, in bytes.
const BLOCK_BYTES: u32 = 128 * 1024;

/// gzip's slowest level and its usual window, which need not be written down.
const GZIP: Gzip = Gzip {
    compression_level: 9,
    window_size: 15,
    strategies: 0,
};

/// Writes the AppImage of a tree, which has an `AppRun`.
pub(crate) fn write(tree: &Tree, time: u32, to: &Path) -> Result<(), PackagingError> {
    let failed = |error: backhand::BackhandError| PackagingError::AppImage(error.to_string());
    let mut squashfs = FilesystemWriter::default();
    squashfs.set_block_size(BLOCK_BYTES);
    squashfs.set_time(time);
    squashfs.set_root_mode(0o755);
    squashfs.set_emit_compression_options(false);
    let gzip = FilesystemCompressor::new(Compressor::Gzip, Some(CompressionOptions::Gzip(GZIP)));
    squashfs.set_compressor(gzip.map_err(failed)?);
    let header = |mode| NodeHeader::new(mode, 0, 0, time);
    for folder in tree.folders() {
        squashfs.push_dir(folder, header(0o755)).map_err(failed)?;
    }
    for (path, item) in tree.items() {
        let header = header(item.mode());
        let pushed = match item {
            Item::Link(link) => squashfs.push_symlink(link, path, header),
            Item::File { from, .. } => match from {
                Source::Path(from) => squashfs.push_file_from_path(from, path, header),
                Source::Bytes(bytes) => squashfs.push_file(Cursor::new(bytes.clone()), path, header),
            },
        };
        pushed.map_err(failed)?;
    }
    let io = |error| PackagingError::io("write", to)(error);
    let mut file = BufWriter::new(File::create(to).map_err(io)?);
    let runtime = marked_runtime()?;
    file.write_all(&runtime).map_err(io)?;
    squashfs
        .write_with_offset(&mut file, runtime.len() as u64)
        .map_err(failed)?;
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    make_executable(&file).map_err(io)
}

/// The program, marked as an AppImage's. It must end where its header says: there the squashfs is looked for.
fn marked_runtime() -> Result<Vec<u8>, PackagingError> {
    let broken = |why: &str| PackagingError::AppImage(format!("this bosc was built wrongly: {why}"));
    let mut runtime = RUNTIME.to_vec();
    let head = runtime.get(..elf::HEADER_BYTES).unwrap_or_default();
    let end = elf::end(head).map_err(|error| broken(&error.to_string()))?;
    if end != runtime.len() as u64 {
        return Err(broken("the program at its head does not end where it says"));
    }
    let mark = runtime.get_mut(elf::MARK_AT..elf::MARK_AT + elf::MARK.len());
    mark.ok_or_else(|| broken("the program at its head has no header"))?
        .copy_from_slice(&elf::MARK);
    Ok(runtime)
}

#[cfg(unix)]
fn make_executable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &File) -> std::io::Result<()> {
    Ok(())
}
