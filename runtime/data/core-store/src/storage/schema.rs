//! The tables, and how a connection is set up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::StorageError;

/// Raised when the tables change in a way that older versions cannot read.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cores (
    id INTEGER PRIMARY KEY,
    discovery_key BLOB NOT NULL UNIQUE,
    key BLOB NOT NULL,
    manifest BLOB,
    secret_key BLOB,
    fork INTEGER NOT NULL DEFAULT 0,
    length INTEGER NOT NULL DEFAULT 0,
    signature BLOB NOT NULL DEFAULT x'',
    revision INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS blocks (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS nodes (id INTEGER PRIMARY KEY, size INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS bitfields (id INTEGER PRIMARY KEY, bits BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS user_data (
    core INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (core, name)
) WITHOUT ROWID;
";

/// KiB of pages that the writing connection keeps: half as much again as what peers send before it is written, for the pages around it.
pub(super) const WRITER_CACHE: i64 = 6144;
/// KiB of pages that the reading connection keeps: the inner pages of its trees. The system keeps the others.
pub(super) const READER_CACHE: i64 = 4096;
/// KiB of pages that the connection keeps which folds the log: it copies pages and looks at none.
pub(super) const FOLDING_CACHE: i64 = 64;

/// Per-connection settings; the cache in KiB.
pub(super) fn configure(connection: &Connection, cache: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -cache)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Sets up the first connection to a store and makes the tables if they are missing.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    let fail = |source: rusqlite::Error| StorageError::Open {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    connection.busy_timeout(Duration::from_secs(10)).map_err(fail)?;
    connection.pragma_update(None, "page_size", 8192).map_err(fail)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(fail)?;
    configure(connection, WRITER_CACHE).map_err(fail)?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(fail)?;
    if found > FORMAT {
        return Err(StorageError::Format {
            path: path.to_owned(),
            found,
            expected: FORMAT,
        });
    }
    if found < FORMAT {
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {FORMAT}; COMMIT;"
            ))
            .map_err(fail)?;
    }
    Ok(())
}
