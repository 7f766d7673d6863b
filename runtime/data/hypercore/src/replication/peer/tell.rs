//! What a peer is told of our side: head, blocks that came or went, and what it asks about.

use tokio::sync::broadcast::error::TryRecvError;

use super::{Peer, PeerError};
use crate::CoreEvent;
use crate::merkle::full_roots;
use crate::messages::{self, Range, Sync, Want, kind};
use crate::storage::lock;

/// Blocks that one bitfield message tells of.
const BITFIELD_SPAN: u64 = 32_768 * 8;

impl Peer {
    /// The peer asks what we hold.
    pub(super) fn on_want(&mut self, want: Want) {
        let (length, contiguous) = (self.core.length(), self.core.contiguous_length());
        if self.remote_wants.len() < 64 {
            self.remote_wants.push((want.start, want.length));
        }
        let end = want.start.saturating_add(want.length).min(length);
        if contiguous == length || end <= contiguous {
            self.send_range(false, 0, contiguous);
            return;
        }
        let mut start = want.start / 32 * 32;
        while start < end {
            let span = BITFIELD_SPAN.min(end - start);
            let words = lock(&self.core.shared.state).bitfield.words(start, span);
            if !words.is_empty() {
                self.outgoing
                    .push_back((kind::BITFIELD, messages::encode_bitfield(start, &words)));
            }
            start += span.next_multiple_of(32);
        }
    }

    /// Tells our state if it is not what we told last.
    pub(super) fn tell_sync(&mut self) -> Result<(), PeerError> {
        let (fork, length, has_manifest) = {
            let state = lock(&self.core.shared.state);
            let compat = state
                .manifest
                .as_ref()
                .is_some_and(|manifest| manifest.is_compat(&self.core.key()));
            (
                state.tree.fork,
                state.tree.length,
                state.manifest.is_some() && !compat,
            )
        };
        let same_fork = fork == self.remote.fork;
        let remote_length = if same_fork { self.remote.length } else { 0 };
        // Once the upgrade from that length can be proved it stays so: stored nodes are not looked up again.
        let proved = self.told.is_some_and(|told| {
            told.can_upgrade && (told.fork, told.length, told.remote_length) == (fork, length, remote_length)
        });
        let can_upgrade =
            same_fork && (remote_length == 0 || proved || self.can_upgrade_from(remote_length, length)?);
        let sync = Sync {
            fork,
            length,
            remote_length,
            can_upgrade,
            uploading: true,
            downloading: true,
            has_manifest,
            allow_push: false,
        };
        // A length we need not confirm is no news.
        let confirm = self.remote.length > 0 || !self.synced;
        let news = self.told.is_none_or(|told| {
            Sync {
                remote_length: sync.remote_length,
                ..told
            } != sync
        }) || (confirm
            && self
                .told
                .is_some_and(|told| told.remote_length != sync.remote_length));
        if news {
            self.told = Some(sync);
            self.outgoing.push_back((kind::SYNC, sync.encode()));
        }
        Ok(())
    }

    /// Whether we hold the roots of the shorter tree, without which the upgrade from it cannot be proved.
    fn can_upgrade_from(&self, from: u64, length: u64) -> Result<bool, PeerError> {
        if from >= length {
            return Ok(false);
        }
        for root in full_roots(from) {
            if self.core.missing_nodes(root)? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn send_range(&mut self, drop: bool, start: u64, length: u64) {
        if length > 0 {
            let range = Range { drop, start, length };
            self.outgoing.push_back((kind::RANGE, range.encode()));
        }
    }

    /// Tells of blocks that came or went.
    pub(super) fn tell_blocks(&mut self) {
        let contiguous = self.core.contiguous_length();
        let mut single = Vec::new();
        loop {
            match self.events.try_recv() {
                Ok(CoreEvent::Truncate { length, .. }) => {
                    if self.told_contiguous > length {
                        self.send_range(true, length, self.told_contiguous - length);
                        self.told_contiguous = length;
                    }
                    self.seen_length = self.seen_length.min(length);
                }
                // What was appended here is told at once: the blocks before may be missing, so that it never becomes a part
                // of the contiguous length.
                Ok(CoreEvent::Append { length }) => {
                    let start = std::mem::replace(&mut self.seen_length, length);
                    if start > contiguous && start < length && self.core.has_range(start, length) {
                        self.send_range(false, start, length - start);
                    }
                }
                Ok(CoreEvent::Download { index, .. }) if index >= contiguous => {
                    let asked = self
                        .remote_wants
                        .iter()
                        .any(|(start, length)| index.checked_sub(*start).is_some_and(|at| at < *length));
                    if asked && !self.remote_has(index) && self.core.has(index) {
                        single.push(index);
                    }
                }
                Ok(_) => {}
                Err(TryRecvError::Lagged(_)) => {
                    for (start, length) in std::mem::take(&mut self.remote_wants) {
                        self.on_want(Want {
                            start,
                            length,
                            any: false,
                        });
                    }
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        for index in single {
            self.send_range(false, index, 1);
        }
        if contiguous < self.told_contiguous {
            self.send_range(true, contiguous, self.told_contiguous - contiguous);
            self.told_contiguous = contiguous;
        } else if contiguous > self.told_contiguous {
            // A peer that holds them all does not care to hear of every single one.
            let complete = contiguous == self.core.length();
            if complete || self.remote_contiguous < contiguous {
                self.send_range(false, 0, contiguous);
                self.told_contiguous = contiguous;
            }
        }
    }
}
