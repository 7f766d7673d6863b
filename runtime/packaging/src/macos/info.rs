//! `Info.plist`: what macOS is told of an app.

use app::Manifest;
use plist::{Dictionary, Value};

use super::{ICON, rights, written};
use crate::{PackagingError, desktop};

/// The oldest macOS that an app runs on: the first on Apple silicon, and what Rust and the web view take on Intel as well.
const MINIMUM_SYSTEM: &str = "11.0";

/// The whole file.
pub(super) fn plist(manifest: &Manifest, icon: bool) -> Result<Vec<u8>, PackagingError> {
    let (product, making) = (&manifest.product_name, &manifest.making);
    let version = &manifest.version;
    // Three numbers are all that is allowed; the app itself goes by package.json.
    let version = format!("{}.{}.{}", version.major, version.minor, version.patch);
    let mut info = Dictionary::new();
    let mut text = |key: &str, value: &str| info.insert(key.to_owned(), Value::String(value.to_owned()));
    text("CFBundleDevelopmentRegion", "en");
    text("CFBundleDisplayName", product);
    text("CFBundleExecutable", product);
    if icon {
        text("CFBundleIconFile", ICON);
    }
    text("CFBundleIdentifier", &making.identifier);
    text("CFBundleInfoDictionaryVersion", "6.0");
    text("CFBundleName", product);
    text("CFBundlePackageType", "APPL");
    text("CFBundleShortVersionString", &version);
    text("CFBundleVersion", &version);
    text("LSApplicationCategoryType", manifest.category()?.apple);
    text("LSMinimumSystemVersion", MINIMUM_SYSTEM);
    let title = &manifest.window.title;
    text(
        "NSLocalNetworkUsageDescription",
        &format!("{title} fetches its updates from computers near you."),
    );
    for right in rights::asked(manifest) {
        text(right.usage, &format!("{title} uses {}.", right.what));
    }
    text("NSPrincipalClass", "NSApplication");
    info.insert("NSHighResolutionCapable".to_owned(), Value::Boolean(true));
    if desktop::is_scheme(&manifest.name) {
        let mut scheme = Dictionary::new();
        let schemes = vec![Value::String(manifest.name.clone())];
        scheme.insert("CFBundleTypeRole".to_owned(), Value::String("Viewer".to_owned()));
        scheme.insert(
            "CFBundleURLName".to_owned(),
            Value::String(making.identifier.clone()),
        );
        scheme.insert("CFBundleURLSchemes".to_owned(), Value::Array(schemes));
        let schemes = vec![Value::Dictionary(scheme)];
        info.insert("CFBundleURLTypes".to_owned(), Value::Array(schemes));
    }
    written(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(package: &str) -> Dictionary {
        let manifest = Manifest::parse(package.as_bytes(), "p").unwrap();
        let bytes = plist(&manifest, true).unwrap();
        assert!(bytes.starts_with(b"<?xml"));
        Value::from_reader_xml(bytes.as_slice())
            .unwrap()
            .into_dictionary()
            .unwrap()
    }

    #[test]
    fn it_says_what_package_json_does() {
        let info = read(
            r#"{"name":"my-chat","productName":"Tom & Übung's","version":"1.2.3-rc.1","bosc":{"permissions":["camera"],
            "window":{"title":"<A & B>"},"category":"Video","make":{"identifier":"org.example.chat"}}}"#,
        );
        let text = |key: &str| info.get(key).and_then(Value::as_string);
        for (key, value) in [
            ("CFBundleExecutable", "Tom & Übung's"),
            ("CFBundleName", "Tom & Übung's"),
            ("CFBundleIdentifier", "org.example.chat"),
            ("CFBundleShortVersionString", "1.2.3"),
            ("CFBundleVersion", "1.2.3"),
            ("CFBundlePackageType", "APPL"),
            ("CFBundleIconFile", "icon.icns"),
            ("LSApplicationCategoryType", "public.app-category.video"),
            ("LSMinimumSystemVersion", "11.0"),
            ("NSCameraUsageDescription", "<A & B> uses the camera."),
        ] {
            assert_eq!(text(key), Some(value), "{key}");
        }
        assert_eq!(text("NSMicrophoneUsageDescription"), None);
        assert_eq!(info.get("NSHighResolutionCapable"), Some(&Value::Boolean(true)));
        let types = info.get("CFBundleURLTypes").and_then(Value::as_array).unwrap();
        let schemes = types[0]
            .as_dictionary()
            .unwrap()
            .get("CFBundleURLSchemes")
            .unwrap();
        assert_eq!(schemes.as_array().unwrap(), &[Value::String("my-chat".into())]);
    }

    #[test]
    fn a_name_that_is_no_scheme_registers_none() {
        let info = read(r#"{"name":"My_Chat","version":"1.0.0"}"#);
        assert!(info.get("CFBundleURLTypes").is_none());
        assert_eq!(
            info.get("CFBundleIdentifier"),
            Some(&Value::String("bosc.My-Chat".into()))
        );
    }
}
