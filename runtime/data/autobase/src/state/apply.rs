//! The state machine that applies an order.

use std::collections::VecDeque;

use hypercore::manifest::{Manifest, Prologue};

use super::system::{Put, System, Unknown, ViewAt};
use crate::dag::NodeId;
use crate::messages::{Info, Member};
use crate::order::{Linearizer, Ordered, Update};
use crate::views::{Signers, ViewKeys};
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
    /// Cut the system core to this length, and tell [`Apply::cut`] the state that its last block has.
    Cut {
        /// The length in blocks.
        system_length: u64,
    },
    /// Cut views, by their numbers, to these lengths.
    CutViews(Vec<(usize, u64)>),
    /// Read these members from the system core's bee, and tell [`Apply::learn`].
    Learn(Vec<Key>),
    /// Give these nodes' values to the app, then tell [`Apply::applied`].
    Apply(Vec<ApplyNode>),
    /// Tell [`Apply::named`] what these are.
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
    /// Other indexers stand from there on: go on with [`Apply::rebooted`].
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

#[derive(Debug)]
struct View {
    name: String,
    at: ViewAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Undo,
    Cutting { system_length: u64 },
    CutViews,
    Refresh,
    Nodes,
    Applying,
    Naming,
    Flushing,
    Finished,
}

/// An update on its way.
#[derive(Debug)]
struct Run {
    /// What stands from now on, and then the tip.
    nodes: Vec<NodeId>,
    indexed: usize,
    undo: usize,
    /// The next of `nodes`.
    next: usize,
    /// Nodes of the present step so far.
    batch: u64,
    values: Vec<ApplyNode>,
    /// The last node of the present step.
    last: Option<(Head, bool)>,
    /// How many nodes stand with the step that changed the indexers; 0: none did.
    indexers_at: usize,
    /// Writers whose oldest nodes stand and are done with, once for each batch. Until the end: what comes later may depend on them.
    settled: Vec<Key>,
    stage: Stage,
}

/// Applies one update after the other.
#[derive(Debug)]
pub struct Apply {
    base: Key,
    keys: ViewKeys,
    manifest_version: u8,
    system: System,
    indexed_length: u64,
    updates: VecDeque<Applied>,
    views: Vec<View>,
    run: Option<Run>,
}

impl Apply {
    /// For a base as it was left.
    pub fn new(base: Base, left: Left) -> Self {
        let Left {
            info,
            length,
            indexed_length,
            updates,
            views,
        } = left;
        let Base {
            key: base,
            keys,
            manifest_version,
        } = base;
        let view = |(name, mapped): (String, Option<usize>)| {
            let head = mapped.and_then(|place| info.views.get(place));
            View {
                name,
                at: ViewAt {
                    key: head.map_or(Key([0; 32]), |head| head.key),
                    length: head.map_or(0, |head| head.length),
                    mapped: mapped.filter(|_| head.is_some()),
                },
            }
        };
        Self {
            base,
            keys,
            manifest_version,
            views: views.into_iter().map(view).collect(),
            system: System::new(info, length),
            indexed_length,
            updates: updates.into(),
            run: None,
        }
    }

    /// The state, the present step included.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Length of the system core up to which it stands for good.
    pub fn indexed_length(&self) -> u64 {
        self.indexed_length
    }

    /// The steps behind what stands.
    pub fn updates(&self) -> impl Iterator<Item = &Applied> {
        self.updates.iter()
    }

    /// Each view with its length, and its place among the system core's.
    pub fn views(&self) -> impl Iterator<Item = (&str, u64, Option<usize>)> {
        let views = self.views.iter();
        views.map(|view| (view.name.as_str(), view.at.length, view.at.mapped))
    }

    /// Takes up an update of that linearizer. What was begun before has to be done.
    pub fn begin(&mut self, linearizer: &Linearizer, update: Update) {
        let Update {
            shared,
            undo,
            indexed,
        } = update;
        let standing = indexed.len();
        let nodes: Vec<NodeId> = indexed.iter().chain(linearizer.tip()).copied().collect();
        let mut run = Run {
            nodes,
            indexed: standing,
            undo,
            next: shared,
            batch: 0,
            values: Vec::new(),
            last: None,
            indexers_at: 0,
            settled: Vec::new(),
            stage: Stage::Undo,
        };
        // Of what stands now, some was applied before.
        let mut updates = self.updates.iter();
        for (place, id) in (1..).zip(run.nodes.iter().take(standing.min(shared))) {
            let Some(node) = linearizer.node(*id).filter(|node| node.batch <= 1) else {
                continue;
            };
            run.settled.push(node.at.key);
            if updates.next().is_some_and(|update| update.indexers) {
                run.indexers_at = place;
                break;
            }
        }
        self.run = Some(run);
    }

    /// What is to be done next, the same again until it is answered.
    pub fn next(&mut self, linearizer: &mut Linearizer) -> Step {
        loop {
            let Some(run) = &self.run else {
                return self.done(false);
            };
            match run.stage {
                Stage::Undo => {
                    let stage = self.undo();
                    self.stage(stage);
                }
                Stage::Cutting { system_length } => return Step::Cut { system_length },
                Stage::CutViews => {
                    self.stage(Stage::Refresh);
                    let lengths = self.views.iter().map(|view| view.at.length).enumerate();
                    return Step::CutViews(lengths.collect());
                }
                Stage::Refresh => {
                    if let Err(unknown) = self.refresh(linearizer) {
                        return Step::Learn(unknown);
                    }
                    self.stage(Stage::Nodes);
                }
                Stage::Nodes => match self.next_node(linearizer) {
                    Ok(stage) => self.stage(stage),
                    Err(unknown) => return Step::Learn(unknown),
                },
                Stage::Applying => return Step::Apply(run.values.clone()),
                Stage::Naming => match self.naming() {
                    Some(naming) => return Step::NameViews(naming),
                    None => self.stage(Stage::Flushing),
                },
                Stage::Flushing => {
                    let unknown = self.system.unknown();
                    if !unknown.is_empty() {
                        return Step::Learn(unknown);
                    }
                    match self.flush() {
                        Ok(puts) => return Step::Put(puts),
                        Err(Unknown(key)) => return Step::Learn(vec![key]),
                    }
                }
                Stage::Finished => return self.finish(linearizer),
            }
        }
    }

    fn stage(&mut self, stage: Stage) {
        if let Some(run) = &mut self.run {
            run.stage = stage;
        }
    }

    fn done(&self, reboot: bool) -> Step {
        Step::Done(Done {
            indexed_length: self.indexed_length,
            reboot,
        })
    }

    /// Forgets the steps that are undone.
    fn undo(&mut self) -> Stage {
        let mut undo = self.run.as_ref().map_or(0, |run| run.undo as u64);
        while undo > 0 {
            let Some(update) = self.updates.pop_back() else {
                break;
            };
            undo = undo.saturating_sub(update.batch);
        }
        let last = self.updates.back();
        let system_length = last.map_or(self.indexed_length, |update| update.system_length);
        if system_length == self.system.length() {
            self.bootstrap();
            Stage::Nodes
        } else {
            Stage::Cutting { system_length }
        }
    }

    /// The answer to [`Step::Cut`]: the state that the system core has now ([`Info::default`] if it is empty).
    pub fn cut(&mut self, info: Info) {
        if let Some(Run {
            stage: Stage::Cutting { system_length },
            ..
        }) = self.run
        {
            self.reset(info, system_length);
            self.bootstrap();
            self.stage(Stage::CutViews);
        }
    }

    /// The first writer of a base is a member from the first step on.
    fn bootstrap(&mut self) {
        if self.system.is_fresh() {
            // Nobody is a member: there is nothing that could be unknown but in a system core that is not one.
            let _ = self.system.add(self.base, true);
        }
    }

    fn reset(&mut self, info: Info, system_length: u64) {
        for View { at, .. } in &mut self.views {
            match at.mapped.and_then(|place| info.views.get(place)) {
                Some(head) => (at.key, at.length) = (head.key, head.length),
                None => (at.length, at.mapped) = (0, None),
            }
        }
        self.system = System::new(info, system_length);
    }

    /// Goes on after other indexers stand: what does not stand is undone, and `info` is the state that does. Answer
    /// [`views`](Self::views) by cutting them to their lengths, and the system core to [`indexed_length`](Self::indexed_length).
    pub fn rebooted(&mut self, info: Info) {
        self.updates.clear();
        self.run = None;
        let length = self.indexed_length;
        self.reset(info, length);
    }

    /// What the system core's bee has of a member; an answer to [`Step::Learn`].
    pub fn learn(&mut self, writer: Key, stored: Option<Member>) {
        self.system.learn(writer, stored);
    }

    /// Who is removed follows from the state.
    fn refresh(&self, linearizer: &mut Linearizer) -> Result<(), Vec<Key>> {
        let followed: Vec<Key> = linearizer.followed().collect();
        let (mut removed, mut unknown) = (Vec::new(), Vec::new());
        for key in &followed {
            match self.system.member(key) {
                Ok(Some(member)) => removed.push(member.is_removed),
                Ok(None) => removed.push(!(self.system.length() == 0 && *key == self.base)),
                Err(Unknown(key)) => unknown.push(key),
            }
        }
        if !unknown.is_empty() {
            return Err(unknown);
        }
        for (key, removed) in followed.iter().zip(removed) {
            linearizer.set_removed(key, removed);
        }
        Ok(())
    }

    /// Takes in nodes up to the end of a step. `Err` names members that have to be known first.
    fn next_node(&mut self, linearizer: &Linearizer) -> Result<Stage, Vec<Key>> {
        let Some(run) = &mut self.run else {
            return Ok(Stage::Finished);
        };
        while let Some(id) = run.nodes.get(run.next).copied() {
            let indexed = run.next < run.indexed;
            let Some(node) = linearizer.node(id) else {
                run.next += 1;
                continue;
            };
            if node.is_removed && !node.is_indexer {
                // Others may link it: it has its place, and says nothing.
                run.next += 1;
                run.batch += 1;
                if node.batch <= 1 {
                    self.updates.push_back(Applied {
                        at: node.at,
                        batch: std::mem::take(&mut run.batch),
                        system_length: self.system.length(),
                        indexers: false,
                    });
                    if indexed {
                        run.settled.push(node.at.key);
                    }
                }
                continue;
            }
            take_in(&mut self.system, linearizer, id, &node)?;
            run.next += 1;
            run.batch += 1;
            if node.has_value && !node.is_removed {
                run.values.push(ApplyNode {
                    at: node.at,
                    heads: node.heads.to_vec(),
                    indexed,
                });
            }
            if node.batch > 1 {
                continue;
            }
            run.last = Some((node.at, indexed));
            return Ok(if run.values.is_empty() {
                Stage::Naming
            } else {
                Stage::Applying
            });
        }
        Ok(Stage::Finished)
    }

    /// Of a host call: lets a writer in, or changes whether it indexes.
    ///
    /// # Errors
    /// [`Unknown`]: [`learn`](Self::learn) of it, and call again.
    pub fn add_writer(
        &mut self,
        linearizer: &mut Linearizer,
        writer: Key,
        is_indexer: bool,
    ) -> Result<(), Unknown> {
        let length = self.system.add(writer, is_indexer)?;
        let head = Head { key: writer, length };
        if let Err(error) = linearizer.follow(head, false) {
            // It is a member all the same, and will be followed by whoever opens the base anew.
            debug_assert!(matches!(error, crate::Refused::TooManyWriters));
        }
        linearizer.set_removed(&writer, false);
        Ok(())
    }

    /// Of a host call: takes a writer's right to write. False if it is the last indexer, which stays.
    ///
    /// # Errors
    /// [`Unknown`]: [`learn`](Self::learn) of it, and call again.
    pub fn remove_writer(&mut self, linearizer: &mut Linearizer, writer: Key) -> Result<bool, Unknown> {
        if !self.system.is_removable(&writer) {
            return Ok(false);
        }
        self.system.remove(writer)?;
        linearizer.set_removed(&writer, true);
        Ok(true)
    }

    /// Of a host call: takes note of how much a writer wrote.
    ///
    /// # Errors
    /// [`Unknown`]: [`learn`](Self::learn) of it, and call again.
    pub fn ack_writer(&mut self, writer: Key) -> Result<(), Unknown> {
        self.system.acknowledge(writer)
    }

    /// The app is done with the nodes of [`Step::Apply`]: the views, in the order they were given in, have these lengths.
    pub fn applied(&mut self, lengths: &[u64]) {
        let Some(run) = self.run.as_mut().filter(|run| run.stage == Stage::Applying) else {
            return;
        };
        for (view, length) in self.views.iter_mut().zip(lengths) {
            view.at.length = *length;
        }
        run.values.clear();
        run.stage = Stage::Naming;
    }

    /// Which views need a name: all when the indexers changed, else those that got their first blocks.
    fn naming(&self) -> Option<Naming> {
        let all = self.system.indexers_changed();
        let views: Vec<(usize, u64)> = self
            .views
            .iter()
            .enumerate()
            .filter(|(_, view)| all || (view.at.mapped.is_none() && view.at.length > 0))
            .map(|(number, view)| (number, view.at.length))
            .collect();
        let indexers = self.system.info().indexers.iter().map(|head| head.key);
        (!views.is_empty()).then(|| Naming {
            indexers: indexers.collect(),
            views,
        })
    }

    /// The answer to [`Step::NameViews`]: the manifests of the indexers' logs, and the tree hashes of the views that were named.
    pub fn named(&mut self, manifests: &[Manifest], hashes: &[[u8; 32]]) {
        let Some(naming) = self.naming() else { return };
        let all = self.system.indexers_changed();
        let entropy = self.system.next_entropy();
        let signers = Signers {
            manifests,
            entropy: if all { entropy } else { self.system.info().entropy },
            version: self.manifest_version,
        };
        for ((number, length), hash) in naming.views.into_iter().zip(hashes) {
            let Some(view) = self.views.get_mut(number) else {
                continue;
            };
            // One that was empty when the indexers changed began in their core with nothing.
            let prologue = Prologue { hash: *hash, length };
            let prologue = Some(prologue).filter(|_| all);
            let manifest = self.keys.manifest(&signers, &view.name, prologue, &[], None);
            view.at.key = manifest.key();
        }
        self.stage(Stage::Flushing);
    }

    fn flush(&mut self) -> Result<Vec<Put>, Unknown> {
        let indexers = self.system.indexers_changed();
        let mut views: Vec<ViewAt> = self.views.iter().map(|view| view.at.clone()).collect();
        let puts = self.system.flush(&mut views)?;
        for (view, at) in self.views.iter_mut().zip(views) {
            view.at = at;
        }
        if let Some(run) = &mut self.run {
            run.stage = Stage::Nodes;
            let batch = std::mem::take(&mut run.batch);
            if let Some((at, indexed)) = run.last.take() {
                self.updates.push_back(Applied {
                    at,
                    batch,
                    system_length: self.system.length(),
                    indexers,
                });
                if indexed && run.indexers_at == 0 {
                    run.settled.push(at.key);
                    if indexers {
                        run.indexers_at = run.next;
                    }
                }
            }
        }
        Ok(puts)
    }

    fn finish(&mut self, linearizer: &mut Linearizer) -> Step {
        let Some(run) = self.run.take() else {
            return self.done(false);
        };
        let reboot = run.indexers_at != 0;
        let mut standing = if reboot { run.indexers_at } else { run.indexed } as u64;
        while standing > 0 {
            let Some(update) = self.updates.pop_front() else {
                break;
            };
            standing = standing.saturating_sub(update.batch);
            self.indexed_length = update.system_length;
        }
        for writer in &run.settled {
            linearizer.shift(writer);
        }
        self.done(reboot)
    }
}

/// Takes a node into the state, after those of removed writers that it links.
fn take_in(
    system: &mut System,
    linearizer: &Linearizer,
    id: NodeId,
    node: &Ordered<'_>,
) -> Result<(), Vec<Key>> {
    let causal = linearizer.causal(id);
    let before: Vec<Ordered<'_>> = causal
        .iter()
        .skip(1)
        .filter_map(|id| linearizer.node(*id))
        .collect();
    let unknown: Vec<Key> = before
        .iter()
        .filter(|link| system.is_new(&link.at).is_err())
        .map(|link| link.at.key)
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    for link in before.iter().rev() {
        if system.is_new(&link.at) == Ok(true) {
            system.add_head(link.at, link.heads);
        }
    }
    system.add_head(node.at, node.heads);
    Ok(())
}
