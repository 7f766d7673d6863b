//! What an app embeds: the updater that follows a drive and swaps the bundle.
//!
//! A [`Runtime`] is to a Bosc app what npm `pear-runtime` is to a Pear app: it joins the swarm for the app's upgrade link, notices
//! new releases, stages them beside the app's data and, when told to, puts one in place of the running bundle in a single
//! atomic step. [`bundle::Startup`] takes a version that cannot start back out again.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod bundle;
mod check;
mod error;
mod file;
pub mod obstacle;
mod power;
mod published;
mod runtime;
mod schedule;
mod seen;
mod status;
mod words;

/// State machines alone, for simulations: nothing here is for apps.
#[doc(hidden)]
pub mod testing {
    pub use crate::schedule::Schedule;
}

pub use error::{ApplyError, RuntimeError};
pub use file::private_dir;
pub use published::{Build, Published, Unreadable, package_of, published};
pub use runtime::{Runtime, RuntimeConfig, RuntimeStats, UpdaterEvent, UpdaterState};
pub use status::Status;
pub use words::Told;
