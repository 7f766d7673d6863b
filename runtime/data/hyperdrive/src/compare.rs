//! Whether two entries are the same: links by where they lead, files by content, then by flags (npm `mirror-drive`).

use bytes::Bytes;
use futures::TryStreamExt;

use crate::entry::Entry;
use crate::error::DriveError;
use crate::path;
use crate::traits::{ByteStream, Drive};

/// What a mirror has to do for an entry that both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Nothing.
    None,
    /// Flags or metadata differ, the content is the same.
    Attributes,
    /// The content differs, or one is a link.
    Content,
}

/// Compares an entry of `src` with the one of `dst` at the same path. Sizes are the entries' real ones. `known` says that the
/// contents are the same.
pub(crate) async fn compare(
    (src, a, a_size): (&dyn Drive, &Entry, u64),
    (dst, b, b_size): (&dyn Drive, &Entry, u64),
    known: bool,
) -> Result<Difference, DriveError> {
    if a.linkname.is_some() || b.linkname.is_some() {
        let same = match (&a.linkname, &b.linkname) {
            (Some(left), Some(right)) => same_link(&a.key, left, right),
            _ => false,
        };
        return Ok(if same {
            Difference::None
        } else {
            Difference::Content
        });
    }
    if a.blob.is_some() != b.blob.is_some() || a_size != b_size {
        return Ok(Difference::Content);
    }
    let same = known || a_size == 0 || same_place(src, a, dst, b).await? || {
        let (left, right) = (src.read_entry(a).await?, dst.read_entry(b).await?);
        same_bytes(left, right).await?
    };
    Ok(match (same, same_attributes(src, a, dst, b)) {
        (false, _) => Difference::Content,
        (true, false) => Difference::Attributes,
        (true, true) => Difference::None,
    })
}

fn same_link(key: &str, a: &str, b: &str) -> bool {
    a == b || matches!((path::resolve_link(key, a), path::resolve_link(key, b)), (Ok(a), Ok(b)) if a == b)
}

/// Both entries name the same blocks, as two versions of one drive do.
async fn same_place(src: &dyn Drive, a: &Entry, dst: &dyn Drive, b: &Entry) -> Result<bool, DriveError> {
    let (Some(src), Some(dst)) = (src.as_hyperdrive(), dst.as_hyperdrive()) else {
        return Ok(false);
    };
    let same_blob = a.blob == b.blob
        || (a.blob.map(|id| id.block_map), b.blob.map(|id| id.block_map)) == (Some(true), Some(true));
    if !same_blob {
        return Ok(false);
    }
    let (left, right) = (src.open_blobs().await?, dst.open_blobs().await?);
    if left.core().key() != right.core().key() || left.core().fork() != right.core().fork() {
        return Ok(false);
    }
    match (a.blob, b.blob) {
        (Some(a), Some(b)) if a == b => Ok(true),
        (Some(a), Some(b)) => Ok(left.block_map(&a).await? == right.block_map(&b).await?),
        _ => Ok(false),
    }
}

fn same_attributes(src: &dyn Drive, a: &Entry, dst: &dyn Drive, b: &Entry) -> bool {
    let local = src.as_local().is_some() || dst.as_local().is_some();
    let flags_count = cfg!(unix) || !local;
    (a.executable == b.executable || !flags_count) && (a.metadata == b.metadata || local)
}

/// Compares two streams without holding more than a piece of each.
pub(crate) async fn same_bytes(mut left: ByteStream, mut right: ByteStream) -> Result<bool, DriveError> {
    let (mut a, mut b) = (Bytes::new(), Bytes::new());
    loop {
        if a.is_empty() {
            match left.try_next().await? {
                Some(bytes) => a = bytes,
                None => return Ok(b.is_empty() && ends(right).await?),
            }
        }
        if b.is_empty() {
            match right.try_next().await? {
                Some(bytes) => b = bytes,
                None => return Ok(a.is_empty() && ends(left).await?),
            }
        }
        let length = a.len().min(b.len());
        if a.split_to(length) != b.split_to(length) {
            return Ok(false);
        }
    }
}

/// Whether nothing but empty pieces follows.
async fn ends(mut stream: ByteStream) -> Result<bool, DriveError> {
    while let Some(bytes) = stream.try_next().await? {
        if !bytes.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use proptest::prelude::*;

    use super::*;

    fn pieces(data: &[u8], cuts: &[prop::sample::Index]) -> ByteStream {
        let mut at: Vec<usize> = cuts
            .iter()
            .map(|cut| cut.index(data.len() + 1))
            .chain([0, data.len()])
            .collect();
        at.sort_unstable();
        let parts: Vec<_> = at
            .windows(2)
            .map(|pair| Ok(Bytes::copy_from_slice(&data[pair[0]..pair[1]])))
            .collect();
        stream::iter(parts).boxed()
    }

    proptest! {
        #[test]
        fn streams_are_compared_by_their_bytes(data in prop::collection::vec(0u8..2, 0..40),
            other in prop::option::of(prop::collection::vec(0u8..2, 0..40)),
            a in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
            b in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
            let other = other.unwrap_or_else(|| data.clone());
            let same = futures::executor::block_on(same_bytes(pieces(&data, &a), pieces(&other, &b))).unwrap();
            prop_assert_eq!(same, data == other);
        }
    }

    #[test]
    fn links_are_the_same_when_they_lead_to_the_same_place() {
        assert!(same_link("/a/l", "/b", "../b") && same_link("/l", "x", "x"));
        assert!(!same_link("/a/l", "b", "../b") && !same_link("/l", "../../x", "x"));
    }
}
