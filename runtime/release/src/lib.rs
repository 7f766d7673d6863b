//! How a release is made: [`Gather`] puts bundles into a deployment folder, [`StagePlan`] that folder onto the stage link,
//! [`ProvisionPlan`] one version of it onto the link that apps follow, [`Dump`] what a link holds back into a folder.
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
mod deployment;
mod drives;
mod dump;
mod error;
mod network;
mod precautions;
mod progress;
mod provision;
mod stage;
mod touch;

pub use bump::{next_version, write_version};
pub use deployment::{CHANGELOG, Gather, GatherPlan};
pub use drives::{
    CoreAt, DriveAt, default_folder, expect_version, open_own, open_store, open_store_to_write, verlink,
};
pub use dump::{Dump, DumpOptions};
pub use error::{ReleaseError, Why};
pub use network::{IDENTITY, Network};
pub use progress::{Progress, Step};
pub use provision::{ProvisionPlan, Provisioned};
pub use stage::{StageOptions, StagePlan, Staged};
pub use touch::touch;
