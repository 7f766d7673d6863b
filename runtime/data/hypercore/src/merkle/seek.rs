//! From byte offsets to blocks and back, over stored nodes (npm `hypercore` lib/merkle-tree.js: `ByteSeeker`, `getByteOffset`).

use super::{Batch, Cursor, Node, NodeSource};

/// How far a seek came with the nodes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekResult {
    /// The offset lies `offset` bytes into block `block`.
    Found {
        /// Block index.
        block: u64,
        /// Bytes into it.
        offset: u64,
    },
    /// It lies in one of the blocks `start..end`, but the nodes between are not stored, or are not those of the tree.
    Within {
        /// First block.
        start: u64,
        /// After the last block.
        end: u64,
    },
    /// It lies beyond the core.
    Beyond,
}

/// Bytes beneath `node` when `padding` bytes of each block do not count.
pub(super) fn unpadded(node: &Node, padding: u64) -> u64 {
    node.size
        .saturating_sub(padding.saturating_mul(Cursor::new(node.index).leaves()))
}

/// Finds the block that holds byte `bytes`, by nodes that hash to the roots. The first `padding` bytes of each block do not count.
pub fn seek<S: NodeSource>(
    source: &S,
    tree: &Batch,
    mut bytes: u64,
    padding: u64,
) -> Result<SeekResult, S::Error> {
    if bytes == 0 && tree.length > 0 {
        return Ok(SeekResult::Found { block: 0, offset: 0 });
    }
    for root in &tree.roots {
        let size = unpadded(root, padding);
        if bytes >= size {
            bytes -= size;
            continue;
        }
        let mut cursor = Cursor::new(root.index);
        let mut above = *root;
        while cursor.factor() > 2 {
            let (left, right) = (cursor.left_child(), cursor.sibling());
            // Sizes that the signed roots do not vouch for would lead to another byte.
            let vouched = |(left, right): &(Node, Node)| Node::parent(above.index, left, right) == above;
            let Some((left, right)) = source.node(left)?.zip(source.node(right)?).filter(vouched) else {
                let _ = cursor.parent();
                return Ok(SeekResult::Within {
                    start: cursor.left_span() / 2,
                    end: cursor.right_span() / 2 + 1,
                });
            };
            let size = unpadded(&left, padding);
            if size <= bytes {
                bytes -= size;
                above = right;
            } else {
                cursor.sibling();
                above = left;
            }
            if bytes == 0 {
                return Ok(SeekResult::Found {
                    block: cursor.left_span() / 2,
                    offset: 0,
                });
            }
        }
        return Ok(SeekResult::Found {
            block: cursor.index() / 2,
            offset: bytes,
        });
    }
    Ok(if bytes == 0 {
        SeekResult::Found {
            block: tree.length,
            offset: 0,
        }
    } else {
        SeekResult::Beyond
    })
}

/// The byte at which the span of node `index` starts; `None` if nodes on the way are not stored.
pub fn byte_offset<S: NodeSource>(source: &S, tree: &Batch, index: u64) -> Result<Option<u64>, S::Error> {
    if index == 2 * tree.length {
        return Ok(Some(tree.byte_length));
    }
    let target = Cursor::new(index).left_span();
    let mut offset: u64 = 0;
    let mut head = 0;
    for root in &tree.roots {
        let mut cursor = Cursor::new(root.index);
        head += 2 * cursor.leaves();
        if target >= head {
            offset = offset.saturating_add(root.size);
            continue;
        }
        while cursor.index() != target {
            let here = cursor.index();
            cursor.left_child();
            if target >= here {
                let Some(left) = source.node(cursor.index())? else {
                    return Ok(None);
                };
                offset = offset.saturating_add(left.size);
                cursor.sibling();
            }
        }
        return Ok(Some(offset));
    }
    Ok(None)
}
