//! What is made for macOS and Windows, on whichever system this is, as others read it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(unix)]
use app::{Host, Layout, layout};
use packaging::{Format, PackagingError, Plan, Program, Request};
#[cfg(unix)]
use plist::Value;
use zip::ZipArchive;

const LINK: &str = "pear://jsiptcskaguqzunuxewmmyrb6b7kd8agxtqbqcxkt8h6e8twoyqy";

/// The first bytes of a program for a machine; nothing here starts it.
fn program(host: &str) -> Vec<u8> {
    let mut program = vec![0; 200_000];
    let head: &[u8] = match host {
        "darwin-arm64" => b"\xcf\xfa\xed\xfe\x0c\0\0\x01",
        "linux-arm64" => b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\xb7\0",
        "win32-x64" => {
            program[0x3c] = 0x78;
            program[0x78..0x7e].copy_from_slice(b"PE\0\0\x64\x86");
            b"MZ"
        }
        _ => panic!("{host}"),
    };
    program[..head.len()].copy_from_slice(head);
    program
}

fn project(dir: &Path, host: &str, formats: &[Format]) -> Request {
    fs::create_dir_all(dir.join("renderer/a b")).unwrap();
    fs::create_dir_all(dir.join("build")).unwrap();
    fs::write(dir.join("renderer/index.html"), "page").unwrap();
    fs::write(dir.join("renderer/a b/ü [1].txt"), "").unwrap();
    let package = format!(
        r#"{{"name":"my-app","productName":"Tom & Ü","version":"1.0.1","upgrade":"{LINK}","author":"A & B",
            "bosc":{{"permissions":["camera"],"make":{{"identifier":"org.example.my-app","publisher":"CN=A & B"}}}}}}"#
    );
    fs::write(dir.join("package.json"), package).unwrap();
    let icon = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template-app/build/icon.png");
    fs::copy(icon, dir.join("build/icon.png")).unwrap();
    fs::write(dir.join("program"), program(host)).unwrap();
    Request {
        dir: dir.to_owned(),
        host: host.parse().unwrap(),
        program: Program::Built(dir.join("program")),
        out: None,
        formats: formats.to_vec(),
    }
}

fn make(request: Request) -> Vec<PathBuf> {
    let made = Plan::new(request).unwrap().run(&mut |_| {}).unwrap();
    made.into_iter().map(|made| made.path).collect()
}

#[cfg(unix)]
fn dictionary(bytes: &[u8]) -> plist::Dictionary {
    Value::from_reader_xml(bytes).unwrap().into_dictionary().unwrap()
}

/// The files of an archive, with their modes.
fn unzipped(path: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let mut zip = ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let mut files = BTreeMap::new();
    for n in 0..zip.len() {
        let mut file = zip.by_index(n).unwrap();
        let mut contents = Vec::new();
        file.read_to_end(&mut contents).unwrap();
        let mode = file.unix_mode().unwrap_or_default();
        files.insert(file.name().unwrap().into_owned(), (contents, mode));
    }
    files
}

/// Whether Info-ZIP takes an archive for sound, where it is installed.
fn unzip_tests(path: &Path) {
    match Command::new("unzip").arg("-tqq").arg(path).output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(_) => println!("SKIPPED an archive: this machine has no unzip"),
    }
}

#[cfg(unix)]
#[test]
fn a_zip_for_macos_holds_an_app_with_its_modes_and_links() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    let request = project(&app, "darwin-arm64", &[Format::Folder, Format::Zip]);
    std::os::unix::fs::symlink("index.html", app.join("renderer/link.html")).unwrap();
    let made = make(request);
    assert!(made[0].ends_with("Tom & Ü-darwin-arm64/Tom & Ü.app"));
    assert!(made[1].ends_with("Tom & Ü-1.0.1-darwin-arm64.zip"));
    unzip_tests(&made[1]);
    let files = unzipped(&made[1]);
    let file = |path: &str| &files[&format!("Tom & Ü.app/Contents/{path}")];
    assert_eq!(file("MacOS/Tom & Ü"), &(program("darwin-arm64"), 0o100_755));
    assert_eq!(file("PkgInfo"), &(b"APPL????".to_vec(), 0o100_644));
    let link = file("Resources/app/renderer/link.html");
    assert_eq!(link, &(b"index.html".to_vec(), 0o120_777));
    assert_eq!(files["Tom & Ü.app/Contents/MacOS/"].1, 0o040_755);
    let info = dictionary(&file("Info.plist").0);
    let text = |key: &str| info.get(key).and_then(Value::as_string);
    assert_eq!(text("CFBundleExecutable"), Some("Tom & Ü"));
    assert_eq!(text("CFBundleIdentifier"), Some("org.example.my-app"));
    let icon = &file("Resources/icon.icns").0;
    assert!(!icns::IconFamily::read(icon.as_slice()).unwrap().is_empty());

    // The folder is the same, where the app's own layout looks for it.
    let host: Host = "darwin-arm64".parse().unwrap();
    let layout = Layout::of(&host, layout::Format::Folder);
    assert!(layout.program(&made[0]).is_file() && layout.manifest(&made[0]).unwrap().is_file());
    assert_eq!(
        fs::read(made[0].join("Contents/Info.plist")).unwrap(),
        file("Info.plist").0
    );
    let rights = fs::read(made[0].with_file_name("Tom & Ü.entitlements")).unwrap();
    let rights = dictionary(&rights);
    assert_eq!(
        rights.keys().collect::<Vec<_>>(),
        ["com.apple.security.device.camera"]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_zip_for_this_system_is_unpacked_and_started() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    let request = project(&app, "linux-arm64", &[Format::Zip]);
    fs::write(app.join("program"), "#!/bin/sh\necho started\n").unwrap();
    let host = Host::current();
    let made = make(Request { host, ..request });
    let unpacked = Command::new("unzip")
        .arg("-q")
        .arg(&made[0])
        .arg("-d")
        .arg(dir.path())
        .output();
    match unpacked {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(_) => return println!("SKIPPED a zip: this machine has no unzip"),
    }
    let started = Command::new(dir.path().join("Tom & Ü/Tom & Ü")).output().unwrap();
    assert_eq!(started.stdout, b"started\n");
    assert!(
        dir.path()
            .join("Tom & Ü/resources/app/renderer/a b/ü [1].txt")
            .is_file()
    );
}

#[test]
fn an_msix_lists_what_it_holds_with_hashes() {
    use base64::Engine;
    use sha2::Digest;
    let dir = tempfile::tempdir().unwrap();
    let made = make(project(&dir.path().join("app"), "win32-x64", &[Format::Msix]));
    assert!(made[0].ends_with("Tom & Ü-win32-x64/Tom & Ü.msix"));
    unzip_tests(&made[0]);
    let files = unzipped(&made[0]);
    let text = |name: &str| String::from_utf8(files[name].0.clone()).unwrap();
    let map = text("AppxBlockMap.xml");
    let map = roxmltree::Document::parse(&map).unwrap();
    assert_eq!(
        map.root_element().tag_name().namespace(),
        Some("http://schemas.microsoft.com/appx/2010/blockmap")
    );
    let mut zip = ZipArchive::new(fs::File::open(&made[0]).unwrap()).unwrap();
    let mut listed = Vec::new();
    for file in map.root_element().children().filter(roxmltree::Node::is_element) {
        let name = file.attribute("Name").unwrap();
        // In the archive, names are escaped as in URLs.
        let part = match name {
            r"resources\app\renderer\a b\ü [1].txt" => {
                "resources/app/renderer/a%20b/%C3%BC%20%5B1%5D.txt".to_owned()
            }
            "Tom & Ü.exe" => "Tom%20%26%20%C3%9C.exe".to_owned(),
            plain => plain.replace('\\', "/"),
        };
        let contents = &files[&part].0;
        assert_eq!(
            file.attribute("Size").unwrap(),
            contents.len().to_string(),
            "{name}"
        );
        let hashes: Vec<String> = contents
            .chunks(65536)
            .map(|block| base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(block)))
            .collect();
        let blocks = file.children().filter(roxmltree::Node::is_element);
        let blocks: Vec<&str> = blocks.map(|block| block.attribute("Hash").unwrap()).collect();
        assert_eq!(blocks, hashes, "{name}");
        let found = zip.by_name(&part).unwrap();
        let header = found.data_start().unwrap() - found.header_start();
        assert_eq!(file.attribute("LfhSize").unwrap(), header.to_string(), "{name}");
        assert_eq!(found.compression(), zip::CompressionMethod::Stored);
        listed.push(part);
    }
    // All but what lists the others.
    listed.extend(["AppxBlockMap.xml".to_owned(), "[Content_Types].xml".to_owned()]);
    listed.sort();
    assert_eq!(listed, files.keys().cloned().collect::<Vec<_>>());

    let manifest = text("AppxManifest.xml");
    let manifest = roxmltree::Document::parse(&manifest).unwrap();
    let has = |name: &str| manifest.descendants().find(|node| node.tag_name().name() == name);
    assert_eq!(has("Identity").unwrap().attribute("Version"), Some("1.0.1.0"));
    assert_eq!(
        has("Application").unwrap().attribute("Executable"),
        Some("Tom & Ü.exe")
    );
    // Each picture that it names is there, as wide as its name says.
    for (logo, size) in [
        ("Assets/Square150x150Logo.png", 150),
        ("Assets/Square44x44Logo.png", 44),
        ("Assets/StoreLogo.png", 50),
    ] {
        let picture = image::load_from_memory(&files[logo].0).unwrap();
        assert_eq!((picture.width(), picture.height()), (size, size));
        assert!(
            text("AppxManifest.xml").contains(&logo.replace('/', "\\")),
            "{logo}"
        );
    }
    let types = text("[Content_Types].xml");
    roxmltree::Document::parse(&types).unwrap();
    assert_eq!(text("resources/packaged"), "msix\n");
}

#[test]
fn the_same_app_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    for (host, format) in [
        ("darwin-arm64", Format::Zip),
        ("win32-x64", Format::Zip),
        ("win32-x64", Format::Msix),
    ] {
        let made = ["one", "two"].map(|name| {
            let app = dir.path().join(name);
            let made = make(project(&app, host, &[format]));
            fs::read(&made[0]).unwrap()
        });
        assert!(made[0] == made[1], "two makes for {host} differ");
    }
}

#[test]
fn what_cannot_be_made_is_refused_in_words_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    let refused = |request: Request| {
        let error = Plan::new(request).unwrap_err();
        assert!(!app.join("out").exists());
        error.to_string()
    };
    let says = |error: String, words: &[&str]| {
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let windows = project(&app, "win32-x64", &[Format::Msix]);
    for (format, host, word) in [
        (Format::Msix, "darwin-arm64", "it is for Windows"),
        (Format::AppImage, "win32-x64", "it is for Linux"),
        (Format::Deb, "win32-x64", "it is for Linux"),
        (Format::Dmg, "win32-x64", "it is for macOS"),
        #[cfg(not(target_os = "macos"))]
        (Format::Dmg, "darwin-arm64", "make a zip here"),
    ] {
        let error = refused(project(&app, host, &[Format::Folder, format]));
        says(error, &["cannot be made here for", host, word]);
    }
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    says(
        refused(project(&app, "linux-arm64", &[Format::AppImage])),
        &["an AppImage", "for linux-x64", "a machine like linux-arm64"],
    );

    // A program for another machine, one that is none, and one that only cargo could build.
    fs::write(app.join("program"), program("darwin-arm64")).unwrap();
    says(
        refused(windows.clone()),
        &["a program for darwin-arm64", "for win32-x64 with --bin"],
    );
    fs::write(app.join("program"), "#!/bin/sh\n").unwrap();
    says(refused(windows.clone()), &["no program of a kind that is known"]);
    let built = Request {
        program: Program::Cargo {
            profile: "release".into(),
        },
        host: "win32-arm64".parse().unwrap(),
        ..windows.clone()
    };
    says(refused(built), &["win32-arm64 must be named with --bin"]);

    // What an MSIX wants of an icon and of files.
    let windows = project(&app, "win32-x64", &[Format::Msix]);
    fs::remove_file(app.join("build/icon.png")).unwrap();
    says(
        refused(windows.clone()),
        &["icon.png", "is not there", "150 pixels"],
    );
    image::RgbaImage::new(100, 100)
        .save(app.join("build/icon.png"))
        .unwrap();
    says(refused(windows.clone()), &["icon.png", "150 pixels wide"]);
    let windows = project(&app, "win32-x64", &[Format::Msix]);
    fs::write(app.join("renderer/NUL.txt"), "").unwrap();
    says(refused(windows.clone()), &["NUL.txt", "another name"]);
    fs::remove_file(app.join("renderer/NUL.txt")).unwrap();
    Plan::new(windows).unwrap();

    let mac = project(&app, "darwin-arm64", &[Format::Zip]);
    let package = fs::read_to_string(app.join("package.json")).unwrap();
    let odd = package.replace(r#""bosc":{"#, r#""bosc":{"window":{"title":"a\u0001"},"#);
    fs::write(app.join("package.json"), odd).unwrap();
    let error = Plan::new(mac).unwrap_err();
    assert!(
        matches!(
            error,
            PackagingError::Field {
                field: "bosc.window.title",
                ..
            }
        ),
        "{error}"
    );
}
