//! What a mirror is to do, from two lists and from what is known of their entries: nothing is read here, and nothing written.

use super::{Diff, DiffOp};
use crate::entry::Entry;
use crate::local::LocalDrive;
use crate::path;
use crate::stamp::Stamp;
use crate::target;
use crate::traits::Drive;

/// An entry of one side, with its stamp if it is a file that was left alone for long enough.
pub(super) struct Listed {
    pub(super) entry: Entry,
    pub(super) stamp: Option<Stamp>,
}

/// All entries of one side that take part, in order, each once.
pub(super) struct List(Vec<Listed>);

impl List {
    pub(super) fn new(mut all: Vec<Listed>) -> Self {
        all.sort_by(|a, b| a.entry.key.cmp(&b.entry.key));
        all.dedup_by(|a, b| a.entry.key == b.entry.key);
        Self(all)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().map(|listed| &listed.entry)
    }

    /// The entry at a path.
    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        let at = self
            .0
            .binary_search_by(|listed| listed.entry.key.as_str().cmp(key));
        self.0.get(at.ok()?).map(|listed| &listed.entry)
    }

    /// What this list has and `source` has not.
    pub(super) fn beyond(&self, source: &Self) -> impl Iterator<Item = &Entry> {
        self.entries().filter(|entry| source.find(&entry.key).is_none())
    }

    /// Each entry with its counterpart of `other`. What was handed on takes no more memory than its slot.
    pub(super) fn beside(self, other: Self) -> impl Iterator<Item = Both> {
        let mut other = other.0.into_iter().map(|listed| listed.entry).peekable();
        self.0.into_iter().map(move |src| {
            while other.next_if(|entry| entry.key < src.entry.key).is_some() {}
            let dst = other.next_if(|entry| entry.key == src.entry.key);
            Both { src, dst }
        })
    }
}

impl target::Entries for List {
    fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries()
    }

    fn holds(&self, key: &str) -> bool {
        self.find(key).is_some()
    }
}

/// One entry of the source, and its counterpart.
pub(super) struct Both {
    pub(super) src: Listed,
    pub(super) dst: Option<Entry>,
}

/// The same with both real sizes.
pub(super) struct Pair {
    pub(super) src: Entry,
    pub(super) src_size: u64,
    pub(super) dst: Option<(Entry, u64)>,
    pub(super) stamp: Option<Stamp>,
    /// The contents are the same, and need not be read to know it.
    pub(super) unchanged: bool,
}

/// What is to be done for an entry of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// Nothing.
    None,
    /// Flags or metadata differ, the content is the same.
    Attributes,
    /// The content differs, or one is a link, or there is none on the other side.
    Content,
}

/// Whether the entries themselves tell what is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They do.
    Known(Difference),
    /// Two files of one size: see whether the contents are the same, and if so what is said here.
    IfSame(Difference),
}

/// Which attributes count between two drives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) executable: bool,
    pub(super) metadata: bool,
}

impl Attributes {
    /// Folders keep no metadata, and on some systems no executable flag can be set in them.
    pub(super) fn between(src: &dyn Drive, dst: &dyn Drive) -> Self {
        let local = src.as_local().is_some() || dst.as_local().is_some();
        Self {
            executable: LocalDrive::KEEPS_EXECUTABLE || dst.as_local().is_none(),
            metadata: !local,
        }
    }

    fn differ(self, a: &Entry, b: &Entry) -> bool {
        (self.executable && a.executable != b.executable) || (self.metadata && a.metadata != b.metadata)
    }
}

impl Pair {
    /// What is to be done, as far as the entries tell.
    pub(super) fn verdict(&self, attributes: Attributes) -> Verdict {
        let a = &self.src;
        let Some((b, size)) = &self.dst else {
            return Verdict::Known(Difference::Content);
        };
        if a.linkname.is_some() || b.linkname.is_some() {
            let links = a.linkname.as_ref().zip(b.linkname.as_ref());
            let same = links.is_some_and(|(left, right)| same_link(&a.key, left, right));
            return Verdict::Known(if same {
                Difference::None
            } else {
                Difference::Content
            });
        }
        if a.blob.is_some() != b.blob.is_some() || self.src_size != *size {
            return Verdict::Known(Difference::Content);
        }
        let if_same = if attributes.differ(a, b) {
            Difference::Attributes
        } else {
            Difference::None
        };
        if self.unchanged || self.src_size == 0 {
            Verdict::Known(if_same)
        } else {
            Verdict::IfSame(if_same)
        }
    }

    /// What is told of it.
    pub(super) fn diff(&self, difference: Difference) -> Option<Diff> {
        let (bytes_added, bytes_removed) = match difference {
            Difference::None => return None,
            Difference::Attributes => (0, 0),
            Difference::Content => (self.src_size, self.dst.as_ref().map_or(0, |(_, size)| *size)),
        };
        let op = if self.dst.is_some() {
            DiffOp::Change
        } else {
            DiffOp::Add
        };
        Some(Diff {
            op,
            key: self.src.key.clone(),
            bytes_added,
            bytes_removed,
        })
    }
}

fn same_link(key: &str, a: &str, b: &str) -> bool {
    a == b || matches!((path::resolve_link(key, a), path::resolve_link(key, b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use hyperblobs::BlobId;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ALL: Attributes = Attributes {
        executable: true,
        metadata: true,
    };

    fn file(key: &str) -> Entry {
        Entry {
            seq: 1,
            key: key.to_owned(),
            executable: false,
            linkname: None,
            blob: Some(BlobId::default()),
            metadata: None,
        }
    }

    fn link(key: &str, to: &str) -> Entry {
        Entry {
            linkname: Some(to.to_owned()),
            blob: None,
            ..file(key)
        }
    }

    fn list(keys: &[&str]) -> List {
        let listed = |key: &&str| Listed {
            entry: file(key),
            stamp: None,
        };
        List::new(keys.iter().map(listed).collect())
    }

    fn pair(src: Entry, src_size: u64, dst: Option<(Entry, u64)>) -> Pair {
        Pair {
            src,
            src_size,
            dst,
            stamp: None,
            unchanged: false,
        }
    }

    #[test]
    fn what_is_to_be_done_for_an_entry() {
        use Difference::{Attributes as Flags, Content, None as Nothing};
        use Verdict::{IfSame, Known};
        let runs = Entry {
            executable: true,
            ..file("/a")
        };
        let tagged = Entry {
            metadata: Some(json!(1)),
            ..file("/a")
        };
        let without = Entry {
            blob: None,
            ..file("/a")
        };
        for (what, pair, verdict) in [
            ("is new", pair(file("/a"), 3, None), Known(Content)),
            (
                "has another size",
                pair(file("/a"), 3, Some((file("/a"), 4))),
                Known(Content),
            ),
            (
                "may be the same",
                pair(file("/a"), 3, Some((file("/a"), 3))),
                IfSame(Nothing),
            ),
            (
                "is empty",
                pair(file("/a"), 0, Some((file("/a"), 0))),
                Known(Nothing),
            ),
            (
                "is to be run",
                pair(runs.clone(), 3, Some((file("/a"), 3))),
                IfSame(Flags),
            ),
            (
                "is to be run and empty",
                pair(runs, 0, Some((file("/a"), 0))),
                Known(Flags),
            ),
            (
                "has metadata",
                pair(tagged, 3, Some((file("/a"), 3))),
                IfSame(Flags),
            ),
            (
                "has no content there",
                pair(file("/a"), 0, Some((without, 0))),
                Known(Content),
            ),
            (
                "was a link",
                pair(file("/a"), 0, Some((link("/a", "b"), 0))),
                Known(Content),
            ),
            (
                "becomes a link",
                pair(link("/a", "b"), 0, Some((file("/a"), 0))),
                Known(Content),
            ),
            (
                "leads elsewhere",
                pair(link("/a", "b"), 0, Some((link("/a", "c"), 0))),
                Known(Content),
            ),
            (
                "is spelt otherwise",
                pair(link("/d/a", "/b"), 0, Some((link("/d/a", "../b"), 0))),
                Known(Nothing),
            ),
        ] {
            assert_eq!(pair.verdict(ALL), verdict, "{what}");
        }
        let known = Pair {
            unchanged: true,
            ..pair(file("/a"), 3, Some((file("/a"), 3)))
        };
        assert_eq!(known.verdict(ALL), Known(Nothing));
    }

    #[test]
    fn attributes_count_where_both_sides_keep_them() {
        let other = Entry {
            executable: true,
            metadata: Some(json!(1)),
            ..file("/a")
        };
        let pair = pair(file("/a"), 0, Some((other, 0)));
        let none = Attributes {
            executable: false,
            metadata: false,
        };
        assert_eq!(pair.verdict(none), Verdict::Known(Difference::None));
        for one in [
            Attributes {
                executable: true,
                ..none
            },
            Attributes {
                metadata: true,
                ..none
            },
        ] {
            assert_eq!(pair.verdict(one), Verdict::Known(Difference::Attributes));
        }
    }

    #[test]
    fn what_is_told_counts_the_bytes_that_move() {
        let both = pair(file("/a"), 3, Some((file("/a"), 4)));
        let told = |difference| {
            both.diff(difference)
                .map(|diff| (diff.op, diff.bytes_added, diff.bytes_removed))
        };
        assert_eq!(told(Difference::None), None);
        assert_eq!(told(Difference::Attributes), Some((DiffOp::Change, 0, 0)));
        assert_eq!(told(Difference::Content), Some((DiffOp::Change, 3, 4)));
        let new = pair(file("/a"), 3, None).diff(Difference::Content).unwrap();
        assert_eq!((new.op, new.bytes_added, new.bytes_removed), (DiffOp::Add, 3, 0));
    }

    #[test]
    fn links_are_the_same_when_they_lead_to_the_same_place() {
        assert!(same_link("/a/l", "/b", "../b") && same_link("/l", "x", "x"));
        assert!(!same_link("/a/l", "b", "../b") && !same_link("/l", "../../x", "x"));
    }

    proptest! {
        /// After what goes is gone and what comes is there, the destination has the paths of the source.
        #[test]
        fn a_plan_makes_the_lists_equal(
            src in prop::collection::vec("/[a-c]{1,2}", 0..12),
            dst in prop::collection::vec("/[a-c]{1,2}", 0..12),
        ) {
            let of = |keys: &[String]| list(&keys.iter().map(String::as_str).collect::<Vec<_>>());
            let sorted = |mut keys: Vec<String>| { keys.sort(); keys.dedup(); keys };
            let (wanted, mut there) = (sorted(src.clone()), sorted(dst.clone()));
            let gone: Vec<String> = of(&dst).beyond(&of(&src)).map(|entry| entry.key.clone()).collect();
            there.retain(|key| !gone.contains(key));
            for both in of(&src).beside(of(&dst)) {
                prop_assert_eq!(both.dst.as_ref().map(|entry| &entry.key), there.iter().find(|key| **key == both.src.entry.key));
                if both.dst.is_none() {
                    there.push(both.src.entry.key);
                }
            }
            prop_assert_eq!(sorted(there), wanted);
        }
    }
}
