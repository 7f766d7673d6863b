//! Hyperdrive: a file system of entries and blobs; local folders behind the same trait; mirror between them.
//!
//! A drive is two cores: a bee of paths (`db`) and a core of file contents (`blobs`). [`Hyperdrive`] and [`LocalDrive`]
//! both are a [`Drive`], and [`mirror`] makes one equal to the other. Formats are those of npm `hyperdrive` 13.
//!
//! ```no_run
//! # async fn demo(store: &corestore::Corestore) -> Result<(), hyperdrive::DriveError> {
//! use hyperdrive::{Hyperdrive, LocalDrive, MirrorOptions, mirror};
//! let drive = Hyperdrive::create(store, "my-app").await?;
//! let folder = LocalDrive::new("./my-app-1.0.0");
//! let totals = mirror(&folder, &drive, MirrorOptions { batch: true, dedup: true, ..Default::default() }).finish().await?;
//! println!("{} files, {} bytes added", totals.files, totals.bytes_added);
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

mod batch;
mod compare;
mod content;
mod download;
mod drive;
mod entry;
mod error;
#[cfg(any(test, not(unix)))]
mod executable;
mod filter;
#[doc(hidden)]
pub mod fuzzing;
mod known;
mod local;
mod local_path;
mod local_write;
mod memory;
mod meter;
mod mirror;
mod names;
pub mod path;
mod stamp;
mod target;
mod traits;

pub use batch::Batch;
pub use content::content_manifest;
pub use download::DriveDownload;
pub use drive::{DiffEntry, Hyperdrive};
pub use entry::{Entry, PutOptions};
pub use error::DriveError;
pub use filter::PathFilter;
pub use hyperblobs::BlobId;
pub use local::{LocalDrive, LocalOptions};
pub use local_write::is_leftover;
pub use memory::{Fact, Memory};
pub use meter::Meter;
pub use mirror::{Diff, DiffOp, KeyFilter, Mirror, MirrorOptions, Totals, mirror};
pub use names::Names;
pub use stamp::Stamp;
pub use traits::{ByteStream, Drive};
