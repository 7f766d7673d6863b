//! What the program says of itself, of wrong usage, and of outputs that cannot be written.

mod place;

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use place::{Place, refuses};

#[test]
fn wrong_usage_is_one_object_too() {
    let place = Place::new();
    for args in [
        &["stage", "--json"][..],
        &["--json", "sideways"],
        &["dump", "--json", "--nothing"],
    ] {
        let failed = place.bosc(args).code(2);
        let out = String::from_utf8(failed.get_output().stdout.clone()).unwrap();
        let line: Value = serde_json::from_str(out.trim()).unwrap();
        assert_eq!(line["tag"], "error", "{out}");
        assert_eq!(line["data"]["code"], "ERR_USAGE", "{out}");
        assert!(line["data"]["message"].as_str().unwrap().len() > 10, "{out}");
    }
    // For a person it names what is missing, and not what the environment has already said.
    let failed = place.bosc(&["stage"]).code(2).stdout("");
    let said = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
    assert!(
        said.contains("Usage: bosc stage") && !said.contains("--storage"),
        "{said}"
    );
    let mut wrong = place.command(&["touch"]);
    let wrong = wrong.env("BOSC_BOOTSTRAP", "nowhere").assert().code(2);
    let said = String::from_utf8(wrong.get_output().stderr.clone()).unwrap();
    assert!(
        said.contains("BOSC_BOOTSTRAP") && said.contains("host:port"),
        "{said}"
    );
}

#[test]
fn completions_and_pages_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.stdout(&["completions", shell]);
        assert!(
            script.contains("provision") && script.contains("no-default-ignore"),
            "{shell}"
        );
    }
    let said = place.stdout(&["man", "pages"]);
    assert_eq!(said.trim(), "pages");
    for page in ["bosc.1", "bosc-stage.1", "bosc-multisig-keys-get.1"] {
        let text = fs::read_to_string(place.path(&format!("pages/{page}"))).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_no_success() {
    let place = Place::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bosc"));
        command
            .args(args)
            .env("BOSC_STORAGE", place.path("store"))
            .stdout(full())
            .stderr(Stdio::piped());
        command.output().unwrap()
    };
    for args in [&["touch"][..], &["touch", "--json"], &["completions", "bash"]] {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("No space left"), "{said}");
    }
    // The link is not lost with it.
    let said = String::from_utf8_lossy(&run(&["touch"]).stderr).into_owned();
    assert!(said.contains("pear://"), "{said}");
}

#[test]
fn a_changelog_is_read_from_a_folder_and_from_a_link() {
    let place = Place::new();
    let stage = place.touch();
    place.package("dep", "2.0.1", &stage);
    assert_eq!(place.stdout(&["changelog", "dep"]), "[ No Changelog ]\n");
    place.write(
        "dep/CHANGELOG.md",
        "# All\n\n## 2.0.1\n\n- b\u{1b}[1A\n\n## v2.0.0\n- a\n\n## 1.0.0\n- first\n",
    );
    let expected = "## v2.0.0\n- a\n\n## 2.0.1\n\n- b\\u{1b}[1A\n";
    assert_eq!(place.stdout(&["changelog", "dep"]), expected);
    place.bosc(&["stage", &stage, "dep"]).success();
    assert_eq!(place.stdout(&["changelog", &stage]), expected);
    assert_eq!(
        place.stdout(&["changelog", &stage, "--of", "<2"]),
        "## 1.0.0\n- first\n"
    );
    assert_eq!(
        place
            .stdout(&["changelog", &stage, "--full", "--max", "1"])
            .lines()
            .next(),
        Some("## 2.0.1")
    );
    refuses(place.bosc(&["changelog", "nowhere"]), &["nowhere"]);
    refuses(place.bosc(&["changelog", "dep", "--of", "newest"]), &["no range"]);
}

#[test]
fn a_link_begins_as_wished_and_is_taken_in_any_letters() {
    let place = Place::new();
    let link = place.stdout(&["touch", "--vanity", "ab"]).trim().to_owned();
    assert!(link.starts_with("pear://ab"), "{link}");
    place.package("dep", "1.0.0", &link);
    place
        .bosc(&["stage", &link.replace("pear", "PEAR"), "dep"])
        .success();
    let long = format!("pear://{}", "a".repeat(5000));
    let failed = place.bosc(&["info", &long]).code(1);
    assert!(failed.get_output().stderr.len() < 600);
    let here = place.stdout(&["info"]);
    assert!(
        here.contains(env!("CARGO_PKG_VERSION")) && here.contains("store"),
        "{here}"
    );
    for flag in ["-v", "-V", "--version"] {
        assert!(place.stdout(&[flag]).contains(env!("CARGO_PKG_VERSION")));
    }
}

/// The messages of the warnings among some lines of JSON.
fn warnings(json: &str) -> Vec<String> {
    let lines = json
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["tag"] == "warning")
        .map(|line| line["data"]["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_pattern_that_matches_nothing_is_said() {
    let place = Place::new();
    let link = place.touch();
    place.package("dep", "1.0.0", &link);
    place.write("dep/notes/mine.txt", "mine");
    for (more, said) in [
        (
            &["--ignore", "notes,nots/"][..],
            vec!["--ignore nots/ matches nothing in dep"],
        ),
        (&["--ignore", "**/*.txt,!/notes/mine.txt"], vec![]),
        (
            &["--ignore", "!nowhere"],
            vec!["--ignore !nowhere matches nothing"],
        ),
        (
            &["--only", "package.json,note"],
            vec!["--only note matches nothing"],
        ),
        (&["--only", "package.json,notes"], vec![]),
    ] {
        let dry = [&["stage", link.as_str(), "dep", "--dry-run"], more].concat();
        let told = place.bosc(&dry).success();
        let text = String::from_utf8_lossy(&told.get_output().stderr).into_owned();
        let found = warnings(&place.stdout(&[&dry[..], &["--json"]].concat()));
        let found: Vec<_> = found.iter().filter(|text| text.contains("matches")).collect();
        assert_eq!(found.len(), said.len(), "{more:?}: {found:?}");
        assert_eq!(text.matches("matches nothing").count(), said.len(), "{text}");
        for (found, said) in found.iter().zip(said) {
            assert!(found.contains(said) && text.contains(said), "{found} {text}");
        }
    }
    assert_eq!(place.length(&link), 0);
    let staged = place.stdout(&["stage", &link, "dep", "--json", "--ignore", "nots"]);
    assert!(
        warnings(&staged)
            .iter()
            .any(|text| text.contains("--ignore nots"))
    );
    // What is to be deleted from the drive need not be in the folder any more.
    fs::remove_dir_all(place.path("dep/notes")).unwrap();
    let purged = place.stdout(&["stage", &link, "dep", "--json", "--ignore", "notes", "--purge"]);
    assert!(
        !warnings(&purged).iter().any(|text| text.contains("matches")),
        "{purged}"
    );
    assert!(purged.contains("/notes/mine.txt"), "{purged}");
}

#[test]
fn a_length_inside_a_batch_is_no_damage() {
    let place = Place::new();
    let link = place.touch();
    place.package("dep", "1.0.0", &link);
    place.write("dep/a", "a");
    place.write("dep/b", "b");
    place.bosc(&["stage", &link, "dep"]).success();
    let inside = link.replace("://", "://0.3.");
    let target = place.touch();
    for args in [
        &["dump", &inside, "out"][..],
        &["dump", "--list", &inside],
        &["provision", &inside, &target, &target.replace("://", "://0.0.")],
    ] {
        let failed = place.bosc(args).code(1);
        let said = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        assert!(
            said.contains("no version of length 3") && said.contains("nothing is damaged"),
            "{said}"
        );
    }
    let json = place.bosc(&["dump", "--json", "--list", &inside]).code(1);
    let json = String::from_utf8_lossy(&json.get_output().stdout).into_owned();
    assert!(json.contains("ERR_NOT_FOUND"), "{json}");
}

#[test]
fn what_nobody_has_is_not_called_empty() {
    let place = Place::new();
    let link = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";
    let args = ["info", link, "--timeout", "1"];
    refuses(place.bosc(&args), &["no DHT node answers"]);
    let failed = place.bosc(&[&args[..], &["--json"]].concat()).code(1);
    let json = String::from_utf8_lossy(&failed.get_output().stdout).into_owned();
    assert!(!json.contains("empty") && json.contains("ERR_NETWORK"), "{json}");
    assert_eq!(place.stdout(&["info", &place.touch()]), "[ Empty ]\n");
}

#[test]
fn a_folder_that_is_none_is_called_so() {
    let place = Place::new();
    let link = place.touch();
    fs::create_dir(place.path("bare")).unwrap();
    place.write("file", "x");
    for (args, says) in [
        (&["make", "nowhere"][..], "nowhere is no folder"),
        (&["release", "--dir", "nowhere"], "nowhere is no folder"),
        (&["make", "bare"], "bare/package.json not found"),
        (&["stage", &link, "nowhere"], "nowhere is not a folder"),
        (&["stage", &link, "bare"], "bare is no deployment folder"),
        (&["dump", &link, "file"], "file is a file: name a folder"),
        (
            &["touch", "--storage", "file"],
            "file is a file: name the store's folder",
        ),
    ] {
        refuses(place.bosc(args), &[says]);
    }
}
