//! Finding what is rotten between the signed roots of a tree and one of its nodes.
//!
//! The roots are covered by a signature, everything below them only by hashes. Going down from the roots, each pair of
//! children either hashes to its parent, or one of the two is not what was once verified; then it may be computable anew from
//! what lies beneath it.

use super::{Batch, Cursor, Node, NodeSource};

/// What to do with the stored nodes on the way to a node.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Nodes to store in place of what is there: they are proven by the roots.
    pub mend: Vec<Node>,
    /// Nodes to forget: nothing here proves them.
    pub drop: Vec<u64>,
    /// The node as the roots prove it; `None` if the way down to it is broken.
    pub proven: Option<Node>,
}

/// Audits the way from the roots of `tree` to node `index`. `leaf` yields the leaf of a block whose content is stored, as it
/// hashes now.
///
/// # Errors
/// Whatever `source` and `leaf` fail with.
pub fn audit<S: NodeSource>(
    source: &S,
    tree: &Batch,
    index: u64,
    leaf: impl Fn(u64) -> Result<Option<Node>, S::Error>,
) -> Result<Audit, S::Error> {
    let mut audit = Audit::default();
    let covers = |root: &&Node| {
        let span = Cursor::new(root.index);
        span.left_span() <= index && index <= span.right_span()
    };
    let Some(root) = tree.roots.iter().find(covers) else {
        return Ok(audit);
    };
    if source.node(root.index)? != Some(*root) {
        audit.mend.push(*root);
    }
    let mut trusted = Some(*root);
    let mut cursor = Cursor::new(root.index);
    while cursor.index() != index && cursor.factor() > 2 {
        let above = cursor.index();
        let left = cursor.left_child();
        let right = cursor.sibling();
        trusted = match trusted {
            Some(parent) => {
                let pair = children(source, &parent, (left, right), &leaf)?;
                match pair {
                    Some((children, stored)) => {
                        let changed = children
                            .iter()
                            .zip(stored)
                            .filter(|(now, was)| Some(**now) != *was);
                        audit.mend.extend(changed.map(|(now, _)| *now));
                        children
                            .into_iter()
                            .find(|child| child.index == side(above, index, left, right))
                    }
                    None => {
                        audit.drop.extend([left, right]);
                        None
                    }
                }
            }
            // Below a break nothing is proven: a stored leaf would otherwise be taken for one.
            None => {
                audit.drop.extend([left, right]);
                None
            }
        };
        cursor.seek(side(above, index, left, right));
    }
    audit.proven = trusted.filter(|node| node.index == index);
    Ok(audit)
}

/// The child on whose side of `above` node `index` lies.
fn side(above: u64, index: u64, left: u64, right: u64) -> u64 {
    if index < above { left } else { right }
}

type Pair = ([Node; 2], [Option<Node>; 2]);

/// The two children that hash to `parent`, as stored or computed anew, and what is stored; `None` if none do.
fn children<S: NodeSource>(
    source: &S,
    parent: &Node,
    (left, right): (u64, u64),
    leaf: &impl Fn(u64) -> Result<Option<Node>, S::Error>,
) -> Result<Option<Pair>, S::Error> {
    let stored = [source.node(left)?, source.node(right)?];
    let fits = |a: &Node, b: &Node| Node::parent(parent.index, a, b) == *parent;
    if let [Some(a), Some(b)] = stored
        && fits(&a, &b)
    {
        return Ok(Some(([a, b], stored)));
    }
    let lefts = [stored[0], beneath(source, left, leaf)?];
    let rights = [stored[1], beneath(source, right, leaf)?];
    for a in lefts.into_iter().flatten() {
        for b in rights.into_iter().flatten() {
            if fits(&a, &b) {
                return Ok(Some(([a, b], stored)));
            }
        }
    }
    Ok(None)
}

/// Node `index` from what lies one level beneath it: its children, or for a leaf what `leaf` makes of the block.
///
/// # Errors
/// If the source fails.
pub fn beneath<S: NodeSource>(
    source: &S,
    index: u64,
    leaf: &impl Fn(u64) -> Result<Option<Node>, S::Error>,
) -> Result<Option<Node>, S::Error> {
    let mut cursor = Cursor::new(index);
    if cursor.factor() == 2 {
        return leaf(index / 2);
    }
    let left = source.node(cursor.left_child())?;
    let right = source.node(cursor.sibling())?;
    Ok(left
        .zip(right)
        .map(|(left, right)| Node::parent(index, &left, &right)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone)]
    struct Stored(HashMap<u64, Node>);

    impl NodeSource for Stored {
        type Error = Infallible;

        fn node(&self, index: u64) -> Result<Option<Node>, Infallible> {
            Ok(self.0.get(&index).copied())
        }
    }

    fn value(block: u64) -> Vec<u8> {
        vec![block as u8; (block % 7 + 1) as usize]
    }

    fn tree(length: u64) -> (Batch, Stored) {
        let mut tree = Batch::empty(0);
        (0..length).for_each(|block| tree.append(&Node::leaf(block, &value(block))));
        let nodes = tree.nodes.iter().map(|node| (node.index, *node)).collect();
        (tree.without_nodes(), Stored(nodes))
    }

    fn apply(audit: &Audit, nodes: &mut Stored) {
        nodes.0.extend(audit.mend.iter().map(|node| (node.index, *node)));
        for index in &audit.drop {
            nodes.0.remove(index);
        }
    }

    proptest! {
        /// Whatever one node is turned into, the audit of a block beneath proves that block again, and leaves no wrong node
        /// on its way.
        #[test]
        fn one_rotten_node_is_computed_anew(length in 1u64..70, at in any::<u64>(), block in any::<u64>(), flip in 0usize..32) {
            let (tree, sound) = tree(length);
            let block = block % length;
            let indices: Vec<u64> = sound.0.keys().copied().collect();
            let at = indices[(at % indices.len() as u64) as usize];
            let mut rotten = sound.clone();
            rotten.0.get_mut(&at).unwrap().hash[flip] ^= 1;
            let leaf = |block| Ok(Some(Node::leaf(block, &value(block))));
            let found = audit(&rotten, &tree, 2 * block, leaf).unwrap();
            prop_assert_eq!(found.proven, Some(Node::leaf(block, &value(block))));
            prop_assert!(found.drop.is_empty());
            let mended = !found.mend.is_empty();
            apply(&found, &mut rotten);
            prop_assert_eq!(mended, rotten.0 == sound.0);
        }

        /// With blocks missing, what cannot be proven is dropped down to the leaf, and nothing else.
        #[test]
        fn what_cannot_be_proven_is_dropped(length in 2u64..70, block in any::<u64>(), level in 0u32..6) {
            let (tree, sound) = tree(length);
            let block = block % length;
            let mut cursor = Cursor::new(2 * block);
            for _ in 0..level {
                let _ = cursor.parent();
            }
            prop_assume!(sound.0.contains_key(&cursor.index()) && !tree.roots.iter().any(|root| root.index == cursor.index()));
            let mut rotten = sound.clone();
            rotten.0.get_mut(&cursor.index()).unwrap().hash[0] ^= 1;
            // Nothing beneath it to compute it from.
            let start = cursor.left_span();
            for index in start..=cursor.right_span() {
                if index != cursor.index() {
                    rotten.0.remove(&index);
                }
            }
            let found = audit(&rotten, &tree, 2 * block, |_| Ok(None)).unwrap();
            prop_assert_eq!(found.proven, None);
            prop_assert!(found.mend.is_empty());
            prop_assert!(found.drop.contains(&cursor.index()) && found.drop.contains(&(2 * block)));
            apply(&found, &mut rotten);
            prop_assert!(rotten.0.iter().all(|(index, node)| sound.0.get(index) == Some(node)));
        }
    }

    #[test]
    fn a_rotten_leaf_of_a_lost_block_is_not_proven() {
        let (tree, mut nodes) = tree(8);
        nodes.0.get_mut(&6).unwrap().size += 1;
        let found = audit(&nodes, &tree, 6, |_| Ok(None)).unwrap();
        assert_eq!((found.proven, found.drop), (None, vec![4, 6]));
    }
}
