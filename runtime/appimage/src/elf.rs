//! The program at the head of an AppImage: how it is marked, and where it ends.

use crate::ImageError;
use crate::bytes::Bytes;

/// Bytes of a 64-bit program's header.
pub const HEADER_BYTES: usize = 64;

/// Where an AppImage is marked as one, in bytes from its start: a place that programs leave empty.
pub const MARK_AT: usize = 8;

/// The mark of an AppImage of type 2, whose files are a squashfs behind the program.
pub const MARK: [u8; 3] = *b"AI\x02";

/// Where the program ends by its own header, in bytes from its start: there the squashfs of an AppImage begins. `head` is the
/// program's first [`HEADER_BYTES`].
///
/// # Errors
/// If it is no 64-bit little-endian program.
pub fn end(head: &[u8]) -> Result<u64, ImageError> {
    let mut head = Bytes(head);
    let ident = head.take(16).map_err(|_| NO_PROGRAM)?;
    // 64-bit, little-endian: what AppImages of the machines that Bosc is for are.
    if !ident.starts_with(b"\x7fELF\x02\x01") {
        return Err(NO_PROGRAM);
    }
    // Type, machine, version, entry point, place of the program headers.
    head.take(2 + 2 + 4 + 8 + 8)?;
    let sections_at = head.u64()?;
    // Flags, this header's size, size and count of program headers.
    head.take(4 + 2 + 2 + 2)?;
    let (size, count) = (u64::from(head.u16()?), u64::from(head.u16()?));
    sections_at
        .checked_add(size * count)
        .filter(|end| sections_at > 0 && *end > HEADER_BYTES as u64)
        .ok_or(ImageError::NoImage("its program does not say where it ends"))
}

/// Whether a file that begins so is marked as an AppImage of type 2.
pub fn is_marked(head: &[u8]) -> bool {
    head.get(MARK_AT..MARK_AT + MARK.len()) == Some(&MARK[..])
}

const NO_PROGRAM: ImageError = ImageError::NoImage("it is no 64-bit program for Linux");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_behind_its_section_headers() {
        let mut head = [0; HEADER_BYTES];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        end(&head).unwrap_err();
        head[40..48].copy_from_slice(&1000u64.to_le_bytes());
        head[58..60].copy_from_slice(&64u16.to_le_bytes());
        head[60..62].copy_from_slice(&10u16.to_le_bytes());
        assert_eq!(end(&head).unwrap(), 1640);
        head[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
        end(&head).unwrap_err();
        end(&head[..20]).unwrap_err();
        end(b"#!/bin/sh\n").unwrap_err();
        // This very test ends within its file.
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(end(&program[..HEADER_BYTES]).unwrap() <= program.len() as u64);
        assert!(!is_marked(&program));
    }
}
