//! The key of a drive's second core, derived from the first (npm `hyperdrive`, `getContentManifest`).

use hypercore::Key;
use hypercore::manifest::Manifest;

use crate::error::DriveError;

/// The manifest of the core that holds the contents of the drive `key`: the same signers, each with a namespace bound to
/// the drive. `None` for manifests of version 0, which have no derived companion.
pub fn content_manifest(manifest: &Manifest, key: &Key) -> Option<Manifest> {
    if manifest.version < 1 {
        return None;
    }
    let blobs = base::hash::namespace("hyperdrive", 0);
    let mut content = manifest.clone();
    content.prologue = None;
    content.linked = None;
    content.user_data = None;
    for signer in &mut content.signers {
        signer.namespace = base::hash::blake2b(&[&blobs, &key.0, &signer.namespace]);
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

#[cfg(test)]
mod tests {
    use hypercore::KeyPair;
    use hypercore::manifest::Signer;

    use super::*;

    #[test]
    fn the_contents_key_of_a_team_is_upstreams() {
        let namespace = base::hash::blake2b(&[b"my-org/my-app"]);
        let signer = |seed| Signer {
            namespace,
            public_key: KeyPair::from_seed([seed; 32]).public_key,
        };
        let manifest = Manifest::multi(2, [1, 2, 3].map(signer).to_vec());
        let content = content_manifest(&manifest, &manifest.key()).expect("version 1");
        assert_eq!(
            content.key().to_string(),
            "8tkm4jpaxcxpd4r7uncu5x8wpbnypki391piu64ijqrtxu16cfoy"
        );
        let namespace = content
            .signers
            .first()
            .map(|signer| hex::encode(signer.namespace));
        assert_eq!(
            namespace.as_deref(),
            Some("8332316a0c0ec850c84ea5aa7bcfc615806b97d0fef1ec5513179decf1c025dc")
        );
    }
}
