//! A bundle that is not the release which package.json announces goes nowhere.

mod place;

use std::fs;

use place::{Place, refuses};

#[test]
fn a_bundle_of_another_version_is_neither_built_nor_staged() {
    let place = Place::new();
    let stage = place.touch();
    place.project(&stage);
    place.bosc(&["make", "app", "--bin", "program"]).success();
    let host = app::Host::current().to_string();
    let (app, bundle) = (format!("--{host}-app"), format!("app/out/Cool-{host}/Cool"));
    let build = || {
        place.bosc(&[
            "build",
            "--package=app/package.json",
            &app,
            &bundle,
            "--target",
            "dep",
        ])
    };
    // The version was raised, but the bundle was not made again.
    place
        .bosc(&["version", "patch", "--package", "app/package.json"])
        .success();
    refuses(
        build(),
        &[
            "resources/app/package.json has the version \"1.0.0\"",
            "announced with \"1.0.1\"",
            "bosc make",
        ],
    );
    assert!(!place.path("dep").exists(), "half a deployment was left");

    place.bosc(&["make", "app", "--bin", "program"]).success();
    build().success();
    place.bosc(&["stage", &stage, "dep"]).success();
    let length = place.length(&stage);
    place.package("dep", "1.0.2", &stage);
    refuses(
        place.bosc(&["stage", &stage, "dep"]),
        &["has the version \"1.0.1\"", "announced with \"1.0.2\""],
    );
    assert_eq!(place.length(&stage), length, "something was staged");
}

#[test]
fn two_makes_give_the_same_folder() {
    let place = Place::new();
    place.project("pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y");
    let files = |out: &str| {
        place
            .bosc(&["make", "app", "--bin", "program", "--out", out])
            .success();
        let mut files = Vec::new();
        let mut folders = vec![place.path(out)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let inside = path.strip_prefix(place.path(out)).unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let mode = fs::metadata(&path).unwrap().permissions();
                    files.push((inside, mode, fs::read(path).unwrap()));
                }
            }
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files
    };
    let once = files("one");
    assert!(once.len() >= 3 && once == files("other"), "two makes differ");
}

#[test]
fn a_program_for_another_machine_is_not_built() {
    let place = Place::new();
    place.project("pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y");
    place.bosc(&["make", "app", "--bin", "program"]).success();
    let host = app::Host::current().to_string();
    let bundle = format!("app/out/Cool-{host}/Cool");
    fs::copy(
        std::env::current_exe().unwrap(),
        place.path(&format!("{bundle}/Cool")),
    )
    .unwrap();
    let other = if host == "linux-arm64" {
        "linux-x64"
    } else {
        "linux-arm64"
    };
    let app = format!("--{other}-app");
    refuses(
        place.bosc(&[
            "build",
            "--package=app/package.json",
            &app,
            &bundle,
            "--target",
            "dep",
        ]),
        &[&format!(
            "is a program for {host}, but it is announced for {other}"
        )],
    );
    assert!(!place.path("dep").exists(), "half a deployment was left");
}

#[cfg(target_os = "linux")]
#[test]
fn the_doctor_looks_into_an_appimage() {
    let place = Place::new();
    let link = place.touch();
    place.project(&link);
    place
        .bosc(&["make", "app", "--bin", "program", "--format", "appimage"])
        .success();
    let image = format!("app/out/Cool-{}/Cool.AppImage", app::Host::current());
    let doctor = |app: &str| {
        let args = [
            "doctor",
            "--json",
            "--timeout",
            "1",
            "--app",
            app,
            "--app-storage",
            "data",
        ];
        let told = place.bosc(&args).code(1);
        String::from_utf8(told.get_output().stdout.clone()).unwrap()
    };
    let told = doctor(&image);
    assert!(
        told.contains("Cool.AppImage can be replaced") && !told.contains("follows no link"),
        "{told}"
    );
    fs::write(place.path("other.AppImage"), "no image").unwrap();
    let told = doctor("other.AppImage");
    assert!(told.contains("no AppImage that can be looked into"), "{told}");
}

#[test]
fn a_bundle_for_another_system_is_made_of_a_program_for_it() {
    let place = Place::new();
    place.project("pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y");
    let make = |program: &str| {
        place.bosc(&[
            "make",
            "app",
            "--target",
            "darwin-arm64",
            "--bin",
            program,
            "--format",
            "folder,zip",
        ])
    };
    refuses(make("program"), &["program is", "for darwin-arm64 with --bin"]);
    assert!(!place.path("app/out").exists(), "something was written");
    refuses(
        place.bosc(&["make", "app", "--target", "macos-aarch64", "--bin", "program"]),
        &[
            "no app on Bosc runs on macos-aarch64",
            "did you mean darwin-arm64?",
        ],
    );
    fs::write(place.path("mac"), b"\xcf\xfa\xed\xfe\x0c\0\0\x01").unwrap();
    make("mac").success();
    let made = place.path("app/out/Cool-darwin-arm64");
    for file in [
        "Cool.app/Contents/MacOS/Cool",
        "Cool.app/Contents/Info.plist",
        "Cool-1.0.0-darwin-arm64.zip",
    ] {
        assert!(made.join(file).is_file(), "{file}");
    }
    // What was made is what `build` takes.
    let bundle = "app/out/Cool-darwin-arm64/Cool.app";
    let built = [
        "build",
        "--package=app/package.json",
        "--darwin-arm64-app",
        bundle,
        "--target",
        "dep",
    ];
    place.bosc(&built).success();
    assert!(
        place
            .path("dep/by-arch/darwin-arm64/app/Cool.app/Contents/Info.plist")
            .is_file()
    );
}
