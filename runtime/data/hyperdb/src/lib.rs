//! HyperDB: collections of records with keys and indexes on a Hyperbee, byte for byte as npm `hyperdb` 6 has them.
//!
//! A [`Definition`] comes from the `schema.json` and `db.json` that npm's builders wrote, or from a [`Builder`]. Where npm's package and this one
//! differ, it is in what is read before a flush: a range with a limit goes on after a record that was deleted, and an index shows what
//! was written to the records it leads to. There, npm's ends early and shows the stored record. What gets into the bee is the same.
//!
//! | key | value |
//! | --- | --- |
//! | number of the collection, fields of the record's key | 0, version of the collection (both left out where it has none), the record without those fields |
//! | number of the index, what it sorts by, fields of the record's key unless it is unique | the record's key, as above |

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod builder;
mod changes;
mod db;
mod definition;
mod error;
mod keys;
mod query;
mod rows;
mod tables;
mod transaction;
mod updates;
mod view;

pub use builder::{Builder, Collection, Index};
pub use changes::{Change, Changes};
pub use db::{HyperDb, Versions};
pub use definition::Definition;
pub use error::{DbError, DefinitionError, KeyError};
pub use keys::{KeyEncoding, KeyType};
pub use query::Query;
pub use rows::Rows;
pub use transaction::Transaction;

/// The page for authors: its example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/rooms-data.md")]
struct PageForAuthors;
