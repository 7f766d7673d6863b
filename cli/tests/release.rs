//! The release commands on one machine without a network: what they do, and what they say when they cannot.

mod place;

use std::fs;
use std::path::{Path, PathBuf};

use predicates::str::contains;

use place::{Place, refuses};

const ELSEWHERE: &str = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";

fn same(one: &Path, other: &Path) {
    let mut left: Vec<_> = walk(one);
    let mut right: Vec<_> = walk(other);
    left.sort();
    right.sort();
    assert_eq!(left, right);
    assert!(!left.is_empty());
}

fn walk(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn visit(root: &Path, folder: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, into);
            } else {
                into.push((
                    path.strip_prefix(root).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                ));
            }
        }
    }
    let mut all = Vec::new();
    visit(folder, folder, &mut all);
    all
}

#[test]
fn a_release_from_touch_to_dump() {
    let place = Place::new();
    let (stage, provision) = (place.touch(), place.touch());
    place.project(&provision);
    assert_eq!(
        place.stdout(&["version", "patch", "--package", "app/package.json"]),
        "v1.0.1\n"
    );
    place.bosc(&["make", "app", "--bin", "program"]).success();
    let host = if cfg!(target_arch = "aarch64") {
        "linux-arm64"
    } else {
        "linux-x64"
    };
    let app = format!("--{host}-app");
    let bundle = format!("app/out/Cool-{host}/Cool");
    place
        .bosc(&[
            "build",
            "--package=app/package.json",
            &app,
            &bundle,
            "--target",
            "cool-1.0.1",
        ])
        .success();

    let dry = place.stdout(&["stage", "--dry-run", &stage, "cool-1.0.1"]);
    assert!(dry.contains("+ /package.json"));
    assert_eq!(place.length(&stage), 0, "a dry run wrote");
    let staged = place.stdout(&["stage", &stage, "cool-1.0.1"]);
    let verlink = staged
        .lines()
        .find(|line| line.starts_with("pear://0."))
        .unwrap()
        .to_owned();
    assert!(staged.contains("^Latest: 1.0.1") && staged.contains(&format!("[ {stage} ]")));
    let length = place.length(&stage);
    place.bosc(&["stage", &stage, "cool-1.0.1"]).success();
    assert_eq!(
        place.length(&stage),
        length,
        "staging the same again grew the drive"
    );

    let production = provision.replace("pear://", "pear://0.0.");
    place
        .bosc(&["provision", "--dry-run", &verlink, &provision, &production])
        .success();
    assert_eq!(place.length(&provision), 0, "a dry run wrote");
    place
        .bosc(&["provision", &verlink, &provision, &production])
        .success();
    place.bosc(&["dump", &provision, "out"]).success();
    same(&place.path("cool-1.0.1"), &place.path("out"));

    // A second target that starts as a copy of production: its history must match, block by block.
    let next = place.touch();
    let present = format!(
        "pear://0.{}.{}",
        place.length(&provision),
        provision.trim_start_matches("pear://")
    );
    let out = place.stdout(&["provision", "--json", &verlink, &next, &present]);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        last["data"]["target"]["core"]["hash"],
        last["data"]["production"]["core"]["hash"]
    );
    assert_eq!(
        last["data"]["target"]["blobs"]["hash"],
        last["data"]["production"]["blobs"]["hash"]
    );

    // A target with a history of its own is refused.
    let strange = place.touch();
    place.write("cool-1.0.1/extra", "something else first");
    let other = place.stdout(&["stage", &stage, "cool-1.0.1"]);
    let other = other
        .lines()
        .find(|line| line.starts_with("pear://0."))
        .unwrap()
        .to_owned();
    place
        .bosc(&[
            "provision",
            &other,
            &strange,
            &strange.replace("pear://", "pear://0.0."),
        ])
        .success();
    refuses(
        place.bosc(&["provision", &verlink, &strange, &present]),
        &["another history", "bosc touch"],
    );
}

/// A signer who looks at a version must see that version, or nothing.
#[test]
fn a_version_that_the_drive_is_no_longer_at_is_not_dumped() {
    let place = Place::new();
    let stage = place.touch();
    place.package("dep", "1.0.0", ELSEWHERE);
    place.write("dep/file", "what was reviewed");
    let staged = place.stdout(&["stage", &stage, "dep"]);
    let verlink = staged.lines().find(|line| line.starts_with("pear://0.")).unwrap();
    let target = place.touch();
    let empty = target.replace("://", "://0.0.");
    let out = place.stdout(&["provision", verlink, &target, &empty, "--json"]);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let hashlink = last["data"]["source"]["hashlink"].as_str().unwrap();
    place.bosc(&["dump", hashlink, "by-hash"]).success();
    same(&place.path("dep"), &place.path("by-hash"));
    let (before, hash) = hashlink.rsplit_once('.').unwrap();
    assert_eq!(before, verlink);
    let other = last["data"]["target"]["core"]["id"].as_str().unwrap();
    assert_ne!(hash, other);
    let wrong = format!("{verlink}.{other}");
    let dumps = |link: &str| place.bosc(&["dump", link, "look"]);
    refuses(dumps(&wrong), &["another tree hash", "length"]);
    refuses(
        place.bosc(&["provision", &wrong, &target, &empty]),
        &["another tree hash"],
    );
    refuses(
        dumps(&verlink.replace("://0.", "://1.")),
        &["of fork 1", "at fork 0"],
    );

    // Cut back and filled with something else, as long as before.
    place.write("dep/file", "what was never seen by anybody");
    place.bosc(&["stage", &stage, "dep", "--truncate", "1"]).success();
    refuses(dumps(verlink), &["of fork 0", "truncated", "at fork 1"]);
    refuses(dumps(hashlink), &["of fork 0", "at fork 1"]);
    refuses(place.bosc(&["dump", verlink, "--list"]), &["at fork 1"]);
    assert!(!place.path("look").exists(), "something was written");
    dumps(&stage).success();
}

/// What strangers wrote reaches the terminal as letters, in results, in words and in errors alike.
#[test]
fn names_and_versions_cannot_steer_the_terminal() {
    let place = Place::new();
    let (link, target) = (place.touch(), place.touch());
    let evil = "1.0.0\u{1b}[2K\u{9b}1A\u{61c}\u{e0041}";
    place.write("dep/a\u{1b}]0;x\u{7}\u{180e}", "");
    place.package("dep", "1.0.0", ELSEWHERE);
    place.bosc(&["stage", &link, "dep"]).success();
    let harmless = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let hidden = ['\u{1b}', '\u{9b}', '\u{7}', '\u{61c}', '\u{180e}', '\u{e0041}'];
        assert!(!text.contains(hidden), "{text:?}");
        text
    };
    let all = |args: &[&str]| {
        let assert = place.bosc(args);
        let output = assert.get_output();
        harmless(&output.stdout) + &harmless(&output.stderr)
    };
    assert!(all(&["dump", &link, "--list"]).contains("/a\\u{1b}]0;x\\u{7}\\u{180e}"));
    let json = all(&["dump", &link, "--list", "--json"]);
    let keys = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find_map(|line| line["data"]["key"].as_str().map(str::to_owned));
    assert_eq!(
        keys.unwrap(),
        "/a\u{1b}]0;x\u{7}\u{180e}",
        "JSON says the same to who parses it"
    );

    // A version that no tool of ours would stage.
    let staged = put_package(&place, &link, evil);
    assert!(all(&["info", &link]).contains("1.0.0\\u{1b}[2K\\u{9b}1A\\u{61c}\\u{e0041}"));
    let said = all(&["provision", &staged, &target, &target.replace("://", "://0.0.")]);
    assert!(
        said.contains("non-production SemVer") && said.contains("\\u{9b}1A"),
        "{said}"
    );
    let package = serde_json::json!({ "name": "a", "version": evil });
    place.write("dep/package.json", &package.to_string());
    let said = all(&["stage", &link, "dep"]);
    assert!(
        said.contains("\"version\" is") && said.contains("\\u{9b}1A"),
        "{said}"
    );
}

/// Puts a package.json with that version straight into a drive; the versioned link.
fn put_package(place: &Place, link: &str, version: &str) -> String {
    let package = serde_json::json!({ "name": "cool-app", "version": version });
    place.put_package(link, package.to_string())
}

/// What is published cannot be called back.
#[test]
fn what_should_not_go_public_is_not_staged_unasked() {
    let place = Place::new();
    let link = place.touch();
    place.package("dep", "1.0.0", ELSEWHERE);
    place.write("dep/page/index.html", "<h1>hi</h1>");
    for name in [
        ".git/config",
        ".env",
        "page/.env.local",
        ".npmrc",
        ".ssh/id_ed25519",
        "page/.DS_Store",
    ] {
        place.write(&format!("dep/{name}"), "left out");
    }
    let staged = || {
        place.bosc(&["dump", &link, "out", "--force"]).success();
        let mut names: Vec<_> = walk(&place.path("out"))
            .into_iter()
            .map(|(name, _)| name.display().to_string())
            .collect();
        names.sort();
        names
    };
    let names = "left out by their names: /.env, /.git, /.npmrc, /.ssh, /page/.DS_Store, /page/.env.local (--no-default";
    place
        .bosc(&["stage", &link, "dep"])
        .success()
        .stderr(contains(names));
    assert_eq!(staged(), ["package.json", "page/index.html"]);
    place
        .bosc(&["stage", &link, "dep", "--ignore", "!/.npmrc"])
        .success();
    assert_eq!(staged(), [".npmrc", "package.json", "page/index.html"]);
    place.bosc(&["stage", &link, "dep", "--purge"]).success();
    assert_eq!(staged(), ["package.json", "page/index.html"]);
    place
        .bosc(&["stage", &link, "dep", "--no-default-ignore"])
        .success();
    assert_eq!(staged().len(), 8);

    // Secrets by what they hold: nothing of the folder is staged.
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAhlbGxvIGhlbGxvIGhlbGxvIGhlbGxv\n";
    let token = format!("const token = 'ghp_{}'", "a1B2".repeat(9));
    place.write("dep/server.pem", key);
    place.write("dep/page/app.js", &token);
    let before = place.length(&link);
    refuses(
        place.bosc(&["stage", &link, "dep"]),
        &[
            "/server.pem (a private key)",
            "/page/app.js (a GitHub token)",
            "--force",
            "--ignore",
        ],
    );
    refuses(
        place.bosc(&["stage", &link, "dep", "--dry-run"]),
        &["/server.pem"],
    );
    refuses(
        place.bosc(&["stage", &link, "dep", "--ignore", "server.pem"]),
        &["/page/app.js"],
    );
    assert_eq!(place.length(&link), before, "something was staged");
    place.bosc(&["stage", &link, "dep", "--force"]).success();
    assert!(staged().contains(&"server.pem".to_owned()));
    fs::remove_file(place.path("dep/server.pem")).unwrap();
    fs::remove_file(place.path("dep/page/app.js")).unwrap();
    // The store itself, with the secret keys of every link.
    fs::copy(place.path("store/corestore.db"), place.path("dep/copy.db")).unwrap();
    refuses(
        place.bosc(&["stage", &link, "dep"]),
        &["/copy.db (a store with the secret keys"],
    );
    fs::remove_file(place.path("dep/copy.db")).unwrap();
}

/// Straight, and through a link inside.
#[cfg(unix)]
#[test]
fn what_links_out_of_the_folder_lead_to_is_not_staged_unasked() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let link = place.touch();
    place.package("dep", "1.0.0", ELSEWHERE);
    place.write("dep/page/index.html", "<h1>hi</h1>");
    place.write("secrets/wallet", "many coins");
    symlink("page/index.html", place.path("dep/start")).unwrap();
    symlink("nowhere", place.path("dep/dangling")).unwrap();
    place.bosc(&["stage", &link, "dep"]).success();
    symlink(place.path("secrets"), place.path("dep/more")).unwrap();
    symlink("../secrets/wallet", place.path("dep/wallet")).unwrap();
    symlink("more/wallet", place.path("dep/through")).unwrap();
    let before = place.length(&link);
    refuses(
        place.bosc(&["stage", &link, "dep"]),
        &[
            "/more (→ ",
            "/wallet (→ ../secrets/wallet)",
            "/through (→ ",
            "--follow-links",
        ],
    );
    assert_eq!(place.length(&link), before, "something was staged");
    fs::remove_file(place.path("dep/through")).unwrap();
    place.bosc(&["stage", &link, "dep", "--follow-links"]).success();
    let names = place.stdout(&["dump", &link, "--list"]);
    assert!(
        names.contains("/more/wallet\n") && names.contains("/wallet\n"),
        "{names}"
    );
}

#[cfg(unix)]
#[test]
fn a_new_store_is_its_owners_alone_and_a_persons_folder_stays_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    place.touch();
    assert_eq!((mode("store"), mode("store/corestore.db")), (0o700, 0o600));

    // A folder that was there before, and a database of an older version.
    fs::create_dir(place.path("shared")).unwrap();
    fs::set_permissions(place.path("shared"), PermissionsExt::from_mode(0o755)).unwrap();
    let touch = ["touch", "--storage", "shared"];
    place.bosc(&touch).success();
    assert_eq!((mode("shared"), mode("shared/corestore.db")), (0o755, 0o600));
    fs::set_permissions(
        place.path("shared/corestore.db"),
        PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    place.bosc(&touch).success();
    assert_eq!((mode("shared"), mode("shared/corestore.db")), (0o755, 0o600));

    // A store that cannot be made is said so.
    place.write("file", "");
    refuses(
        place.bosc(&["touch", "--storage", "file/store"]),
        &["cannot open the store", "file/store"],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_word_the_store_lies_where_the_system_keeps_a_persons_data() {
    let place = Place::new();
    let touch = |data: &str| {
        let mut command = place.command(&["touch"]);
        command.env_remove("BOSC_STORAGE").env("HOME", place.path("home"));
        command.env("XDG_DATA_HOME", data).assert().success();
    };
    touch(place.path("data").to_str().unwrap());
    assert!(place.path("data/bosc/corestore.db").is_file());
    // Only a whole path counts.
    touch("here");
    assert!(!place.path("here").exists());
    assert!(place.path("home/.local/share/bosc/corestore.db").is_file());
}

#[test]
fn links_that_do_not_serve() {
    let place = Place::new();
    place.package("dep", "1.0.0", ELSEWHERE);
    refuses(
        place.bosc(&["stage", "pear://nonsense", "dep"]),
        &["Invalid Hypercore key", "52"],
    );
    refuses(
        place.bosc(&["stage", "nonsense", "dep"]),
        &["not a pear link", "bosc touch"],
    );
    refuses(
        place.bosc(&["seed", "http://example.com"]),
        &["Protocol is not supported"],
    );
    refuses(
        place.bosc(&["stage", ELSEWHERE, "dep"]),
        &["not yours to write", "bosc touch"],
    );
    let own = place.touch();
    refuses(
        place.bosc(&["provision", &own, &own, &own]),
        &["<SOURCE> must be versioned"],
    );
    let versioned = own.replace("pear://", "pear://0.5.");
    let target = place.touch();
    let production = target.replace("pear://", "pear://0.0.");
    refuses(
        place.bosc(&["provision", &versioned, &target, &production]),
        &["is not there", "bosc stage"],
    );
    assert_eq!(place.length(&target), 0);
}

#[test]
fn packages_that_do_not_serve() {
    let place = Place::new();
    let own = place.touch();
    fs::create_dir(place.path("dep")).unwrap();
    let stage = |words: &[&str]| refuses(place.bosc(&["stage", &own, "dep"]), words);
    stage(&["package.json not found"]);
    place.write("dep/package.json", "{ not json");
    stage(&["package.json", "not a valid package.json"]);
    place.write("dep/package.json", "{\"name\":\"cool\"}");
    stage(&["\"version\" is missing", "\"version\": \"1.0.0\""]);
    place.write("dep/package.json", "{\"name\":\"cool\",\"version\":\"1.0.0\"}");
    stage(&["\"upgrade\" is missing", "bosc touch"]);
    place.package("dep", "1.0.0", "pear://replace-with-your-provision-link");
    stage(&["upgrade", "not a link", "bosc touch"]);
    place.package("dep", "one", ELSEWHERE);
    stage(&["\"one\"", "bosc version"]);
    refuses(
        place.bosc(&["stage", &own, "nowhere"]),
        &["nowhere is not a folder", "bosc build"],
    );
    assert_eq!(place.length(&own), 0, "something was written");
}

#[test]
fn prereleases_are_not_provisioned() {
    let place = Place::new();
    let (stage, target) = (place.touch(), place.touch());
    place.package("dep", "1.0.0-rc.1", &target);
    let staged = place.stdout(&["stage", &stage, "dep"]);
    let verlink = staged.lines().find(|line| line.starts_with("pear://0.")).unwrap();
    let production = target.replace("pear://", "pear://0.0.");
    refuses(
        place.bosc(&["provision", verlink, &target, &production]),
        &["non-production SemVer", "bosc version"],
    );
    assert_eq!(place.length(&target), 0);
}

#[test]
fn bundles_that_are_not_there() {
    let place = Place::new();
    place.project(ELSEWHERE);
    refuses(
        place.bosc(&["make", "app", "--bin", "missing"]),
        &["missing is not there", "--bin"],
    );
    fs::remove_file(place.path("app/renderer/index.html")).unwrap();
    refuses(
        place.bosc(&["make", "app", "--bin", "program"]),
        &["index.html is missing"],
    );
    assert!(!place.path("app/out").exists(), "half a bundle was left");
    let build = |app: &str| {
        place.bosc(&[
            "build",
            "--package=app/package.json",
            "--linux-x64-app",
            app,
            "--target",
            "dep",
        ])
    };
    refuses(
        build("app/out/Cool-linux-x64/Cool"),
        &["does not exist", "bosc make"],
    );
    fs::create_dir_all(place.path("Other")).unwrap();
    refuses(build("Other"), &["expected Cool but got Other for linux-x64"]);
    refuses(
        place.bosc(&["build", "--package=app/package.json"]),
        &["at least one app build must be specified"],
    );
    assert!(!place.path("dep").exists(), "half a deployment was left");
}

#[test]
fn a_store_in_use_is_said_so() {
    let place = Place::new();
    let own = place.touch();
    place.package("dep", "1.0.0", ELSEWHERE);
    let store = corestore::Corestore::open(place.path("store")).unwrap();
    let lock = store.lock_writer().unwrap();
    refuses(place.bosc(&["stage", &own, "dep"]), &["in use by another writer"]);
    drop(lock);
    place.bosc(&["stage", &own, "dep"]).success();
}

#[test]
fn a_network_that_does_not_answer() {
    let place = Place::new();
    refuses(
        place.bosc(&["dump", ELSEWHERE, "out", "--timeout", "1"]),
        &["no DHT node answers at 127.0.0.1:1", "bosc dht"],
    );
    assert!(!place.path("out").exists());
}

#[test]
fn folders_are_not_overwritten_unasked() {
    let place = Place::new();
    let own = place.touch();
    place.package("dep", "1.0.0", ELSEWHERE);
    place.bosc(&["stage", &own, "dep"]).success();
    place.write("out/mine.txt", "precious");
    refuses(
        place.bosc(&["dump", &own, "out"]),
        &["out is not empty", "--force"],
    );
    assert_eq!(
        fs::read_to_string(place.path("out/mine.txt")).unwrap(),
        "precious"
    );
    // The store lies in this very folder: its secret keys must not go with what the link does not have.
    refuses(
        place.bosc(&["dump", &own, ".", "--force"]),
        &["holds the store", "another folder"],
    );
    assert!(place.path("store").is_dir());
}

#[test]
fn wrong_usage_is_status_two_and_json_errors_are_one_line() {
    let place = Place::new();
    place
        .bosc(&["stage"])
        .code(2)
        .stdout("")
        .stderr(contains("Usage"));
    place.bosc(&["nonsense"]).code(2);
    place
        .bosc(&["touch", "--bootstrap", "no-port"])
        .code(2)
        .stderr(contains("host:port"));
    let out = place
        .bosc(&["stage", "--json", "pear://nonsense"])
        .code(1)
        .stderr("")
        .get_output()
        .stdout
        .clone();
    let lines: Vec<serde_json::Value> = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["cmd"], &lines[0]["tag"]),
        (&"stage".into(), &"error".into())
    );
    assert_eq!(lines[0]["data"]["code"], "ERR_INVALID_LINK");
}

/// A dump that the system ends with a signal while it writes a file, as a crash would.
#[cfg(unix)]
fn cut_off(place: &Place, link: &str, dir: &str) {
    let bosc = assert_cmd::cargo::cargo_bin("bosc");
    let status = std::process::Command::new("sh")
        .args(["-c", "ulimit -c 0; ulimit -f 1000; exec \"$0\" \"$@\""])
        .arg(bosc)
        .args(["dump", link, dir])
        .current_dir(place.path(""))
        .env("BOSC_STORAGE", place.path("store"))
        .env("BOSC_BOOTSTRAP", "127.0.0.1:1")
        .status()
        .unwrap();
    assert_eq!(status.code(), None, "the dump was not cut off: {status}");
}

/// A drive with small files and one that is too large for [`cut_off`].
#[cfg(unix)]
fn large(place: &Place) -> String {
    let own = place.touch();
    place.package("dep", "1.0.0", ELSEWHERE);
    place.write("dep/small.txt", "small");
    place.write("dep/sub/large", &"0123456789abcdef\n".repeat(120_000));
    place.bosc(&["stage", &own, "dep"]).success();
    own
}

#[test]
#[cfg(unix)]
fn an_interrupted_dump_goes_on_and_leaves_nothing_behind() {
    let place = Place::new();
    let own = large(&place);
    for _ in 0..2 {
        cut_off(&place, &own, "out");
    }
    place.bosc(&["dump", &own, "out"]).success();
    same(&place.path("dep"), &place.path("out"));
    // Finished is finished.
    refuses(
        place.bosc(&["dump", &own, "out"]),
        &["out is not empty", "--force"],
    );
    // With --force, too, nothing stays.
    cut_off(&place, &own, "other");
    place.bosc(&["dump", &own, "other", "--force"]).success();
    same(&place.path("dep"), &place.path("other"));
}

#[test]
#[cfg(unix)]
fn what_a_person_put_into_an_interrupted_dump_stays() {
    let place = Place::new();
    let own = large(&place);
    cut_off(&place, &own, "out");
    place.write("out/mine.txt", "precious");
    place.write("out/.bosc-tmp-notes", "precious");
    place.write("out/sub/.bosc-tmp-1x-2", "precious");
    place.write("out/small.txt", "mine now");
    refuses(
        place.bosc(&["dump", &own, "out"]),
        &["out/small.txt", "changed", "--force"],
    );
    assert_eq!(
        fs::read_to_string(place.path("out/small.txt")).unwrap(),
        "mine now"
    );
    fs::remove_file(place.path("out/small.txt")).unwrap();
    place.bosc(&["dump", &own, "out"]).success();
    for mine in ["out/mine.txt", "out/.bosc-tmp-notes", "out/sub/.bosc-tmp-1x-2"] {
        assert_eq!(fs::read_to_string(place.path(mine)).unwrap(), "precious");
        fs::remove_file(place.path(mine)).unwrap();
    }
    same(&place.path("dep"), &place.path("out"));
}

#[test]
#[cfg(unix)]
fn an_interrupted_dump_is_not_mixed_with_another_version() {
    let place = Place::new();
    let own = large(&place);
    cut_off(&place, &own, "out");
    place.write("dep/small.txt", "newer");
    place.bosc(&["stage", &own, "dep"]).success();
    refuses(
        place.bosc(&["dump", &own, "out"]),
        &["out holds an interrupted dump of pear://0.", "--force"],
    );
    place.bosc(&["dump", &own, "out", "--force"]).success();
    same(&place.path("dep"), &place.path("out"));
}

#[test]
#[cfg(unix)]
fn a_damaged_store_is_an_error_at_once_if_nobody_can_help() {
    let place = Place::new();
    let own = large(&place);
    let store = place.path("store/corestore.db");
    let mut bytes = fs::read(&store).unwrap();
    // Everywhere: a page that is free may hold the same bytes.
    let places: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(b"0123456789abcdef\n"))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 5] ^= 1;
    }
    fs::write(&store, bytes).unwrap();
    place
        .command(&["dump", &own, "out"])
        .timeout(std::time::Duration::from_secs(30))
        .assert()
        .code(1)
        .stderr(contains("is not stored here"));
}
