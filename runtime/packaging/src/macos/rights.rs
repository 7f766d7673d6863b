//! What an app may ask a person for on macOS: said in `Info.plist` for the question, and in the entitlements for who signs it.

use app::Manifest;
use plist::{Dictionary, Value};

use super::written;
use crate::PackagingError;

/// A right, by the word of `bosc.permissions`.
pub(super) struct Right {
    permission: &'static str,
    entitlement: &'static str,
    /// The key in `Info.plist`; macOS ends an app that asks without it.
    pub(super) usage: &'static str,
    /// What is used, in a sentence.
    pub(super) what: &'static str,
}

const RIGHTS: [Right; 3] = [
    Right {
        permission: "camera",
        entitlement: "com.apple.security.device.camera",
        usage: "NSCameraUsageDescription",
        what: "the camera",
    },
    Right {
        permission: "microphone",
        entitlement: "com.apple.security.device.audio-input",
        usage: "NSMicrophoneUsageDescription",
        what: "the microphone",
    },
    Right {
        permission: "geolocation",
        entitlement: "com.apple.security.personal-information.location",
        usage: "NSLocationUsageDescription",
        what: "your location",
    },
];

/// Those that an app asks for.
pub(super) fn asked(manifest: &Manifest) -> impl Iterator<Item = &'static Right> {
    let asks = |right: &&Right| manifest.permissions.iter().any(|word| word == right.permission);
    RIGHTS.iter().filter(asks)
}

/// What the one who signs an app for macOS's hardened runtime gives it: the rights that it asks for, and no others. The web view compiles
/// its scripts in a process of the system's.
pub(crate) fn entitlements(manifest: &Manifest) -> Result<Vec<u8>, PackagingError> {
    let given = asked(manifest).map(|right| (right.entitlement.to_owned(), Value::Boolean(true)));
    written(given.collect::<Dictionary>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_given_what_it_asks_for_alone() {
        let given = |permissions: &str| {
            let package =
                format!(r#"{{"name":"a","version":"1.0.0","bosc":{{"permissions":{permissions}}}}}"#);
            let manifest = Manifest::parse(package.as_bytes(), "p").unwrap();
            let bytes = entitlements(&manifest).unwrap();
            let read = Value::from_reader_xml(bytes.as_slice()).unwrap();
            let read = read.into_dictionary().unwrap();
            read.keys().cloned().collect::<Vec<String>>()
        };
        assert_eq!(given("[]"), Vec::<String>::new());
        let all = r#"["microphone","camera","notifications"]"#;
        assert_eq!(
            given(all),
            [
                "com.apple.security.device.camera",
                "com.apple.security.device.audio-input"
            ]
        );
    }
}
