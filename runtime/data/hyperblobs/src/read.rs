//! Streaming a blob: everything is asked for up front, blocks are handed out in order.

use bytes::Bytes;
use core_store::{Core, CoreError, Download};
use futures::future::{Either, try_join_all};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use tokio::sync::broadcast::error::RecvError;

use crate::block_map::BlockMap;
use crate::error::BlobError;
use crate::id::BlobId;

/// Bytes read ahead of the consumer, about.
const AHEAD_BYTES: u64 = 4 << 20;
/// Blocks read ahead of the consumer, at most.
const AHEAD_BLOCKS: u64 = 64;
/// Of those, so many are read from the disk together: they are hashed side by side, on a thread that may wait.
const TOGETHER: usize = 8;

/// The content of a blob, block by block.
pub type BlobStream = BoxStream<'static, Result<Bytes, BlobError>>;

/// A piece of a block to hand out.
struct Piece {
    index: u64,
    /// Length that the block must have.
    expected: u64,
    skip: u64,
    take: u64,
}

/// The content of a plain blob.
pub(crate) async fn plain(core: Core, id: &BlobId, start: u64, length: u64) -> Result<BlobStream, BlobError> {
    let damaged = |what| BlobError::Damaged {
        block: id.block_offset,
        what,
    };
    let end_block = id.block_end().ok_or(damaged("it has no end"))?;
    let end_byte = id
        .byte_offset
        .checked_add(id.byte_length)
        .ok_or(damaged("it has no end"))?;
    let length = length.min(id.byte_length.saturating_sub(start));
    if length == 0 {
        return Ok(stream::empty().boxed());
    }
    let (first, skip) = match start {
        0 => (id.block_offset, 0),
        _ => {
            reach(&core, end_block).await?;
            core.seek(id.byte_offset.saturating_add(start)).await?
        }
    };
    if id.byte_offset > end_byte || first < id.block_offset || first >= end_block {
        return Err(damaged("its blocks are shorter than it says"));
    }
    let average = (id.byte_length / id.block_length.max(1)).max(1);
    let last = if start.saturating_add(length) == id.byte_length {
        end_block
    } else {
        end_block.min(first.saturating_add((skip + length) / average + 2))
    };
    let downloads = crate::Blobs::new(core.clone()).download(vec![(first, last)]);
    // Blocks beyond the guess are read one by one, should the guess have been too short.
    let likely = in_order(core.clone(), first..last, average).map_err(BlobError::from);
    let get = move |index| {
        let core = core.clone();
        async move { core.get(index).await.map_err(BlobError::from) }
    };
    let blocks = likely.chain(stream::iter(last..end_block).map(get).buffered(1));
    let state = Cut {
        skip,
        left: length,
        block: id.block_offset,
        _downloads: downloads,
    };
    Ok(cut(blocks.boxed(), state))
}

/// Waits until the core is known to be that long: only then can a byte be looked up in it.
async fn reach(core: &Core, length: u64) -> Result<(), BlobError> {
    let mut events = core.events();
    while core.length() < length {
        if let Err(RecvError::Closed) = events.recv().await {
            return Err(BlobError::Stopped);
        }
    }
    Ok(())
}

/// What of the blocks' bytes is to be handed out.
struct Cut {
    skip: u64,
    left: u64,
    block: u64,
    _downloads: Vec<Download>,
}

/// Skips bytes at the start and ends after the wanted length.
fn cut(blocks: BlobStream, state: Cut) -> BlobStream {
    stream::try_unfold((blocks, state), |(mut blocks, mut state)| async move {
        while state.left > 0 {
            let Some(block) = blocks.next().await else {
                let what = "its blocks are shorter than it says";
                return Err(BlobError::Damaged {
                    block: state.block,
                    what,
                });
            };
            let mut block = block?;
            let skip = state.skip.min(block.len() as u64);
            state.skip -= skip;
            block = block.split_off(skip as usize);
            block.truncate(usize::try_from(state.left).unwrap_or(usize::MAX));
            state.left -= block.len() as u64;
            if !block.is_empty() {
                return Ok(Some((block, (blocks, state))));
            }
        }
        Ok(None)
    })
    .boxed()
}

/// The content of a blob with a block map.
pub(crate) fn mapped(core: Core, id: &BlobId, map: &BlockMap, start: u64, length: u64) -> BlobStream {
    let (mut pieces, mut skip, mut left) = (Vec::new(), start, length);
    for block in &map.blocks {
        if skip >= block.byte_length {
            skip -= block.byte_length;
            continue;
        }
        let take = (block.byte_length - skip).min(left);
        if take == 0 {
            break;
        }
        pieces.push(Piece {
            index: block.index,
            expected: block.byte_length,
            skip,
            take,
        });
        (skip, left) = (0, left - take);
    }
    let total: u64 = pieces
        .iter()
        .fold(0u64, |sum, piece| sum.saturating_add(piece.take));
    let average = (total / (pieces.len() as u64).max(1)).max(1);
    let blobs = crate::Blobs::new(core.clone());
    let downloads = blobs.download(
        pieces
            .iter()
            .map(|piece| (piece.index, piece.index.saturating_add(1)))
            .collect(),
    );
    let at = id.block_offset;
    let indices: Vec<u64> = pieces.iter().map(|piece| piece.index).collect();
    in_order(core, indices, average)
        .zip(stream::iter(pieces))
        .map(move |(block, piece)| {
            let _ = &downloads; // the requests live as long as the stream
            let mut block = block?;
            if piece.expected != block.len() as u64 {
                let what = "its block map and its blocks disagree";
                return Err(BlobError::Damaged { block: at, what });
            }
            block = block.split_off((piece.skip as usize).min(block.len()));
            block.truncate(usize::try_from(piece.take).unwrap_or(usize::MAX));
            Ok(block)
        })
        .boxed()
}

/// These blocks, one after the other, some of them read ahead. Waits for peers when blocks are missing here.
fn in_order(
    core: Core,
    indices: impl IntoIterator<Item = u64, IntoIter: Send + 'static>,
    average: u64,
) -> impl Stream<Item = Result<Bytes, CoreError>> + Send + 'static {
    let ahead = ahead(average);
    let together = TOGETHER.min(ahead / 2).max(1);
    stream::iter(indices)
        .chunks(together)
        .map(move |indices| group(core.clone(), indices))
        .buffered((ahead / together).max(2))
        .map_ok(|blocks| stream::iter(blocks).map(Ok))
        .try_flatten()
}

/// Some blocks: those that are here from the disk, the others from peers.
async fn group(core: Core, indices: Vec<u64>) -> Result<Vec<Bytes>, CoreError> {
    let here = if indices.len() > 1 && indices.iter().any(|index| core.has(*index)) {
        let (core, indices) = (core.clone(), indices.clone());
        match tokio::task::spawn_blocking(move || core.get_local_each(&indices)).await {
            Ok(here) => here?,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and whoever waits for this with it.
                Err(_) => Vec::new(),
            },
        }
    } else {
        Vec::new()
    };
    let mut here = here.into_iter();
    try_join_all(indices.iter().map(|index| match here.next().flatten() {
        Some(block) => Either::Left(std::future::ready(Ok(block))),
        None => Either::Right(core.get(*index)),
    }))
    .await
}

fn ahead(average: u64) -> usize {
    (AHEAD_BYTES / average).clamp(2, AHEAD_BLOCKS) as usize
}
