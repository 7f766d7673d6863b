//! Which records of a collection or index are looked for.

use hyperbee::Range;
use hyperschema::Value;

use crate::error::DbError;
use crate::keys::Edge;
use crate::tables::{CollectionType, IndexType};

/// A range of keys, and how to walk over it. The default is all of them, ascending.
///
/// An end is given by the fields of the key, of which the last may be left out: `gte` then begins before all keys that begin with them,
/// and `lte` ends after. Where an index is filled by a function, an end is a value such as the function gives.
#[derive(Debug, Clone, Default)]
pub struct Query {
    start: Option<(Edge, Value)>,
    end: Option<(Edge, Value)>,
    reverse: bool,
    limit: Option<usize>,
}

impl Query {
    /// Everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// What has exactly these fields in front.
    pub fn eq(self, at: impl Into<Value>) -> Self {
        let at = at.into();
        self.gte(at.clone()).lte(at)
    }

    /// After `at`, and after all that begins with it.
    pub fn gt(mut self, at: impl Into<Value>) -> Self {
        self.start = Some((Edge::Gt, at.into()));
        self
    }

    /// From `at` on.
    pub fn gte(mut self, at: impl Into<Value>) -> Self {
        self.start = Some((Edge::Gte, at.into()));
        self
    }

    /// Before `at`.
    pub fn lt(mut self, at: impl Into<Value>) -> Self {
        self.end = Some((Edge::Lt, at.into()));
        self
    }

    /// Up to `at`, and all that begins with it.
    pub fn lte(mut self, at: impl Into<Value>) -> Self {
        self.end = Some((Edge::Lte, at.into()));
        self
    }

    /// Descending order.
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// At most `limit` records.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    pub(crate) fn most(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    pub(crate) fn of_collection(&self, of: &CollectionType) -> Result<Range, DbError> {
        let key_fault = |source| DbError::Key {
            name: of.name.clone(),
            source,
        };
        let whole = of.keys().whole().map_err(key_fault)?;
        self.range(whole, |edge, at| of.edge(edge, at))
    }

    pub(crate) fn of_index(&self, of: &IndexType) -> Result<Range, DbError> {
        let key_fault = |source| DbError::Key {
            name: of.name.clone(),
            source,
        };
        let whole = of.keys().whole().map_err(key_fault)?;
        self.range(whole, |edge, at| of.edge(edge, at))
    }

    fn range(
        &self,
        whole: (Vec<u8>, Vec<u8>),
        key: impl Fn(Edge, &Value) -> Result<Vec<u8>, DbError>,
    ) -> Result<Range, DbError> {
        let range = Range::all();
        let range = match &self.start {
            Some((Edge::Gt, at)) => range.gt(key(Edge::Gt, at)?),
            Some((edge, at)) => range.gte(key(*edge, at)?),
            None => range.gte(whole.0),
        };
        let range = match &self.end {
            Some((Edge::Lte, at)) => range.lte(key(Edge::Lte, at)?),
            Some((edge, at)) => range.lt(key(*edge, at)?),
            None => range.lt(whole.1),
        };
        Ok(if self.reverse { range.reverse() } else { range })
    }
}
