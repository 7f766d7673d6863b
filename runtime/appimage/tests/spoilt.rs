//! Whatever a disk or a stranger makes of an AppImage: it is read or refused, never more than its bounds, and never a panic.

mod made;

use std::fs::File;
use std::io::{Cursor, Write};
use std::path::Path;

use appimage::{Image, ImageError, Kind, elf};
use backhand::compression::Compressor;
use backhand::{FilesystemCompressor, FilesystemWriter, NodeHeader};
use proptest::prelude::*;

use made::plain;

/// The head of a program that ends after itself.
fn program() -> Vec<u8> {
    let mut head = vec![0; elf::HEADER_BYTES + 64];
    head[..6].copy_from_slice(b"\x7fELF\x02\x01");
    head[elf::MARK_AT..elf::MARK_AT + 3].copy_from_slice(&elf::MARK);
    head[40..48].copy_from_slice(&(elf::HEADER_BYTES as u64).to_le_bytes());
    head[58..60].copy_from_slice(&64u16.to_le_bytes());
    head[60..62].copy_from_slice(&1u16.to_le_bytes());
    head
}

/// What tools write: compressed, with many files.
fn packed() -> Vec<u8> {
    let mut writer = FilesystemWriter::default();
    writer.set_compressor(FilesystemCompressor::new(Compressor::Gzip, None).unwrap());
    let header = NodeHeader::new(0o644, 0, 0, 7);
    writer.push_dir_all("a/b", header).unwrap();
    for n in 0..300_u32 {
        let bytes: Vec<u8> = (0..n * 97).map(|i| (i % 251) as u8).collect();
        writer
            .push_file(Cursor::new(bytes), format!("a/b/{n}"), header)
            .unwrap();
    }
    let mut out = Cursor::new(Vec::new());
    writer.write(&mut out).unwrap();
    out.into_inner()
}

fn open(squashfs: &[u8]) -> Result<Image, ImageError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&program()).unwrap();
    file.write_all(squashfs).unwrap();
    Image::open(file.path())
}

/// Reads all of it; how much that was.
fn read_all(image: &Image) -> Result<u64, ImageError> {
    let mut total = 0;
    image.walk(|_, node| {
        if let Kind::File(contents) = &node.kind {
            let mut out = vec![0; 10_000];
            let mut at = 0;
            // Some of a file that says it has gigabytes.
            while at < contents.size.min(1 << 20) {
                let count = image.read(node, at, &mut out)?;
                assert!(count > 0);
                at += count as u64;
            }
            total += at;
        }
        Ok::<_, ImageError>(())
    })?;
    Ok(total)
}

#[test]
fn what_is_written_is_read() {
    let image = open(&plain()).unwrap();
    assert_eq!(image.start(), 128);
    let file = image.find(Path::new("folder/file")).unwrap().unwrap();
    let contents = image.contents(&file, 5000).unwrap().unwrap();
    assert_eq!((contents.len(), &contents[4096..]), (4103, &b"the end"[..]));
    assert!(
        contents[..4096]
            .iter()
            .zip(0_u32..)
            .all(|(byte, n)| *byte == n as u8)
    );
    // From any place, over the border between a block and the end.
    let mut part = [0; 8];
    assert_eq!(image.read(&file, 4092, &mut part).unwrap(), 8);
    assert_eq!(&part, b"\xfc\xfd\xfe\xffthe ");
    assert_eq!(image.read(&file, 4100, &mut part).unwrap(), 3);
    assert_eq!(image.read(&file, u64::MAX, &mut part).unwrap(), 0);
    image.contents(&file, 4102).unwrap_err();
    let link = image.find(Path::new("link")).unwrap().unwrap();
    assert_eq!(link.kind, Kind::Link(b"folder/file".to_vec()));
    assert_eq!(image.find(Path::new("folder/none")).unwrap(), None);
    assert_eq!(image.find(Path::new("link/file")).unwrap(), None);

    let image = open(&packed()).unwrap();
    assert_eq!(read_all(&image).unwrap(), (0..300).map(|n| n * 97).sum::<u64>());
}

#[test]
fn a_folder_in_itself_ends_the_walk() {
    let mut image = plain();
    // The inner folder's listing is the outer one's.
    let at = image
        .windows(2)
        .position(|pair| pair == (3_u16 + 12 + 8 + 4).to_le_bytes())
        .unwrap();
    let outer = 12 + 8 + 6 + 8 + 4;
    image[at..at + 2].copy_from_slice(&(outer as u16 + 3).to_le_bytes());
    image[at + 2..at + 4].copy_from_slice(&(12_u16 + 8 + 4).to_le_bytes());
    let error = read_all(&open(&image).unwrap()).unwrap_err();
    assert!(error.to_string().contains("too deep"), "{error}");
}

#[test]
fn what_is_no_appimage_is_told_from_one_that_is_damaged() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "#!/bin/sh\n").unwrap();
    assert!(matches!(Image::open(file.path()), Err(ImageError::NoImage(_))));
    std::fs::write(file.path(), program()).unwrap();
    assert!(matches!(Image::open(file.path()), Err(ImageError::Damaged(_))));
    let mut zstd = plain();
    zstd[20] = 6;
    assert!(matches!(open(&zstd), Err(ImageError::Unsupported(_))));
    let plain = plain();
    assert!(matches!(
        open(&plain[..plain.len() - 1]),
        Err(ImageError::Damaged(_))
    ));
    assert!(matches!(
        Image::at(File::open(file.path()).unwrap(), u64::MAX),
        Err(ImageError::Damaged(_))
    ));
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut image = plain();
        for (at, byte) in changes {
            // The file's own block holds nothing that is looked at.
            let place = at.index(image.len() - 4096);
            let place = if place < 96 { place } else { place + 4096 };
            image[place] = byte;
        }
        if let Ok(image) = open(&image) {
            let _ = read_all(&image);
        }
    }
}

#[test]
fn a_compressed_one_that_is_spoilt_anywhere_never_panics() {
    let whole = packed();
    for at in (0..whole.len()).step_by(whole.len() / 300) {
        let mut image = whole.clone();
        image[at] ^= 0x55;
        if let Ok(image) = open(&image) {
            let _ = read_all(&image);
        }
    }
}
