//! AppImages: the head of the program, and the squashfs behind it. Either the fuzzer's own bytes, or a sound image with some damage,
//! which is read by names, by places and as a whole.

#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use appimage::{Image, ImageError, Kind, MAX_DEPTH, elf};
use arbitrary::Arbitrary;
use bosc_fuzz::{Damage, within};
use libfuzzer_sys::fuzz_target;

#[path = "../../runtime/appimage/tests/made/mod.rs"]
mod made;

/// The cache's 32 blocks of the largest size, 1 MiB; as much again for tables, a listing and the files that are read.
const MOST: usize = 64 * 1024 * 1024;

/// How much of a file is read that says it has gigabytes, in bytes.
const LOOKED_AT: u64 = 1 << 17;

#[derive(Debug, Arbitrary)]
struct Input {
    own: Option<Vec<u8>>,
    damage: Vec<Damage>,
    offset: u64,
}

thread_local! {
    /// One file for all inputs; a new one for each costs more than reading it.
    static FILE: RefCell<File> = RefCell::new(tempfile::tempfile().expect("a file to write to"));
}

fuzz_target!(|input: Input| {
    let bytes = input.own.unwrap_or_else(|| {
        let mut bytes = made::plain();
        // The contents of its one file are nothing that is looked at.
        let contents = bytes.drain(96..96 + 4096).collect::<Vec<u8>>();
        input.damage.iter().take(8).for_each(|damage| damage.apply(&mut bytes));
        let at = bytes.len().min(96);
        bytes.splice(at..at, contents);
        bytes
    });
    if let Ok(end) = elf::end(&bytes) {
        assert!(end > 0);
    }
    let file = FILE.with_borrow_mut(|file| {
        file.set_len(0).expect("ours");
        file.seek(SeekFrom::Start(0)).expect("ours");
        file.write_all(&bytes).expect("ours");
        file.try_clone().expect("ours")
    });
    within(MOST, || {
        let Ok(image) = Image::at(file, 0) else {
            return;
        };
        let _ = read_all(&image, input.offset);
        if let Ok(Some(file)) = image.find(Path::new("folder/file")) {
            if let Ok(Some(contents)) = image.contents(&file, LOOKED_AT) {
                let mut part = [0; 100];
                let count = image.read(&file, 7, &mut part).expect("all of it was read");
                assert_eq!(contents.get(7..).map_or(0, |rest| rest.len().min(100)), count);
                assert_eq!(contents.get(7..7 + count).unwrap_or_default(), &part[..count]);
            }
        }
    });
});

fn read_all(image: &Image, offset: u64) -> Result<(), ImageError> {
    image.walk(|path, node| {
        assert!(path.components().count() <= MAX_DEPTH + 1);
        let parts: Vec<_> = path.iter().collect();
        assert!(parts.iter().all(|part| *part != ".." && !part.is_empty()));
        match &node.kind {
            Kind::File(contents) => {
                let mut out = vec![0; 10_000];
                image.read(node, offset, &mut out)?;
                let mut at = 0;
                while at < contents.size.min(LOOKED_AT) {
                    let count = image.read(node, at, &mut out)?;
                    assert!(count > 0, "a file that goes on");
                    at += count as u64;
                }
            }
            Kind::Link(target) => assert!(!target.is_empty()),
            _ => {}
        }
        Ok::<_, ImageError>(())
    })
}
