//! What was found out about files of a folder, so that those that were not touched since need not be read again.
//!
//! A memory is a set of hashes, each over a [`Stamp`] and what was found out about the file that bore it. A hash that is not there, for
//! whatever reason, costs the reading of a file; one that is there was put there by [`Memory::learn`]. As bytes a memory begins with a
//! hash over the rest, so that one that the disk spoilt counts as none.

use std::collections::HashSet;
use std::fs::Metadata;
use std::sync::Mutex;
use std::time::Duration;

use base::hash::blake2b;
use base::lock;
use base::wire::{Reader, Writer};
use tokio::sync::OnceCell;

use crate::local::{LocalDrive, blocking};
use crate::stamp::{Look, Moment, Stamp};

/// Facts kept at most: 16 MiB, for half a million files with two each. What is beyond is found out again.
const MAX_FACTS: usize = 1 << 20;
/// Bytes of a fact's hash: enough that no two facts ever meet.
const FACT_BYTES: usize = 16;
/// Raised when bytes or facts change their meaning.
const FORMAT: u64 = 1;
/// How long the disk may take to write back what is on its way there.
const WRITE_BACK: Duration = Duration::from_secs(10);

/// Something that was found out about a file as its stamp says it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fact([u8; FACT_BYTES]);

impl Fact {
    /// The fact that `about` holds of a file. The first part names the kind of fact, the others have lengths that follow from it.
    pub fn new(stamp: &Stamp, about: &[&[u8]]) -> Self {
        let mut parts = vec![stamp.bytes()];
        parts.extend(about);
        let mut fact = [0; FACT_BYTES];
        fact.iter_mut()
            .zip(blake2b(&parts))
            .for_each(|(to, from)| *to = from);
        Self(fact)
    }
}

/// Facts about the files of one folder: those of earlier looks, and those of this one.
#[derive(Debug)]
pub struct Memory {
    /// `None` where nothing can be relied upon.
    look: Option<Look>,
    known: HashSet<Fact>,
    learned: Mutex<HashSet<Fact>>,
    settled: OnceCell<bool>,
}

impl Memory {
    /// Begins a look at a folder, with what [`encode`](Self::encode) gave earlier, for this folder or another. Bytes that are
    /// damaged, or that cannot be relied upon any more, count as none.
    pub async fn begin(local: &LocalDrive, earlier: Option<Vec<u8>>) -> Self {
        let root = local.root().to_path_buf();
        let look = blocking(move || Ok(Look::begin(&root))).await.unwrap_or_default();
        Self::with(look, earlier.as_deref())
    }

    fn with(look: Option<Look>, earlier: Option<&[u8]>) -> Self {
        let earlier = earlier.and_then(decode);
        let known = match (earlier, &look) {
            (Some((moment, facts)), Some(look)) if look.began.follows(&moment) => facts,
            _ => HashSet::new(),
        };
        Self {
            look,
            known,
            learned: Mutex::default(),
            settled: OnceCell::new(),
        }
    }

    /// The stamp of a file that is looked at now; `None` if it has to be read whatever is known.
    pub(crate) fn stamp(&self, metadata: &Metadata) -> Option<Stamp> {
        self.look.as_ref()?.stamp(metadata)
    }

    /// Whether a fact is known from an earlier look. It is then kept.
    pub fn knows(&self, fact: Fact) -> bool {
        let known = self.known.contains(&fact);
        if known {
            self.keep(fact);
        }
        known
    }

    /// Before files are read about which something is to be learned: has the disk write back what is on its way there, so that a
    /// later write through a memory map leaves its trace. Does so once; where it takes too long nothing new is learned.
    pub async fn settle(&self, local: &LocalDrive) {
        let settle = || async {
            let done = tokio::time::timeout(WRITE_BACK, local.sync()).await;
            matches!(done, Ok(Ok(())))
        };
        if self.look.is_some() {
            self.settled.get_or_init(settle).await;
        }
    }

    /// Keeps a fact that was found out by reading the file, after [`settle`](Self::settle) and after its stamp was taken.
    pub fn learn(&self, fact: Fact) {
        if self.settled.get() == Some(&true) {
            self.keep(fact);
        }
    }

    fn keep(&self, fact: Fact) {
        let mut learned = lock(&self.learned);
        if learned.len() < MAX_FACTS {
            learned.insert(fact);
        }
    }

    /// What is to be kept for the next look, about a million facts at most; `None` if that is what was known already.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let look = self.look.as_ref()?;
        let learned = lock(&self.learned);
        if *learned == self.known {
            return None;
        }
        let mut facts: Vec<Fact> = learned.iter().copied().collect();
        facts.sort_unstable();
        Some(encode(look.began, &facts))
    }
}

fn encode(began: Moment, facts: &[Fact]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(64 + facts.len() * FACT_BYTES);
    writer.uint(FORMAT).raw(&began.boot);
    writer
        .raw(&began.clock.to_le_bytes())
        .raw(&began.uptime.to_le_bytes());
    writer.list(facts, |w, fact| w.raw(&fact.0));
    let rest = writer.finish();
    [&blake2b(&[&rest])[..], &rest].concat()
}

fn decode(bytes: &[u8]) -> Option<(Moment, HashSet<Fact>)> {
    let (hash, rest) = bytes.split_at_checked(32)?;
    if hash != blake2b(&[rest]) {
        return None;
    }
    let mut reader = Reader::new(rest);
    if reader.uint().ok()? != FORMAT {
        return None;
    }
    let moment = Moment {
        boot: reader.fixed().ok()?,
        clock: i64::from_le_bytes(reader.fixed().ok()?),
        uptime: i64::from_le_bytes(reader.fixed().ok()?),
    };
    let count = reader.count(FACT_BYTES).ok()?.min(MAX_FACTS);
    let facts = (0..count).map(|_| reader.fixed().ok().map(Fact));
    Some((moment, facts.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Moment = Moment {
        boot: [1; 16],
        clock: 1_000_000_000_000,
        uptime: 1_000_000_000,
    };

    fn fact(number: u32) -> Fact {
        let mut bytes = [0; FACT_BYTES];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Fact(bytes)
    }

    fn memory(began: Moment, earlier: Option<&[u8]>) -> Memory {
        Memory::with(Some(Look::at(began)), earlier)
    }

    /// A memory of these facts, as bytes.
    fn written(facts: &[u32]) -> Vec<u8> {
        let memory = memory(NOW, None);
        memory.settled.set(true).unwrap();
        facts.iter().for_each(|number| memory.learn(fact(*number)));
        memory.encode().unwrap()
    }

    proptest! {
        #[test]
        fn facts_survive_the_round_trip(facts in prop::collection::btree_set(any::<u32>(), 1..40)) {
            let facts: Vec<u32> = facts.into_iter().collect();
            let again = memory(NOW, Some(&written(&facts)));
            prop_assert!(facts.iter().all(|number| again.knows(fact(*number))));
            prop_assert!(again.encode().is_none(), "all is as it was");
            prop_assert!(!again.knows(Fact([255; FACT_BYTES])));
        }

        /// Whatever bit a disk spoils, and wherever it cuts: no fact is known then that was not learned.
        #[test]
        fn a_spoilt_memory_counts_as_none(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
            let mut bytes = written(&[1, 2, 3]);
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << bit;
            }
            prop_assert!(memory(NOW, Some(&bytes)).known.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let hash = blake2b(&[&bytes]);
            let _ = decode(&bytes);
            let _ = decode(&[&hash[..], &bytes].concat());
        }
    }

    #[test]
    fn nothing_is_learned_before_the_disk_has_written_back() {
        let early = memory(NOW, None);
        early.learn(fact(1));
        assert!(early.encode().is_none());
        let late = memory(NOW, Some(&written(&[1, 2])));
        late.settled.set(false).unwrap();
        assert!(late.knows(fact(1)));
        late.learn(fact(3));
        let bytes = late.encode().unwrap();
        let again = memory(NOW, Some(&bytes));
        assert_eq!(
            again.known,
            HashSet::from([fact(1)]),
            "what was not met is not kept"
        );
    }

    #[test]
    fn facts_of_another_run_of_the_system_are_forgotten() {
        let bytes = written(&[1]);
        let later = Moment { boot: [2; 16], ..NOW };
        assert!(!memory(later, Some(&bytes)).knows(fact(1)));
        let set_back = Moment {
            clock: NOW.clock - 3_000_000_000,
            ..NOW
        };
        assert!(!memory(set_back, Some(&bytes)).knows(fact(1)));
        assert!(
            Memory::with(None, Some(&bytes)).known.is_empty(),
            "nothing to rely upon"
        );
    }

    #[test]
    fn a_memory_is_bounded() {
        let full = memory(NOW, None);
        full.settled.set(true).unwrap();
        (0..MAX_FACTS as u32 + 10).for_each(|number| full.learn(fact(number)));
        let bytes = full.encode().unwrap();
        assert!(bytes.len() <= MAX_FACTS * FACT_BYTES + 128);
        assert_eq!(memory(NOW, Some(&bytes)).known.len(), MAX_FACTS);
    }
}
