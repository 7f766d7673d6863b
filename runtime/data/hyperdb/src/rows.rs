//! Walking over the records of a range, unflushed writes among them.

use std::cmp::Ordering;
use std::collections::VecDeque;

use hyperbee::{BeeEntry, RangeStream};
use hyperschema::{Record, Value};

use crate::db::HyperDb;
use crate::definition::Named;
use crate::error::DbError;
use crate::query::Query;
use crate::updates::Overlaid;

/// The records of a range, one after the other; see [`HyperDb::find`]. Writes that come later do not change what it shows.
pub struct Rows {
    db: HyperDb,
    collection: usize,
    index: bool,
    reverse: bool,
    left: usize,
    stored: RangeStream,
    /// The next stored entry.
    next: Option<BeeEntry>,
    ended: bool,
    overlay: VecDeque<Overlaid>,
}

impl Rows {
    pub(crate) fn new(db: &HyperDb, name: &str, query: &Query) -> Result<Self, DbError> {
        let (collection, index, range, overlay) = match db.definition.named(name)? {
            Named::Collection(at) => {
                let range = query.of_collection(db.collection_at(at, name)?)?;
                let overlay = db.updates.of_collection(at, &range);
                (at, false, range, overlay)
            }
            Named::Index(at) => {
                let of = db.index_at(at, name)?;
                let range = query.of_index(of)?;
                let overlay = db.updates.of_index(at, &range);
                (of.collection, true, range, overlay)
            }
        };
        Ok(Self {
            db: db.snapshot(),
            collection,
            index,
            reverse: range.reverse,
            left: query.most(),
            stored: db.view.bee().range(range),
            next: None,
            ended: false,
            overlay: overlay.into(),
        })
    }

    /// The next record; `None` at the end. Waits for peers when blocks are missing here. Cancel safe: a cancelled call loses no record.
    pub async fn next(&mut self) -> Result<Option<Value>, DbError> {
        while self.left > 0 {
            if self.next.is_none() && !self.ended {
                self.db.view.check()?;
                self.next = self.stored.next().await?;
                self.ended = self.next.is_none();
                self.db.view.check()?;
            }
            let order = match (&self.next, self.overlay.front()) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(stored), Some(overlaid)) if self.reverse => overlaid.key[..].cmp(&stored.key),
                (Some(stored), Some(overlaid)) => stored.key[..].cmp(&overlaid.key),
            };
            let found = match order {
                Ordering::Less => self.stored_record().await?,
                _ => self.overlaid_record()?,
            };
            if order != Ordering::Greater {
                self.next = None;
            }
            if order != Ordering::Less {
                self.overlay.pop_front();
            }
            if found.is_some() {
                self.left -= 1;
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// All records that are left.
    pub async fn all(mut self) -> Result<Vec<Value>, DbError> {
        let mut all = Vec::new();
        while let Some(record) = self.next().await? {
            all.push(record);
        }
        Ok(all)
    }

    /// All records that are left, as Rust structs.
    pub async fn all_as<R: Record>(mut self) -> Result<Vec<R>, DbError> {
        let mut all = Vec::new();
        while let Some(record) = self.next().await? {
            all.push(R::from_value(record)?);
        }
        Ok(all)
    }

    async fn stored_record(&self) -> Result<Option<Value>, DbError> {
        let Some(entry) = &self.next else { return Ok(None) };
        let collection = self.db.collection_at(self.collection, "")?;
        let value = entry.value.as_deref().unwrap_or_default();
        if self.index {
            // The record may have changed since, and kept its place in the index.
            return self.db.get_record(collection, value).await;
        }
        Ok(Some(self.db.record(collection, &entry.key, value)?.record))
    }

    fn overlaid_record(&self) -> Result<Option<Value>, DbError> {
        let Some(Overlaid {
            record: Some((key, Some(value))),
            ..
        }) = self.overlay.front()
        else {
            return Ok(None);
        };
        let collection = self.db.collection_at(self.collection, "")?;
        Ok(Some(self.db.record(collection, key, value)?.record))
    }
}
