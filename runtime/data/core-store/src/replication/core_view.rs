//! A core as its peers look at it, and the jobs that they have done with its store.

use hypercore::bitfield::Bitfield;
use hypercore::merkle::full_roots;
use hypercore::replication::{Done, Head, InvalidRequest, Job, Verdict, View};

use crate::storage::lock;
use crate::{Core, CoreError, CoreEvent, ProofError};

/// Looks at the front of a core; nothing here waits for the disk.
#[derive(Debug)]
pub struct CoreView<'a>(pub &'a Core);

impl View for CoreView<'_> {
    fn head(&mut self) -> Head {
        lock(&self.0.shared.front).head
    }

    fn has_range(&self, start: u64, end: u64) -> bool {
        self.0.has_range(start, end)
    }

    fn words(&self, start: u64, length: u64) -> Vec<u32> {
        lock(&self.0.shared.front).bitfield.words(start, length)
    }

    fn is_idle(&self) -> bool {
        lock(&self.0.shared.wants).is_idle()
    }

    fn pick(&mut self, held: &Bitfield, length: u64, refused: &dyn Fn(u64) -> bool, max: usize) -> Vec<u64> {
        let front = lock(&self.0.shared.front);
        lock(&self.0.shared.wants).pick(&front.bitfield, held, length, refused, max)
    }

    fn unmark(&mut self, index: u64) {
        lock(&self.0.shared.wants).unmark(index);
    }

    fn sought(&self) -> Option<u64> {
        lock(&self.0.shared.wants).seeks().map(|(_, bytes)| bytes).next()
    }
}

/// Does a job. May read and write the disk and hash megabytes: not for a thread that must not wait. A proof is put off if
/// `budget` bytes of proofs were made already; what it takes is subtracted.
///
/// # Errors
/// If the store fails.
pub fn work(core: &Core, job: Job, budget: &mut usize) -> Result<Done, CoreError> {
    Ok(match job {
        Job::Verify { id, data } => {
            let verdict = match core.verify(*data) {
                Ok(applied) => Verdict::Taken {
                    block: applied.block.is_some(),
                    upgraded: applied.upgraded,
                },
                Err(ProofError::Stale) => Verdict::Stale,
                Err(ProofError::Invalid(reason)) => Verdict::Invalid(reason),
                Err(ProofError::Core(error)) => return Err(error),
            };
            Done::Verified { id, verdict }
        }
        Job::Prove { id, request } if *budget == 0 => Done::Later { id, request },
        Job::Prove { id, request } => {
            let answer = match core.create_proof(&request) {
                Ok(answer) => Ok(answer.map(Box::new)),
                Err(ProofError::Core(error)) => return Err(error),
                Err(_) => Err(InvalidRequest),
            };
            if let Ok(Some(data)) = &answer
                && let Some(block) = &data.block
            {
                let (index, bytes) = (block.index, block.value.len() as u64);
                *budget = budget.saturating_sub(block.value.len() + 64);
                core.shared.emit(CoreEvent::Upload { index, bytes });
            }
            Done::Proved { id, answer }
        }
        Job::Locate { blocks } => {
            let located = blocks
                .into_iter()
                .map(|index| Ok((index, core.missing_nodes(2 * index)?)));
            Done::Located(located.collect::<Result<_, CoreError>>()?)
        }
        Job::Seek { bytes } => Done::Sought {
            bytes,
            result: core.seek_local(bytes)?,
        },
        Job::Reaches { from } => {
            let tree = core.tree();
            let mut reaches = from < tree.length;
            for root in full_roots(from) {
                reaches = reaches && core.missing_nodes(root)? == 0;
            }
            Done::Reaches {
                from,
                of: (tree.fork, tree.length),
                reaches,
            }
        }
    })
}
