//! The squashfs's tables, which lie in compressed blocks of 8 KiB, and their cache.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ImageError;
use crate::image::Source;

/// What a block of a table holds at most, in bytes.
pub(crate) const BLOCK_BYTES: usize = 8192;

/// Blocks kept, so that a look into a folder does not inflate its block once for each file: 512 KiB.
const KEPT: usize = 64;

/// A block: what it holds, and where the next one begins.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) next: u64,
}

/// The blocks that were read last, by their places.
#[derive(Debug, Default)]
pub(crate) struct Cache(VecDeque<(u64, Block)>);

impl Cache {
    /// The block at a place, from the squashfs's start.
    pub(crate) fn block(&mut self, source: &Source, at: u64) -> Result<Block, ImageError> {
        if let Some((_, block)) = self.0.iter().find(|(place, _)| *place == at) {
            return Ok(block.clone());
        }
        let mut header = [0; 2];
        source.read_exact(at, &mut header)?;
        let header = u16::from_le_bytes(header);
        let stored = usize::from(header & 0x7fff);
        if stored == 0 || stored > BLOCK_BYTES {
            return Err(ImageError::Damaged("a block of a table has an impossible size"));
        }
        let mut bytes = vec![0; stored];
        source.read_exact(at + 2, &mut bytes)?;
        if header & 0x8000 == 0 {
            bytes = inflate(&bytes, BLOCK_BYTES)?;
        }
        let block = Block {
            bytes: bytes.into(),
            next: at + 2 + stored as u64,
        };
        self.0.push_front((at, block.clone()));
        self.0.truncate(KEPT);
        Ok(block)
    }

    /// `count` bytes of a table, from `offset` in the block at `at`. The caller has bounded `count`.
    pub(crate) fn read(
        &mut self,
        source: &Source,
        mut at: u64,
        mut offset: usize,
        count: usize,
    ) -> Result<Vec<u8>, ImageError> {
        let mut out = Vec::with_capacity(count.min(BLOCK_BYTES));
        while out.len() < count {
            let block = self.block(source, at)?;
            let part = block
                .bytes
                .get(offset..)
                .filter(|part| !part.is_empty())
                .ok_or(ImageError::Damaged("a table ends too early"))?;
            let wanted = part.len().min(count - out.len());
            out.extend(part.iter().take(wanted));
            (at, offset) = (block.next, 0);
        }
        Ok(out)
    }
}

/// What a compressed block holds, which is no more than `limit` bytes.
pub(crate) fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ImageError> {
    use std::io::Read;
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(bytes)
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|_| ImageError::Damaged("a block cannot be unpacked"))?;
    if out.len() > limit {
        return Err(ImageError::Damaged("a block holds more than it may"));
    }
    Ok(out)
}
