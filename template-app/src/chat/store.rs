//! The transcript: one SQLite file. What `send` has returned is on the disk and survives a crash or a power cut.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// Longest message, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 8000;

/// Longest name, in characters.
pub(crate) const MAX_NAME_CHARS: usize = 40;

/// Most messages given at once.
const MAX_PAGE: u32 = 500;

/// The version of the tables below, kept in the file.
const SCHEMA: i64 = 1;

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    /// Its place in the transcript; grows by one or more.
    pub(crate) id: i64,
    /// The page's own id for it.
    pub(crate) key: String,
    /// Who wrote it.
    pub(crate) author: String,
    /// What they wrote.
    pub(crate) text: String,
    /// When, in milliseconds since 1970.
    pub(crate) sent_at: i64,
}

/// Why the transcript could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The file cannot be opened.
    #[error(
        "The transcript {path} cannot be opened: {source}. Move that file away to start with an empty one."
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A newer version of the app has changed the file.
    #[error(
        "The transcript {path} was written by a newer version of this app (format {found}); update the app to read it."
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        found: i64,
    },
    /// Reading or writing failed.
    #[error("The transcript could not be read or written: {0}.")]
    Sqlite(#[from] rusqlite::Error),
    /// The message cannot be kept as it is.
    #[error("{0}")]
    Refused(&'static str),
}

/// An open transcript.
pub(crate) struct Store {
    db: Connection,
}

impl Store {
    /// Opens the transcript at `path`, or makes an empty one.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let db = Connection::open(path).map_err(failed)?;
        let found = prepare(&db).map_err(failed)?;
        if found > SCHEMA {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found,
            });
        }
        Ok(Self { db })
    }

    /// Keeps a message. On return it is on the disk. The same `key` again gives the message kept the first time.
    pub(crate) fn send(&self, text: &str, key: &str) -> Result<Message, StoreError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(StoreError::Refused("Write something first."));
        }
        if text.chars().count() > MAX_TEXT_CHARS {
            return Err(StoreError::Refused(
                "This message is too long; 8,000 characters are the most.",
            ));
        }
        if key.is_empty() || key.len() > 64 {
            return Err(StoreError::Refused("A message needs a key of 1 to 64 bytes."));
        }
        self.db.execute(
            "INSERT INTO messages (key, author, text, sent_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO NOTHING",
            params![key, self.name()?, text, now()],
        )?;
        let sql = "SELECT id, key, author, text, sent_at FROM messages WHERE key = ?1";
        Ok(self.db.query_row(sql, [key], message)?)
    }

    /// At most `limit` messages before the one with id `before` (or the last ones), oldest first, and whether there are
    /// more before them.
    pub(crate) fn history(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<Message>, bool), StoreError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut statement = self.db.prepare_cached(
            "SELECT id, key, author, text, sent_at FROM messages WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![before.unwrap_or(i64::MAX), limit + 1], message)?;
        let mut messages = rows.collect::<Result<Vec<_>, _>>()?;
        let more = messages.len() > limit as usize;
        messages.truncate(limit as usize);
        messages.reverse();
        Ok((messages, more))
    }

    /// The name under which messages are written; the system's user name until one is chosen.
    pub(crate) fn name(&self) -> Result<String, StoreError> {
        let sql = "SELECT value FROM settings WHERE name = 'name'";
        let chosen: Option<String> = self.db.query_row(sql, [], |row| row.get(0)).optional()?;
        Ok(chosen.unwrap_or_else(system_name))
    }

    /// Chooses a name.
    pub(crate) fn rename(&self, name: &str) -> Result<(), StoreError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            return Err(StoreError::Refused("A name has 1 to 40 characters."));
        }
        let sql = "INSERT INTO settings (name, value) VALUES ('name', ?1) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.db.execute(sql, [name])?;
        Ok(())
    }
}

/// Sets the file up and gives the version of its tables.
fn prepare(db: &Connection) -> rusqlite::Result<i64> {
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // Every commit reaches the disk before it is reported: a message that was shown is never lost.
    db.pragma_update(None, "synchronous", "FULL")?;
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        db.execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS messages (
                 id INTEGER PRIMARY KEY AUTOINCREMENT,
                 key TEXT NOT NULL UNIQUE,
                 author TEXT NOT NULL,
                 text TEXT NOT NULL,
                 sent_at INTEGER NOT NULL
             );
             CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             PRAGMA user_version = 1;
             COMMIT;",
        )?;
    }
    Ok(found)
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: row.get(0)?,
        key: row.get(1)?,
        author: row.get(2)?,
        text: row.get(3)?,
        sent_at: row.get(4)?,
    })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn system_name() -> String {
    let name = ["USER", "USERNAME", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let name: String = name
        .unwrap_or_default()
        .trim()
        .chars()
        .take(MAX_NAME_CHARS)
        .collect();
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => "Me".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("chat.db")).unwrap();
        (dir, store)
    }

    #[test]
    fn messages_come_back_in_order_and_in_pages() {
        let (dir, store) = store();
        for n in 0..7 {
            store.send(&format!("m{n}"), &format!("k{n}")).unwrap();
        }
        drop(store);
        let store = Store::open(&dir.path().join("chat.db")).unwrap();
        let texts = |messages: &[Message]| {
            messages
                .iter()
                .map(|m| m.text.clone())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (last, more) = store.history(None, 3).unwrap();
        assert_eq!((texts(&last).as_str(), more), ("m4 m5 m6", true));
        let (middle, more) = store.history(Some(last[0].id), 3).unwrap();
        assert_eq!((texts(&middle).as_str(), more), ("m1 m2 m3", true));
        let (first, more) = store.history(Some(middle[0].id), 3).unwrap();
        assert_eq!((texts(&first).as_str(), more), ("m0", false));
    }

    #[test]
    fn a_repeated_send_keeps_one_message() {
        let (_dir, store) = store();
        let first = store.send(" hi ", "k").unwrap();
        assert_eq!(first.text, "hi");
        assert_eq!(store.send("hi", "k").unwrap(), first);
        assert_eq!(store.history(None, 10).unwrap().0, [first]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_in_words() {
        let (_dir, store) = store();
        assert_eq!(
            store.send(" \n ", "k").unwrap_err().to_string(),
            "Write something first."
        );
        assert!(
            store
                .send(&"x".repeat(MAX_TEXT_CHARS + 1), "k")
                .unwrap_err()
                .to_string()
                .contains("too long")
        );
        assert!(store.send(&"é".repeat(MAX_TEXT_CHARS), "k").is_ok());
        assert!(store.send("hi", "").is_err());
        assert!(store.rename("").is_err() && store.rename("a\nb").is_err());
        store.rename("  Bosc ").unwrap();
        assert_eq!(store.name().unwrap(), "Bosc");
        assert_eq!(store.send("x", "k2").unwrap().author, "Bosc");
    }

    #[test]
    fn damaged_and_newer_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat.db");
        std::fs::write(&path, vec![7; 8192]).unwrap();
        let message = Store::open(&path).err().unwrap().to_string();
        assert!(message.contains("Move that file away"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; 8192]);

        let newer = dir.path().join("newer.db");
        Connection::open(&newer)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let message = Store::open(&newer).err().unwrap().to_string();
        assert!(message.contains("newer version"), "{message}");
    }

    #[test]
    fn a_kept_message_survives_kill_9() {
        const CHILD: &str = "PEAR_CHAT_TEST_DB";
        if let Some(path) = std::env::var_os(CHILD) {
            let store = Store::open(Path::new(&path)).unwrap();
            for n in 0.. {
                let kept = store.send(&format!("message {n}"), &format!("k{n}")).unwrap();
                println!("kept {}", kept.text);
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chat.db");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "chat::store::tests::a_kept_message_survives_kill_9",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut shown = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some((_, text)) = line.unwrap().split_once("kept ") {
                shown.push(text.to_owned());
            }
            if shown.len() == 25 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(shown.len() >= 25);
        let (kept, _) = Store::open(&path).unwrap().history(None, MAX_PAGE).unwrap();
        let kept: Vec<_> = kept.into_iter().map(|message| message.text).collect();
        assert!(kept.starts_with(&shown), "shown {shown:?}, kept {kept:?}");
    }
}
