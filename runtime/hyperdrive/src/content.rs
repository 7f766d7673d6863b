//! The key of a drive's second core, derived from the first (npm `hyperdrive`, `getContentManifest`).

use crate::error::DriveError;
use hypercore::manifest::Manifest;
use hypercore::{Key, crypto};

/// The manifest of the core that holds the contents of the drive `key`: the same signers, each with a namespace bound to
/// the drive. `None` for manifests of version 0, which have no derived companion.
pub fn content_manifest(manifest: &Manifest, key: &Key) -> Option<Manifest> {
    if manifest.version < 1 {
        return None;
    }
    let blobs = crypto::namespace("hyperdrive", 1).into_iter().next()?;
    let mut content = manifest.clone();
    content.prologue = None;
    content.linked = None;
    content.user_data = None;
    for signer in &mut content.signers {
        signer.namespace = crypto::blake2b(&[&blobs, &key.0, &signer.namespace]);
    }
    Some(content)
}

pub(crate) fn require(manifest: Option<&Manifest>, key: &Key) -> Result<Manifest, DriveError> {
    let not_a_drive = |reason| DriveError::NotADrive { key: *key, reason };
    let manifest = manifest.ok_or(not_a_drive("it has no manifest"))?;
    content_manifest(manifest, key).ok_or(not_a_drive(
        "it is of an old kind and names no core for its contents",
    ))
}
