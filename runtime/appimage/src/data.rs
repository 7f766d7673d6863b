//! The blocks of files, and the cache of those that were read last.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ImageError;
use crate::bytes::Bytes;
use crate::image::Source;
use crate::metadata::{self, inflate};
use crate::node::{Contents, NO_FRAGMENT};
use crate::superblock::Superblock;

/// Blocks kept: what the pages of a program that starts are asked for in turns. 4 MiB with blocks of 128 KiB; the system keeps the
/// pages themselves.
const KEPT: usize = 32;

/// That a block is stored as it is.
const PLAIN: u32 = 1 << 24;

/// The blocks that were read last, by their places.
#[derive(Debug, Default)]
pub(crate) struct Cache(VecDeque<(u64, Arc<[u8]>)>);

impl Cache {
    /// The block at a place, from the squashfs's start, which is stored as `stored` says.
    fn block(&mut self, source: &Source, at: u64, stored: u32, limit: u32) -> Result<Arc<[u8]>, ImageError> {
        if let Some((_, block)) = self.0.iter().find(|(place, _)| *place == at) {
            return Ok(block.clone());
        }
        let count = stored & !PLAIN;
        if count == 0 || count > limit {
            return Err(ImageError::Damaged("a block of a file has an impossible size"));
        }
        let mut bytes = vec![0; count as usize];
        source.read_exact(at, &mut bytes)?;
        if stored & PLAIN == 0 {
            bytes = inflate(&bytes, limit as usize)?;
        }
        let block: Arc<[u8]> = bytes.into();
        self.0.push_front((at, block.clone()));
        self.0.truncate(KEPT);
        Ok(block)
    }

    /// Fills `out` from a file, from `offset` on, and says how much there was: less only at the file's end.
    pub(crate) fn read(
        &mut self,
        image: (&Source, &Superblock, &mut metadata::Cache),
        file: &Contents,
        offset: u64,
        out: &mut [u8],
    ) -> Result<usize, ImageError> {
        let (source, head, tables) = image;
        let block_bytes = u64::from(head.block_bytes);
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            if at >= file.size {
                break;
            }
            let index = (at / block_bytes) as usize;
            let inside = (at % block_bytes) as usize;
            let holds = (file.size - index as u64 * block_bytes).min(block_bytes) as usize;
            let wanted = rest.len().min(holds - inside);
            let rest = rest.get_mut(..wanted).unwrap_or_default();
            match file.blocks.get(index) {
                // A hole.
                Some(0) => rest.fill(0),
                Some(stored) => {
                    let before = file.blocks.iter().take(index);
                    let before: u64 = before.map(|stored| u64::from(stored & !PLAIN)).sum();
                    let place = file.start.checked_add(before).ok_or(OUTSIDE)?;
                    let block = self.block(source, place, *stored, head.block_bytes)?;
                    copy(&block, inside, rest)?;
                }
                None => {
                    let (place, stored) = fragment(source, head, tables, file.fragment)?;
                    let block = self.block(source, place, stored, head.block_bytes)?;
                    copy(&block, file.in_fragment as usize + inside, rest)?;
                }
            }
            done += wanted;
        }
        Ok(done)
    }
}

const OUTSIDE: ImageError = ImageError::Damaged("a block lies outside of it");

fn copy(block: &[u8], from: usize, to: &mut [u8]) -> Result<(), ImageError> {
    let part = from
        .checked_add(to.len())
        .and_then(|end| block.get(from..end))
        .ok_or(ImageError::Damaged("a block holds less than its file needs"))?;
    to.copy_from_slice(part);
    Ok(())
}

/// Where a block that files share is, and how it is stored.
fn fragment(
    source: &Source,
    head: &Superblock,
    tables: &mut metadata::Cache,
    index: u32,
) -> Result<(u64, u32), ImageError> {
    const ENTRY: usize = 16;
    const IN_BLOCK: usize = metadata::BLOCK_BYTES / ENTRY;
    if index == NO_FRAGMENT || index >= head.fragments {
        return Err(ImageError::Damaged("a file's end is nowhere"));
    }
    let index = index as usize;
    let mut at = [0; 8];
    let pointer = head.fragment_table.checked_add((index / IN_BLOCK * 8) as u64);
    source.read_exact(pointer.ok_or(OUTSIDE)?, &mut at)?;
    let entry = tables.read(source, u64::from_le_bytes(at), index % IN_BLOCK * ENTRY, ENTRY)?;
    let mut entry = Bytes(&entry);
    Ok((entry.u64()?, entry.u32()?))
}
