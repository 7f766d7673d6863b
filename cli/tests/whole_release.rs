//! `bosc release`: one command from an app's folder to the link that apps follow.

mod place;

use std::fs;

use serde_json::Value;

use place::{Place, refuses};

fn field(place: &Place, file: &str, name: &str) -> String {
    let text = fs::read(place.path(file)).unwrap();
    let value: Value = serde_json::from_slice(&text).unwrap();
    value[name].as_str().unwrap_or_default().to_owned()
}

/// `bosc release` of the project in `app`.
fn release<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["release", "--dir", "app", "--bin", "program"], more].concat()
}

#[test]
fn one_command_makes_links_and_releases_and_the_next_one_raises_the_version() {
    let place = Place::new();
    place.project("pear://replace-with-your-link");
    // Shown first, and nothing done: neither in a dry run nor where nobody can be asked.
    for (args, code) in [(release(&["--dry-run"]), 0), (release(&[]), 1)] {
        let told = place.bosc(&args).code(code);
        let said = String::from_utf8_lossy(&told.get_output().stderr).into_owned();
        assert!(said.contains("1.0.0 of cool-app, its first release"), "{said}");
        assert!(said.contains("a new link"), "{said}");
        assert!(!place.path("app/bosc.json").exists() && !place.path("app/out").exists());
        assert_eq!(
            field(&place, "app/package.json", "upgrade"),
            "pear://replace-with-your-link"
        );
    }

    let first = place.stdout(&release(&["--yes"]));
    assert_eq!(first.matches("+ /package.json").count(), 1, "{first}");
    assert!(first.contains("\n^Latest: 1.0.0\n"), "{first}");
    let (stage, provision) = (
        field(&place, "app/bosc.json", "stage"),
        field(&place, "app/bosc.json", "provision"),
    );
    assert!(stage.starts_with("pear://") && stage != provision);
    assert_eq!(field(&place, "app/package.json", "upgrade"), provision);
    assert_eq!(field(&place, "app/package.json", "version"), "1.0.0");

    place.write("app/renderer/index.html", "<h1>hi again</h1>");
    let second = place.stdout(&release(&["--yes"]));
    assert!(second.contains("\n^Latest: 1.0.1\n"), "{second}");
    assert_eq!(field(&place, "app/package.json", "version"), "1.0.1");
    let third = place.stdout(&release(&["minor", "--yes", "--json"]));
    let last: Value = serde_json::from_str(third.lines().last().unwrap()).unwrap();
    assert_eq!(last["data"]["version"], "1.1.0");
    assert_eq!(field(&place, "app/bosc.json", "stage"), stage);

    place.bosc(&["dump", &provision, "out"]).success();
    assert_eq!(field(&place, "out/package.json", "version"), "1.1.0");
    let host = app::Host::current();
    let page = format!("out/by-arch/{host}/app/Cool/resources/app/renderer/index.html");
    assert_eq!(
        fs::read_to_string(place.path(&page)).unwrap(),
        "<h1>hi again</h1>"
    );
    // What is not newer is refused before anything is made.
    refuses(
        place.bosc(&release(&["1.0.5", "--yes"])),
        &["1.0.5 is not newer than 1.1.0"],
    );
}

#[test]
fn a_release_that_fails_leaves_the_version_and_another_store_s_links_alone() {
    let place = Place::new();
    let ours = place.touch();
    place.project(&ours);
    let args = ["release", "--dir", "app", "--bin", "nowhere", "minor", "--yes"];
    place.bosc(&args).code(1);
    assert_eq!(field(&place, "app/package.json", "version"), "1.0.0");
    // The link that package.json follows is taken for the one to provision onto.
    place.stdout(&release(&["--yes"]));
    assert_eq!(field(&place, "app/bosc.json", "provision"), ours);

    let mut elsewhere = place.command(&release(&["--yes"]));
    elsewhere.env("BOSC_STORAGE", place.path("another"));
    refuses(elsewhere.assert(), &["is not in this store", "--storage"]);
}
