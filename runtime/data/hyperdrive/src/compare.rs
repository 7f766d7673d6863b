//! Whether two files have the same content (npm `mirror-drive`).

use bytes::Bytes;
use futures::TryStreamExt;

use crate::entry::Entry;
use crate::error::DriveError;
use crate::traits::{ByteStream, Drive};

/// Whether two files have the same content. They are read only where their blocks do not tell.
pub(crate) async fn same_content(
    (src, a): (&dyn Drive, &Entry),
    (dst, b): (&dyn Drive, &Entry),
) -> Result<bool, DriveError> {
    if same_place(src, a, dst, b).await? {
        return Ok(true);
    }
    let (left, right) = (src.read_entry(a).await?, dst.read_entry(b).await?);
    same_bytes(left, right).await
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
}
