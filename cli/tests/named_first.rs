//! What may not be meant is named before anything is written, in a dry run too.

mod place;

use std::fs;

use place::{Place, refuses};

/// A deployment of a version, staged; its versioned link.
fn staged(place: &Place, stage: &str, upgrade: &str, version: &str, page: &str) -> String {
    place.package("dep", version, upgrade);
    place.write("dep/page.html", page);
    let out = place.stdout(&["stage", stage, "dep"]);
    let verlink = out.lines().find(|line| line.starts_with("pear://0."));
    verlink.unwrap().to_owned()
}

#[test]
fn a_version_that_no_app_would_take_is_not_provisioned_unasked() {
    let place = Place::new();
    let (stage, target) = (place.touch(), place.touch());
    let production = target.replace("pear://", "pear://0.0.");
    let first = staged(&place, &stage, &target, "1.0.2", "one");
    place.bosc(&["provision", &first, &target, &production]).success();
    // The same again changes nothing, and is no mistake.
    place.bosc(&["provision", &first, &target, &production]).success();
    let length = place.length(&target);
    for version in ["1.0.2", "1.0.1"] {
        let next = staged(&place, &stage, &target, version, "two");
        for dry in [&["--dry-run"][..], &[]] {
            let args = [&["provision", &next, &target, &production], dry].concat();
            let failed = place.bosc(&args).code(1);
            let said = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
            assert!(
                said.contains(&format!("version {version} is not newer than 1.0.2"))
                    && said.contains("bosc version"),
                "{said}"
            );
        }
        assert_eq!(place.length(&target), length, "something was written");
    }
    let next = staged(&place, &stage, &target, "1.0.2", "two");
    let json = place
        .bosc(&["provision", "--json", &next, &target, &production])
        .code(1);
    let out = String::from_utf8_lossy(&json.get_output().stdout).into_owned();
    assert!(out.contains("ERR_NOT_NEWER"), "{out}");
    place
        .bosc(&["provision", "--force", &next, &target, &production])
        .success();
    assert!(place.length(&target) > length);
}

#[test]
fn a_target_that_apps_do_not_follow_is_named() {
    let place = Place::new();
    let (stage, target, other) = (place.touch(), place.touch(), place.touch());
    let version = staged(&place, &stage, &other, "1.0.0", "one");
    let production = target.replace("pear://", "pear://0.0.");
    let told = place.bosc(&["provision", "--dry-run", &version, &target, &production]);
    let said = String::from_utf8_lossy(&told.success().get_output().stderr).into_owned();
    assert!(
        said.contains(&format!("apps of this release follow {other}")),
        "{said}"
    );
}

#[test]
fn a_deployment_without_a_bundle_and_a_cut_beyond_the_end_are_named() {
    let place = Place::new();
    let stage = place.touch();
    place.package("dep", "1.0.0", &stage);
    for dry in [&["--dry-run"][..], &[]] {
        let told = place.bosc(&[&["stage", &stage, "dep"], dry].concat()).success();
        let said = String::from_utf8_lossy(&told.get_output().stderr).into_owned();
        assert!(said.contains("dep has no bundle in it"), "{said}");
        let cut = [&["stage", &stage, "dep", "--truncate", "99"], dry].concat();
        refuses(place.bosc(&cut), &["blocks", "cut to 99"]);
    }
}

#[test]
fn the_next_command_is_one_that_can_be_copied() {
    let place = Place::new();
    let (stage, target) = (place.touch(), place.touch());
    for (version, page) in [("1.0.0", "one"), ("1.0.1", "two")] {
        place.package("dep", version, &target);
        place.write("dep/page.html", page);
        let told = place.bosc(&["stage", &stage, "dep"]).success();
        let said = String::from_utf8_lossy(&told.get_output().stderr).into_owned();
        let next = said
            .lines()
            .find_map(|line| line.strip_prefix("next: bosc "))
            .unwrap();
        let args: Vec<&str> = next.split(' ').collect();
        place.bosc(&args).success();
    }
    place.bosc(&["dump", &target, "out"]).success();
    assert_eq!(fs::read_to_string(place.path("out/page.html")).unwrap(), "two");
}

#[test]
fn one_file_is_printed_as_it_is() {
    let place = Place::new();
    let stage = place.touch();
    place.package("dep", "1.0.0", &stage);
    place.write("dep/sub/raw", "no line feed, \u{1b}[1A and all");
    place.bosc(&["stage", &stage, "dep"]).success();
    assert_eq!(
        place.stdout(&["dump", &format!("{stage}/sub/raw"), "-"]),
        "no line feed, \u{1b}[1A and all"
    );
    let json = place.stdout(&["dump", "--json", &format!("{stage}/sub/raw"), "-"]);
    assert!(
        json.contains(r#""key":"/sub/raw","value":"no line feed"#),
        "{json}"
    );
    for nothing in ["", "/sub", "/sub/none"] {
        refuses(
            place.bosc(&["dump", &format!("{stage}{nothing}"), "-"]),
            &["file"],
        );
    }
    place.bosc(&["dump", &stage]).code(2);
}

#[test]
fn changes_go_along_and_a_target_inside_a_bundle_is_refused() {
    let place = Place::new();
    let upgrade = place.touch();
    place.project(&upgrade);
    place.bosc(&["make", "app", "--bin", "program"]).success();
    let bundle = place
        .stdout(&["make", "app", "--bin", "program"])
        .trim()
        .to_owned();
    let app = format!("--linux-x64-app={bundle}");
    let build = |target: &str| place.bosc(&["build", "--package=app/package.json", &app, "--target", target]);
    place.write("app/CHANGELOG.md", "# 1.0.0\n");
    build("dep").success();
    assert_eq!(
        fs::read_to_string(place.path("dep/CHANGELOG.md")).unwrap(),
        "# 1.0.0\n"
    );
    fs::remove_file(place.path("app/CHANGELOG.md")).unwrap();
    build("dep").success();
    assert!(!place.path("dep/CHANGELOG.md").exists());
    refuses(build(&format!("{bundle}/deep/dep")), &["outside of the bundles"]);
    assert!(!place.path("app/out/Cool-linux-x64/Cool/deep").exists());
}
