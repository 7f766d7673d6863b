//! The state machine that applies an order.

use std::collections::VecDeque;

use super::step::{Applied, ApplyNode, Base, Done, Left, Step};
use super::system::{Put, System, Unknown, ViewAt};
use crate::dag::NodeId;
use crate::messages::{Info, Member};
use crate::order::{Linearizer, Ordered, Update};
use crate::views::ViewKeys;
use crate::{Head, Key};

#[derive(Debug)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) at: ViewAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
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
pub(super) struct Run {
    /// What stands from now on, and then the tip.
    nodes: Vec<NodeId>,
    indexed: usize,
    undo: usize,
    /// The next of `nodes`.
    next: usize,
    /// Nodes of the present step so far.
    batch: u64,
    pub(super) values: Vec<ApplyNode>,
    /// The last node of the present step.
    last: Option<(Head, bool)>,
    /// How many nodes stand with the step that changed the indexers; 0: none did.
    indexers_at: usize,
    /// Writers whose oldest nodes stand and are done with, once for each batch. Until the end: what comes later may depend on them.
    settled: Vec<Key>,
    pub(super) stage: Stage,
}

/// Applies one update after the other.
#[derive(Debug)]
pub struct Apply {
    base: Key,
    pub(super) keys: ViewKeys,
    pub(super) manifest_version: u8,
    pub(super) system: System,
    indexed_length: u64,
    updates: VecDeque<Applied>,
    pub(super) views: Vec<View>,
    pub(super) run: Option<Run>,
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

    pub(super) fn stage(&mut self, stage: Stage) {
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
