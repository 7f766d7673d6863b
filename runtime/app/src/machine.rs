//! Which machines a program can run on, by its first bytes.

/// How much of a program is read to learn what machine it is for. Headers of PE programs are found in the first 4 KiB.
pub(crate) const HEAD_BYTES: u64 = 4096;

/// The hosts that a program can run on, by its first bytes (ELF, Mach-O, PE); none if it is of another format.
pub(crate) fn hosts_of(head: &[u8]) -> Vec<String> {
    let bytes = |at: usize, n: usize| at.checked_add(n).and_then(|end| head.get(at..end));
    let le16 = |at| Some(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?));
    let le32 = |at| Some(u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?));
    let be32 = |at| Some(u32::from_be_bytes(bytes(at, 4)?.try_into().ok()?));
    let host = |platform: &str, arch: Option<&str>| format!("{platform}-{}", arch.unwrap_or("unknown"));
    let mach = |cpu: Option<u32>| match cpu {
        Some(0x0100_0007) => Some("x64"),
        Some(0x0100_000c) => Some("arm64"),
        _ => None,
    };
    match bytes(0, 4) {
        Some(b"\x7fELF") => {
            // Byte 5 is the byte order; the two machines we know are little-endian.
            let arch = match (bytes(5, 1), le16(18)) {
                (Some([1]), Some(62)) => Some("x64"),
                (Some([1]), Some(183)) => Some("arm64"),
                _ => None,
            };
            vec![host("linux", arch)]
        }
        Some(b"\xcf\xfa\xed\xfe") => vec![host("darwin", mach(le32(4)))],
        // Several programs in one file. Java classes begin alike; their next field is a version above 40.
        Some(b"\xca\xfe\xba\xbe") => match be32(4) {
            Some(count @ 1..=16) => (0..count as usize)
                .map(|i| host("darwin", mach(be32(8 + i * 20))))
                .collect(),
            _ => Vec::new(),
        },
        Some([b'M', b'Z', ..]) => {
            let at = le32(0x3c).map_or(0, |at| at as usize);
            if bytes(at, 4) != Some(b"PE\0\0") {
                return Vec::new();
            }
            let arch = match at.checked_add(4).and_then(le16) {
                Some(0x8664) => Some("x64"),
                Some(0xaa64) => Some("arm64"),
                _ => None,
            };
            vec![host("win32", arch)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn programs_tell_the_machines_they_are_for() {
        let here = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(hosts_of(&here), [crate::Host::current().to_string()]);

        let elf = |machine: u8| [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &[machine, 0]].concat();
        assert_eq!(hosts_of(&elf(62)), ["linux-x64"]);
        assert_eq!(hosts_of(&elf(183)), ["linux-arm64"]);
        assert_eq!(hosts_of(&elf(3)), ["linux-unknown"]);
        assert_eq!(hosts_of(b"\xcf\xfa\xed\xfe\x0c\0\0\x01"), ["darwin-arm64"]);
        let fat = |cpu: [u8; 4]| [&cpu[..], &[0; 16]].concat();
        let universal = [
            &b"\xca\xfe\xba\xbe\0\0\0\x02"[..],
            &fat([1, 0, 0, 7]),
            &fat([1, 0, 0, 12]),
        ]
        .concat();
        assert_eq!(hosts_of(&universal), ["darwin-x64", "darwin-arm64"]);
        let mut pe = vec![0; 0x80];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x78;
        pe[0x78..0x7e].copy_from_slice(b"PE\0\0\x64\x86");
        assert_eq!(hosts_of(&pe), ["win32-x64"]);
        assert!(hosts_of(b"#!/bin/sh\n").is_empty() && hosts_of(b"").is_empty());
    }

    proptest! {
        #[test]
        fn any_program_is_judged_without_a_panic(start in 0usize..4, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let starts: [&[u8]; 4] = [b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ"];
            hosts_of(&[starts[start], &rest].concat());
        }
    }
}
