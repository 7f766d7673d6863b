//! Everything in an image, one by one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Image, ImageError, Node};

/// How deep folders may lie in each other: a damaged one may lie in itself.
pub const MAX_DEPTH: usize = 64;

/// How many files, folders and links are gone through: a damaged image may name one folder a thousand times.
pub const MAX_NODES: usize = 100_000;

impl Image {
    /// Shows everything in it but the outermost folder, with its path inside: each folder before what is in it.
    ///
    /// # Errors
    /// At the first thing that is damaged, or past [`MAX_DEPTH`] or [`MAX_NODES`]; and what `visit` returns.
    pub fn walk<E: From<ImageError>>(
        &self,
        mut visit: impl FnMut(&Path, &Node) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut left = MAX_NODES;
        self.walk_into(&PathBuf::new(), &self.root()?, 0, &mut left, &mut visit)
    }

    fn walk_into<E: From<ImageError>>(
        &self,
        path: &Path,
        folder: &Node,
        depth: usize,
        left: &mut usize,
        visit: &mut impl FnMut(&Path, &Node) -> Result<(), E>,
    ) -> Result<(), E> {
        if depth > MAX_DEPTH {
            return Err(ImageError::Damaged("its folders lie too deep in each other").into());
        }
        for entry in self.entries(folder)? {
            *left = left
                .checked_sub(1)
                .ok_or(ImageError::Damaged("it holds too many files"))?;
            let node = self.node(entry.place)?;
            let path = path.join(name(entry.name)?);
            visit(&path, &node)?;
            self.walk_into(&path, &node, depth + 1, left, visit)?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn name(bytes: Vec<u8>) -> Result<OsString, ImageError> {
    Ok(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

#[cfg(not(unix))]
fn name(bytes: Vec<u8>) -> Result<OsString, ImageError> {
    String::from_utf8(bytes)
        .map(Into::into)
        .map_err(|_| ImageError::Damaged("a name in it is no text"))
}
