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
