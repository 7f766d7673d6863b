//! What a peer is told of our side: head, blocks that came or went, and what it asks about.

use super::super::action::{Action, Head, Job, View};
use super::Peer;
use crate::messages::{self, Range, Sync, kind};

/// Blocks that one bitfield message tells of.
const BITFIELD_SPAN: u64 = 32_768 * 8;

impl Peer {
    /// Answers what the peer asked about, for about `budget` bytes; returns what is left of them.
    pub(super) fn tell_wants(&mut self, head: &Head, mut budget: usize, view: &mut impl View) -> usize {
        while budget > 0
            && let Some((start, length)) = self.theirs.next_asked()
        {
            let end = start.saturating_add(length).min(head.length);
            if head.contiguous == head.length || end <= head.contiguous {
                self.send_range(false, 0, head.contiguous);
                budget = budget.saturating_sub(16);
                continue;
            }
            let mut at = start / 32 * 32;
            while at < end && budget > 0 {
                let span = BITFIELD_SPAN.min(end - at);
                let words = view.words(at, span);
                // Looking costs as much as telling.
                budget = budget.saturating_sub(64 + span as usize / 8);
                if !words.is_empty() {
                    self.send(kind::BITFIELD, messages::encode_bitfield(at, &words));
                }
                at += span.next_multiple_of(32);
            }
            if at < end {
                self.theirs.put_back(at, end - at);
            }
        }
        budget
    }

    /// Tells our state if it is not what we told last.
    pub(super) fn tell_sync(&mut self, head: &Head) {
        let theirs = *self.theirs.sync();
        let same_fork = head.fork == theirs.fork;
        let remote_length = if same_fork { theirs.length } else { 0 };
        let can_upgrade = match (same_fork, remote_length) {
            (false, _) => false,
            (true, 0) => true,
            (true, from) if from >= head.length => false,
            (true, from) => match self.reaches(head, from) {
                Some(reaches) => reaches,
                None => return, // Told once the store has answered.
            },
        };
        let sync = Sync {
            fork: head.fork,
            length: head.length,
            remote_length,
            can_upgrade,
            uploading: self.uploading,
            downloading: true,
            has_manifest: head.has_manifest,
            allow_push: false,
        };
        // A length we need not confirm is no news.
        let confirm = theirs.length > 0 || !self.theirs.is_synced();
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
            self.send(kind::SYNC, sync.encode());
        }
    }

    /// Whether the upgrade from length `from` can be proved; `None` while the store is asked.
    fn reaches(&mut self, head: &Head, from: u64) -> Option<bool> {
        let of = (head.fork, head.length);
        if let Some((known, length, answer)) = &self.reaches
            && (*known, *length) == (of, from)
        {
            return *answer;
        }
        self.reaches = Some((of, from, None));
        self.actions.push_back(Action::Store(Job::Reaches { from }));
        None
    }

    /// Answers what waits with that nothing is handed out at present.
    pub(super) fn decline(&mut self) {
        for (id, _) in self.uploads.take(usize::MAX) {
            let nothing = self.uploads.declined(id);
            self.actions.push_back(nothing);
        }
    }

    pub(super) fn send_range(&mut self, drop: bool, start: u64, length: u64) {
        if length > 0 {
            let range = Range { drop, start, length };
            self.send(kind::RANGE, range.encode());
        }
    }

    /// Tells of blocks that came or went.
    pub(super) fn tell_blocks(&mut self, head: &Head, view: &impl View) {
        let contiguous = head.contiguous;
        // What was appended here is told at once: the blocks before may be missing, so that it never becomes a part of the
        // contiguous length.
        let start = std::mem::replace(&mut self.seen_length, head.length);
        if start > contiguous && start < head.length && view.has_range(start, head.length) {
            self.send_range(false, start, head.length - start);
        }
        for index in std::mem::take(&mut self.stored) {
            if index >= contiguous && view.has_range(index, index + 1) {
                self.send_range(false, index, 1);
            }
        }
        if contiguous < self.told_contiguous {
            self.send_range(true, contiguous, self.told_contiguous - contiguous);
            self.told_contiguous = contiguous;
        } else if contiguous > self.told_contiguous {
            // A peer that holds them all does not care to hear of every single one.
            let complete = contiguous == head.length;
            if complete || self.theirs.contiguous() < contiguous {
                self.send_range(false, 0, contiguous);
                self.told_contiguous = contiguous;
            }
        }
    }
}
