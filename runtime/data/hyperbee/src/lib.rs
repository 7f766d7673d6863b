//! Hyperbee: an append-only B-tree of keys and values on a core.
//!
//! Every write appends one block that holds the key, the value and the tree nodes that the write changed, so that any
//! length of the core is a complete, immutable tree ([`Bee::checkout`]). Blocks are byte for byte those of npm
//! `hyperbee` 2: the same operations give the same core, whichever program ran them.
//!
//! ```no_run
//! # async fn demo(core: core_store::Core) -> Result<(), hyperbee::BeeError> {
//! let bee = hyperbee::Bee::new(core, hyperbee::Metadata::default());
//! bee.put(b"name", b"russet").await?;
//! assert_eq!(bee.get(b"name").await?.unwrap().value.as_deref(), Some(&b"russet"[..]));
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

mod arena;
mod batch;
mod bee;
mod cursor;
mod diff;
mod error;
mod history;
mod messages;
mod prefetch;
mod range;
mod sub;

pub use batch::Batch;
pub use bee::{Bee, BeeEntry};
pub use cursor::RangeStream;
pub use diff::{DiffItem, DiffStream};
pub use error::{BeeError, DecodeError};
pub use history::{Change, History};
pub use messages::{Child, Header, Level, Metadata, Node};
pub use range::Range;
pub use sub::SubKey;
