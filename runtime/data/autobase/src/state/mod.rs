//! How the order becomes views (npm `autobase` lib/apply-state.js, lib/system.js, lib/apply-calls.js).
//!
//! Each node, or batch, is one *step*: it is taken into the system's state, its values are given to the app, which appends to its views and
//! lets writers in, and then the state is put into the system core. So every length of the system core that ends a step says how long
//! the views were, and to undo a step is to cut all of them to what the step before left.
//!
//! [`Apply`] says what to do and is told what came of it; whoever has the cores does it:
//!
//! ```text
//! Linearizer::update ─► begin ─► next ─► Cut        cut the system core, tell its state          ─► cut
//!                                  │ ▲─► CutViews   cut the views
//!                                  │ ├─► Learn      read members from the system core's bee      ─► learn
//!                                  │ ├─► Apply      give values to the app: add_writer, …        ─► applied
//!                                  │ ├─► NameViews  manifests of indexers, tree hashes of views  ─► named
//!                                  │ └─► Put        append to the system core's bee
//!                                  └───► Done       commit all of it together; begin anew where the indexers changed
//! ```
//!
//! When what stands brings other indexers, the order of the rest has to be found again among those: [`Done`] says so, the views go on
//! in new cores ([`views`](crate::views)), another [`Linearizer`](crate::Linearizer) is made of the state that stands ([`Apply::rebooted`]), and the nodes
//! behind it are read once more.
//!
//! After a restart, [`Left`] has what was kept. The linearizer is made of the state that stands; the nodes of [`Apply::updates`] are given to
//! it again, in that order and no further, and its first update is let go: all of it is applied already.
//!
//! What a quorum of the indexers signed of all that is in [`signing`].
//!
//! Not here: nodes of strangers that an app may judge (`optimistic`; such a node is passed over, as in an app of npm's without that option),
//! `host.fork` and anchors.

mod apply;
mod host;
pub mod signing;
mod step;
mod system;

pub use apply::Apply;
pub use step::{Applied, ApplyNode, Base, Done, Left, Naming, Step};
pub use system::{Put, System, Unknown};
