//! Manifests: what decodes is encoded again to the same manifest and key, and stays within what was given.

#![no_main]

use bosc_fuzz::within;
use hypercore::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    within(1024 + 8 * bytes.len(), || {
        let Ok(manifest) = Manifest::decode(bytes) else {
            return;
        };
        assert!(manifest.quorum <= manifest.signers.len() as u64);
        assert!(65 * manifest.signers.len() <= bytes.len());
        let again = manifest.encode();
        assert!(again.len() <= bytes.len() + 8, "no longer than what came");
        assert_eq!(Manifest::decode(&again).as_ref(), Ok(&manifest));
        assert!(manifest.belongs_to(&manifest.key()));
    });
});
