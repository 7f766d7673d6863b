//! Handles that see a core's blocks in plain: they seal what is appended and open what is read. What is stored, hashed, signed and
//! replicated stays sealed, so that a store without the key serves such a core like any other.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use hypercore::encryption::{self, BlockCipher, BlockOf, CipherError, DefaultCipher};
use hypercore::manifest::Manifest;

use super::Core;
use crate::CoreError;
use crate::storage::lock;

impl Core {
    /// This core through a cipher. Other handles to it are as they were; blocks that were not sealed by it read as noise.
    #[must_use]
    pub fn with_cipher(&self, cipher: Arc<dyn BlockCipher>) -> Self {
        Self {
            shared: self.shared.clone(),
            cipher: Some(cipher),
        }
    }

    /// This core under an encryption key, by hypercore's own scheme ([`DefaultCipher`]).
    #[must_use]
    pub fn encrypted(&self, encryption_key: &[u8; 32]) -> Self {
        let key = self.key();
        let compat = self.manifest().is_some_and(|manifest| manifest.is_compat(&key));
        let cipher = if compat {
            DefaultCipher::compat(encryption_key, &key)
        } else {
            DefaultCipher::new(encryption_key, &key)
        };
        self.with_cipher(Arc::new(cipher))
    }

    /// Bytes of each stored block that do not count for this handle.
    pub(super) fn padding(&self) -> u64 {
        self.cipher.as_ref().map_or(0, |_| encryption::PADDING as u64)
    }

    /// A stored block as this handle sees it.
    pub(super) fn opened(&self, index: u64, block: Bytes) -> Result<Bytes, CoreError> {
        let Some(cipher) = &self.cipher else {
            return Ok(block);
        };
        let manifest = lock(&self.shared.front).manifest.clone();
        let of = BlockOf {
            key: &self.shared.key,
            manifest: manifest.as_ref(),
        };
        let plain = cipher.open(of, index, &block);
        plain
            .map(Bytes::from)
            .map_err(|source| self.cannot(index, source))
    }

    /// What is stored for blocks that are appended as block `start` and on.
    pub(super) fn sealed<'a>(
        &self,
        start: u64,
        fork: u64,
        manifest: Option<&Manifest>,
        blocks: &'a [Bytes],
    ) -> Result<Cow<'a, [Bytes]>, CoreError> {
        let Some(cipher) = &self.cipher else {
            return Ok(Cow::Borrowed(blocks));
        };
        let of = BlockOf {
            key: &self.shared.key,
            manifest,
        };
        let seal = |(index, block): (u64, &Bytes)| {
            let sealed = cipher.seal(of, index, fork, block);
            sealed
                .map(Bytes::from)
                .map_err(|source| self.cannot(index, source))
        };
        (start..).zip(blocks).map(seal).collect()
    }

    fn cannot(&self, index: u64, source: CipherError) -> CoreError {
        CoreError::Cipher {
            key: self.key(),
            index,
            source,
        }
    }
}
