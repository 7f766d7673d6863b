//! `bosc multisig` without a network: keys, links, signing, and every refusal that needs no peer.

mod place;

use std::fs;

use predicates::str::contains;
use serde_json::{Value, json};

use place::{Place, refuses};

/// Keys, requests and responses that the npm packages made.
fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/multisig/vectors.json")).unwrap()
}

/// Who may do what with a file.
#[cfg(unix)]
fn mode(place: &Place, name: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The request of the vectors, for a drive, in the present version.
fn request(vectors: &Value) -> &str {
    text(&vectors["requests"][0]["text"])
}

fn response(vectors: &Value, signer: usize) -> String {
    let bytes = hex::decode(text(&vectors["requests"][0]["responses"][signer])).unwrap();
    z32::encode(&bytes)
}

fn config(place: &Place, vectors: &Value, quorum: u64) {
    let team =
        json!({ "publicKeys": vectors["publicKeys"], "quorum": quorum, "namespace": vectors["namespace"] });
    place.write("pear.json", &json!({ "multisig": team }).to_string());
}

/// `bosc multisig` with keys in the place, and a password on stdin.
fn multisig(place: &Place, args: &[&str], password: &str) -> assert_cmd::assert::Assert {
    place
        .command(&[&["multisig"], args].concat())
        .env("BOSC_KEYS", place.path("keys"))
        .write_stdin(password.to_owned())
        .assert()
}

fn stdout(assert: assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
}

#[test]
fn a_key_from_its_making_to_its_removal() {
    let place = Place::new();
    let get = ["keys", "get", "me", "--password-fd", "0"];
    let dry = multisig(&place, &["keys", "get", "me", "--dry-run"], "");
    dry.success().stdout("").stderr(contains("would make"));
    assert!(!place.path("keys").exists());
    refuses_key(multisig(&place, &get, ""), &["password required"]);
    refuses_key(multisig(&place, &get, "short\n"), &["at least 8"]);
    refuses_key(multisig(&place, &get, "pässwörter\n"), &["ASCII"]);
    assert!(!place.path("keys").exists(), "a refused password leaves nothing");

    let public = stdout(multisig(&place, &get, "a good password\n"));
    assert_eq!(public.trim().len(), 52);
    let secret = fs::read(place.path("keys/me")).unwrap();
    assert_eq!(secret.len(), 186, "the layout of npm hypercore-sign-lib");
    #[cfg(unix)]
    assert_eq!((mode(&place, "keys"), mode(&place, "keys/me")), (0o700, 0o600));
    assert_eq!(stdout(multisig(&place, &["keys", "get", "me"], "")), public);

    let listed = stdout(multisig(&place, &["keys", "list"], ""));
    assert_eq!(listed, format!("me  {}  yours\n", public.trim()));
    let paths = stdout(multisig(&place, &["keys", "paths", "me"], ""));
    assert!(paths.contains("keys/me.public"));
    let shown = stdout(multisig(&place, &["keys", "get", "me", "--secret"], ""));
    assert_eq!(shown.trim(), z32::encode(&secret));

    // A copy under another name is the same key; another password does not open it.
    place.write("backup", &shown);
    multisig(&place, &["keys", "add", "copy", public.trim(), "backup"], "").success();
    assert_eq!(fs::read(place.path("keys/copy")).unwrap(), secret);
    refuses_key(
        multisig(&place, &["keys", "add", "copy", public.trim()], ""),
        &["\"copy\" already exists"],
    );
    refuses_key(
        multisig(&place, &["keys", "remove", "me"], ""),
        &["--force", "keep a copy"],
    );
    multisig(&place, &["keys", "remove", "me", "--force", "--dry-run"], "").success();
    assert!(place.path("keys/me").is_file());
    multisig(&place, &["keys", "remove", "me", "--force"], "").success();
    refuses_key(
        multisig(&place, &["keys", "remove", "me"], ""),
        &["\"me\" not found"],
    );
    refuses_key(
        multisig(&place, &["keys", "get", "../me"], ""),
        &["no name for a key"],
    );
}

/// Exit status 1, nothing on stdout, every word on stderr (after what a prompt may have said).
fn refuses_key(assert: assert_cmd::assert::Assert, words: &[&str]) {
    let mut assert = assert.code(1).stdout("");
    for word in words {
        assert = assert.stderr(contains(*word));
    }
}

#[test]
fn a_key_of_the_javascript_tools_signs_here_and_the_other_way_round() {
    let (place, vectors) = (Place::new(), vectors());
    let key = &vectors["keys"][0];
    // `pear` stores raw bytes; `hypercore-sign` text, without the public key inside.
    fs::create_dir(place.path("keys")).unwrap();
    fs::write(place.path("keys/pear"), hex::decode(text(&key["file"])).unwrap()).unwrap();
    fs::write(
        place.path("keys/pear.public"),
        hex::decode(text(&key["publicKey"])).unwrap(),
    )
    .unwrap();
    let legacy = z32::encode(&hex::decode(text(&vectors["legacyFile"])).unwrap());
    place.write("keys/default", &legacy);
    place.write("keys/default.public", text(&vectors["publicKeys"][0]));

    let shown = stdout(multisig(
        &place,
        &["keys", "get", "pear", "--secret", "--legacy"],
        "",
    ));
    assert_eq!(shown.trim(), legacy, "the form of hypercore-sign 3");
    config(&place, &vectors, 2);
    for name in ["pear", "default"] {
        let sign = ["sign", request(&vectors), name, "--password-fd", "0"];
        let signed = stdout(multisig(&place, &sign, "correct horse\n"));
        assert_eq!(signed.trim(), response(&vectors, 0), "the bytes that npm signed");
    }
    #[cfg(unix)]
    assert_eq!(
        mode(&place, "keys/pear"),
        0o600,
        "a key that another tool left open is closed"
    );

    let sign = ["sign", request(&vectors), "pear", "--password-fd", "0"];
    let out = stdout(multisig(
        &place,
        &[&sign[..], &["--json"]].concat(),
        "correct horse",
    ));
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["tag"], "sign");
    assert_eq!(lines[0]["data"]["response"], response(&vectors, 0));
    assert_eq!(lines[1], json!({ "cmd": "multisig", "tag": "final" }));

    let wrong = multisig(&place, &sign, "wrong horse");
    refuses_key(wrong, &["Key decryption failed"]);
    let dry = multisig(&place, &["sign", request(&vectors), "pear", "--dry-run"], "");
    dry.success().stdout("").stderr(contains("nothing is signed"));
}

#[test]
fn what_cannot_be_signed_is_refused_before_a_password_is_asked() {
    let (place, vectors) = (Place::new(), vectors());
    let asks = request(&vectors);
    refuses_key(
        multisig(&place, &["sign", asks], ""),
        &["No private key found for \"default\""],
    );
    let stranger = text(&vectors["low"]["publicKey"]);
    let secret = z32::encode(&hex::decode(text(&vectors["low"]["file"])).unwrap());
    multisig(&place, &["keys", "add", "default", stranger, &secret], "").success();
    refuses_key(
        multisig(&place, &["sign", asks], ""),
        &["Public key is not a declared signer for this request"],
    );
    refuses_key(
        multisig(&place, &["sign", &asks[..99]], ""),
        &["Invalid request", "cut short"],
    );
    refuses_key(
        multisig(&place, &["sign", "hello!"], ""),
        &["Invalid request", "no z-base-32"],
    );
    refuses_key(
        multisig(&place, &["sign", &response(&vectors, 0)], ""),
        &["Expected an encoded request"],
    );
    let mismatched = text(&vectors["publicKeys"][1]);
    refuses_key(
        multisig(&place, &["keys", "add", "other", mismatched, &secret], ""),
        &["different keys"],
    );
    assert!(!place.path("keys/other").exists());
}

/// Without a `pear.json`, or with another team's, the request is a stranger's.
#[test]
fn a_strangers_request_is_shown_and_signed_only_by_force() {
    let (place, vectors) = (Place::new(), vectors());
    let secret = z32::encode(&hex::decode(text(&vectors["low"]["file"])).unwrap());
    let me: hypercore::Key = text(&vectors["low"]["publicKey"]).parse().unwrap();
    let (me, other) = (&me.to_string(), text(&vectors["publicKeys"][1]));
    multisig(&place, &["keys", "add", "default", me, &secret], "").success();
    multisig(&place, &["keys", "add", "bob", other], "").success();
    // A team with this key in it, and one without.
    let team = |namespace: &str| {
        let keys = [me, other, text(&vectors["publicKeys"][2])];
        let team = json!({ "publicKeys": keys, "quorum": 2, "namespace": namespace });
        json!({ "multisig": team }).to_string()
    };
    let parsed = multisig::Team::from_config(&team("ours")).unwrap();
    let content = multisig::Content {
        length: 5,
        tree_hash: [7; 32],
    };
    let asks = |manifest| {
        multisig::Request::new(manifest, 3, [8; 32], content, false)
            .unwrap()
            .to_string()
    };
    let asked = asks(parsed.manifest());
    let sign = |more: &[&str]| {
        let args = ["sign", &asked, "--password-fd", "0"];
        multisig(&place, &[&args[..], more].concat(), "low cost password\n")
    };
    let link = format!("pear://{}", parsed.key());
    let shows = |assert: assert_cmd::assert::Assert| {
        assert
            .stderr(contains(link.as_str()))
            .stderr(contains("2 of 3 signers"))
            .stderr(contains(format!("{me} default, you\n")))
            .stderr(contains(format!("{other} bob\n")))
            .stderr(contains("(no name here)\n"))
    };
    let nobody = shows(sign(&[]));
    refuses_key(nobody, &["a team that is not known here", "--config", "--force"]);
    let forced = shows(sign(&["--force"]));
    let forced = stdout(forced);

    place.write("pear.json", &team("theirs"));
    let theirs = multisig::Team::from_config(&team("theirs")).unwrap().key();
    refuses_key(
        shows(sign(&[])),
        &["a team that is not known here", &theirs.to_string(), "--force"],
    );
    refuses_key(sign(&["--dry-run"]), &["--force"]);
    assert_eq!(stdout(shows(sign(&["--force"]))), forced);

    place.write("ours/pear.json", &team("ours"));
    let known = shows(sign(&["--config", "ours/pear.json"]));
    let known = known.stderr(contains("for the team of ours/pear.json, \"ours\"\n"));
    assert_eq!(stdout(known), forced);
    let response: multisig::Response = forced.parse().unwrap();
    response.verify(&asked.parse().unwrap()).unwrap();

    // The core of the team's contents, dressed up as a drive of its own: half a release.
    let half = asks(parsed.blobs_manifest());
    let half = ["sign", &half, "--config", "ours/pear.json", "--force"];
    refuses_key(multisig(&place, &half, ""), &["half of a release"]);

    // A pear.json that cannot be read is not taken for none.
    place.write("pear.json", "{");
    refuses_key(sign(&["--force"]), &["pear.json", "Could not parse"]);
}

/// Whatever says "sign this" for no release, at whatever command, and however much it is wanted.
#[test]
fn what_can_become_no_release_is_refused_by_every_command() {
    let (place, vectors) = (Place::new(), vectors());
    config(&place, &vectors, 2);
    let low = text(&vectors["low"]["publicKey"]);
    let secret = z32::encode(&hex::decode(text(&vectors["low"]["file"])).unwrap());
    multisig(&place, &["keys", "add", "default", low, &secret], "").success();
    let drive = hex::decode(text(&vectors["requests"][0]["bytes"])).unwrap();
    let mut forked = drive.clone();
    forked[3] = 1;
    let manifest = hex::decode(text(&vectors["manifest"])).unwrap();
    let at = drive
        .windows(manifest.len())
        .position(|window| window == manifest);
    // The same signers under a manifest of version 0, which begins: version, hash, kind, patch, quorum, signers.
    let old = hypercore::manifest::Manifest {
        version: 0,
        ..hypercore::manifest::Manifest::decode(&manifest).unwrap()
    };
    let (before, after) = drive.split_at(at.unwrap());
    let old = [before, &old.encode(), &after[manifest.len()..]].concat();
    let core = text(&vectors["requests"][2]["text"]);
    for (asked, why) in [
        (core, "a core alone"),
        (&z32::encode(&forked), "fork 1"),
        (&z32::encode(&old), "version 0"),
    ] {
        let source = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";
        for args in [
            &["sign", asked, "--force", "--password-fd", "0"][..],
            &["verify", source, asked, "--force"],
            &["commit", source, asked, "--force"],
        ] {
            let refused = multisig(&place, args, "low cost password\n");
            refuses(refused, &["Refusing the request", why]);
        }
    }
    assert!(!place.path("store").exists(), "no store was opened");
}

#[test]
fn the_link_follows_from_the_config() {
    let (place, vectors) = (Place::new(), vectors());
    refuses(
        multisig(&place, &["link"], ""),
        &["cannot read pear.json", "--config"],
    );
    config(&place, &vectors, 2);
    let link = stdout(multisig(&place, &["link"], ""));
    assert_eq!(link, format!("pear://{}\n", text(&vectors["key"])));
    config(&place, &vectors, 4);
    refuses(multisig(&place, &["link"], ""), &["pear.json", "from 1 to 3"]);
    let out = multisig(&place, &["link", "--json"], "").code(1);
    let line: Value = serde_json::from_slice(&out.get_output().stdout).unwrap();
    assert_eq!(line["data"]["code"], "ERR_INVALID_CONFIG");
    for (content, word) in [
        ("{", "Could not parse"),
        ("{}", "multisig.publicKeys field required"),
    ] {
        place.write("pear.json", content);
        refuses(multisig(&place, &["link"], ""), &["pear.json", word]);
    }
}

#[test]
fn a_quorum_is_counted_before_the_network_is_asked() {
    let (place, vectors) = (Place::new(), vectors());
    config(&place, &vectors, 2);
    let source = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";
    let commit = |responses: &[&str]| {
        let args = ["commit", source, request(&vectors)];
        multisig(&place, &[&args[..], responses].concat(), "")
    };
    let (one, two) = (response(&vectors, 0), response(&vectors, 1));
    let missing = text(&vectors["publicKeys"][1]);
    refuses(commit(&[]), &["Insufficient quorum: 0 / 2"]);
    refuses(commit(&[&one]), &["Insufficient quorum: 1 / 2", missing]);
    refuses(commit(&[&one, &one]), &["Insufficient quorum: 1 / 2"]);
    let other = z32::encode(&hex::decode(text(&vectors["requests"][1]["responses"][1])).unwrap());
    refuses(
        commit(&[&one, &other]),
        &["response 2", "Signature was not made over this request"],
    );
    let mut bent = hex::decode(text(&vectors["requests"][0]["responses"][1])).unwrap();
    if let Some(byte) = bent.last_mut() {
        *byte ^= 1;
    }
    refuses(
        commit(&[&one, &z32::encode(&bent)]),
        &["response 2", "Invalid signature!"],
    );
    refuses(commit(&["nonsense!"]), &["response 1", "Invalid data"]);
    refuses(
        multisig(
            &place,
            &[
                "commit",
                &source.replace("://", "://0.99."),
                request(&vectors),
                &one,
                &two,
            ],
            "",
        ),
        &["another version"],
    );
    assert!(
        !place.path("store").exists(),
        "no store was opened for what cannot be committed"
    );
}

/// At a terminal (which `script` provides) the password is asked for twice, and never shown.
#[test]
fn a_password_that_is_typed_is_not_echoed() {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};
    let place = Place::new();
    let bosc = assert_cmd::cargo::cargo_bin("bosc");
    let mut terminal = Command::new("script")
        .args([
            "-qec",
            &format!("{} multisig keys get me", bosc.display()),
            "/dev/null",
        ])
        .env("BOSC_KEYS", place.path("keys"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let mut shown = String::new();
    for prompt in ["Password: ", "Confirm password: "] {
        let mut byte = [0];
        while !shown.ends_with(prompt) {
            assert_eq!(screen.read(&mut byte).unwrap(), 1, "it ended after {shown:?}");
            shown.push(char::from(byte[0]));
        }
        // At once: the echo must be off before the prompt shows.
        keyboard.write_all(b"seen by nobody\n").unwrap();
    }
    screen.read_to_string(&mut shown).unwrap();
    assert!(terminal.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains("seen by nobody"), "{shown}");
    assert!(place.path("keys/me").is_file());
}
