//! What a stage found out about the files of a folder, kept for the next one onto the same link.
//!
//! It lies in the store beside the drive that it is about, in the same file, so that both are always of one time, whatever kills a
//! stage or copies a store. It is written last. Where it cannot be read or written, the next stage reads every file.

use std::sync::Arc;

use core_store::Core;
use hyperdrive::{LocalDrive, Memory};

use crate::progress::{Progress, Step};

/// Its name among what is attached to a core.
const NAME: &str = "staged-files";

/// What is known before a stage, and what it finds out.
pub(super) struct Remembered {
    memory: Arc<Memory>,
    /// A store that fails when this is read is not written to for its sake.
    readable: bool,
}

impl Remembered {
    /// What earlier stages found out, unless every file is to be read.
    pub(super) async fn look(local: &LocalDrive, core: &Core, read_all: bool) -> Self {
        let (readable, earlier) = match core.user_data(NAME) {
            Ok(earlier) => (true, earlier.filter(|_| !read_all)),
            Err(_) => (false, None),
        };
        Self {
            memory: Arc::new(Memory::begin(local, earlier).await),
            readable,
        }
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Keeps it for the next stage. All is staged by now, so that it is no error if that fails.
    pub(super) fn keep(&self, core: &Core, progress: &mut dyn Progress) {
        let Some(bytes) = self.memory.encode().filter(|_| self.readable) else {
            return;
        };
        if let Err(error) = core.set_user_data(NAME, &bytes) {
            let note = format!(
                "the next stage will read every file again, since what this one found out could not be kept: {error}"
            );
            progress.step(Step::Note(&note));
        }
    }
}
