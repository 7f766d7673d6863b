//! The block map: each file with the hashes of its blocks, by which Windows checks what it installs, and fetches what changed alone.

use std::io::{self, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::xml;

/// What is hashed at a time, in bytes: the format's.
const BLOCK_BYTES: u64 = 64 * 1024;

/// What stands before a file's name and contents in a zip, in bytes.
const HEADER_BYTES: usize = 30;

const NAMESPACE: &str = "http://schemas.microsoft.com/appx/2010/blockmap";
const HASH: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// The files of a package so far, in their order.
#[derive(Debug, Default)]
pub(super) struct BlockMap(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    /// With Windows' separators.
    name: String,
    bytes: u64,
    header_bytes: usize,
    hashes: Vec<String>,
}

impl BlockMap {
    /// Copies a file's contents into a package and notes their blocks. `part` is its name in the zip, which has nothing more before the
    /// contents.
    pub(super) fn add(
        &mut self,
        path: &str,
        part: &str,
        from: &mut dyn Read,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        let mut entry = Entry {
            name: path.replace('/', "\\"),
            bytes: 0,
            header_bytes: HEADER_BYTES + part.len(),
            hashes: Vec::new(),
        };
        loop {
            let mut block = Vec::new();
            Read::take(&mut *from, BLOCK_BYTES).read_to_end(&mut block)?;
            if block.is_empty() {
                break;
            }
            to.write_all(&block)?;
            entry.bytes += block.len() as u64;
            entry.hashes.push(STANDARD.encode(Sha256::digest(&block)));
        }
        self.0.push(entry);
        Ok(())
    }

    /// The file that says all this.
    pub(super) fn written(&self) -> io::Result<Vec<u8>> {
        xml::document(|xml| {
            xml.create_element("BlockMap")
                .with_attributes([("xmlns", NAMESPACE), ("HashMethod", HASH)])
                .write_inner_content(|xml| {
                    for entry in &self.0 {
                        let (bytes, header) = (entry.bytes.to_string(), entry.header_bytes.to_string());
                        let file = xml.create_element("File").with_attributes([
                            ("Name", entry.name.as_str()),
                            ("Size", &bytes),
                            ("LfhSize", &header),
                        ]);
                        if entry.hashes.is_empty() {
                            file.write_empty()?;
                            continue;
                        }
                        file.write_inner_content(|xml| {
                            for hash in &entry.hashes {
                                let block = xml.create_element("Block");
                                block.with_attribute(("Hash", hash.as_str())).write_empty()?;
                            }
                            Ok(())
                        })?;
                    }
                    Ok(())
                })?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives little at a time, as files and pipes may.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = into.len().min(self.1);
            self.0.read(&mut into[..n])
        }
    }

    fn check(contents: &[u8], step: usize) {
        let (mut map, mut copied) = (BlockMap::default(), Vec::new());
        map.add("a b/ü&c", "a%20b/c", &mut Slow(contents, step), &mut copied)
            .unwrap();
        assert!(copied == contents, "the contents are others");
        let text = String::from_utf8(map.written().unwrap()).unwrap();
        let read = roxmltree::Document::parse(&text).unwrap();
        let file = read.root_element().first_element_child().unwrap();
        assert_eq!(file.attribute("Name"), Some("a b\\ü&c"));
        assert_eq!(file.attribute("Size"), Some(contents.len().to_string().as_str()));
        assert_eq!(file.attribute("LfhSize"), Some("37"));
        let found: Vec<&str> = file
            .children()
            .filter(roxmltree::Node::is_element)
            .map(|block| block.attribute("Hash").unwrap())
            .collect();
        let wanted: Vec<String> = contents
            .chunks(65536)
            .map(|block| STANDARD.encode(Sha256::digest(block)))
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_block_ends_where_it_must() {
        for bytes in [0, 1, 65535, 65536, 65537, 131_072, 131_073] {
            let contents: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
            check(&contents, 65536);
            check(&contents, 1000);
        }
        let mut map = BlockMap::default();
        map.add("a", "a", &mut b"abc".as_slice(), &mut Vec::new())
            .unwrap();
        // The hash of "abc", as the standard says it.
        assert_eq!(map.0[0].hashes, ["ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_contents_are_copied_and_hashed_in_blocks(bytes in 0usize..200_000, seed: u8, step in 1usize..100_000) {
            let contents: Vec<u8> = (0..bytes).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            check(&contents, step.max(64));
        }
    }
}
