//! How a release is made: [`Gather`] puts bundles into a deployment folder, [`StagePlan`] that folder onto the stage link,
//! [`ProvisionPlan`] one version of it onto the link that apps follow, [`Dump`] what a link holds back into a folder; [`ReleasePlan`] is
//! all of it, from an app's folder to that link.
//!
//! Each is planned first, which refuses all that is wrong before anything is written, and then run; what happens is told to a
//! [`Progress`]. Nothing here talks to a terminal. Releases by quorum are crate `multisig`'s.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod bump;
pub mod changelog;
mod deployment;
mod drives;
mod dump;
mod error;
mod links;
mod network;
mod precautions;
mod progress;
mod provision;
mod stage;
mod touch;
mod whole;

pub use bump::{next_version, write_version};
pub use deployment::{CHANGELOG, Gather, GatherPlan};
pub use drives::{
    CoreAt, DriveAt, default_folder, expect_version, open_own, open_store, open_store_to_write, verlink,
};
pub use dump::{Dump, DumpOptions};
pub use error::{ReleaseError, Why};
pub use links::{LINKS, Links};
pub use network::{Network, join};
pub use progress::{Progress, Step};
pub use provision::{ProvisionPlan, Provisioned};
pub use stage::{StageOptions, StagePlan, Staged};
pub use touch::{touch, touch_vanity};
pub use whole::{Make, MakeError, ReleasePlan};
