//! Debs as Debian's own tools read them.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use app::Host;
use packaging::{Format, PackagingError, Plan, Program, Request};

const LINK: &str = "pear://jsiptcskaguqzunuxewmmyrb6b7kd8agxtqbqcxkt8h6e8twoyqy";

fn project(dir: &Path, name: &str) -> Request {
    fs::create_dir_all(dir.join("renderer")).unwrap();
    fs::create_dir_all(dir.join("build")).unwrap();
    fs::write(dir.join("renderer/index.html"), "page").unwrap();
    let package = format!(
        r#"{{"name":"{name}","productName":"MyApp","version":"1.0.1","upgrade":"{LINK}","license":"MIT",
            "description":"Shows a page.","author":"A B <a@example.org>"}}"#
    );
    fs::write(dir.join("package.json"), package).unwrap();
    let icon = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template-app/build/icon.png");
    fs::copy(icon, dir.join("build/icon.png")).unwrap();
    let program = dir.join("program");
    fs::write(&program, "#!/bin/sh\necho started\n").unwrap();
    Request {
        dir: dir.to_owned(),
        host: Host::current(),
        program: Program::Built(program),
        out: None,
        formats: vec![Format::Deb],
    }
}

fn make(request: Request) -> PathBuf {
    Plan::new(request).unwrap().run(&mut |_| {}).unwrap()[0]
        .path
        .clone()
}

/// What a tool of Debian's says; `None` if this machine has none.
fn dpkg_deb(args: &[&str], deb: &Path, more: &[&Path]) -> Option<String> {
    let output = Command::new("dpkg-deb").args(args).arg(deb).args(more).output();
    let Ok(output) = output else {
        println!("SKIPPED a deb: this machine has no dpkg-deb");
        return None;
    };
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn debians_tools_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let deb = make(project(&dir.path().join("app"), "my-app"));
    let name = deb.file_name().unwrap().to_string_lossy().into_owned();
    assert!(
        name.starts_with("my-app_1.0.1_") && name.ends_with("64.deb"),
        "{name}"
    );
    let Some(info) = dpkg_deb(&["-I"], &deb, &[]) else {
        return;
    };
    for line in [
        " Package: my-app\n",
        " Version: 1.0.1\n",
        " Maintainer: A B <a@example.org>\n",
        " Depends: libc6, libgtk-3-0, libwebkit2gtk-4.1-0\n",
        " Description: Shows a page\n",
    ] {
        assert!(info.contains(line), "{info}");
    }
    let list = dpkg_deb(&["-c"], &deb, &[]).unwrap();
    let has = |mode: &str, path: &str| {
        let found = list.lines().find(|line| line.contains(&format!(" {path}")));
        assert!(
            found.is_some_and(|line| line.starts_with(&format!("{mode} root/root"))),
            "{path}: {list}"
        );
    };
    has("drwxr-xr-x", "usr/lib/my-app/MyApp/");
    has("-rwxr-xr-x", "usr/lib/my-app/MyApp/MyApp");
    has("-rw-r--r--", "usr/lib/my-app/MyApp/resources/app/package.json");
    has("-rw-r--r--", "usr/lib/my-app/MyApp/resources/packaged");
    has("lrwxrwxrwx", "usr/bin/my-app -> ../lib/my-app/MyApp/MyApp");
    has("-rw-r--r--", "usr/share/icons/hicolor/48x48/apps/my-app.png");
    has("-rw-r--r--", "usr/share/doc/my-app/copyright");

    let root = dir.path().join("root");
    dpkg_deb(&["-x"], &deb, &[&root]).unwrap();
    let started = Command::new(root.join("usr/bin/my-app")).output().unwrap();
    assert_eq!(started.stdout, b"started\n");
    let entry = root.join("usr/share/applications/my-app.desktop");
    match Command::new("desktop-file-validate").arg(&entry).output() {
        Ok(output) => assert!(output.status.success() && output.stdout.is_empty(), "{output:?}"),
        Err(_) => println!("SKIPPED a desktop entry: this machine has no desktop-file-validate"),
    }
}

#[test]
fn the_same_app_gives_the_same_deb() {
    let dir = tempfile::tempdir().unwrap();
    let one = make(project(&dir.path().join("one"), "my-app"));
    let two = make(project(&dir.path().join("two"), "my-app"));
    assert!(
        fs::read(one).unwrap() == fs::read(two).unwrap(),
        "two makes differ"
    );
}

#[test]
fn what_no_package_can_be_made_of_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |request: Request| Plan::new(request).unwrap_err();
    let request = project(&dir.path().join("app"), "my_app");
    let error = refused(request.clone());
    assert!(matches!(error, PackagingError::DebName { .. }), "{error}");
    // Other formats take that name.
    let folder = Request {
        formats: vec![Format::Folder],
        ..request.clone()
    };
    Plan::new(folder).unwrap();
    fs::write(dir.path().join("app/build/icon.png"), "no icon").unwrap();
    let error = refused(Request {
        formats: vec![Format::Folder, Format::AppImage],
        ..request.clone()
    });
    assert!(matches!(error, PackagingError::Icon { .. }), "{error}");
    assert!(!dir.path().join("app/out").exists());
}
