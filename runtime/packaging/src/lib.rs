//! Makes what people install of an app: its bundle as a folder, a zip, an AppImage, a deb, a disk image, an MSIX.
//!
//! [`Plan::new`] says what will be made, where, and refuses what cannot be, before anything is written. [`Plan::run`] makes it and tells
//! how far it is. Each [`Format`] has a file of its own here, and all take what an app holds from the same tree. The same
//! app gives the same bytes: nothing made here holds the time, the user or the order of a folder of the machine that made it.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod appimage_file;
mod author;
mod bundle;
mod deb;
mod desktop;
mod error;
mod folder;
mod format;
mod icons;
mod macos;
mod msix;
mod place;
mod plan;
mod program;
mod sign;
mod stop;
mod time;
mod tree;
mod windows;
mod xml;
mod zip_file;

pub use error::PackagingError;
pub use format::Format;
pub use plan::{Made, Plan, Progress, Request};
pub use program::Program;
pub use sign::Signing;
pub use stop::Stop;
