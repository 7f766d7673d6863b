//! What was flushed, in the order in which it was.

use hyperbee::History;
use hyperschema::Value;

use crate::db::HyperDb;
use crate::error::DbError;
use crate::keys::KeyEncoding;

/// A record that came or went.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The block of the bee that says so.
    pub seq: u64,
    /// The collection.
    pub collection: String,
    /// The record, or none of it but the key where it went.
    pub record: Value,
    /// Whether it went.
    pub deleted: bool,
}

/// Changes, one after the other; see [`HyperDb::changes`].
pub struct Changes {
    db: HyperDb,
    history: History,
}

impl Changes {
    pub(crate) fn new(db: &HyperDb, start: u64) -> Self {
        Self {
            db: db.snapshot(),
            history: db.view.bee().history(start, None),
        }
    }

    /// The newest first.
    pub fn reverse(mut self) -> Self {
        self.history = self.history.reverse();
        self
    }

    /// The next change; `None` at the end. What indexes write is passed over, and what a newer definition does. Waits for peers when blocks
    /// are missing here. Cancel safe: a cancelled call loses no change.
    pub async fn next(&mut self) -> Result<Option<Change>, DbError> {
        loop {
            self.db.view.check()?;
            let write = self.history.next().await?;
            self.db.view.check()?;
            let Some(write) = write else { return Ok(None) };
            let id = KeyEncoding::prefix_of(&write.key);
            let mut collections = self.db.definition.collections.iter();
            let Some(collection) = collections.find(|collection| Some(collection.id) == id) else {
                continue;
            };
            let record = if write.deletion {
                collection.key_record(&write.key)?
            } else {
                let value = write.value.as_deref().unwrap_or_default();
                self.db.record(collection, &write.key, value)?.record
            };
            return Ok(Some(Change {
                seq: write.seq,
                collection: collection.name.clone(),
                record,
                deleted: write.deletion,
            }));
        }
    }
}
