//! Autobase 7: many writers, each with a log of its own, and one order of all they wrote, the same for everybody who has the same logs.
//!
//! Each node of a log names the newest nodes that its writer had seen. These links make a graph, and from the graph alone follows an order:
//! what a majority of the *indexers* confirmed stands for good, what comes after it may still move when nodes arrive that nobody knew
//! of. An app applies the nodes in that order to its *views*; what moved is undone and applied again. The formats and the order are
//! those of npm `autobase` 7.28.
//!
//! There is no IO here: no disk, no socket, no clock, no task, and no store. Blocks come in as bytes; what is to be read, undone and
//! applied goes out as values.
//!
//! | here | npm |
//! | --- | --- |
//! | [`messages`] | encoding/spec/autobase, encoding/legacy.js, the keys of lib/system.js |
//! | [`cipher`] | lib/encryption.js |
//! | `dag` (nodes and writers in memory, and how they get in) | lib/writer.js, lib/node-buffer.js, lib/clock.js, `Node` of lib/linearizer.js |
//! | [`views`] | the manifests of lib/store.js |
//! | [`state`] ([`Apply`](state::Apply)) | lib/apply-state.js, lib/system.js, lib/apply-calls.js |
//! | `order` ([`Linearizer`]) | lib/linearizer.js, lib/consensus.js, lib/topolist.js |

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod cipher;
pub mod constants;
mod dag;
pub mod messages;
mod order;
pub mod state;
pub mod views;

pub use base::wire::DecodeError;
pub use dag::{NodeId, Refused};
pub use messages::{Head, Key};
pub use order::{Linearizer, Ordered, Update};
