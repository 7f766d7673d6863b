//! The head of a squashfs: its sizes and where its tables are.

use crate::ImageError;
use crate::bytes::Bytes;
use crate::node::Place;

/// Its size, in bytes.
pub(crate) const BYTES: usize = 96;

/// The largest block that the format knows, in bytes: what is taken for one that is read.
pub(crate) const MAX_BLOCK_BYTES: u32 = 1024 * 1024;

/// zlib, the one compression that every AppImage tool reads, and ours.
const GZIP: u16 = 1;

#[derive(Debug, Clone)]
pub(crate) struct Superblock {
    pub(crate) block_bytes: u32,
    pub(crate) fragments: u32,
    pub(crate) root: Place,
    /// Its length, from its start.
    pub(crate) bytes: u64,
    pub(crate) inode_table: u64,
    pub(crate) folder_table: u64,
    pub(crate) fragment_table: u64,
}

impl Superblock {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut bytes = Bytes(bytes);
        if bytes.take(4)? != b"hsqs" {
            let found = "no squashfs follows its program".to_owned();
            return Err(ImageError::Unsupported(found));
        }
        // How many nodes, and when it was made.
        bytes.take(4 + 4)?;
        let block_bytes = bytes.u32()?;
        let fragments = bytes.u32()?;
        let compression = bytes.u16()?;
        // The block's logarithm, flags, and how many owners.
        bytes.take(2 + 2 + 2)?;
        let version = (bytes.u16()?, bytes.u16()?);
        if version != (4, 0) {
            let found = format!("its squashfs is of version {}.{}", version.0, version.1);
            return Err(ImageError::Unsupported(found));
        }
        if compression != GZIP {
            let found = format!("its squashfs is compressed by method {compression}, not by gzip");
            return Err(ImageError::Unsupported(found));
        }
        if !block_bytes.is_power_of_two() || !(4096..=MAX_BLOCK_BYTES).contains(&block_bytes) {
            return Err(ImageError::Damaged("its blocks have an impossible size"));
        }
        let root = Place::from_raw(bytes.u64()?);
        let length = bytes.u64()?;
        // Owners and extended attributes, which nothing here needs.
        bytes.take(8 + 8)?;
        Ok(Self {
            block_bytes,
            fragments,
            root,
            bytes: length,
            inode_table: bytes.u64()?,
            folder_table: bytes.u64()?,
            fragment_table: bytes.u64()?,
        })
    }
}
