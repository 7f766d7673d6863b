//! What starts, what is released, and that each mistake has its own sentence.

use proptest::prelude::*;

use super::*;
use crate::Color;

const LINK: &str = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(text.as_bytes(), "app/package.json")
}

#[test]
fn a_small_package_gets_defaults() {
    let manifest = parse(r#"{"name":"pear-chat","version":"1.0.0"}"#).unwrap();
    assert_eq!(manifest.product_name, "pear-chat");
    assert_eq!(manifest.page, "renderer/index.html");
    assert_eq!(manifest.upgrade().unwrap(), None);
    assert_eq!((manifest.window.width, manifest.window.height), (960.0, 680.0));
    assert_eq!(manifest.window.background, Color(255, 255, 255));
    assert_eq!(manifest.document.value()["name"], "pear-chat");
    assert_eq!((manifest.files, manifest.seed), (None, None));
}

#[test]
fn what_is_null_is_not_there() {
    let manifest = parse(
        r#"{"name":"a","version":"1.0.0","productName":null,"upgrade":null,
        "bosc":{"page":null,"files":null,"window":null,"seed":null}}"#,
    )
    .unwrap();
    let bare = parse(r#"{"name":"a","version":"1.0.0"}"#).unwrap();
    assert_eq!(
        Manifest {
            document: bare.document.clone(),
            ..manifest
        },
        bare
    );
}

#[test]
fn window_settings_are_read() {
    let manifest = parse(
        r##"{"name":"a","productName":"A b","version":"1.0.0-rc.1",
        "bosc":{"page":"./ui/main.html","files":["./ui/","/build"],"window":{"title":"T","width":500,"height":400,
        "backgroundColor":"#fa0","backgroundColorDark":"#102030"}}}"##,
    )
    .unwrap();
    assert_eq!(manifest.page, "ui/main.html");
    assert_eq!(manifest.files.unwrap(), ["ui", "build"]);
    assert_eq!(manifest.window.background, Color(0xff, 0xaa, 0));
    assert_eq!(manifest.window.background_dark, Color(0x10, 0x20, 0x30));
    assert_eq!(manifest.window.title, "T");
}

#[test]
fn each_mistake_has_its_own_sentence() {
    let with = |field: &str| format!(r#"{{"name":"a","version":"1.0.0",{field}}}"#);
    let bosc = |field: &str| with(&format!(r#""bosc":{{{field}}}"#));
    for (text, part) in [
        ("[]".to_owned(), "one JSON object"),
        ("{".to_owned(), "not a valid package.json"),
        (r#"{"version":"1.0.0"}"#.to_owned(), "\"name\" must be"),
        (r#"{"name":1,"version":"1.0.0"}"#.to_owned(), "\"name\" is 1"),
        (
            r#"{"name":"../x","version":"1.0.0"}"#.to_owned(),
            "\"../x\" is not",
        ),
        (r#"{"name":"a"}"#.to_owned(), "\"version\" is missing"),
        (
            r#"{"name":"a","version":1}"#.to_owned(),
            "\"version\" is 1; write a text",
        ),
        (
            r#"{"name":"a","version":"one"}"#.to_owned(),
            "not a semantic version",
        ),
        (
            r#"{"name":"@scope/a","version":"1.0.0"}"#.to_owned(),
            "\"productName\" must be",
        ),
        (with(r#""productName":"a/b""#), "\"productName\" must be"),
        (with(r#""productName":"..""#), "\"productName\" must be"),
        (with(r#""productName":"a.""#), "\"productName\" must be"),
        (with(r#""productName":1"#), "\"productName\" is 1"),
        (with(r#""upgrade":7"#), "\"upgrade\" is 7"),
        (with(r#""bosc":[]"#), "\"bosc\" is []; write an object"),
        (bosc(r#""page":"../x.html""#), "\"bosc.page\" has \"../x.html\""),
        (bosc(r#""page":"""#), "\"bosc.page\" has \"\""),
        (bosc(r#""files":["ui","."]"#), "\"bosc.files\" has \".\""),
        (bosc(r#""files":"ui""#), "\"bosc.files\" is \"ui\"; write a list"),
        (bosc(r#""permissions":[1]"#), "\"bosc.permissions\" is [1]"),
        (bosc(r#""relays":["x"]"#), "\"bosc.relays\" names \"x\""),
        (bosc(r#""window":{"width":3}"#), "between 100 and 16384"),
        (
            bosc(r#""window":{"width":"wide"}"#),
            "\"bosc.window.width\" is \"wide\"; write a number",
        ),
        (bosc(r#""window":{"backgroundColor":"tomato"}"#), "\"#rrggbb\""),
    ] {
        let message = parse(&text).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
        assert!(message.contains("app/package.json"), "{message}");
    }
}

#[test]
fn an_app_starts_without_what_a_release_needs() {
    let with = |more: &str| parse(&format!(r#"{{"name":"a","version":"1.0.0"{more}}}"#)).unwrap();
    let says = |manifest: &Manifest, part: &str| {
        let error = manifest.release().unwrap_err().to_string();
        assert!(
            error.contains(part) && error.contains("app/package.json"),
            "{error}"
        );
    };
    says(&with(""), "\"upgrade\" is missing");
    says(&with(r#","upgrade":"""#), "\"upgrade\" is missing");
    let placeholder = with(r#","upgrade":"pear://replace-with-your-provision-link""#);
    says(&placeholder, "\"upgrade\" is not a link");
    assert!(placeholder.upgrade().is_err());
    let fine = with(&format!(r#","upgrade":"{LINK}""#));
    assert_eq!(fine.release().unwrap().to_string(), LINK);
    assert_eq!(fine.upgrade().unwrap().unwrap().to_string(), LINK);
    let unknown = with(&format!(r#","upgrade":"{LINK}","bosc":{{"pages":"a.html"}}"#));
    says(&unknown, "did you mean \"bosc.page\"?");
    assert_eq!(unknown.unknown().len(), 1);
}

#[test]
fn what_is_to_be_left_out_is_left_out_or_refused() {
    let staging = |pear: &str| {
        let text = format!(r#"{{"name":"a","version":"1.0.0","pear":{pear}}}"#);
        parse(&text).unwrap().staging()
    };
    assert_eq!(staging("null").unwrap(), Staging::default());
    let all = staging(r#"{"stage":{"ignore":["/a"],"only":["b"],"purge":true}}"#).unwrap();
    let wanted = Staging {
        ignore: vec!["/a".to_owned()],
        only: vec!["b".to_owned()],
        purge: true,
    };
    assert_eq!(all, wanted);
    let error = staging(r#"{"stage":{"ignore":"/a"}}"#).unwrap_err().to_string();
    assert!(error.contains("\"pear.stage.ignore\" is \"/a\""), "{error}");
}

proptest! {
    #[test]
    fn garbage_never_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_value_of_a_field_panics(field in 0usize..8, value in "[-\\[\\]{}\":,a-z0-9. /#]{0,20}") {
        let field = ["page", "window", "files", "permissions", "contentSecurityPolicy", "relays", "seed", "other"][field];
        if let Ok(manifest) = parse(&format!(r#"{{"name":"a","version":"1.0.0","bosc":{{"{field}":{value}}}}}"#)) {
            prop_assert!(manifest.window.width >= manifest.window.min_width);
            prop_assert!(!manifest.page.split('/').any(|part| part == ".."));
        }
    }
}
