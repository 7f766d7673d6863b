//! The AppImage's files, as the system asks for them through FUSE.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use appimage::{Entry, Image, ImageError, Kind, Node, Place};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
};

use crate::serve::QUIET;

/// How long the system may keep what it was told: nothing ever changes.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The most that is read at once, in bytes; the system asks for less.
const MAX_READ: u32 = 1024 * 1024;

/// The numbers below this one are FUSE's own.
const FIRST_NUMBER: u64 = 2;

/// The files of an image.
pub(crate) struct Files {
    image: Image,
    uses: Uses,
    owner: (u32, u32),
}

impl Files {
    pub(crate) fn new(image: Image) -> Self {
        let owner = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        Self {
            image,
            uses: Uses::default(),
            owner,
        }
    }

    /// Who has files open.
    pub(crate) fn uses(&self) -> Uses {
        self.uses.clone()
    }

    fn node(&self, number: INodeNo) -> Result<Node, ImageError> {
        match number.0.checked_sub(FIRST_NUMBER) {
            Some(raw) => self.image.node(Place::from_raw(raw)),
            None => self.image.root(),
        }
    }

    fn number(&self, place: Place) -> INodeNo {
        INodeNo(place.raw().saturating_add(FIRST_NUMBER))
    }

    fn attributes(&self, number: INodeNo, node: &Node) -> FileAttr {
        let (kind, size) = match &node.kind {
            Kind::Folder(_) => (FileType::Directory, 0),
            Kind::File(contents) => (FileType::RegularFile, contents.size),
            Kind::Link(target) => (FileType::Symlink, target.len() as u64),
        };
        let time = UNIX_EPOCH + Duration::from_secs(u64::from(node.modified));
        FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            // Nobody writes here.
            perm: node.mode & 0o555,
            nlink: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn found(&self, parent: INodeNo, name: &OsStr) -> Result<Option<Node>, ImageError> {
        self.image.lookup(&self.node(parent)?, name.as_bytes())
    }
}

/// What the system is told of a file that is damaged.
fn damaged(_: ImageError) -> Errno {
    Errno::EIO
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.found(parent, name) {
            Ok(Some(node)) => {
                let number = self.number(node.place);
                reply.entry(&KEEP, &self.attributes(number, &node), Generation(0));
            }
            Ok(None) => reply.error(Errno::ENOENT),
            Err(error) => reply.error(damaged(error)),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.node(number) {
            Ok(node) => reply.attr(&KEEP, &self.attributes(number, &node)),
            Err(error) => reply.error(damaged(error)),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.node(number).map(|node| node.kind) {
            Ok(Kind::Link(target)) => reply.data(&target),
            Ok(_) => reply.error(Errno::EINVAL),
            Err(error) => reply.error(damaged(error)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.uses.change(1);
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.uses.change(-1);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut out = vec![0; size.min(MAX_READ) as usize];
        let read = self
            .node(number)
            .and_then(|node| self.image.read(&node, offset, &mut out));
        match read {
            Ok(count) => reply.data(out.get(..count).unwrap_or_default()),
            Err(error) => reply.error(damaged(error)),
        }
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let entries = match self.node(number).and_then(|node| self.image.entries(&node)) {
            Ok(entries) => entries,
            Err(error) => return reply.error(damaged(error)),
        };
        let own = [".", ".."].map(|name| (number, FileType::Directory, name.as_bytes()));
        let named = entries
            .iter()
            .map(|entry| (self.number(entry.place), kind_of(entry), entry.name.as_slice()));
        let all = own.into_iter().chain(named).zip(1..);
        for ((number, kind, name), next) in all.skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(number, next, kind, OsStr::from_bytes(name)) {
                break;
            }
        }
        reply.ok();
    }
}

fn kind_of(entry: &Entry) -> FileType {
    match entry {
        Entry { is_folder: true, .. } => FileType::Directory,
        Entry { is_link: true, .. } => FileType::Symlink,
        _ => FileType::RegularFile,
    }
}

/// How many files are open. A program that runs has its own open, and so has a library that is loaded.
#[derive(Clone, Default)]
pub(crate) struct Uses(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    open: i64,
    /// Something was open once.
    begun: bool,
    /// The system asks for nothing any more.
    ended: bool,
}

impl Uses {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, by: i64) {
        let mut state = self.state();
        state.open += by;
        state.begun = true;
        self.0.1.notify_all();
    }

    /// Who was to open something is gone: what is not open by now is not waited for.
    pub(crate) fn nobody_begins(&self) {
        self.state().begun = true;
        self.0.1.notify_all();
    }

    /// It was unmounted.
    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.0.1.notify_all();
    }

    /// Waits until nothing is open, and that for a while, or nothing ever was for as long as `first`. False if it was unmounted
    /// meanwhile.
    pub(crate) fn wait_for_none(&self, first: Duration) -> bool {
        let mut state = self.state();
        let mut since = Instant::now();
        loop {
            if state.ended {
                return false;
            }
            let patience = if state.begun { QUIET } else { first };
            if state.open > 0 {
                state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
                since = Instant::now();
                continue;
            }
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                return true;
            }
            let waited = self.0.1.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_app_that_died_before_it_opened_anything_is_not_waited_for() {
        let uses = Uses::default();
        let waiting = std::thread::spawn({
            let uses = uses.clone();
            move || uses.wait_for_none(LONG)
        });
        let start = Instant::now();
        uses.nobody_begins();
        assert!(waiting.join().unwrap());
        assert!(start.elapsed() < LONG / 2);
    }
}
