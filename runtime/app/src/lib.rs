//! What an app is, on disk and on a drive: its `package.json` ([`Manifest`]), how its bundle is laid out ([`Layout`]), where it keeps
//! its data ([`Folders`]), the machines it is built for ([`Host`]) and the link it follows ([`Link`]).
//!
//! Whoever makes, releases, installs, updates, examines or runs an app goes by these words, so that what one of them takes no other
//! refuses. Nothing here waits, opens a socket or knows a drive; files are read where a path is given, and no others.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod category;
mod document;
mod error;
mod fields;
pub mod fit;
pub mod folders;
mod host;
pub mod layout;
mod link;
mod machine;
mod making;
mod manifest;
mod names;
mod seeding;
mod unknown;
mod versions;
mod window;

pub use category::Category;
pub use document::{Document, MAX_PACKAGE_BYTES};
pub use error::ManifestError;
pub use fit::{Fits, Unfit, check_bundle, machines};
pub use folders::Folders;
pub use host::{Host, NotAHost};
pub use layout::{Format, Layout};
pub use link::{Link, LinkError};
pub use making::Making;
pub use manifest::{Manifest, Staging};
pub use seeding::Seeding;
pub use unknown::Unknown;
pub use versions::Versions;
pub use window::{Color, WindowConfig};
