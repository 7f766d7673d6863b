//! The database: a look at a bee at one length, and what was written since and not flushed.

use std::sync::Arc;

use core_store::Core;
use hyperbee::Bee;
use hyperschema::{Record, Value};
use tokio::sync::broadcast::error::RecvError;

use crate::changes::Changes;
use crate::definition::{Definition, Named};
use crate::error::DbError;
use crate::query::Query;
use crate::rows::Rows;
use crate::tables::{CollectionType, IndexType, Stored};
use crate::transaction::Transaction;
use crate::updates::{Updates, Write, difference};
use crate::view::View;

/// A database on a bee. Reads see the bee as it was when [`update`](Self::update) last looked, with what was written here since;
/// [`flush`](Self::flush) writes that to the bee, as one batch. A clone is another look at the same bee.
#[derive(Clone)]
pub struct HyperDb {
    pub(crate) definition: Arc<Definition>,
    bee: Bee,
    pub(crate) view: View,
    pub(crate) updates: Arc<Updates>,
    /// Versions that records are written with and read as.
    pub(crate) versions: Versions,
    writable: bool,
}

/// Versions of the schema and of the definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Fields that came later are neither written nor read.
    pub schema: u64,
    /// Records say that version of their collection at most.
    pub db: u64,
}

impl HyperDb {
    /// A database on the bee in `core`, or on one that the first flush makes there.
    pub fn bee(core: Core, definition: Definition) -> Self {
        Self::on(Bee::new(core, None), definition)
    }

    /// A database on a bee, such as the view of a room. Of the bee's core it needs blocks, appends and, for [`watch`](Self::watch), events;
    /// a core that is truncated and appended to again is looked at anew by [`update`](Self::update), and reads of what was cut off end
    /// with [`DbError::Outdated`].
    pub fn on(bee: Bee, definition: Definition) -> Self {
        Self {
            versions: Versions {
                schema: definition.schema.version(),
                db: definition.version,
            },
            definition: Arc::new(definition),
            view: View::new(&bee),
            bee,
            updates: Arc::default(),
            writable: true,
        }
    }

    /// The core of the bee.
    pub fn core(&self) -> &Core {
        self.bee.core()
    }

    /// What the database is made of.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Whether it can be written to: a [`snapshot`](Self::snapshot) cannot.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// Writes and reads as a program with these versions does, so that those that are not updated yet understand it.
    pub fn set_versions(&mut self, versions: Versions) {
        self.versions = versions;
    }

    /// This database as it is now, unflushed writes included, for reading.
    pub fn snapshot(&self) -> Self {
        Self {
            writable: false,
            ..self.clone()
        }
    }

    /// Writes that come together or not at all: [`Transaction::flush`] writes them, dropping it forgets them. It begins with what is not
    /// flushed yet, and is refused with [`DbError::Outdated`] if the bee changed since that was written.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, DbError> {
        if !self.writable {
            return Err(DbError::ReadOnly);
        }
        if self.updated() && self.view.is_outdated() {
            return Err(DbError::Outdated);
        }
        let mut work = self.clone();
        work.update();
        Ok(Transaction::new(self, work))
    }

    /// Whether something was written and not flushed.
    pub fn updated(&self) -> bool {
        !self.updates.is_empty()
    }

    /// Whether that record was written and not flushed; of `key`, only the fields of the collection's key count.
    pub fn updated_record(&self, collection: &str, key: impl Into<Value>) -> Result<bool, DbError> {
        let (_, collection) = self.collection(collection)?;
        Ok(self.updates.get(&collection.key(&key.into())?).is_some())
    }

    /// Looks at the bee as it is now. True if it changed; what was not flushed is forgotten then.
    pub fn update(&mut self) -> bool {
        if !self.view.is_outdated() {
            return false;
        }
        self.updates = Arc::default();
        self.view = View::new(&self.bee);
        true
    }

    /// Waits until the bee is not what this database shows any more; [`update`](Self::update) then shows it. Cancel safe.
    pub async fn watch(&self) {
        let mut events = self.core().events();
        while !self.view.is_outdated() {
            match events.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                // Nobody is left who could change it.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// The record of a collection at a key, of which only the fields are looked at; or the one that a unique index has there.
    pub async fn get(&self, name: &str, key: impl Into<Value>) -> Result<Option<Value>, DbError> {
        let key = key.into();
        match self.definition.named(name)? {
            Named::Collection(at) => {
                let collection = self.collection_at(at, name)?;
                self.get_record(collection, &collection.key(&key)?).await
            }
            Named::Index(at) => {
                let index = self.index_at(at, name)?;
                let collection = self.collection_at(index.collection, name)?;
                let key = index.key(&key)?;
                let record = match self.updates.index_entry(at, &key) {
                    Some(overlaid) => overlaid.record.map(|(record, _)| record),
                    None => self.view.get(&key).await?,
                };
                match record {
                    Some(record) => self.get_record(collection, &record).await,
                    None => Ok(None),
                }
            }
        }
    }

    /// As [`get`](Self::get), as a Rust struct.
    pub async fn get_as<R: Record>(&self, name: &str, key: impl Into<Value>) -> Result<Option<R>, DbError> {
        let found = self.get(name, key).await?;
        Ok(found.map(R::from_value).transpose()?)
    }

    /// The records of a collection or index in a range.
    pub fn find(&self, name: &str, query: Query) -> Result<Rows, DbError> {
        Rows::new(self, name, &query)
    }

    /// The first record of a range.
    pub async fn find_one(&self, name: &str, query: Query) -> Result<Option<Value>, DbError> {
        self.find(name, query.limit(1))?.next().await
    }

    /// As [`find_one`](Self::find_one), as a Rust struct.
    pub async fn find_one_as<R: Record>(&self, name: &str, query: Query) -> Result<Option<R>, DbError> {
        let found = self.find_one(name, query).await?;
        Ok(found.map(R::from_value).transpose()?)
    }

    /// What was flushed, from block `start` of the bee (at least 1) up to what this database shows.
    pub fn changes(&self, start: u64) -> Changes {
        Changes::new(self, start)
    }

    /// Writes a record, in place of one with the same key. It is in the bee after [`flush`](Self::flush).
    pub async fn insert(&mut self, name: &str, record: impl Into<Value>) -> Result<(), DbError> {
        let definition = self.definition.clone();
        let record = record.into();
        let (at, collection) = self.writable_collection(&definition, name)?;
        let key = collection.key(&record)?;
        let version = collection.written_version(self.versions.db);
        let value = collection.value(&definition.schema, self.versions.schema, version, &record)?;
        let stored = self.view.get(&key).await?;
        let before = match &stored {
            Some(stored) => Some(self.record(collection, &key, stored)?),
            None => None,
        };
        let same_version = before.as_ref().is_some_and(|before| before.version == version);
        if same_version && stored.as_ref() == Some(&value) {
            Arc::make_mut(&mut self.updates).forget(&key);
            return Ok(());
        }
        let mut indexes = Vec::with_capacity(collection.indexes.len());
        for &place in &collection.indexes {
            let Some(index) = definition.indexes.get(place) else {
                continue;
            };
            let old = keys_before(&definition, index, before.as_ref())?;
            let new = definition.index_keys(index, &record)?;
            let (gone, come) = difference(old, new);
            let gone = gone.into_iter().map(|entry| (entry, None));
            let come = come.into_iter().map(|entry| (entry, Some(key.clone())));
            indexes.push((place, gone.chain(come).collect()));
        }
        Arc::make_mut(&mut self.updates).set(at, key, Some(value), indexes);
        Ok(())
    }

    /// Takes a record out, of which only the fields of the key are looked at. It is out of the bee after [`flush`](Self::flush).
    pub async fn delete(&mut self, name: &str, key: impl Into<Value>) -> Result<(), DbError> {
        let definition = self.definition.clone();
        let (at, collection) = self.writable_collection(&definition, name)?;
        let key = collection.key(&key.into())?;
        let Some(stored) = self.view.get(&key).await? else {
            Arc::make_mut(&mut self.updates).forget(&key);
            return Ok(());
        };
        let before = self.record(collection, &key, &stored)?;
        let mut indexes: Vec<(usize, Vec<Write>)> = Vec::with_capacity(collection.indexes.len());
        for &place in &collection.indexes {
            let Some(index) = definition.indexes.get(place) else {
                continue;
            };
            let gone = keys_before(&definition, index, Some(&before))?;
            indexes.push((place, gone.into_iter().map(|entry| (entry, None)).collect()));
        }
        Arc::make_mut(&mut self.updates).set(at, key, None, indexes);
        Ok(())
    }

    /// Writes everything to the bee at once. Refused with [`DbError::Outdated`] if the bee changed since [`update`](Self::update) last
    /// looked: what was written may depend on what was read.
    pub async fn flush(&mut self) -> Result<(), DbError> {
        if !self.writable {
            return Err(DbError::ReadOnly);
        }
        if self.updates.is_empty() {
            return Ok(());
        }
        let mut batch = self.bee.batch().await?;
        if self.view.is_outdated() {
            return Err(DbError::Outdated);
        }
        for (key, value) in self.updates.writes() {
            match value {
                Some(value) => batch.put(&key, &value).await?,
                None => drop(batch.del(&key).await?),
            }
        }
        batch.flush()?;
        self.updates = Arc::default();
        self.view = View::new(&self.bee);
        Ok(())
    }

    pub(crate) fn collection_at(&self, at: usize, name: &str) -> Result<&CollectionType, DbError> {
        let found = self.definition.collections.get(at);
        found.ok_or_else(|| DbError::Unknown(name.to_owned()))
    }

    pub(crate) fn index_at(&self, at: usize, name: &str) -> Result<&IndexType, DbError> {
        let found = self.definition.indexes.get(at);
        found.ok_or_else(|| DbError::Unknown(name.to_owned()))
    }

    /// A record out of its key and value in the bee.
    pub(crate) fn record(&self, of: &CollectionType, key: &[u8], value: &[u8]) -> Result<Stored, DbError> {
        of.record(&self.definition.schema, self.versions.schema, key, value)
    }

    /// The record at its key in the bee, as it is written here or stored.
    pub(crate) async fn get_record(
        &self,
        collection: &CollectionType,
        key: &[u8],
    ) -> Result<Option<Value>, DbError> {
        let value = match self.updates.get(key) {
            Some(update) => update.value.clone(),
            None => self.view.get(key).await?,
        };
        let record = value.map(|value| self.record(collection, key, &value));
        Ok(record.transpose()?.map(|stored| stored.record))
    }

    fn collection(&self, name: &str) -> Result<(usize, &CollectionType), DbError> {
        match self.definition.named(name)? {
            Named::Collection(at) => Ok((at, self.collection_at(at, name)?)),
            Named::Index(_) => Err(DbError::Unknown(name.to_owned())),
        }
    }

    fn writable_collection<'a>(
        &self,
        definition: &'a Definition,
        name: &str,
    ) -> Result<(usize, &'a CollectionType), DbError> {
        if !self.writable {
            return Err(DbError::ReadOnly);
        }
        let (at, _) = self.collection(name)?;
        let found = definition.collections.get(at);
        let collection = found.ok_or_else(|| DbError::Unknown(name.to_owned()))?;
        if collection.has_trigger {
            return Err(DbError::Trigger(name.to_owned()));
        }
        Ok((at, collection))
    }
}

/// The entries that an index has of a record as it is stored: none if it was stored before the index was there.
fn keys_before(
    definition: &Definition,
    index: &IndexType,
    before: Option<&Stored>,
) -> Result<Vec<Vec<u8>>, DbError> {
    match before {
        Some(before) if index.version <= before.version => definition.index_keys(index, &before.record),
        _ => Ok(Vec::new()),
    }
}
