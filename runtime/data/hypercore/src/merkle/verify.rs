//! Checking a peer's proof against the tree we have (npm `hypercore` lib/merkle-tree.js: `verifyTree`, `verifyUpgrade`).

use super::{Batch, Cursor, MAX_LENGTH, Node};
use crate::manifest::Prologue;
use crate::proof::{Data, DataUpgrade};

/// Why a proof does not hold.
pub type VerifyError = &'static str;

/// More nodes than any path in a tree of [`MAX_LENGTH`] blocks: a proof with longer lists is hostile.
const MAX_PATH: usize = 128;

/// What a proof yields once its hashes were computed.
#[derive(Debug)]
pub struct Verified {
    /// The tree, upgraded if the proof upgrades; its `nodes` are what the proof brought.
    pub batch: Batch,
    /// A node that must equal a stored one for the block, hash and seek parts to hold; `None` if the (signed) upgrade covers
    /// them or there are none.
    pub unverified: Option<Node>,
}

/// Computes the hashes of `data` on top of `tree`. `leaf` is the leaf node of the block in it, hashed by the caller
/// (it is the expensive part and needs no lock). An upgrade must keep to the manifest's `prologue`, if it has one; the
/// signature is the caller's to check.
pub fn verify(
    tree: Batch,
    data: &Data,
    leaf: Option<Node>,
    prologue: Option<&Prologue>,
) -> Result<Verified, VerifyError> {
    let mut batch = tree;
    let mut unverified = verify_tree(data, leaf, &mut batch.nodes)?;
    if let Some(upgrade) = &data.upgrade {
        batch.fork = data.fork;
        if verify_upgrade(&mut batch, upgrade, unverified, prologue)? {
            unverified = None;
        }
    }
    Ok(Verified { batch, unverified })
}

/// Nodes in the order the proof must use them, with the subtree root computed so far standing in for one.
struct NodeQueue<'a> {
    nodes: std::slice::Iter<'a, Node>,
    extra: Option<Node>,
}

impl NodeQueue<'_> {
    fn is_empty(&self) -> bool {
        self.nodes.len() == 0 && self.extra.is_none()
    }

    fn shift(&mut self, index: u64) -> Result<Node, VerifyError> {
        if let Some(extra) = self.extra.take_if(|extra| extra.index == index) {
            return Ok(extra);
        }
        match self.nodes.next() {
            Some(node) if node.index == index => Ok(*node),
            Some(_) => Err("its nodes are not the ones the path needs"),
            None => Err("it lacks nodes of the path"),
        }
    }
}

/// Climbs from the cursor until the queue is used up; returns the last root.
fn climb(
    mut root: Node,
    mut cursor: Cursor,
    mut queue: NodeQueue<'_>,
    nodes: &mut Vec<Node>,
) -> Result<Node, VerifyError> {
    nodes.push(root);
    while !queue.is_empty() {
        let sibling = queue.shift(cursor.sibling())?;
        let index = cursor.parent().map_err(|_| "its path leaves the tree")?;
        root = Node::parent(index, &root, &sibling);
        nodes.push(sibling);
        nodes.push(root);
    }
    Ok(root)
}

fn verify_tree(data: &Data, leaf: Option<Node>, nodes: &mut Vec<Node>) -> Result<Option<Node>, VerifyError> {
    let mut root = None;
    if let Some([first, rest @ ..]) = data.seek.as_ref().map(|seek| seek.nodes.as_slice()) {
        check_path(rest)?;
        let queue = NodeQueue {
            nodes: rest.iter(),
            extra: None,
        };
        root = Some(climb(*first, Cursor::new(first.index), queue, nodes)?);
    }
    let (start, list) = match (&data.block, leaf, &data.hash) {
        (Some(block), Some(leaf), _) => (Ok(leaf), &block.nodes),
        (Some(_), None, _) => return Err("its block was not hashed"),
        (None, _, Some(hash)) => (Err(hash.index), &hash.nodes),
        (None, _, None) => return Ok(root),
    };
    check_path(list)?;
    let mut queue = NodeQueue {
        nodes: list.iter(),
        extra: root,
    };
    let first = match start {
        Ok(leaf) => leaf,
        Err(index) => queue.shift(index)?,
    };
    climb(first, Cursor::new(first.index), queue, nodes).map(Some)
}

fn check_path(nodes: &[Node]) -> Result<(), VerifyError> {
    let sane = |node: &Node| node.index < 2 * MAX_LENGTH && node.size < 1 << 53;
    if nodes.len() <= MAX_PATH && nodes.iter().all(sane) {
        Ok(())
    } else {
        Err("its nodes are out of range")
    }
}

/// Grows `batch` by the upgrade; true if `block_root` was used on the way, which proves it.
fn verify_upgrade(
    batch: &mut Batch,
    upgrade: &DataUpgrade,
    block_root: Option<Node>,
    prologue: Option<&Prologue>,
) -> Result<bool, VerifyError> {
    check_path(&upgrade.nodes)?;
    check_path(&upgrade.additional_nodes)?;
    let to = upgrade
        .start
        .checked_add(upgrade.length)
        .filter(|to| *to <= MAX_LENGTH)
        .ok_or("it is too long")?;
    if to == 0 {
        return Err("it upgrades to nothing");
    }
    // An upgrade either starts past the prologue or brings all of it.
    if prologue.is_some_and(|prologue| {
        upgrade.start < prologue.length && (upgrade.start != 0 || to < prologue.length)
    }) {
        return Err("it ends within the prologue");
    }
    let mut queue = NodeQueue {
        nodes: upgrade.nodes.iter(),
        extra: block_root,
    };
    let mut cursor = Cursor::new(0);
    let mut grow = !batch.roots.is_empty();
    let mut known = 0;
    while cursor.full_root(2 * to) {
        if batch
            .roots
            .get(known)
            .is_some_and(|root| root.index == cursor.index())
        {
            known += 1;
            cursor.next_tree();
            continue;
        }
        // The first root we lack may contain our last ones: climb from the last until it is whole.
        let last = batch.roots.last().map(|root| root.index);
        match last.filter(|_| std::mem::replace(&mut grow, false) && known < batch.roots.len()) {
            Some(last) => {
                let root = cursor.index();
                cursor.seek(last);
                while cursor.index() != root {
                    let index = cursor.sibling();
                    let node = queue.shift(index)?;
                    batch.append_root(node, &mut cursor);
                }
            }
            None => {
                let node = queue.shift(cursor.index())?;
                batch.append_root(node, &mut cursor);
            }
        }
        cursor.next_tree();
    }
    if queue.nodes.len() > 0 {
        return Err("it has more nodes than the upgrade needs");
    }
    if prologue.is_some_and(|prologue| batch.length == prologue.length && batch.hash() != prologue.hash) {
        return Err("it differs from the prologue");
    }
    add_additional(batch, &upgrade.additional_nodes)?;
    if batch.length > MAX_LENGTH {
        return Err("it is too long");
    }
    Ok(queue.extra.is_none())
}

/// The nodes from the length asked for to the length that was signed.
fn add_additional(batch: &mut Batch, extra: &[Node]) -> Result<(), VerifyError> {
    let Some(last) = batch.roots.last() else {
        return Err("it has no roots");
    };
    let mut cursor = Cursor::new(last.index);
    let mut rest = extra.iter().peekable();
    while rest.peek().is_some() {
        let sibling = cursor.sibling();
        let Some(node) = rest.next_if(|node| node.index == sibling) else {
            break;
        };
        batch.append_root(*node, &mut cursor);
    }
    for node in rest {
        while node.index != cursor.index() {
            if cursor.factor() == 2 {
                return Err("it has an unexpected node");
            }
            cursor.left_child();
        }
        batch.append_root(*node, &mut cursor);
        cursor.sibling();
    }
    Ok(())
}
