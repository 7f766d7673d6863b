//! Writes that come together or not at all.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::db::HyperDb;
use crate::error::DbError;

/// Writes that come together or not at all, see [`HyperDb::transaction`]; it is used as a database.
pub struct Transaction<'a> {
    db: &'a mut HyperDb,
    work: HyperDb,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(db: &'a mut HyperDb, work: HyperDb) -> Self {
        Self { db, work }
    }

    /// Writes everything to the bee at once, as [`HyperDb::flush`]; the database that it was made of shows it then.
    pub async fn flush(mut self) -> Result<(), DbError> {
        self.work.flush().await?;
        self.db.view = self.work.view;
        self.db.updates = Arc::default();
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = HyperDb;

    fn deref(&self) -> &HyperDb {
        &self.work
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut HyperDb {
        &mut self.work
    }
}
