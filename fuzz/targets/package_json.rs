//! `package.json`, as the release tool and as the shell read it: what the tool accepts for a release the shell can start, and a new
//! version changes nothing else.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use semver::Version;

// The tool is a program and the shell wants a web view, so the two files are taken in as they are.
#[allow(dead_code)]
#[path = "../../shell/src/package.rs"]
mod shell;
#[allow(dead_code, unreachable_pub)]
#[path = "../../cli/src/package.rs"]
mod tool;

fuzz_target!(|text: &str| {
    let path = Path::new("package.json");
    let seen = shell::Package::parse(text.as_bytes(), path);
    if let Ok(package) = &seen {
        assert!(
            package.window.width >= package.window.min_width
                && package.window.height >= package.window.min_height
        );
        assert!(!package.product_name.contains(['/', '\\', '\0']) && !package.product_name.starts_with('.'));
        assert!(Version::parse(&package.version).is_ok() && package.document.is_object());
    }
    let Ok(package) = tool::Package::parse(path, text.to_owned()) else {
        return;
    };
    let (name, product_name, version) = (package.name(), package.product_name(), package.version());
    let _ = package.upgrade();
    let good = name.is_ok() && product_name.is_ok() && version.is_ok();
    if let (true, Err(shell::PackageError::Field { what, .. })) = (good, &seen) {
        assert!(
            what.contains("bosc."),
            "the tool takes what the shell refuses: {what}"
        );
    }
    let wanted = Version::new(98, 76, 54);
    if let Ok(text) = package.with_version(&wanted) {
        let again = tool::Package::parse(path, text).expect("still JSON");
        assert_eq!(again.version().ok(), Some(wanted));
        let without = |package: &tool::Package| {
            let mut value = package.value.clone();
            value.as_object_mut().map(|fields| fields.shift_remove("version"));
            value
        };
        assert_eq!(without(&again), without(&package), "nothing else changed");
    }
});
