//! Whether a file is to be run, by its first bytes: on disks that keep no flag for it, so that a bundle for Linux or macOS which is staged
//! from Windows still starts where it is installed.

/// Bytes that tell.
const HEAD: usize = 4;

/// Whether a file is a program of Linux or macOS, or a script. What cannot be read is none.
#[cfg(not(unix))]
pub(crate) fn is_program(path: &std::path::Path) -> bool {
    use std::io::Read;
    let mut head = [0; HEAD];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && begins_program(head)
}

/// ELF; Mach-O for 64 bits, and for several machines at once; a script that names its interpreter.
fn begins_program(head: [u8; HEAD]) -> bool {
    matches!(
        head,
        [0x7f, b'E', b'L', b'F'] | [0xcf, 0xfa, 0xed, 0xfe] | [0xca, 0xfe, 0xba, 0xbe] | [b'#', b'!', _, _]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_scripts_are_to_be_run_and_nothing_else() {
        for head in [
            *b"\x7fELF",
            [0xcf, 0xfa, 0xed, 0xfe],
            [0xca, 0xfe, 0xba, 0xbe],
            *b"#!/b",
        ] {
            assert!(begins_program(head), "{head:?}");
        }
        for head in [*b"MZ\x90\0", *b"# ! ", *b"<htm", [0; HEAD]] {
            assert!(!begins_program(head), "{head:?}");
        }
    }
}
