//! An AppImage that is open for reading.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::elf;
use crate::error::ImageError;
use crate::folder::{self, Entry};
use crate::node::{Kind, Node, Place};
use crate::superblock::{self, Superblock};
use crate::{data, metadata};

/// The file, and where in it the squashfs is.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    start: u64,
    bytes: u64,
}

impl Source {
    /// Reads at a place of the squashfs, which must hold all that is wanted.
    pub(crate) fn read_exact(&self, at: u64, out: &mut [u8]) -> Result<(), ImageError> {
        let outside = ImageError::Damaged("something in it lies outside of it");
        let inside = at.checked_add(out.len() as u64).filter(|end| *end <= self.bytes);
        if inside.is_none() {
            return Err(outside);
        }
        read_at(&self.file, self.start.saturating_add(at), out)?;
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(out, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut at: u64, mut out: &mut [u8]) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !out.is_empty() {
        match file.seek_read(out, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                at += count as u64;
                out = out.get_mut(count..).unwrap_or_default();
            }
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Caches {
    tables: metadata::Cache,
    blocks: data::Cache,
}

/// An AppImage whose files can be read. Reads take turns. The file is read as it was when it was opened, also when another takes its
/// name meanwhile.
#[derive(Debug)]
pub struct Image {
    source: Source,
    head: Superblock,
    caches: Mutex<Caches>,
}

impl Image {
    /// Opens an AppImage.
    ///
    /// # Errors
    /// If it cannot be read, is no AppImage of type 2, or is compressed by another method than gzip.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        (&mut file)
            .take(elf::HEADER_BYTES as u64)
            .read_to_end(&mut head)?;
        if !elf::is_marked(&head) {
            return Err(ImageError::NoImage("it is not marked as one"));
        }
        Self::at(file, elf::end(&head)?)
    }

    /// Opens the squashfs that begins in a file at `start`.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn at(file: File, start: u64) -> Result<Self, ImageError> {
        let bytes = file.metadata()?.len().saturating_sub(start);
        let mut source = Source { file, start, bytes };
        let mut head = [0; superblock::BYTES];
        if bytes < head.len() as u64 {
            return Err(ImageError::Damaged("it ends before its files begin"));
        }
        source.read_exact(0, &mut head)?;
        let head = Superblock::parse(&head)?;
        if head.bytes > bytes {
            return Err(ImageError::Damaged("it is shorter than it says"));
        }
        source.bytes = head.bytes;
        Ok(Self {
            source,
            head,
            caches: Mutex::default(),
        })
    }

    /// Where the squashfs begins, in bytes from the file's start.
    pub fn start(&self) -> u64 {
        self.source.start
    }

    fn caches(&self) -> MutexGuard<'_, Caches> {
        // What is in a cache was read whole, whatever became of the reader.
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outermost folder.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn root(&self) -> Result<Node, ImageError> {
        self.node(self.head.root)
    }

    /// What is described at a place.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn node(&self, place: Place) -> Result<Node, ImageError> {
        let at = self.head.inode_table.checked_add(place.block);
        let at = at.ok_or(ImageError::Damaged("a file is described nowhere"))?;
        let mut caches = self.caches();
        Node::parse(place, self.head.block_bytes, |count| {
            caches.tables.read(&self.source, at, place.offset, count)
        })
    }

    /// The entries of a folder, in the order of their names; none for what is no folder.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn entries(&self, folder: &Node) -> Result<Vec<Entry>, ImageError> {
        let Kind::Folder(listing) = &folder.kind else {
            return Ok(Vec::new());
        };
        let bytes = listing.bytes.saturating_sub(folder::NOT_ENTRIES);
        if bytes == 0 {
            return Ok(Vec::new());
        }
        if bytes > folder::MAX_LISTING_BYTES {
            return Err(ImageError::Damaged("a folder has too many entries"));
        }
        let at = self.head.folder_table.checked_add(listing.block);
        let at = at.ok_or(ImageError::Damaged("a folder is described nowhere"))?;
        let listing = self
            .caches()
            .tables
            .read(&self.source, at, listing.offset, bytes as usize)?;
        folder::entries(&listing)
    }

    /// What a name in a folder stands for, if it is there.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn lookup(&self, folder: &Node, name: &[u8]) -> Result<Option<Node>, ImageError> {
        let found = self.entries(folder)?.into_iter().find(|entry| entry.name == name);
        found.map(|entry| self.node(entry.place)).transpose()
    }

    /// What lies at a path inside, if anything does. Links are not followed.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn find(&self, path: &Path) -> Result<Option<Node>, ImageError> {
        let mut node = self.root()?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            match self.lookup(&node, name.as_encoded_bytes())? {
                Some(found) => node = found,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// Fills `out` from a file, from `offset` on, and says how much there was: less than asked for only at the file's end, nothing
    /// for what is no file.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn read(&self, file: &Node, offset: u64, out: &mut [u8]) -> Result<usize, ImageError> {
        let Kind::File(contents) = &file.kind else {
            return Ok(0);
        };
        let mut caches = self.caches();
        let Caches { tables, blocks } = &mut *caches;
        blocks.read((&self.source, &self.head, tables), contents, offset, out)
    }

    /// A file's contents, which must be no more than `limit` bytes; `None` for what is no file.
    ///
    /// # Errors
    /// If it is damaged, or longer.
    pub fn contents(&self, file: &Node, limit: u64) -> Result<Option<Vec<u8>>, ImageError> {
        let Kind::File(contents) = &file.kind else {
            return Ok(None);
        };
        if contents.size > limit {
            return Err(ImageError::Damaged("a file in it is longer than it may be"));
        }
        let mut out = vec![0; contents.size as usize];
        let read = self.read(file, 0, &mut out)?;
        out.truncate(read);
        Ok(Some(out))
    }
}
