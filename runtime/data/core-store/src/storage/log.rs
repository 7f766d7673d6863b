//! Keeps the write-ahead log short: folds it back into the file on a thread of its own, so that those who write need not wait for
//! the disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use base::lock;
use rusqlite::Connection;

use super::schema;

/// Pages of 8 KiB that are folded together: two groups of what peers send. Each folding waits for the disk twice.
const TOGETHER: usize = 1024;
/// A log begins anew when it is written after all of it was folded, which does not happen by itself while more is written all the time.
/// From this length on, who writes when nobody folds folds the little that came since.
const LONG: usize = 4 * TOGETHER;
/// The longest log in pages, 64 MiB: so much room on the disk a store may take besides its file, and so much may be left to fold when
/// it is closed. Who writes beyond that waits for the folding.
const LONGEST: usize = 2 * LONG;

/// The log of one file, as long as this process writes it.
pub(super) struct Log(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// Pages in the log after the last write of this process.
    pages: AtomicUsize,
    folding: Mutex<Folding>,
    idle: Condvar,
}

#[derive(Default)]
struct Folding {
    /// `None` before the first time, and while the thread has it.
    connection: Option<Connection>,
    runs: bool,
    /// Pages of the log that were in the file when it was folded last.
    folded: usize,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Takes over from SQLite, which folds the log within the write that makes it too long.
    pub(super) fn of(writer: &mut Connection, path: &Path) -> rusqlite::Result<Self> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            pages: AtomicUsize::new(0),
            folding: Mutex::default(),
            idle: Condvar::new(),
        });
        let counted = shared.clone();
        writer.wal_hook(Some(move |_: &mut _, pages| {
            counted
                .pages
                .store(usize::try_from(pages).unwrap_or(0), Ordering::Release);
            Ok(())
        }))?;
        Ok(Self(shared))
    }

    /// To be called after each write, with the connection that wrote: has the log folded if it is long, and waits for that if it is
    /// too long.
    pub(super) fn wrote(&self, writer: &Connection) {
        let shared = &self.0;
        let pages = shared.pages.load(Ordering::Acquire);
        if pages < TOGETHER {
            return;
        }
        let mut folding = lock(&shared.folding);
        while folding.runs && pages >= LONGEST {
            folding = shared.idle.wait(folding).unwrap_or_else(PoisonError::into_inner);
        }
        if !folding.runs && pages >= LONG {
            // Nobody else in this process writes now: all of it is folded.
            folding.folded = shared.fold(writer);
            return;
        }
        // A log that is shorter than what was folded is a new one.
        let new = pages.checked_sub(folding.folded).unwrap_or(pages);
        if !folding.runs && new >= TOGETHER {
            shared.begin(&mut folding);
        }
    }
}

impl Shared {
    /// Folds what is in the log now. A failure is left to the next time: nothing is lost by a log that is long.
    fn fold(&self, connection: &Connection) -> usize {
        let folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2));
        match folded {
            Ok(pages) => usize::try_from(pages).unwrap_or(0),
            Err(error) => {
                tracing::debug!(%error, path = %self.path.display(), "the log of a store could not be folded");
                0
            }
        }
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.path)?;
        schema::configure(&connection, schema::FOLDING_CACHE)?;
        Ok(connection)
    }

    /// Without a thread or a connection more the log grows until who writes folds it.
    fn begin(self: &Arc<Self>, folding: &mut Folding) {
        let (shared, connection) = (self.clone(), folding.connection.take());
        let run = move || {
            let connection = connection.map_or_else(|| shared.connect(), Ok);
            let folded = match &connection {
                Ok(connection) => shared.fold(connection),
                Err(_) => 0,
            };
            let mut folding = lock(&shared.folding);
            (folding.runs, folding.folded, folding.connection) = (false, folded, connection.ok());
            drop(folding);
            shared.idle.notify_all();
        };
        folding.runs = true;
        match std::thread::Builder::new().name("bosc-log".to_owned()).spawn(run) {
            Ok(thread) => folding.thread = Some(thread),
            Err(_) => folding.runs = false,
        }
    }
}

impl Drop for Log {
    /// Waits for the folding: the last connection that closes folds what is left and deletes the log, and a program that ends must
    /// not cut that off.
    fn drop(&mut self) {
        let (thread, connection) = {
            let mut folding = lock(&self.0.folding);
            (folding.thread.take(), folding.connection.take())
        };
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        drop(connection);
        lock(&self.0.folding).connection = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 8192;

    fn open(path: &Path) -> (Connection, Log) {
        let mut writer = Connection::open(path).unwrap();
        schema::prepare(&writer, path).unwrap();
        let log = Log::of(&mut writer, path).unwrap();
        (writer, log)
    }

    /// Writes a group of blocks of 4 MiB.
    fn write(writer: &mut Connection, log: &Log, group: i64) {
        let value = vec![group as u8; 64 * 1024];
        let tx = writer.transaction().unwrap();
        for block in 0..64 {
            tx.execute("INSERT INTO blocks VALUES (?1, ?2)", (64 * group + block, &value))
                .unwrap();
        }
        tx.commit().unwrap();
        log.wrote(writer);
    }

    fn length(path: &Path, end: &str) -> usize {
        let path = format!("{}{end}", path.display());
        std::fs::metadata(path).map_or(0, |file| file.len() as usize)
    }

    #[test]
    fn the_log_stays_short_also_while_somebody_reads_and_is_gone_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let (mut writer, log) = open(&path);
        let reader = Connection::open(&path).unwrap();
        for group in 0..40 {
            write(&mut writer, &log, group);
            let blocks = reader.query_row("SELECT count(*) FROM blocks", [], |row| row.get(0));
            assert_eq!(blocks, Ok(64 * (group + 1)));
        }
        let longest = length(&path, "-wal");
        // The last write before it is folded may be a group beyond.
        assert!(longest <= (LONGEST + TOGETHER) * (PAGE + 24) + 32, "{longest}");
        drop(reader);
        drop(writer);
        drop(log);
        assert_eq!(length(&path, "-wal"), 0, "the last that closes folds the rest");
        assert!(length(&path, "") >= 40 * 64 * 64 * 1024);
    }

    #[test]
    fn what_is_written_gets_into_the_file_without_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let (mut writer, log) = open(&path);
        for group in 0..3 {
            write(&mut writer, &log, group);
        }
        let mut folding = lock(&log.0.folding);
        while folding.runs {
            folding = log.0.idle.wait(folding).unwrap();
        }
        assert!(folding.folded >= TOGETHER && folding.thread.is_some());
        assert!(length(&path, "") >= TOGETHER * PAGE);
    }
}
