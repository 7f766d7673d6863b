//! Making the proof that answers a peer's request (npm `hypercore` lib/merkle-tree.js: `generateProof` and below).

use super::seek::{byte_offset, unpadded};
use super::{Batch, Cursor, MAX_LENGTH, Node, NodeSource};
use crate::proof::{Data, DataBlock, DataHash, DataSeek, DataUpgrade, Request, RequestSeek};

/// Why a request cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ProveError<E> {
    /// It does not fit the tree: out of range, or contradictory.
    #[error("invalid request: {0}")]
    Invalid(&'static str),
    /// A node that the proof needs is not stored.
    #[error("tree node {0} is not stored")]
    Missing(u64),
    /// The store failed.
    #[error(transparent)]
    Source(E),
}

/// The tree that is proved: its roots, its stored nodes, and the signature over it.
#[derive(Debug)]
pub struct TreeView<'a, S> {
    /// Length, fork and roots.
    pub tree: &'a Batch,
    /// Stored nodes.
    pub source: &'a S,
    /// Signature over the tree.
    pub signature: &'a [u8],
    /// Length of the prologue, 0 without one.
    pub prologue: u64,
}

#[derive(Default)]
struct Parts {
    node: Option<Vec<Node>>,
    seek: Option<Vec<Node>>,
    upgrade: Option<Vec<Node>>,
    additional: Option<Vec<Node>>,
}

#[derive(Clone, Copy)]
struct Target {
    /// Flat-tree index.
    index: u64,
    /// Whether the block itself is sent, so that its hash need not be.
    value: bool,
    nodes: u64,
    /// Last block beneath.
    last_block: u64,
}

/// Answers `request`, all but the block's value, which the caller fills in.
pub fn prove<S: NodeSource>(view: &TreeView<'_, S>, request: &Request) -> Result<Data, ProveError<S::Error>> {
    let tree = view.tree;
    let mut data = Data {
        fork: tree.fork,
        ..Data::default()
    };
    let head = 2 * tree.length;
    if head == 0 {
        return Ok(data);
    }
    let mut upgrade = request.upgrade;
    if let Some(upgrade) = upgrade.as_mut().filter(|upgrade| upgrade.start < view.prologue) {
        upgrade.start = 0;
        upgrade.length = upgrade.length.max(view.prologue);
    }
    let (from, to) = match &upgrade {
        Some(upgrade) => {
            let end = upgrade
                .start
                .checked_add(upgrade.length)
                .filter(|end| *end <= MAX_LENGTH);
            let end = end.ok_or(ProveError::Invalid("upgrade out of range"))?;
            (2 * upgrade.start, 2 * end)
        }
        None => (0, head),
    };
    if from >= to || to > head {
        return Err(ProveError::Invalid("upgrade out of range"));
    }
    let target = target_of(request)?;
    let seek = request.seek;
    if seek.is_some() && upgrade.is_some() && target.is_some_and(|target| target.index >= from) {
        return Err(ProveError::Invalid("a seek and a new block in one upgrade"));
    }

    let mut parts = Parts::default();
    let mut sub_tree = head;
    match (target, &upgrade) {
        (Some(target), _) if upgrade.is_none_or(|upgrade| target.last_block < upgrade.start) => {
            sub_tree = climb(target.index, target.nodes, to)?;
            let seek_root = match seek {
                Some(seek) => seek_untrusted(view, sub_tree, seek)?,
                None => head,
            };
            block_and_seek(
                view,
                Some(target),
                seek.is_some(),
                seek_root,
                sub_tree,
                &mut parts,
            )?;
        }
        (None, None) => {}
        (target, Some(_)) => {
            sub_tree = match (seek, target) {
                (Some(seek), _) => seek_from_head(view, to, seek)?,
                (None, Some(target)) => target.index,
                (None, None) => head,
            };
        }
        (Some(_), None) => {}
    }
    if upgrade.is_some() {
        upgrade_nodes(view, target, seek.is_some(), from, to, sub_tree, &mut parts)?;
        if head > to {
            additional_nodes(view, to, head, &mut parts)?;
        }
    }

    if let Some(block) = request.block {
        let nodes = parts
            .node
            .ok_or(ProveError::Invalid("block outside the upgrade"))?;
        data.block = Some(DataBlock {
            index: block.index,
            value: bytes::Bytes::new(),
            nodes,
        });
    } else if let Some(hash) = request.hash {
        let nodes = parts
            .node
            .ok_or(ProveError::Invalid("node outside the upgrade"))?;
        data.hash = Some(DataHash {
            index: hash.index,
            nodes,
        });
    }
    if let (Some(seek), Some(nodes)) = (seek, parts.seek) {
        data.seek = Some(DataSeek {
            bytes: seek.bytes,
            nodes,
        });
    }
    if let Some(upgrade) = upgrade {
        data.upgrade = Some(DataUpgrade {
            start: upgrade.start,
            length: upgrade.length,
            nodes: parts.upgrade.unwrap_or_default(),
            additional_nodes: parts.additional.unwrap_or_default(),
            signature: view.signature.to_vec(),
        });
    }
    Ok(data)
}

fn target_of<E>(request: &Request) -> Result<Option<Target>, ProveError<E>> {
    let target = if let Some(block) = request.block {
        Target {
            index: block.index.saturating_mul(2),
            value: true,
            nodes: block.nodes,
            last_block: block.index,
        }
    } else if let Some(hash) = request.hash {
        let last_block = Cursor::new(hash.index).right_span() / 2;
        Target {
            index: hash.index,
            value: false,
            nodes: hash.nodes,
            last_block,
        }
    } else {
        return Ok(None);
    };
    if target.last_block >= MAX_LENGTH || target.nodes > 64 {
        return Err(ProveError::Invalid("block out of range"));
    }
    Ok(Some(target))
}

fn stored<S: NodeSource>(view: &TreeView<'_, S>, index: u64) -> Result<Node, ProveError<S::Error>> {
    if let Some(root) = view.tree.roots.iter().find(|root| root.index == index) {
        return Ok(*root);
    }
    view.source
        .node(index)
        .map_err(ProveError::Source)?
        .ok_or(ProveError::Missing(index))
}

fn climb<E>(index: u64, nodes: u64, head: u64) -> Result<u64, ProveError<E>> {
    let mut cursor = Cursor::new(index);
    if cursor.right_span() >= head {
        return Err(ProveError::Invalid("block out of range"));
    }
    for _ in 0..nodes {
        cursor
            .parent()
            .map_err(|_| ProveError::Invalid("too many nodes"))?;
        if cursor.contains(head) {
            return Err(ProveError::Invalid("too many nodes"));
        }
    }
    Ok(cursor.index())
}

fn up<E>(cursor: &mut Cursor) -> Result<(), ProveError<E>> {
    cursor
        .parent()
        .map(|_| ())
        .map_err(|_| ProveError::Invalid("path leaves the tree"))
}

fn seek_path<S: NodeSource>(
    view: &TreeView<'_, S>,
    seek_root: u64,
    root: u64,
    parts: &mut Parts,
) -> Result<(), ProveError<S::Error>> {
    let mut cursor = Cursor::new(seek_root);
    let mut nodes = vec![stored(view, cursor.index())?];
    while cursor.index() != root {
        nodes.push(stored(view, cursor.sibling())?);
        up(&mut cursor)?;
    }
    parts.seek = Some(nodes);
    Ok(())
}

fn block_and_seek<S: NodeSource>(
    view: &TreeView<'_, S>,
    target: Option<Target>,
    seek: bool,
    seek_root: u64,
    root: u64,
    parts: &mut Parts,
) -> Result<(), ProveError<S::Error>> {
    let Some(target) = target else {
        return seek_path(view, seek_root, root, parts);
    };
    let mut cursor = Cursor::new(target.index);
    let mut nodes = Vec::new();
    if !target.value {
        nodes.push(stored(view, cursor.index())?);
    }
    while cursor.index() != root {
        cursor.sibling();
        if seek && cursor.contains(seek_root) && cursor.index() != seek_root {
            seek_path(view, seek_root, cursor.index(), parts)?;
        } else {
            nodes.push(stored(view, cursor.index())?);
        }
        up(&mut cursor)?;
    }
    parts.node = Some(nodes);
    Ok(())
}

/// Visits, left to right, the nodes that lead from the tree that ends at node `from` to the one that ends at `to`.
fn nodes_between<E>(
    from: u64,
    to: u64,
    mut visit: impl FnMut(u64) -> Result<(), ProveError<E>>,
) -> Result<(), ProveError<E>> {
    let mut connected = from == 0;
    let mut cursor = Cursor::new(0);
    while cursor.full_root(to) {
        if cursor.index() + cursor.leaves() < from {
            cursor.next_tree();
            continue;
        }
        let root = cursor.index();
        if !connected && from >= 2 && cursor.contains(from - 2) {
            let target = from - 2;
            let mut path = Cursor::new(target);
            while path.index() != root {
                if path.sibling() > target {
                    visit(path.index())?;
                }
                up(&mut path)?;
            }
        } else {
            visit(root)?;
        }
        connected = true;
        cursor.next_tree();
    }
    Ok(())
}

fn upgrade_nodes<S: NodeSource>(
    view: &TreeView<'_, S>,
    target: Option<Target>,
    seek: bool,
    from: u64,
    to: u64,
    sub_tree: u64,
    parts: &mut Parts,
) -> Result<(), ProveError<S::Error>> {
    let mut nodes = Vec::new();
    nodes_between(from, to, |index| {
        if parts.node.is_none() && parts.seek.is_none() && Cursor::new(index).contains(sub_tree) {
            block_and_seek(view, target, seek, sub_tree, index, parts)
        } else {
            nodes.push(stored(view, index)?);
            Ok(())
        }
    })?;
    parts.upgrade = Some(nodes);
    Ok(())
}

fn additional_nodes<S: NodeSource>(
    view: &TreeView<'_, S>,
    from: u64,
    to: u64,
    parts: &mut Parts,
) -> Result<(), ProveError<S::Error>> {
    let mut nodes = Vec::new();
    nodes_between(from, to, |index| {
        nodes.push(stored(view, index)?);
        Ok(())
    })?;
    parts.additional = Some(nodes);
    Ok(())
}

fn seek_from_head<S: NodeSource>(
    view: &TreeView<'_, S>,
    head: u64,
    seek: RequestSeek,
) -> Result<u64, ProveError<S::Error>> {
    let mut bytes = seek.bytes;
    for root in super::full_roots(head / 2) {
        let size = unpadded(&stored(view, root)?, seek.padding);
        if bytes == size {
            return Ok(root);
        }
        if bytes > size {
            bytes -= size;
            continue;
        }
        return seek_within(view, root, bytes, seek.padding);
    }
    Ok(head)
}

fn seek_untrusted<S: NodeSource>(
    view: &TreeView<'_, S>,
    root: u64,
    seek: RequestSeek,
) -> Result<u64, ProveError<S::Error>> {
    let offset = byte_offset(view.source, view.tree, root)
        .map_err(ProveError::Source)?
        .ok_or(ProveError::Missing(root))?;
    let padded = seek.padding.saturating_mul(Cursor::new(root).left_span() / 2);
    let offset = offset.saturating_sub(padded);
    let Some(bytes) = seek.bytes.checked_sub(offset) else {
        return Err(ProveError::Invalid("seek outside"));
    };
    if bytes == 0 {
        return Ok(root);
    }
    if unpadded(&stored(view, root)?, seek.padding) <= bytes {
        return Err(ProveError::Invalid("seek outside"));
    }
    seek_within(view, root, bytes, seek.padding)
}

fn seek_within<S: NodeSource>(
    view: &TreeView<'_, S>,
    root: u64,
    mut bytes: u64,
    padding: u64,
) -> Result<u64, ProveError<S::Error>> {
    let mut cursor = Cursor::new(root);
    if bytes == 0 {
        return Ok(root);
    }
    while cursor.factor() > 2 {
        cursor.left_child();
        let Some(left) = view.source.node(cursor.index()).map_err(ProveError::Source)? else {
            up(&mut cursor)?;
            break;
        };
        let size = unpadded(&left, padding);
        if size == bytes {
            break;
        }
        if size < bytes {
            bytes -= size;
            cursor.sibling();
        }
    }
    Ok(cursor.index())
}
