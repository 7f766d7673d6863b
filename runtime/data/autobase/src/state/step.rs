//! What [`Apply`](super::Apply) is made of, says and is told.

use super::system::Put;
use crate::messages::Info;
use crate::views::ViewKeys;
use crate::{Head, Key};

/// A step of the order that is applied and does not stand yet. To be kept, so that it can be undone after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The last node of the step.
    pub at: Head,
    /// How many nodes the step took in.
    pub batch: u64,
    /// Length of the system core after it.
    pub system_length: u64,
    /// Whether it changed the indexers.
    pub indexers: bool,
}

/// A node whose value the app is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyNode {
    /// Where its block is.
    pub at: Head,
    /// What it links.
    pub heads: Vec<Head>,
    /// Whether it stands for good.
    pub indexed: bool,
}

/// What the names of views depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The indexers whose logs' manifests are needed, in this order.
    pub indexers: Vec<Key>,
    /// Views by their numbers, with the lengths at which their tree hashes are needed.
    pub views: Vec<(usize, u64)>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Cut the system core to this length, and tell [`Apply::cut`](super::Apply::cut) the state that its last block has.
    Cut {
        /// The length in blocks.
        system_length: u64,
    },
    /// Cut views, by their numbers, to these lengths.
    CutViews(Vec<(usize, u64)>),
    /// Read these members from the system core's bee, and tell [`Apply::learn`](super::Apply::learn).
    Learn(Vec<Key>),
    /// Give these nodes' values to the app, then tell [`Apply::applied`](super::Apply::applied).
    Apply(Vec<ApplyNode>),
    /// Tell [`Apply::named`](super::Apply::named) what these are.
    NameViews(Naming),
    /// Append these puts to the system core's bee. Said once.
    Put(Vec<Put>),
    /// All is applied.
    Done(Done),
}

/// What came of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Length of the system core up to which it stands for good.
    pub indexed_length: u64,
    /// Other indexers stand from there on: go on with [`Apply::rebooted`](super::Apply::rebooted).
    pub reboot: bool,
}

/// What does not change about a base.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its key, which is its first writer's.
    pub key: Key,
    /// How its views get their names.
    pub keys: ViewKeys,
    /// The version of the system core's manifest.
    pub manifest_version: u8,
}

/// How a base was left; the default is one that has just begun, without views.
#[derive(Debug, Clone, Default)]
pub struct Left {
    /// The state at the end of the system core.
    pub info: Info,
    /// Length of the system core.
    pub length: u64,
    /// How much of that stands for good.
    pub indexed_length: u64,
    /// The steps behind what stands.
    pub updates: Vec<Applied>,
    /// The app's views, each with its place among the system core's if it has one.
    pub views: Vec<(String, Option<usize>)>,
}
