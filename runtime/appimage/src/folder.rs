//! The entries of a folder.

use crate::ImageError;
use crate::bytes::Bytes;
use crate::node::Place;

/// The longest listing that is read, in bytes: some hundred thousand files in one folder.
pub(crate) const MAX_LISTING_BYTES: u32 = 8 * 1024 * 1024;

/// What the format has in each listing besides its entries, in bytes.
pub(crate) const NOT_ENTRIES: u32 = 3;

/// A name in a folder. It is one part of a path: never empty, `.` or `..`, and without `/` or a zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// What it names.
    pub place: Place,
    /// Whether the listing calls it a folder.
    pub is_folder: bool,
    /// Whether the listing calls it a link.
    pub is_link: bool,
}

pub(crate) fn entries(listing: &[u8]) -> Result<Vec<Entry>, ImageError> {
    let mut bytes = Bytes(listing);
    let mut entries = Vec::new();
    while !bytes.0.is_empty() {
        let count = bytes.u32()?;
        // The format's own limit.
        if count >= 256 {
            return Err(ImageError::Damaged("a folder's run of entries is too long"));
        }
        let block = u64::from(bytes.u32()?);
        bytes.take(4)?;
        for _ in 0..=count {
            let offset = usize::from(bytes.u16()?);
            bytes.take(2)?;
            let kind = bytes.u16()?;
            let length = usize::from(bytes.u16()?) + 1;
            let name = bytes.take(length)?;
            if !usable(name) {
                return Err(ImageError::Damaged("a name in a folder is no name"));
            }
            entries.push(Entry {
                name: name.to_vec(),
                place: Place { block, offset },
                is_folder: matches!(kind, 1 | 8),
                is_link: matches!(kind, 3 | 10),
            });
        }
    }
    Ok(entries)
}

fn usable(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= 255 && !name.contains(&b'/') && !name.contains(&0)
}
