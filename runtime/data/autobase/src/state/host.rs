//! What the app does while a step is applied: it lets writers in and out, and appends to its views, which then get their names.

use hypercore::manifest::{Manifest, Prologue};

use super::apply::{Apply, Stage};
use super::step::Naming;
use super::system::Unknown;
use crate::order::Linearizer;
use crate::views::Signers;
use crate::{Head, Key};

impl Apply {
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
        // If too many are followed, it is a member all the same, and will be followed when the base is opened anew.
        let _ = linearizer.follow(head, false);
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

    /// The app is done with the nodes of [`Step::Apply`](super::Step::Apply): the views, in the order they were given in, have these lengths.
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
    pub(super) fn naming(&self) -> Option<Naming> {
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

    /// The answer to [`Step::NameViews`](super::Step::NameViews): the manifests of the indexers' logs, and the tree hashes of the views that were named.
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
}
