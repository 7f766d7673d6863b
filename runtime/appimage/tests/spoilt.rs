//! Whatever a disk or a stranger makes of an AppImage: it is read or refused, never more than its bounds, and never a panic.

use std::fs::File;
use std::io::{Cursor, Write};
use std::path::Path;

use appimage::{Image, ImageError, Kind, elf};
use backhand::compression::Compressor;
use backhand::{FilesystemCompressor, FilesystemWriter, NodeHeader};
use proptest::prelude::*;

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

/// A squashfs whose tables and files are not compressed, so that every changed byte is met by the reader: `folder/file`, which takes a
/// block and a shared end, and `link`.
fn plain() -> Vec<u8> {
    const BLOCK: u32 = 4096;
    const PLAIN: u32 = 1 << 24;
    let mut image = vec![0; 96];
    let data = image.len() as u64;
    image.extend((0..BLOCK).map(|n| n as u8));
    let shared = image.len() as u64;
    image.extend(b"the end");
    let inode = |kind: u16, number: u32| {
        let mut node = Vec::new();
        node.extend(kind.to_le_bytes());
        node.extend(0o755u16.to_le_bytes());
        node.extend([0; 4]);
        node.extend(7u32.to_le_bytes());
        node.extend(number.to_le_bytes());
        node
    };
    let folder = |number: u32, bytes: u16, offset: u16| {
        let mut node = inode(1, number);
        node.extend(0u32.to_le_bytes());
        node.extend(2u32.to_le_bytes());
        node.extend((bytes + 3).to_le_bytes());
        node.extend(offset.to_le_bytes());
        node.extend(1u32.to_le_bytes());
        node
    };
    let entries = |names: &[(&str, u16, u16)]| {
        let mut listing = Vec::new();
        listing.extend((names.len() as u32 - 1).to_le_bytes());
        listing.extend([0; 8]);
        for (name, kind, offset) in names {
            listing.extend(offset.to_le_bytes());
            listing.extend([0; 2]);
            listing.extend(kind.to_le_bytes());
            listing.extend((name.len() as u16 - 1).to_le_bytes());
            listing.extend(name.bytes());
        }
        listing
    };
    let mut file = inode(2, 1);
    file.extend((data as u32).to_le_bytes());
    file.extend(0u32.to_le_bytes());
    file.extend(0u32.to_le_bytes());
    file.extend((BLOCK + 7).to_le_bytes());
    file.extend((BLOCK | PLAIN).to_le_bytes());
    let mut link = inode(3, 2);
    link.extend(1u32.to_le_bytes());
    link.extend(11u32.to_le_bytes());
    link.extend(b"folder/file");
    let inner = entries(&[("file", 2, 0)]);
    let outer = entries(&[("folder", 1, 100), ("link", 3, file.len() as u16)]);
    let mut nodes = [file, link].concat();
    nodes.resize(100, 0);
    nodes.extend(folder(3, inner.len() as u16, 0));
    let root = nodes.len() as u64;
    nodes.extend(folder(4, outer.len() as u16, inner.len() as u16));
    let table = |image: &mut Vec<u8>, bytes: &[u8]| {
        let at = image.len() as u64;
        image.extend((bytes.len() as u16 | 0x8000).to_le_bytes());
        image.extend(bytes);
        at
    };
    let inode_table = table(&mut image, &nodes);
    let folder_table = table(&mut image, &[inner, outer].concat());
    let mut fragment = shared.to_le_bytes().to_vec();
    fragment.extend((7 | PLAIN).to_le_bytes());
    fragment.extend([0; 4]);
    let fragment = table(&mut image, &fragment);
    let fragment_table = image.len() as u64;
    image.extend(fragment.to_le_bytes());
    let bytes = image.len() as u64;
    let mut head = b"hsqs".to_vec();
    head.extend(4u32.to_le_bytes());
    head.extend(7u32.to_le_bytes());
    head.extend(BLOCK.to_le_bytes());
    head.extend(1u32.to_le_bytes());
    for field in [1u16, 12, 0, 1, 4, 0] {
        head.extend(field.to_le_bytes());
    }
    for field in [
        root,
        bytes,
        u64::MAX,
        u64::MAX,
        inode_table,
        folder_table,
        fragment_table,
        u64::MAX,
    ] {
        head.extend(field.to_le_bytes());
    }
    image[..96].copy_from_slice(&head);
    image
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
