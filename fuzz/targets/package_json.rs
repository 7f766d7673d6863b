//! `package.json` from the bytes of a file or a drive: what is taken can be started and installed, what a release is made of has a link,
//! and a new version changes nothing else. And the names of the machines beside it.

#![no_main]

use app::{Document, Host, Layout, Manifest};
use libfuzzer_sys::fuzz_target;
use semver::Version;

fuzz_target!(|bytes: &[u8]| {
    if let Some(host) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Host>().ok()) {
        assert_eq!(host.to_string().as_bytes(), bytes);
        let _ = host.meant();
    }
    let Ok(document) = Document::parse(bytes, "package.json") else {
        return;
    };
    assert_eq!(document.text().as_bytes(), bytes);
    if let Ok(manifest) = Manifest::of(document.clone()) {
        let window = &manifest.window;
        assert!(window.width >= window.min_width && window.height >= window.min_height);
        for path in manifest.files.iter().flatten().chain([&manifest.page]) {
            assert!(!path.is_empty() && !path.starts_with('/') && !path.split('/').any(|part| part == ".."));
        }
        for host in Host::ALL {
            let name = Layout::of(&host, app::Format::Folder).bundle_name(&manifest.product_name);
            assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'));
        }
        assert_eq!(document.version().ok().as_ref(), Some(&manifest.version));
        if let Ok(link) = manifest.release() {
            assert!(manifest.unknown().is_empty());
            assert_eq!(manifest.upgrade().ok().flatten(), Some(link));
        }
        let _ = manifest.staging();
    }
    let wanted = Version::new(98, 76, 54);
    if let Ok(text) = document.with_version(&wanted) {
        let again = Document::parse(text.as_bytes(), "package.json").expect("still JSON");
        assert_eq!(again.version().ok(), Some(wanted));
        let without = |document: &Document| {
            let mut value = document.value().clone();
            value.as_object_mut().map(|fields| fields.shift_remove("version"));
            value
        };
        assert_eq!(without(&again), without(&document), "nothing else changed");
    }
});
