//! What a peer is asked for: upgrades, seeks, blocks; and what is given up when it does not answer.

use std::time::{Duration, Instant};

use super::super::action::{Action, Head, Job, View};
use super::{Inflight, Peer};
use crate::merkle::{Cursor, SeekResult};
use crate::messages::{self, Want, kind};
use crate::proof::{Request, RequestBlock, RequestSeek, RequestUpgrade};

/// Requests in flight at first, and at most. Each answer raises the window by one, each time-out halves it.
pub(super) const WINDOW: usize = 64;
pub(super) const MAX_WINDOW: usize = 512;
/// Where others fetch the same, what lies in a peer's queue is asked of nobody else meanwhile: fewer requests at first, and no more
/// at a time than it answers within this. A home's uplink that many share would else have all of it to send to each of them.
const SHARED_WINDOW: usize = 16;
const SHARED_QUEUE: Duration = Duration::from_secs(2);
/// Requests in flight at least.
const MIN_WINDOW: usize = 4;
/// A request that is not answered for this long is given up.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Answers come in order, so on a slow line a request may wait while others are answered, but no longer than this.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// A block that is not there after four times the peer's usual time may be asked of another peer as well, but not before
/// this, and in any case after [`SLOW_MOST`].
const SLOW_LEAST: Duration = Duration::from_secs(1);
const SLOW_MOST: Duration = Duration::from_secs(5);
const SLOW_TIMES: u32 = 4;
/// Between two requests for an upgrade.
pub(super) const UPGRADE_PAUSE: Duration = Duration::from_millis(500);
/// Blocks about which one want message asks: upstream's batch of 65,536 words.
const WANT_SPAN: u64 = 65_536 * 32;

impl Peer {
    /// Gives up requests that are not answered, and lets others have a try at slow ones.
    pub(super) fn expire(&mut self, now: Instant, view: &mut impl View) {
        if self
            .late_since
            .is_some_and(|since| now.saturating_duration_since(since) > TIMEOUT)
        {
            self.late_since = None;
            for block in self.late.drain(..) {
                self.refused.remove(&block);
            }
        }
        let slow = self.answer_time.map_or(SLOW_MOST, |usual| {
            (usual * SLOW_TIMES).clamp(SLOW_LEAST, SLOW_MOST)
        });
        let heard = self.heard;
        let mut late = Vec::new();
        for (id, asked) in self.inflight.iter_mut().filter(|(_, asked)| !asked.verifying) {
            let age = now.saturating_duration_since(asked.sent);
            let sign = heard.map_or(asked.sent, |heard| heard.max(asked.sent));
            if now.saturating_duration_since(sign) > TIMEOUT || age > MAX_WAIT {
                late.push(*id);
            } else if age > slow
                && let Some(block) = asked
                    .block
                    .filter(|_| std::mem::replace(&mut asked.marked, false))
            {
                view.unmark(block);
                self.given_over.insert(block, *id);
            }
        }
        if late.is_empty() {
            return;
        }
        self.window = (self.window / 2).max(MIN_WINDOW);
        for id in late {
            if let Some(asked) = self.inflight.remove(&id) {
                self.put_off(&asked, now);
                self.release(&asked, now, view);
                self.send(kind::CANCEL, messages::encode_id(id));
            }
        }
    }

    /// The peer answered: it may be asked for more at a time, or for less if answers take long and others may have the rest.
    pub(super) fn widen(&mut self, view: &impl View) {
        let slow = self.answer_time.is_some_and(|usual| usual > SHARED_QUEUE);
        self.window = if slow && view.is_shared() {
            (self.window * 7 / 8).max(MIN_WINDOW)
        } else {
            (self.window + 1).min(MAX_WINDOW)
        };
    }

    /// A block is here: of a slow peer that was asked for it, too, it is not wanted any more.
    pub(super) fn withdraw(&mut self, block: u64) {
        let Some(id) = self.given_over.remove(&block) else {
            return;
        };
        if self.inflight.get(&id).is_some_and(|asked| !asked.verifying) {
            self.inflight.remove(&id);
            self.send(kind::CANCEL, messages::encode_id(id));
        }
    }

    pub(super) fn send(&mut self, kind: u64, bytes: Vec<u8>) {
        self.actions.push_back(Action::Send(kind, bytes));
    }

    fn request(&mut self, request: &Request, asked: Inflight) {
        let id = self.next_request;
        self.next_request += 1;
        self.inflight.insert(id, asked);
        self.send(kind::REQUEST, messages::encode_request(id, request));
    }

    pub(super) fn ask_upgrade(&mut self, head: &Head, now: Instant) {
        let theirs = *self.theirs.sync();
        if !self.theirs.is_synced() || !theirs.uploading || self.inflight.values().any(|asked| asked.upgrade)
        {
            return;
        }
        if self.upgrade_after.is_some_and(|after| now < after) {
            return;
        }
        let reorg = theirs.fork > head.fork && theirs.length > 0;
        let grown = theirs.fork == head.fork
            && theirs.length > head.length
            && theirs.can_upgrade
            && theirs.remote_length == head.length;
        if !reorg && !grown {
            return;
        }
        let start = if reorg { 0 } else { head.length };
        let request = Request {
            fork: theirs.fork,
            upgrade: Some(RequestUpgrade {
                start,
                length: theirs.length - start,
            }),
            manifest: !head.knows_manifest && theirs.has_manifest,
            ..Request::default()
        };
        self.request(
            &request,
            Inflight {
                fork: request.fork,
                block: None,
                marked: false,
                upgrade: true,
                seek: false,
                sent: now,
                verifying: false,
            },
        );
    }

    pub(super) fn ask_seek(&mut self, head: &Head, view: &mut impl View) {
        let busy = self.seeking || self.inflight.values().any(|asked| asked.seek);
        if self.theirs.sync().fork != head.fork || busy {
            return;
        }
        if let Some(seek) = view.sought() {
            self.seeking = true;
            self.actions.push_back(Action::Store(Job::Seek { seek }));
        }
    }

    pub(super) fn on_sought(&mut self, seek: RequestSeek, result: SeekResult, now: Instant) {
        self.seeking = false;
        let SeekResult::Within { start, end } = result else {
            return;
        };
        // A leaf of the span we have: the answer proves it together with the node the byte is in. Not always the same
        // one, since a peer may lack it.
        let leaf = start + self.next_request.wrapping_mul(0x9e37_79b9) % (end - start).max(1);
        let mut cursor = Cursor::new(2 * leaf);
        let mut nodes = 0;
        while cursor.index() != start + end - 1 && cursor.parent().is_ok() {
            nodes += 1;
        }
        let request = Request {
            fork: self.theirs.sync().fork,
            hash: Some(RequestBlock {
                index: 2 * leaf,
                nodes,
            }),
            seek: Some(seek),
            ..Request::default()
        };
        self.request(
            &request,
            Inflight {
                fork: request.fork,
                block: None,
                marked: false,
                upgrade: false,
                seek: true,
                sent: now,
                verifying: false,
            },
        );
    }

    pub(super) fn ask_blocks(&mut self, head: &Head, view: &mut impl View) {
        if self.heard.is_none() && view.is_shared() {
            self.window = self.window.min(SHARED_WINDOW);
        }
        let busy = self.inflight.len() + self.locating.len();
        let room = self.window.saturating_sub(busy);
        // Asking one at a time would scan the wants for every block.
        if room == 0 || (room < self.window / 8 && busy > 8) {
            return;
        }
        let theirs = *self.theirs.sync();
        if !theirs.uploading || theirs.fork != head.fork || view.is_idle() {
            return;
        }
        let length = head.length.min(theirs.length);
        let inflight = &self.inflight;
        let asked: std::collections::HashSet<u64> = inflight
            .values()
            .filter(|asked| !asked.marked)
            .filter_map(|asked| asked.block)
            .collect();
        let refused = &self.refused;
        let skip = |index: u64| refused.contains(&index) || asked.contains(&index);
        let picked = view.pick(self.theirs.held(head.length), length, &skip, room);
        if picked.is_empty() {
            self.ask_what_it_holds(head);
            return;
        }
        self.locating.extend(&picked);
        self.actions
            .push_back(Action::Store(Job::Locate { blocks: picked }));
    }

    /// Where blocks that were picked stand in the tree: now they can be asked for.
    pub(super) fn on_located(&mut self, blocks: &[(u64, u64)], now: Instant, view: &mut impl View) {
        let fork = self.theirs.sync().fork;
        let head = view.head();
        let usable = self.opened && fork == head.fork;
        for (index, nodes) in blocks.iter().copied() {
            if !self.locating.remove(&index) {
                continue;
            }
            // It may have been picked when the core was longer.
            if !usable || index >= head.length {
                view.unmark(index);
                continue;
            }
            let request = Request {
                fork,
                block: Some(RequestBlock { index, nodes }),
                ..Request::default()
            };
            self.request(
                &request,
                Inflight {
                    fork: request.fork,
                    block: Some(index),
                    marked: true,
                    upgrade: false,
                    seek: false,
                    sent: now,
                    verifying: false,
                },
            );
        }
    }

    /// If the peer is sparse, asks which of the blocks we lack it holds.
    fn ask_what_it_holds(&mut self, head: &Head) {
        let length = self.theirs.sync().length.min(head.length);
        if self.theirs.contiguous() >= length {
            return;
        }
        let first = head.contiguous.max(self.theirs.contiguous()) / WANT_SPAN;
        let last = length.saturating_sub(1) / WANT_SPAN;
        for span in first..=last.min(first + 3) {
            if self.theirs.look_at(span) {
                let want = Want {
                    start: span * WANT_SPAN,
                    length: WANT_SPAN,
                    any: false,
                };
                self.send(kind::WANT, want.encode());
            }
        }
    }
}
