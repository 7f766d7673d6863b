//! What a release tells while it is made. The engine never talks to a terminal: who calls it shows this, or does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyperdrive::{Diff, Meter};

/// Something happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// One path changes, or would.
    Changes(&'a Diff),
    /// A file of a drive, in a list.
    Listed(&'a str),
    /// A word to a person: nothing failed, and it may not be what was meant.
    Note(&'a str),
    /// A bundle went into a deployment folder.
    Gathered {
        /// Where it is now.
        file: &'a Path,
        /// Where it was.
        origin: &'a Path,
    },
    /// Two drives are compared.
    Compares,
    /// They were.
    Compared {
        /// How many paths change.
        changes: u64,
        /// The version that is released.
        version: &'a str,
    },
    /// What is in production is copied, block by block.
    Copies {
        /// `metadata` or `blobs`.
        part: &'static str,
        /// Blocks that are there.
        from: u64,
        /// Blocks that there will be.
        to: u64,
    },
    /// It was.
    Copied {
        /// `metadata` or `blobs`.
        part: &'static str,
    },
    /// Writing begins after this time, in which it can be stopped without a trace.
    Cools(Duration),
    /// Files are written.
    Writes,
    /// They were.
    Wrote {
        /// How many paths changed.
        changes: u64,
    },
    /// A field beside the files is taken over.
    Sets(&'a str),
    /// One is deleted.
    Unsets(&'a str),
}

/// Who is told.
pub trait Progress: Send {
    /// Called in order, on whatever thread the work is done; must not block for long.
    fn step(&mut self, step: Step<'_>);

    /// Called when bytes begin to be moved, with a word for what is done with them (`staging`): what counts them from now on, if anybody
    /// wants to see that.
    fn meter(&mut self, _what: &'static str) -> Option<Arc<Meter>> {
        None
    }
}

impl<F: FnMut(Step<'_>) + Send> Progress for F {
    fn step(&mut self, step: Step<'_>) {
        self(step);
    }
}
