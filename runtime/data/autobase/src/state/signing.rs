//! What indexers' logs say of what stands (the checkpoint cores of npm `autobase` lib/apply-state.js): signatures over the system core and the
//! views, and which system core they are at. A block says what is new and points back for the rest.
//!
//! Nothing is signed here and no signature is checked: that takes keys and trees. A signature covers
//! [`signable`](hypercore::signature::signable) of the view's key, its tree hash and length, at fork 0. It is over the core that the writer
//! was at; when the indexers change with the very node that is being written, the node names the next one already, and its signatures
//! do not verify under that.

use std::collections::BTreeMap;

use crate::Key;
use crate::constants::MAX_VIEWS;
use crate::messages::{Checkpoint, Checkpointer, Digest, IndexCheckpoint, Info, OplogMessage};

/// A signature, and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The signature, and the length it covers.
    pub by: IndexCheckpoint,
    /// The number of the node in the log that has it.
    at: u64,
}

/// The newest signatures of one indexer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signatures {
    /// How much of the log was read.
    read: u64,
    digest: Option<(Key, u64)>,
    /// Over the system core.
    pub system: Option<Signed>,
    /// Over the core of encryption keys.
    pub encryption: Option<Signed>,
    /// Over the app's views, in the order in which the system core lists them.
    pub user: Vec<Option<Signed>>,
}

/// Which blocks of a log say what another points to, by their numbers.
fn back(at: u64, by: u64) -> Option<u64> {
    at.checked_sub(by).filter(|earlier| *earlier > 0)
}

impl Signatures {
    /// The system core that the indexer is at.
    pub fn system_key(&self) -> Option<Key> {
        self.digest.map(|(key, _)| key)
    }

    /// How much of the system core it signed.
    pub fn signed_length(&self) -> u64 {
        self.system.as_ref().map_or(0, |signed| signed.by.length)
    }

    fn all(&self) -> impl Iterator<Item = &Signed> {
        let internal = [&self.system, &self.encryption];
        internal.into_iter().chain(&self.user).flatten()
    }

    /// The numbers of the earlier nodes that are needed to understand node `at`, the newest of the log: those that it points to and that
    /// were not read before.
    pub fn wanted(&self, at: u64, message: &OplogMessage) -> Vec<u64> {
        let mut wanted = Vec::new();
        let mut want = |pointer: u64, known: bool| {
            if let Some(earlier) = back(at, pointer).filter(|_| pointer > 0 && !known) {
                wanted.push(earlier);
            }
        };
        if let Some(digest) = &message.digest {
            let known = self.digest.map(|(_, known)| known);
            want(digest.pointer, known == back(at, digest.pointer));
        }
        for one in message.checkpoint.iter().flat_map(checkpointers) {
            if one.checkpoint.is_none() {
                let earlier = back(at, one.checkpointer);
                let known = self.all().any(|signed| Some(signed.at) == earlier);
                want(one.checkpointer, known);
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Takes over what node `at` of the log says; `earlier` has the nodes that were [wanted](Self::wanted). False if it says nothing new,
    /// or points to what is not there: then all stays as it was.
    pub fn take(&mut self, at: u64, message: &OplogMessage, earlier: &BTreeMap<u64, OplogMessage>) -> bool {
        if at <= self.read {
            return false;
        }
        let Some(digest) = message
            .digest
            .as_ref()
            .and_then(|digest| self.digest_of(at, digest, earlier))
        else {
            return false;
        };
        let mut next = Self {
            read: at,
            digest: Some(digest),
            ..Self::default()
        };
        if let Some(checkpoint) = &message.checkpoint {
            let find = |known: Option<&Signed>,
                        one: Option<&Checkpointer>,
                        of: &dyn Fn(&Checkpoint) -> Option<IndexCheckpoint>| {
                signed_of(at, known, one?, earlier, of)
            };
            next.system = find(self.system.as_ref(), checkpoint.system.as_ref(), &|one| {
                one.system.as_ref()?.checkpoint.clone()
            });
            next.encryption = find(self.encryption.as_ref(), checkpoint.encryption.as_ref(), &|one| {
                one.encryption.as_ref()?.checkpoint.clone()
            });
            let user = checkpoint.user.iter().flatten().take(MAX_VIEWS).enumerate();
            next.user = user
                .map(|(number, one)| {
                    let known = self.user.get(number).and_then(Option::as_ref);
                    find(known, Some(one), &|one| {
                        one.user.as_ref()?.get(number)?.checkpoint.clone()
                    })
                })
                .collect();
        }
        *self = next;
        true
    }

    fn digest_of(
        &self,
        at: u64,
        digest: &Digest,
        earlier: &BTreeMap<u64, OplogMessage>,
    ) -> Option<(Key, u64)> {
        if digest.pointer == 0 {
            return Some((digest.key?, at));
        }
        let place = back(at, digest.pointer)?;
        if let Some(known) = self.digest.filter(|(_, known)| *known == place) {
            return Some(known);
        }
        Some((earlier.get(&place)?.digest.as_ref()?.key?, place))
    }

    /// Signatures of our own, which node `at` will have; those of views that have none new stay.
    pub fn sign(
        &mut self,
        at: u64,
        system: IndexCheckpoint,
        encryption: IndexCheckpoint,
        user: Vec<Option<IndexCheckpoint>>,
    ) {
        let signed = |by| Some(Signed { by, at });
        self.system = signed(system);
        self.encryption = signed(encryption);
        let before = std::mem::take(&mut self.user);
        let mut before = before.into_iter();
        let merge = |new: Option<IndexCheckpoint>| {
            before
                .next()
                .flatten()
                .filter(|_| new.is_none())
                .or(new.and_then(signed))
        };
        self.user = user.into_iter().map(merge).collect();
    }

    /// What node `at` of our own log says of signatures.
    pub fn checkpoint(&self, at: u64) -> Checkpoint {
        let one = |signed: &Signed| Checkpointer {
            checkpointer: at.saturating_sub(signed.at),
            checkpoint: (at == signed.at).then(|| signed.by.clone()),
        };
        let user: Vec<Checkpointer> = self.user.iter().flatten().map(one).collect();
        Checkpoint {
            system: self.system.as_ref().map(one),
            encryption: self.encryption.as_ref().map(one),
            user: (!user.is_empty()).then_some(user),
        }
    }

    /// What node `at` of our own log says of the system core we are at.
    pub fn digest(&mut self, at: u64, system: Key) -> Digest {
        if let Some((_, said)) = self.digest.filter(|(key, _)| *key == system) {
            return Digest {
                pointer: at.saturating_sub(said),
                key: None,
            };
        }
        self.digest = Some((system, at));
        Digest {
            pointer: 0,
            key: Some(system),
        }
    }

    /// Whether we, an indexer, should write although nothing else is to be said: views stand further than we signed. `info` is the state
    /// that stands.
    pub fn are_due(&self, info: &Info) -> bool {
        if info.views.is_empty() {
            return false;
        }
        let length = |signed: &Option<Signed>| signed.as_ref().map_or(0, |signed| signed.by.length);
        let behind =
            |(number, view): (usize, &crate::Head)| self.user.get(number).map_or(0, length) < view.length;
        let encryption = info.encryption_length;
        info.views.len() > self.user.len()
            || info.views.iter().enumerate().any(behind)
            || (encryption > 0 && length(&self.encryption) < encryption)
    }
}

fn checkpointers(checkpoint: &Checkpoint) -> impl Iterator<Item = &Checkpointer> {
    let internal = [&checkpoint.system, &checkpoint.encryption];
    internal
        .into_iter()
        .flatten()
        .chain(checkpoint.user.iter().flatten())
}

fn signed_of(
    at: u64,
    known: Option<&Signed>,
    one: &Checkpointer,
    earlier: &BTreeMap<u64, OplogMessage>,
    of: &dyn Fn(&Checkpoint) -> Option<IndexCheckpoint>,
) -> Option<Signed> {
    if let Some(by) = &one.checkpoint {
        return Some(Signed { by: by.clone(), at });
    }
    let place = back(at, one.checkpointer)?;
    if let Some(known) = known.filter(|known| known.at == place) {
        return Some(known.clone());
    }
    let by = of(earlier.get(&place)?.checkpoint.as_ref()?)?;
    Some(Signed { by, at: place })
}

/// What the indexers' signatures allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quorum {
    /// Nothing new.
    Nothing,
    /// A quorum signed more than stands here yet.
    Ahead,
    /// A quorum is at another system core than this.
    Elsewhere(Key),
    /// The first `length` blocks of the system core, and the views as they were then, are signed by these of the indexers.
    Signed {
        /// The length.
        length: u64,
        /// The numbers of the indexers.
        signers: Vec<usize>,
    },
}

/// What a quorum of `all` signed, each the signatures of the indexer of that number among the system core's signers. `system` is that core,
/// `signed_length` what is signed of it already, `indexed_length` what stands here.
pub fn quorum(
    all: &[Signatures],
    quorum: usize,
    system: Key,
    signed_length: u64,
    indexed_length: u64,
) -> Quorum {
    let mut sorted: Vec<(usize, &Signatures)> = all.iter().enumerate().collect();
    sorted.sort_by_key(|(_, signatures)| signatures.signed_length());
    let Some(spare) = sorted.len().checked_sub(quorum).filter(|_| quorum > 0) else {
        return Quorum::Nothing;
    };
    let signers = sorted.get(spare..).unwrap_or_default();
    let length = signers.first().map_or(0, |(_, first)| first.signed_length());
    if length <= signed_length {
        return Quorum::Nothing;
    }
    let elsewhere = || {
        let mut tally: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for signatures in all.iter().filter(|one| one.signed_length() > signed_length) {
            let Some(key) = signatures.system_key().filter(|key| *key != system) else {
                continue;
            };
            let count = tally.entry(key.0).or_default();
            *count += 1;
            if *count >= quorum {
                return Some(Quorum::Elsewhere(key));
            }
        }
        None
    };
    let agree = |(_, one): &(usize, &Signatures)| one.system_key() == Some(system);
    if length > indexed_length {
        let strange = signers.first().is_some_and(|first| !agree(first));
        return strange.then(elsewhere).flatten().unwrap_or(Quorum::Ahead);
    }
    if !signers.iter().all(agree) {
        return elsewhere().unwrap_or(Quorum::Nothing);
    }
    // Whoever signed more than stands here has signatures that cannot be checked yet.
    if signers
        .iter()
        .any(|(_, one)| one.signed_length() > indexed_length)
    {
        return Quorum::Ahead;
    }
    Quorum::Signed {
        length,
        signers: signers.iter().map(|(number, _)| *number).collect(),
    }
}
