//! No release is made that an app could not be started from: what the host refuses, `make`, `build` and `stage` refuse in the same words.

mod place;

use std::fs;

use app::{Host, Manifest, layout};
use serde_json::{Value, json};

use place::{Place, refuses};

const LINK: &str = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";

/// A package.json that is fine, but for one field.
fn but(pointer: &str, value: Value) -> Value {
    let mut package = json!({ "name": "cool-app", "productName": "Cool", "version": "1.0.0", "upgrade": LINK,
        "bosc": { "window": {} } });
    let (outer, name) = pointer.rsplit_once('/').unwrap();
    package.pointer_mut(outer).unwrap()[name] = value;
    package
}

/// Has the three commands look at a package.json; each says those words, and nothing is made.
fn all_refuse(place: &Place, link: &str, package: &str, says: &str) {
    place.write("app/package.json", package);
    place.write("dep/package.json", package);
    let bundle = format!("--{}-app=bundle/Cool", Host::current());
    refuses(place.bosc(&["make", "app", "--bin", "program"]), &[says]);
    refuses(
        place.bosc(&["build", "--package=app/package.json", &bundle, "--target=made"]),
        &[says],
    );
    refuses(place.bosc(&["stage", link, "dep"]), &[says]);
    assert!(!place.path("app/out").exists() && !place.path("made").exists());
}

#[test]
fn what_the_host_refuses_is_not_released() {
    let place = Place::new();
    place.project(LINK);
    let link = place.touch();
    let table = [
        ("/name", Value::Null),
        ("/name", json!("../x")),
        ("/name", json!("@../x")),
        ("/name", json!(1)),
        ("/productName", json!("a/b")),
        ("/productName", json!("a.")),
        ("/productName", json!("")),
        ("/productName", json!(["Cool"])),
        ("/version", Value::Null),
        ("/version", json!("one")),
        ("/version", json!(1)),
        ("/upgrade", json!({})),
        ("/bosc", json!("yes")),
        ("/bosc/page", json!("../index.html")),
        ("/bosc/page", json!(["renderer/index.html"])),
        ("/bosc/files", json!("renderer")),
        ("/bosc/files", json!(["renderer", ""])),
        ("/bosc/permissions", json!("camera")),
        ("/bosc/contentSecurityPolicy", json!({ "default-src": "self" })),
        ("/bosc/category", json!(["Game"])),
        ("/bosc/relays", json!(["nobody"])),
        ("/bosc/seed", json!("fast")),
        ("/bosc/seed", json!({ "rate": "1kb" })),
        ("/bosc/window", json!([])),
        ("/bosc/window/title", json!(1)),
        ("/bosc/window/width", json!("wide")),
        ("/bosc/window/minHeight", json!(3)),
        ("/bosc/window/backgroundColor", json!("tomato")),
    ];
    for (pointer, value) in table {
        let package = but(pointer, value).to_string();
        let sentence = Manifest::parse(package.as_bytes(), "package.json")
            .err()
            .unwrap_or_else(|| panic!("the host takes {package}"))
            .to_string();
        all_refuse(&place, &link, &package, &sentence);
    }
    for (text, says) in [
        ("{", "not a valid package.json"),
        ("[]", "one JSON object"),
        (&" ".repeat(1 << 21), "too large"),
    ] {
        all_refuse(&place, &link, text, says);
    }
    assert_eq!(place.length(&link), 0, "something was staged");
}

#[test]
fn what_only_a_release_needs_is_missed_before_it_is_made() {
    let place = Place::new();
    place.project(LINK);
    let link = place.touch();
    for (pointer, value, says) in [
        (
            "/bosc/pages",
            json!("a.html"),
            "\"bosc.pages\" is unknown: did you mean \"bosc.page\"?",
        ),
        (
            "/bosc/window/widht",
            json!(500),
            "\"bosc.window.widht\" is unknown: did you mean \"bosc.window.width\"?",
        ),
        (
            "/bosc/category",
            json!("Games"),
            "\"bosc.category\" is \"Games\", which is no main category of a desktop's menu: did you mean \"Game\"?",
        ),
        ("/upgrade", Value::Null, "\"upgrade\" is missing"),
        ("/upgrade", json!("pear://later"), "\"upgrade\" is not a link"),
    ] {
        let package = but(pointer, value).to_string();
        // An app starts with it: it may be made for a later host, or be at its beginning.
        Manifest::parse(package.as_bytes(), "package.json").unwrap();
        all_refuse(&place, &link, &package, says);
    }
}

#[test]
fn a_bundle_whose_app_would_not_start_is_neither_built_nor_staged() {
    let place = Place::new();
    place.project(LINK);
    let link = place.touch();
    place.bosc(&["make", "app", "--bin", "program"]).success();
    let host = Host::current();
    let made = place.path(&format!("app/out/Cool-{host}/Cool"));
    let inner = made.join("resources/app/package.json");
    let fine = fs::read_to_string(&inner).unwrap();
    let bundle = format!("--{host}-app={}", made.display());
    let build = || place.bosc(&["build", "--package=app/package.json", &bundle, "--target=dep"]);
    let broken = fine.replace("\"version\"", "\"bosc\": {\"window\": []}, \"version\"");
    let says = [
        "does not start",
        "resources/app/package.json",
        "\"bosc.window\" is []",
        "bosc make",
    ];
    fs::write(&inner, &broken).unwrap();
    refuses(build(), &says);
    fs::write(&inner, fine).unwrap();
    build().success();
    let built = layout::bundles(&layout::hosts(&place.path("dep")).join(host.to_string()));
    fs::write(built.join("Cool/resources/app/package.json"), broken).unwrap();
    refuses(place.bosc(&["stage", &link, "dep"]), &says);
    assert_eq!(place.length(&link), 0, "something was staged");
}

#[test]
fn bundles_that_no_app_looks_for_are_noticed() {
    let place = Place::new();
    place.project(LINK);
    let link = place.touch();
    place.bosc(&["make", "app", "--bin", "program"]).success();
    let host = Host::current();
    let made = format!("app/out/Cool-{host}/Cool");
    // An app on macOS looks for Cool.app, one on Linux that is one file for Cool.AppImage.
    for (app, expected) in [
        (
            format!("--darwin-x64-app={made}"),
            "expected Cool.app but got Cool for darwin-x64",
        ),
        (
            "--linux-x64-app=one/Cool".to_owned(),
            "expected Cool.AppImage but got Cool for linux-x64",
        ),
    ] {
        place.write("one/Cool", "an image");
        let build = place.bosc(&["build", "--package=app/package.json", &app, "--target=dep"]);
        refuses(build, &[expected]);
    }
    place.package("dep", "1.0.0", LINK);
    let stage = |words: &[&str]| refuses(place.bosc(&["stage", &link, "dep"]), words);
    for (folder, says) in [
        ("linux-x46", "did you mean linux-x64?"),
        ("linux", "\"linux\" is no machine"),
    ] {
        place.write(&format!("dep/by-arch/{folder}/app/Cool/Cool"), "program");
        stage(&[folder, says]);
        fs::remove_dir_all(place.path("dep/by-arch")).unwrap();
    }
    assert_eq!(place.length(&link), 0, "something was staged");
    // What a file manager leaves, and machines that others build for, are in nobody's way.
    place.write("dep/by-arch/.DS_Store", "left");
    place.write("dep/by-arch/android-arm64/app/Cool/Cool", "program");
    place.bosc(&["stage", &link, "dep"]).success();
}

#[test]
fn what_is_not_to_be_staged_must_be_said_in_a_way_that_is_understood() {
    let place = Place::new();
    let link = place.touch();
    let with = |stage: Value| {
        let package = json!({ "name": "a", "version": "1.0.0", "upgrade": LINK, "pear": { "stage": stage } });
        place.write("dep/package.json", &package.to_string());
    };
    place.write("dep/notes.txt", "mine");
    with(json!({ "ignore": "/notes.txt" }));
    refuses(
        place.bosc(&["stage", &link, "dep"]),
        &["\"pear.stage.ignore\" is \"/notes.txt\"; write a list"],
    );
    assert_eq!(place.length(&link), 0, "something was staged");
    with(json!({ "ignore": ["/notes.txt"] }));
    let staged = place.stdout(&["stage", &link, "dep"]);
    assert!(!staged.contains("notes.txt"), "{staged}");
}

#[test]
fn a_release_that_others_made_is_looked_at_whatever_it_is() {
    let place = Place::new();
    let (link, target) = (place.touch(), place.touch());
    let production = target.replace("pear://", "pear://0.0.");
    let theirs = json!({ "name": "not ours", "productName": 3, "version": "1.0.0", "bosc": 7 }).to_string();
    Manifest::parse(theirs.as_bytes(), "it").unwrap_err();
    let staged = place.put_package(&link, theirs);
    let shown = place.stdout(&["info", &link]);
    assert!(shown.contains("not ours") && shown.contains("1.0.0"), "{shown}");
    place
        .bosc(&["provision", &staged, &target, &production])
        .success();

    // What no package.json needs is not fetched, and the rest is shown all the same.
    let staged = place.put_package(&link, format!("{{}}{}", " ".repeat(1 << 20)));
    let info = place.bosc(&["info", &link]).success().get_output().clone();
    let (shown, said) = (
        String::from_utf8(info.stdout).unwrap(),
        String::from_utf8(info.stderr).unwrap(),
    );
    assert!(
        shown.contains(&link) && said.contains("too large"),
        "{shown}{said}"
    );
    let next = place.touch();
    let refused = place
        .bosc(&["provision", &staged, &next, &next.replace("://", "://0.0.")])
        .failure();
    let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(
        said.contains("package.json") && said.contains("too large"),
        "{said}"
    );
}
