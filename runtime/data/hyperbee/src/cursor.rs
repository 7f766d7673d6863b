//! Walking over a range of keys in order.

use std::sync::Arc;

use bytes::Bytes;
use core_store::Download;

use crate::bee::{Bee, BeeEntry, MAX_DEPTH, corrupt, entry, level};
use crate::error::BeeError;
use crate::messages::{Child, Level, Node};
use crate::range::Range;

/// The entries of a range, one after the other; see [`Bee::range`].
pub struct RangeStream {
    bee: Bee,
    range: Range,
    left: usize,
    stack: Vec<Frame>,
    opened: bool,
    last: Option<Bytes>,
}

/// A tree node on the way; positions count child, key, child, key … child from 0.
struct Frame {
    block: Arc<Node>,
    at: Child,
    position: usize,
    done: bool,
    _ahead: Vec<Download>,
}

impl Frame {
    fn level(&self) -> Result<&Level, BeeError> {
        level(&self.block, self.at.seq, self.at.offset)
    }
}

impl RangeStream {
    pub(crate) fn new(bee: Bee, range: Range) -> Self {
        let left = range.limit.unwrap_or(usize::MAX);
        Self {
            bee,
            range,
            left,
            stack: Vec::new(),
            opened: false,
            last: None,
        }
    }

    /// The next entry; `None` at the end. Cancel safe: a cancelled call loses no entry.
    pub async fn next(&mut self) -> Result<Option<BeeEntry>, BeeError> {
        if !self.opened {
            if let Some((block, seq)) = self.bee.root().await? {
                self.push(block, Child { seq, offset: 0 })?;
            }
            self.opened = true;
        }
        while self.left > 0 {
            let Some(top) = self.stack.last() else {
                return Ok(None);
            };
            if top.done {
                self.stack.pop();
                continue;
            }
            let (position, seq, node) = (top.position, top.at.seq, top.level()?);
            if position % 2 == 0 {
                let Some(&child) = node.children.get(position / 2) else {
                    self.advance();
                    continue;
                };
                if !self.child_meets(position / 2).await? {
                    self.advance();
                    continue;
                }
                let block = self.bee.node(child.seq, seq).await?;
                self.advance();
                self.push(block, child)?;
                continue;
            }
            let Some(&key) = node.keys.get(position / 2) else {
                self.advance();
                continue;
            };
            let block = self.bee.node(key, seq).await?;
            self.advance();
            let (early, late) = if self.range.reverse {
                (
                    !self.range.before_end(&block.key),
                    !self.range.after_start(&block.key),
                )
            } else {
                (
                    !self.range.after_start(&block.key),
                    !self.range.before_end(&block.key),
                )
            };
            if late {
                break;
            }
            self.check_order(key, &block.key)?;
            if early {
                continue;
            }
            self.left -= 1;
            return Ok(Some(entry(key, &block)));
        }
        self.stack.clear();
        self.left = 0;
        Ok(None)
    }

    /// Whether child `number` of the top node may hold keys of the range. Reads the keys beside it.
    async fn child_meets(&self, number: usize) -> Result<bool, BeeError> {
        let Some(top) = self.stack.last() else {
            return Ok(false);
        };
        let node = top.level()?;
        let mut bounds = [None, None];
        for (bound, at) in bounds.iter_mut().zip([number.checked_sub(1), Some(number)]) {
            if let Some(&seq) = at.and_then(|at| node.keys.get(at)) {
                *bound = Some(self.bee.node(seq, top.at.seq).await?.key.clone());
            }
        }
        Ok(self.range.may_meet(bounds[0].as_deref(), bounds[1].as_deref()))
    }

    /// Keys must rise (or fall): a tree that repeats keys would never end.
    fn check_order(&mut self, seq: u64, key: &Bytes) -> Result<(), BeeError> {
        let in_order = match (&self.last, self.range.reverse) {
            (None, _) => true,
            (Some(last), false) => key > last,
            (Some(last), true) => key < last,
        };
        if !in_order {
            return Err(corrupt(seq, "keys are not in order"));
        }
        self.last = Some(key.clone());
        Ok(())
    }

    fn push(&mut self, block: Arc<Node>, at: Child) -> Result<(), BeeError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(corrupt(at.seq, "the tree is too deep"));
        }
        let node = level(&block, at.seq, at.offset)?;
        let position = if self.range.reverse {
            node.keys.len() * 2
        } else {
            0
        };
        let ahead = self.bee.ahead(node);
        self.stack.push(Frame {
            block,
            at,
            position,
            done: false,
            _ahead: ahead,
        });
        Ok(())
    }

    fn advance(&mut self) {
        let reverse = self.range.reverse;
        let Some(top) = self.stack.last_mut() else { return };
        let end = top.level().map_or(0, |node| node.keys.len() * 2);
        if reverse {
            match top.position.checked_sub(1) {
                Some(position) => top.position = position,
                None => top.done = true,
            }
        } else {
            top.done = top.position >= end;
            top.position += 1;
        }
    }
}
