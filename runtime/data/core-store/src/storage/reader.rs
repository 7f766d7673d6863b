//! The connection that reads, and transactions that many small reads share: beginning one costs SQLite more system calls than the
//! look for a row does.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How long reads share a transaction: what other processes write is not seen for that long, and their log cannot be folded
/// back into the file.
const SHARED_FOR: Duration = Duration::from_millis(20);

/// The reading connection.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    /// How many want their reads to share a transaction.
    sharing: usize,
    shared: Option<Begun>,
}

/// The transaction that is shared now.
#[derive(Debug)]
struct Begun {
    at: Instant,
    /// Transactions that this process had written by then.
    writes: u64,
}

impl Reader {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            sharing: 0,
            shared: None,
        }
    }

    /// From now on reads may share a transaction.
    pub(super) fn share(&mut self) {
        self.sharing += 1;
    }

    /// One that called [`share`](Self::share) is done.
    pub(super) fn unshare(&mut self) {
        self.sharing = self.sharing.saturating_sub(1);
        if self.sharing == 0 {
            self.end();
        }
    }

    /// Runs `read`, on one state of the file if `whole`. `writes` are the transactions that this process wrote so far: all of
    /// them are seen.
    pub(super) fn read<T>(
        &mut self,
        writes: u64,
        whole: bool,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let fits = |begun: &Begun| begun.writes == writes && begun.at.elapsed() < SHARED_FOR;
        if !self.shared.as_ref().is_some_and(fits) {
            self.end();
            if self.sharing > 0 {
                self.connection.execute_batch("BEGIN")?;
                self.shared = Some(Begun {
                    at: Instant::now(),
                    writes,
                });
            }
        }
        if whole && self.shared.is_none() {
            let transaction = self.connection.unchecked_transaction()?;
            let out = read(&transaction)?;
            transaction.finish()?;
            return Ok(out);
        }
        read(&self.connection)
    }

    /// The file's version, which others' writes change.
    pub(super) fn data_version(&mut self) -> rusqlite::Result<i64> {
        self.end();
        self.connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))
    }

    fn end(&mut self) {
        if self.shared.take().is_some()
            && let Err(error) = self.connection.execute_batch("COMMIT")
        {
            tracing::debug!(%error, "a shared read did not end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_wrote_is_seen_at_once_and_what_others_wrote_soon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
            .unwrap();
        let mut reader = Reader::new(Connection::open(&path).unwrap());
        let count = |reader: &mut Reader, writes| {
            let rows =
                |db: &Connection| db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
            reader.read(writes, true, rows).unwrap()
        };
        let insert = || writer.execute("INSERT INTO t VALUES (1)", []).unwrap();
        reader.share();
        assert_eq!(count(&mut reader, 0), 0);
        insert();
        assert_eq!(count(&mut reader, 0), 0, "nobody said that it was written");
        assert_eq!(count(&mut reader, 1), 1, "this process wrote it");
        insert();
        std::thread::sleep(SHARED_FOR);
        assert_eq!(count(&mut reader, 1), 2, "another wrote it");
        let version = reader.data_version().unwrap();
        assert_eq!(count(&mut reader, 1), 2);
        insert();
        assert_ne!(reader.data_version().unwrap(), version);
        reader.unshare();
        insert();
        assert_eq!(count(&mut reader, 1), 4, "nothing is shared any more");
    }
}
