//! Hyperblobs: byte blobs on a core, plain or as block maps of content-defined chunks.
//!
//! A plain blob is a run of 64 KiB blocks. A blob with a *block map* is a small list of (block, length) pairs, so that
//! two versions of a file share the chunks that did not change. Both are the formats of npm `hyperblobs` 2.
//!
//! ```no_run
//! # async fn demo(core: core_store::Core) -> Result<(), hyperblobs::BlobError> {
//! let blobs = hyperblobs::Blobs::new(core);
//! let id = blobs.put(b"russet"[..].into()).await?;
//! assert_eq!(blobs.get(&id).await?, &b"russet"[..]);
//! # Ok(()) }
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod blobs;
mod block_map;
mod chunker;
mod error;
mod id;
mod read;
mod reuse;
mod writer;

pub use blobs::Blobs;
pub use block_map::{BlockMap, MapBlock};
pub use chunker::Chunking;
pub use error::BlobError;
pub use id::BlobId;
pub use read::BlobStream;
pub use reuse::ChunkIndex;
pub use writer::Writer;
