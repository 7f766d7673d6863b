//! An AppImage is the release that is announced, or is refused as a folder is.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use app::{Document, Fits, Host, check_bundle, fit};
use packaging::{Format, Plan, Program, Request};

const LINK: &str = "pear://jsiptcskaguqzunuxewmmyrb6b7kd8agxtqbqcxkt8h6e8twoyqy";

#[test]
fn an_appimage_must_say_what_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    fs::create_dir_all(app.join("renderer")).unwrap();
    fs::write(app.join("renderer/index.html"), "page").unwrap();
    // Not all alike, so that it stays long.
    let noise: Vec<u8> = (0..10_000_u32)
        .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
        .collect();
    fs::write(app.join("renderer/noise"), noise).unwrap();
    fs::write(dir.path().join("program"), "#!/bin/sh\n").unwrap();
    let package = |version: &str| {
        format!(r#"{{"name":"my-app","productName":"MyApp","version":"{version}","upgrade":"{LINK}"}}"#)
    };
    fs::write(app.join("package.json"), package("1.0.1")).unwrap();
    let plan = Plan::new(Request {
        dir: app,
        host: Host::current(),
        program: Program::Built(dir.path().join("program")),
        out: None,
        formats: vec![Format::AppImage],
    })
    .unwrap();
    let image = plan.run(&mut |_| {}).unwrap()[0].path.clone();
    assert!(image.ends_with(Path::new("MyApp.AppImage")));

    let check = |announced: &str| {
        let announced = Document::parse(announced.as_bytes(), "/package.json").unwrap();
        check_bundle(&announced, &Host::current(), &image)
    };
    assert!(matches!(check(&package("1.0.1")), Ok(Fits::Same(inner)) if inner.text() == package("1.0.1")));
    for other in [package("1.0.2"), package("1.0.1").replace("my-app", "other")] {
        let error = check(&other).unwrap_err().to_string();
        assert!(
            error.contains("MyApp.AppImage/resources/app/package.json has the"),
            "{error}"
        );
    }
    assert_eq!(fit::version_of(&image).as_deref(), Some("1.0.1"));

    // Spoilt is not the same as of another kind.
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..bytes.len() - 5000]).unwrap();
    let error = check(&package("1.0.1")).unwrap_err().to_string();
    assert!(
        error.contains("MyApp.AppImage") && error.contains("damaged"),
        "{error}"
    );
    assert_eq!(fit::version_of(&image), None);
}
