//! Reads AppImages of type 2: a program for Linux with a squashfs appended, which holds what the program starts.
//!
//! Whoever reads one cannot rely on it: a disk may have spoilt it, and a release of a stranger is read before it is trusted. So every
//! number in it is checked against a named bound or the file's length before memory is taken or a place is read, and what is wrong is
//! an error that says what. The reader is our own because of that, and because a mounted program is read at any place of it, which the
//! published readers do by reading it from its start.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod bytes;
mod data;
pub mod elf;
mod error;
mod folder;
mod image;
mod metadata;
mod node;
mod superblock;
mod walk;

pub use error::ImageError;
pub use folder::Entry;
pub use image::Image;
pub use node::{Kind, Node, Place};
pub use walk::{MAX_DEPTH, MAX_NODES};
