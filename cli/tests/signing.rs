//! What is made is signed by what the environment names, before anything hashes it.

#![cfg(unix)]

mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use assert_cmd::assert::Assert;
use predicates::str::contains;

use place::Place;

const LINK: &str = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";

/// A project, and a command which notes what it is given, and changes it as signing does.
struct Workshop(Place);

impl Workshop {
    fn new() -> Self {
        let place = Place::new();
        place.project(LINK);
        fs::create_dir(place.path("tools")).unwrap();
        let workshop = Self(place);
        workshop.tool(
            "sign",
            "for last; do :; done; if [ -d \"$last\" ]; then echo s >\"$last/signature\"; else printf signed >>\"$last\"; fi",
        );
        workshop
    }

    fn tool(&self, name: &str, does: &str) {
        let path = self.0.path("tools").join(name);
        let log = self.0.path("log");
        let script = format!("#!/bin/sh\necho \"{name} $*\" >>'{}'\n{does}\n", log.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn make(&self, set: &[(&str, &str)], args: &[&str]) -> Assert {
        let tools = self.0.path("tools").display().to_string();
        let path = format!("{tools}:{}", std::env::var("PATH").unwrap());
        let mut command = self.0.command(&[&["make", "app"][..], args].concat());
        command.env("PATH", path);
        for (name, value) in set {
            command.env(name, value);
        }
        command.assert()
    }

    /// What was run, each without the folders of what it was given.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.0.path("log")).unwrap_or_default();
        let short = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        let line = |line: &str| line.split(' ').map(short).collect::<Vec<_>>().join(" ");
        log.lines().map(line).collect()
    }

    fn left(&self) -> Vec<String> {
        let host = app::Host::current();
        let made = fs::read_dir(self.0.path(&format!("app/out/Cool-{host}")));
        let entries = made.into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

/// Ends with 1, and says all of it.
fn fails(assert: Assert, words: &[&str]) {
    let mut assert = assert.code(1).stdout("");
    for word in words {
        assert = assert.stderr(contains(*word));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signed_bundle_is_what_formats_hold_and_what_is_released() {
    let workshop = Workshop::new();
    let place = &workshop.0;
    let host = app::Host::current().to_string();
    let args = ["--bin", "program", "--format", "folder,appimage,deb"];
    workshop.make(&[("LINUX_SIGN_HOOK", "sign")], &args).success();
    assert_eq!(
        workshop.log(),
        ["sign Cool", "sign Cool.AppImage", "sign cool-app_1.0.0_amd64.deb"]
    );
    let made = place.path(&format!("app/out/Cool-{host}"));
    assert_eq!(fs::read(made.join("Cool/signature")).unwrap(), b"s\n");
    assert!(fs::read(made.join("Cool.AppImage")).unwrap().ends_with(b"signed"));
    assert!(workshop.left().iter().all(|name| !name.starts_with('.')));
    let unpacked = std::process::Command::new(made.join("Cool.AppImage"))
        .args(["--appimage-extract", "signature"])
        .current_dir(place.path("."))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&unpacked.stdout).trim(),
        "squashfs-root/signature"
    );
    let app = format!("--{host}-app=app/out/Cool-{host}/Cool");
    place
        .bosc(&["build", "--package=app/package.json", &app, "--target=dep"])
        .success();
    assert!(
        place
            .path(&format!("dep/by-arch/{host}/app/Cool/signature"))
            .is_file()
    );
}

#[test]
fn on_windows_each_program_is_signed_and_then_the_package() {
    let workshop = Workshop::new();
    let place = &workshop.0;
    let mut program = vec![0u8; 256];
    program[..2].copy_from_slice(b"MZ");
    program[0x3c] = 0x80;
    program[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    fs::write(place.path("cool.exe"), &program).unwrap();
    let args = [
        "--target",
        "win32-x64",
        "--bin",
        "cool.exe",
        "--format",
        "folder,zip",
    ];
    workshop.make(&[("WINDOWS_SIGN_HOOK", "sign")], &args).success();
    assert_eq!(workshop.log(), ["sign Cool.exe"]);
    let made = fs::read(place.path("app/out/Cool-win32-x64/Cool/Cool.exe")).unwrap();
    assert!(made.starts_with(&program) && made.ends_with(b"signed"));
    // The author's own file is left as it is.
    assert_eq!(fs::read(place.path("cool.exe")).unwrap(), program);
}

#[test]
fn apples_tools_are_run_as_electron_forge_would() {
    let workshop = Workshop::new();
    for tool in ["codesign", "ditto", "xcrun"] {
        workshop.tool(tool, "");
    }
    let place = &workshop.0;
    fs::write(place.path("mac"), b"\xcf\xfa\xed\xfe\x0c\0\0\x01").unwrap();
    let set = [("MAC_CODESIGN_IDENTITY", "Me"), ("KEYCHAIN_PROFILE", "profile")];
    let args = ["--target", "darwin-arm64", "--bin", "mac", "--format", "zip"];
    workshop.make(&set, &args).success();
    assert_eq!(
        workshop.log(),
        [
            "codesign --force --timestamp --sign Me --options runtime --entitlements entitlements Cool.app",
            "ditto -c -k --keepParent Cool.app notarised.zip",
            "xcrun notarytool submit notarised.zip --keychain-profile profile --wait",
            "xcrun stapler staple Cool.app",
        ]
    );
}

#[test]
fn what_cannot_be_signed_is_not_made() {
    let workshop = Workshop::new();
    let args = ["--bin", "program", "--format", "folder"];
    let variable = match app::Host::current().platform() {
        "darwin" => "MAC_SIGN_HOOK",
        _ => "LINUX_SIGN_HOOK",
    };
    fails(
        workshop.make(&[(variable, "/nowhere/sign")], &args),
        &["/nowhere/sign cannot sign", variable, "it is not there"],
    );
    workshop.tool("fails", "echo no key >&2; exit 3");
    fails(
        workshop.make(&[(variable, "fails")], &args),
        &["no key", "it ended with exit status: 3", "to make it unsigned"],
    );
    workshop.tool("loses", "rm -r \"$1/resources\"");
    fails(
        workshop.make(&[(variable, "loses")], &args),
        &["after it resources/", "is missing"],
    );
    assert_eq!(workshop.left(), [] as [&str; 0]);
}
