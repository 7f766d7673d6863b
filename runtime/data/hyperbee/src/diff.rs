//! What differs between two versions of a bee, without reading the subtrees that both share.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use core_store::Download;

use crate::bee::{Bee, BeeEntry, MAX_DEPTH, corrupt, entry, level};
use crate::error::BeeError;
use crate::messages::{Child, Node};
use crate::range::Range;

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffItem {
    /// The entry in the bee that was asked; `None` when it is not there.
    pub left: Option<BeeEntry>,
    /// The entry in the other bee; `None` when it is not there.
    pub right: Option<BeeEntry>,
}

/// The differences, in key order; see [`Bee::diff`].
pub struct DiffStream {
    left: Walker,
    right: Walker,
    range: Range,
    left_over: usize,
    last: Option<Bytes>,
}

impl DiffStream {
    pub(crate) fn new(left: Bee, right: Bee, range: Range) -> Self {
        let left_over = range.limit.unwrap_or(usize::MAX);
        Self {
            left: Walker::new(left),
            right: Walker::new(right),
            range,
            left_over,
            last: None,
        }
    }

    /// The next difference; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<DiffItem>, BeeError> {
        while self.left_over > 0 {
            let item = match (
                self.left.peek(&self.range).await?,
                self.right.peek(&self.range).await?,
            ) {
                (None, None) => return Ok(None),
                (Some(left), None) => {
                    if left.is_key() {
                        DiffItem {
                            left: Some(self.left.take().await?),
                            right: None,
                        }
                    } else {
                        self.left.expand().await?;
                        continue;
                    }
                }
                (None, Some(right)) => {
                    if right.is_key() {
                        DiffItem {
                            left: None,
                            right: Some(self.right.take().await?),
                        }
                    } else {
                        self.right.expand().await?;
                        continue;
                    }
                }
                (Some(left), Some(right)) if left.at == right.at => {
                    self.left.skip();
                    self.right.skip();
                    continue;
                }
                (Some(left), Some(right)) => match (left.is_key(), right.is_key()) {
                    (true, false) => {
                        self.right.expand().await?;
                        continue;
                    }
                    (false, true) => {
                        self.left.expand().await?;
                        continue;
                    }
                    (false, false) => {
                        // The one that reaches further may contain the other.
                        let order = compare(&left.upper, &right.upper);
                        if order != Ordering::Less {
                            self.left.expand().await?;
                        }
                        if order != Ordering::Greater {
                            self.right.expand().await?;
                        }
                        continue;
                    }
                    (true, true) => match compare(&left.upper, &right.upper) {
                        Ordering::Less => DiffItem {
                            left: Some(self.left.take().await?),
                            right: None,
                        },
                        Ordering::Greater => DiffItem {
                            left: None,
                            right: Some(self.right.take().await?),
                        },
                        Ordering::Equal => DiffItem {
                            left: Some(self.left.take().await?),
                            right: Some(self.right.take().await?),
                        },
                    },
                },
            };
            let Some(found) = item.left.as_ref().or(item.right.as_ref()) else {
                continue;
            };
            if self.last.as_ref().is_some_and(|last| *last >= found.key) {
                return Err(corrupt(found.seq, "keys are not in order"));
            }
            self.last = Some(found.key.clone());
            if !self.range.before_end(&found.key) {
                return Ok(None);
            }
            if self.range.after_start(&found.key) {
                self.left_over -= 1;
                return Ok(Some(item));
            }
        }
        Ok(None)
    }
}

/// `None` as an upper bound is beyond all keys.
fn compare(a: &Option<Bytes>, b: &Option<Bytes>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(b),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (None, None) => Ordering::Equal,
    }
}

/// Where a walker stands: before a key or before a subtree.
#[derive(Clone)]
struct Stop {
    at: Place,
    /// Block from which it was reached.
    from: u64,
    /// The key itself, or the key right after the subtree.
    upper: Option<Bytes>,
    /// The key before it in the same node.
    lower: Option<Bytes>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key(u64),
    Subtree(Child),
}

impl Stop {
    fn is_key(&self) -> bool {
        matches!(self.at, Place::Key(_))
    }
}

struct Walker {
    bee: Bee,
    opened: bool,
    stack: Vec<Frame>,
    current: Option<Stop>,
    last: Option<Bytes>,
}

struct Frame {
    block: Arc<Node>,
    at: Child,
    upper: Option<Bytes>,
    position: usize,
    _ahead: Vec<Download>,
}

impl Walker {
    fn new(bee: Bee) -> Self {
        Self {
            bee,
            opened: false,
            stack: Vec::new(),
            current: None,
            last: None,
        }
    }

    /// Where the walker stands, skipping subtrees that lie outside the range.
    async fn peek(&mut self, range: &Range) -> Result<Option<Stop>, BeeError> {
        if !self.opened {
            if let Some((block, seq)) = self.bee.root().await? {
                let at = Child { seq, offset: 0 };
                let ahead = self.bee.ahead(level(&block, seq, 0)?);
                self.stack.push(Frame {
                    block,
                    at,
                    upper: None,
                    position: 0,
                    _ahead: ahead,
                });
            }
            self.opened = true;
        }
        loop {
            if self.current.is_none() {
                self.current = self.find().await?;
            }
            match &self.current {
                Some(stop)
                    if !stop.is_key() && !range.may_meet(stop.lower.as_deref(), stop.upper.as_deref()) =>
                {
                    self.skip();
                }
                other => return Ok(other.clone()),
            }
        }
    }

    /// The stop at the current position of the top frame.
    async fn find(&mut self) -> Result<Option<Stop>, BeeError> {
        while let Some(top) = self.stack.last_mut() {
            let node = level(&top.block, top.at.seq, top.at.offset)?;
            let number = top.position / 2;
            if number > node.keys.len() {
                self.stack.pop();
                continue;
            }
            let key_seq = node.keys.get(number).copied();
            let before = number.checked_sub(1).and_then(|at| node.keys.get(at)).copied();
            let child = node.children.get(number).copied();
            let (from, end, is_key) = (top.at.seq, top.upper.clone(), top.position % 2 == 1);
            let at = match (is_key, key_seq, child) {
                (true, Some(seq), _) => Place::Key(seq),
                (false, _, Some(child)) => Place::Subtree(child),
                _ => {
                    top.position += 1;
                    continue;
                }
            };
            let upper = match key_seq {
                Some(seq) => Some(self.bee.node(seq, from).await?.key.clone()),
                None => end,
            };
            if let (Place::Key(seq), Some(key)) = (at, &upper) {
                // Keys must rise: a tree that repeats keys would never end.
                if self.last.as_ref().is_some_and(|last| last >= key) {
                    return Err(corrupt(seq, "keys are not in order"));
                }
                self.last = Some(key.clone());
            }
            let lower = match before {
                Some(seq) => Some(self.bee.node(seq, from).await?.key.clone()),
                None => None,
            };
            return Ok(Some(Stop {
                at,
                from,
                upper,
                lower,
            }));
        }
        Ok(None)
    }

    /// Passes the key or subtree.
    fn skip(&mut self) {
        self.current = None;
        if let Some(top) = self.stack.last_mut() {
            top.position += 1;
        }
    }

    /// Steps into the subtree.
    async fn expand(&mut self) -> Result<(), BeeError> {
        let Some(Stop {
            at: Place::Subtree(at),
            from,
            upper,
            ..
        }) = self.current.clone()
        else {
            return Ok(());
        };
        if self.stack.len() >= MAX_DEPTH {
            return Err(corrupt(at.seq, "the tree is too deep"));
        }
        let block = self.bee.node(at.seq, from).await?;
        self.skip();
        let ahead = self.bee.ahead(level(&block, at.seq, at.offset)?);
        self.stack.push(Frame {
            block,
            at,
            upper,
            position: 0,
            _ahead: ahead,
        });
        Ok(())
    }

    /// The entry of the key, and on.
    async fn take(&mut self) -> Result<BeeEntry, BeeError> {
        match self.current.clone() {
            Some(Stop {
                at: Place::Key(seq),
                from,
                ..
            }) => {
                let node = self.bee.node(seq, from).await?;
                self.skip();
                Ok(entry(seq, &node))
            }
            _ => Err(corrupt(0, "the walk lost its place")),
        }
    }
}
