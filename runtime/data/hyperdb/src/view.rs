//! A bee as it was at some time, which nothing shows another history of.

use hyperbee::Bee;

use crate::error::DbError;

/// A bee as it was at some time.
#[derive(Clone)]
pub(crate) struct View {
    bee: Bee,
    length: u64,
    fork: u64,
}

impl View {
    pub(crate) fn new(bee: &Bee) -> Self {
        // A truncation between the two lines is noticed by whoever reads.
        let fork = bee.core().fork();
        let length = bee.core().length();
        Self {
            bee: bee.checkout(length),
            length,
            fork,
        }
    }

    pub(crate) fn is_outdated(&self) -> bool {
        let core = self.bee.core();
        core.length() != self.length || core.fork() != self.fork
    }

    /// Refuses to show what was read if the bee was truncated meanwhile: it may be of another history.
    pub(crate) fn check(&self) -> Result<(), DbError> {
        if self.bee.core().fork() != self.fork {
            return Err(DbError::Outdated);
        }
        Ok(())
    }

    pub(crate) fn bee(&self) -> &Bee {
        &self.bee
    }

    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        self.check()?;
        let found = self.bee.get(key).await?;
        self.check()?;
        Ok(found.and_then(|entry| entry.value).map(|value| value.to_vec()))
    }
}
