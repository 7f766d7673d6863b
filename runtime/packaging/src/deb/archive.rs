//! The archives that a deb is made of: tar and gzip inside ar. No published crate for ar is kept up that writes it without an index of
//! symbols; three headers of 60 bytes need none.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use crate::PackagingError;
use crate::tree::{Item, Source, Tree};

/// Everything in a tree as `./…`, owned by root, in the order of its paths.
pub(super) fn tar_gz(tree: &Tree, time: u32) -> Result<Vec<u8>, PackagingError> {
    let gz = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(gz);
    let memory = |error| PackagingError::io("pack", Path::new("the deb's files"))(error);
    let folders = std::iter::once(String::new()).chain(tree.folders());
    for folder in folders {
        let mut header = header(0o755, 0, time);
        header.set_entry_type(tar::EntryType::Directory);
        let path = if folder.is_empty() {
            "./".to_owned()
        } else {
            format!("./{folder}/")
        };
        tar.append_data(&mut header, path, io::empty()).map_err(memory)?;
    }
    for (path, item) in tree.items() {
        let path = format!("./{path}");
        match item {
            Item::Link(link) => {
                let mut header = header(0o777, 0, time);
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, path, link).map_err(memory)?;
            }
            Item::File { from, .. } => {
                let read;
                let bytes = match from {
                    Source::Bytes(bytes) => bytes,
                    Source::Path(from) => {
                        read = fs::read(from).map_err(PackagingError::io("read", from))?;
                        &read
                    }
                };
                let mut header = header(item.mode().into(), bytes.len() as u64, time);
                tar.append_data(&mut header, path, bytes.as_slice())
                    .map_err(memory)?;
            }
        }
    }
    tar.into_inner().and_then(|gz| gz.finish()).map_err(memory)
}

fn header(mode: u32, size: u64, time: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(time.into());
    header.set_uid(0);
    header.set_gid(0);
    // Both are short names, which always fit.
    let _ = (header.set_username("root"), header.set_groupname("root"));
    header
}

/// Compressed, without a name or a time.
pub(super) fn gz(bytes: &[u8]) -> Result<Vec<u8>, PackagingError> {
    let mut gz = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gz.write_all(bytes)
        .and_then(|()| gz.finish())
        .map_err(|error| PackagingError::io("pack", Path::new("the deb's files"))(error))
}

/// Writes an ar archive of these members, whose names are short.
pub(super) fn ar(out: &mut impl Write, members: &[(&str, Vec<u8>)], time: u32) -> io::Result<()> {
    out.write_all(b"!<arch>\n")?;
    for (name, bytes) in members {
        let size = bytes.len();
        writeln!(
            out,
            "{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`",
            0, 0, 100_644
        )?;
        out.write_all(bytes)?;
        // Each begins at an even place.
        if size % 2 == 1 {
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}
