//! What a squashfs says of one file, folder or link.

use crate::ImageError;
use crate::bytes::Bytes;
use crate::metadata::BLOCK_BYTES;

/// The largest file that is read, in bytes: programs of apps are a hundredth of it, and its list of blocks stays at 4 MiB.
pub(crate) const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// The longest target of a link, in bytes: Linux's own limit for paths.
const MAX_TARGET_BYTES: u32 = 4096;

/// That a file's end lies in no block that it shares with others.
pub(crate) const NO_FRAGMENT: u32 = u32::MAX;

/// Where a node is described. It names the node as long as its image is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Of its block, from the start of the table of nodes.
    pub(crate) block: u64,
    /// In that block.
    pub(crate) offset: usize,
}

impl Place {
    /// From how the format writes it.
    pub fn from_raw(raw: u64) -> Self {
        Self {
            block: raw >> 16,
            offset: (raw & 0xffff) as usize,
        }
    }

    /// As the format writes it: a number that no other node of the image has.
    pub fn raw(self) -> u64 {
        (self.block << 16) | self.offset as u64
    }
}

/// A file, a folder or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it is described.
    pub place: Place,
    /// Who may do what, as `chmod` has it.
    pub mode: u16,
    /// When it was changed, in seconds since 1970.
    pub modified: u32,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder(Listing),
    /// A file.
    File(Contents),
    /// A link, and what it leads to.
    Link(Vec<u8>),
}

/// Where a folder's entries are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Of their block, from the start of the table of folders.
    pub(crate) block: u64,
    pub(crate) offset: usize,
    /// How many bytes they take.
    pub(crate) bytes: u32,
}

/// Where a file's contents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The file's length, in bytes.
    pub size: u64,
    /// The first of its blocks, from the squashfs's start.
    pub(crate) start: u64,
    /// How each of its blocks is stored.
    pub(crate) blocks: Vec<u32>,
    /// The shared block that its end lies in, or [`NO_FRAGMENT`].
    pub(crate) fragment: u32,
    pub(crate) in_fragment: u32,
}

impl Node {
    /// Reads one; `read` gives the first bytes of it, as many as are asked for.
    pub(crate) fn parse(
        place: Place,
        block_bytes: u32,
        mut read: impl FnMut(usize) -> Result<Vec<u8>, ImageError>,
    ) -> Result<Self, ImageError> {
        const HEADER: usize = 16;
        let header = read(HEADER)?;
        let mut header = Bytes(&header);
        let kind = header.u16()?;
        let mode = header.u16()? & 0o7777;
        // Owner and group, which are whoever mounts it.
        header.take(4)?;
        let modified = header.u32()?;
        let kind = match kind {
            1 => {
                let body = read(HEADER + 16)?;
                let mut body = Bytes(&body);
                body.take(HEADER)?;
                let block = u64::from(body.u32()?);
                body.take(4)?;
                let bytes = u32::from(body.u16()?);
                let offset = usize::from(body.u16()?);
                Kind::Folder(Listing { block, offset, bytes })
            }
            8 => {
                let body = read(HEADER + 24)?;
                let mut body = Bytes(&body);
                body.take(HEADER + 4)?;
                let bytes = body.u32()?;
                let block = u64::from(body.u32()?);
                body.take(4 + 2)?;
                let offset = usize::from(body.u16()?);
                Kind::Folder(Listing { block, offset, bytes })
            }
            2 | 9 => Kind::File(contents(kind == 9, HEADER, block_bytes, &mut read)?),
            3 | 10 => {
                let body = read(HEADER + 8)?;
                let mut body = Bytes(&body);
                body.take(HEADER + 4)?;
                let bytes = body.u32()?;
                if bytes == 0 || bytes > MAX_TARGET_BYTES {
                    return Err(ImageError::Damaged("a link's target has an impossible length"));
                }
                let body = read(HEADER + 8 + bytes as usize)?;
                let target = body.get(HEADER + 8..).unwrap_or_default().to_vec();
                if target.contains(&0) {
                    return Err(ImageError::Damaged("a link's target is no path"));
                }
                Kind::Link(target)
            }
            _ => {
                return Err(ImageError::Damaged(
                    "it holds something that is no file, folder or link",
                ));
            }
        };
        if let Kind::Folder(listing) = &kind
            && listing.offset >= BLOCK_BYTES
        {
            return Err(ImageError::Damaged("a folder lies outside of its block"));
        }
        Ok(Self {
            place,
            mode,
            modified,
            kind,
        })
    }
}

fn contents(
    extended: bool,
    header: usize,
    block_bytes: u32,
    read: &mut impl FnMut(usize) -> Result<Vec<u8>, ImageError>,
) -> Result<Contents, ImageError> {
    let fixed = header + if extended { 40 } else { 16 };
    let body = read(fixed)?;
    let mut body = Bytes(&body);
    body.take(header)?;
    let (start, size, fragment, in_fragment);
    if extended {
        (start, size) = (body.u64()?, body.u64()?);
        // Holes, and how many names it has.
        body.take(8 + 4)?;
        (fragment, in_fragment) = (body.u32()?, body.u32()?);
    } else {
        start = u64::from(body.u32()?);
        (fragment, in_fragment) = (body.u32()?, body.u32()?);
        size = u64::from(body.u32()?);
    }
    if size > MAX_FILE_BYTES {
        return Err(ImageError::Damaged("a file is larger than 4 GiB"));
    }
    let block_bytes = u64::from(block_bytes);
    let count = if fragment == NO_FRAGMENT {
        size.div_ceil(block_bytes)
    } else {
        size / block_bytes
    };
    let body = read(fixed + 4 * count as usize)?;
    let mut body = Bytes(body.get(fixed..).unwrap_or_default());
    let mut blocks = Vec::with_capacity(count as usize);
    for _ in 0..count {
        blocks.push(body.u32()?);
    }
    Ok(Contents {
        size,
        start,
        blocks,
        fragment,
        in_fragment,
    })
}
