//! A core as its peers look at it, and the jobs that they have done with its store.

use hypercore::bitfield::Bitfield;
use hypercore::merkle::{Node, full_roots};
use hypercore::proof::{Data, RequestSeek};
use hypercore::replication::{Done, Head, InvalidRequest, Job, Verdict, View};

use crate::core::{Draft, to_hash};
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

    fn is_shared(&self) -> bool {
        lock(&self.0.shared.wants).is_shared()
    }

    fn pick(&mut self, held: &Bitfield, length: u64, refused: &dyn Fn(u64) -> bool, max: usize) -> Vec<u64> {
        let front = lock(&self.0.shared.front);
        lock(&self.0.shared.wants).pick(&front.bitfield, held, length, refused, max)
    }

    fn unmark(&mut self, index: u64) {
        lock(&self.0.shared.wants).unmark(index);
    }

    fn sought(&self) -> Option<RequestSeek> {
        lock(&self.0.shared.wants).seeks().map(|(_, seek)| seek).next()
    }
}

/// Does a job. May read and write the disk and hash megabytes: not for a thread that must not wait. A proof is put off if
/// `budget` bytes of proofs were made already; what it takes is subtracted.
///
/// # Errors
/// If the store fails.
pub fn work(core: &Core, job: Job, budget: &mut usize) -> Result<Done, CoreError> {
    let begun = begin(core, job, budget);
    let leaf = begun.to_hash().map(|(index, value)| Node::leaf(index, value));
    finish(core, begun, leaf)
}

/// As [`work`], for many jobs, in order; their blocks are hashed together. For each job, what came of it, or why the store failed.
pub(super) fn work_all(jobs: Vec<(Core, Job)>, budget: &mut usize) -> Vec<Result<Done, CoreError>> {
    // The cores of a connection are of one store.
    let _reading = jobs.first().map(|(core, _)| core.storage().reading());
    let begun: Vec<(Core, Begun)> = jobs
        .into_iter()
        .map(|(core, job)| {
            let begun = begin(&core, job, budget);
            (core, begun)
        })
        .collect();
    let blocks: Vec<(u64, &[u8])> = begun.iter().filter_map(|(_, begun)| begun.to_hash()).collect();
    let mut leaves = Node::leaves(&blocks).into_iter();
    let leaf_of = begun
        .iter()
        .map(|(_, begun)| begun.to_hash().and_then(|_| leaves.next()));
    let leaf_of: Vec<Option<Node>> = leaf_of.collect();
    let finish = |((core, begun), leaf)| finish(&core, begun, leaf);
    begun.into_iter().zip(leaf_of).map(finish).collect()
}

/// A job, before the hash that it needs.
enum Begun {
    Verify {
        id: u64,
        data: Box<Data>,
    },
    Prove {
        id: u64,
        draft: Result<Option<Draft>, ProofError>,
    },
    Done(Result<Done, CoreError>),
}

impl Begun {
    fn to_hash(&self) -> Option<(u64, &[u8])> {
        match self {
            Self::Verify { data, .. } => to_hash(data),
            Self::Prove { draft, .. } => draft.as_ref().ok()?.as_ref()?.unhashed(),
            Self::Done(_) => None,
        }
    }
}

fn begin(core: &Core, job: Job, budget: &mut usize) -> Begun {
    match job {
        Job::Verify { id, data } => Begun::Verify { id, data },
        Job::Prove { id, request } if *budget == 0 => Begun::Done(Ok(Done::Later { id, request })),
        Job::Prove { id, request } => {
            let draft = core.draft_proof(&request);
            if let Ok(Some(draft)) = &draft {
                *budget = budget.saturating_sub(draft.size() + 64);
            }
            Begun::Prove { id, draft }
        }
        Job::Locate { blocks } => {
            let located = blocks
                .into_iter()
                .map(|index| Ok((index, core.missing_nodes(2 * index)?)));
            Begun::Done(located.collect::<Result<_, CoreError>>().map(Done::Located))
        }
        Job::Seek { seek } => {
            let sought = core.seek_stored(seek);
            Begun::Done(sought.map(|result| Done::Sought { seek, result }))
        }
        Job::Reaches { from } => Begun::Done(reaches(core, from)),
    }
}

fn reaches(core: &Core, from: u64) -> Result<Done, CoreError> {
    let tree = core.tree();
    let mut reaches = from < tree.length;
    for root in full_roots(from) {
        reaches = reaches && core.missing_nodes(root)? == 0;
    }
    Ok(Done::Reaches {
        from,
        of: (tree.fork, tree.length),
        reaches,
    })
}

fn finish(core: &Core, begun: Begun, leaf: Option<Node>) -> Result<Done, CoreError> {
    match begun {
        Begun::Done(done) => done,
        Begun::Verify { id, data } => {
            let verdict = match core.verify_hashed(*data, leaf) {
                Ok(applied) => Verdict::Taken {
                    block: applied.block.is_some(),
                    upgraded: applied.upgraded,
                },
                Err(ProofError::Stale) => Verdict::Stale,
                Err(ProofError::Invalid(reason)) => Verdict::Invalid(reason),
                Err(ProofError::Core(error)) => return Err(error),
            };
            Ok(Done::Verified { id, verdict })
        }
        Begun::Prove { id, draft } => {
            let proof = draft.and_then(|draft| match draft {
                Some(draft) => core.finish_proof(draft, leaf),
                None => Ok(None),
            });
            let answer = match proof {
                Ok(answer) => Ok(answer),
                Err(ProofError::Core(error)) => return Err(error),
                Err(_) => Err(InvalidRequest),
            };
            if let Ok(Some(data)) = &answer
                && let Some(block) = &data.block
            {
                let (index, bytes) = (block.index, block.value.len() as u64);
                core.shared.emit(CoreEvent::Upload { index, bytes });
            }
            Ok(Done::Proved { id, answer })
        }
    }
}
