//! A team that mixes tools: one signer on npm hyper-multisig and hypercore-sign-lib, two on `bosc`. Each side requests, signs,
//! verifies, commits, seeds and reads what the other did.

use std::fs;
use std::path::Path;

use anyhow::Result;
use bosc_tests::peers::{PATIENCE, Place, expect_same, write_deployment};
use bosc_tests::process::{Process, run};
use bosc_tests::team::{verlink, with_stdin, write_config};

const JS_PASSWORD: &str = "the JavaScript signer";

/// Runs multisig.js until it prints its answer, a single line.
fn js(place: &Place, args: &[&str]) -> Result<String> {
    let mut process = place.node("multisig.js", args)?;
    process.wait_for("its answer", PATIENCE, |line| {
        let answer = line.starts_with("quorum ") || (!line.contains(' ') && line.len() >= 52);
        answer.then(|| line.to_owned())
    })
}

fn js_seed(place: &Place, store: &str, link: &str) -> Result<Process> {
    let mut seed = place.node("multisig.js", &["seed", store, key_of(link)])?;
    seed.wait_for("that it seeds", PATIENCE, |line| {
        (line == "seeding").then_some(())
    })?;
    Ok(seed)
}

/// `bosc multisig` as the signer who holds all Rust keys.
fn bosc(place: &Place, args: &[&str], password: &str) -> Result<String> {
    let mut command = place.bosc("rust", &[&["multisig"], args].concat());
    command.env("BOSC_KEYS", place.home.join("keys"));
    with_stdin(&mut command, password)
}

/// The key at the end of a link, versioned or not.
fn key_of(link: &str) -> &str {
    link.rsplit(['.', '/']).next().unwrap_or(link)
}

fn length_of(link: &str) -> &str {
    link.split('.').nth(1).unwrap_or_default()
}

/// Writes, stages and provisions a version; the versioned link.
fn provision(
    place: &Place,
    folder: &Path,
    version: &str,
    links: [&str; 3],
    production: &str,
) -> Result<String> {
    let [stage, source, team] = links;
    write_deployment(folder, "Cool", version, team)?;
    let staged = place.run("release", &["stage", stage, &folder.display().to_string()])?;
    let args = ["provision", &verlink(&staged)?, source, production];
    verlink(&place.run("release", &args)?)
}

#[test]
fn a_team_mixes_javascript_and_rust() {
    let place = Place::new("multisig-js").unwrap();
    let (password, get) = (
        "a password of ASCII\n",
        ["keys", "get", "rust", "--password-fd", "0"],
    );
    let keys = [
        js(&place, &["key", "keys-js", "js", JS_PASSWORD]).unwrap(),
        bosc(&place, &get, password).unwrap(),
        "7ir1ttte48bcp4zjychjyscicrwi1j34mtt91ptsafdbjmr8g9eo".to_owned(),
    ];
    write_config(&place, &keys, 2).unwrap();
    let link = bosc(&place, &["link"], "").unwrap();
    assert_eq!(js(&place, &["link", "pear.json"]).unwrap(), key_of(&link));
    // The signer on JavaScript could move to bosc with the same file, and the other way round.
    let js_secret = place.home.join("keys-js/js").display().to_string();
    bosc(&place, &["keys", "add", "js", &keys[0], &js_secret], "").unwrap();
    fs::copy(place.home.join("keys/rust"), place.home.join("keys-js/rust")).unwrap();

    let (stage, source) = (
        place.run("release", &["touch"]).unwrap(),
        place.run("release", &["touch"]).unwrap(),
    );
    let (stage, source) = (stage.trim(), source.trim());
    let links = [stage, source, link.as_str()];
    let _release = place.seed("release", source).unwrap();
    let _north = place.seed("north", source).unwrap();
    let _js_north = js_seed(&place, "js-north", source).unwrap();

    // First release: requested and committed by bosc, signed on both sides.
    let first = place.home.join("first");
    let empty = link.replace("://", "://0.0.");
    let verlink1 = provision(&place, &first, "1.0.0", links, &empty).unwrap();
    let request = bosc(&place, &["request", &verlink1], "").unwrap();
    let by_js = js(&place, &["sign", "keys-js", "js", JS_PASSWORD, &request]).unwrap();
    let sign = ["sign", &request, "rust", "--password-fd", "0"];
    let by_rust = bosc(&place, &sign, password).unwrap();
    let swapped = js(&place, &["sign", "keys-js", "rust", password.trim(), &request]).unwrap();
    assert_eq!(swapped, by_rust, "the same key signs the same in both tools");
    let sign = ["sign", &request, "js", "--password-fd", "0"];
    assert_eq!(bosc(&place, &sign, JS_PASSWORD).unwrap(), by_js);
    let config = "pear.json";
    let verified = js(
        &place,
        &[
            "verify",
            config,
            "js",
            key_of(source),
            &request,
            "1",
            &by_js,
            &by_rust,
        ],
    );
    assert_eq!(verified.unwrap(), format!("quorum 2 {}", length_of(&verlink1)));
    let _east = place.seed("east", &link).unwrap();
    let js_east = js_seed(&place, "js-east", &link);
    let _js_east = js_east.unwrap();
    let args = ["commit", source, &request, &by_rust, &by_js];
    let committed = bosc(&place, &args, "").unwrap();
    let production = verlink(&committed).unwrap();
    assert_eq!(length_of(&production), length_of(&verlink1));
    let fetched = place.home.join("fetched");
    let mut fetch = place
        .node(
            "fetch.js",
            &[key_of(&link), "js-reader", &fetched.display().to_string()],
        )
        .unwrap();
    fetch
        .wait_for("that it is done", PATIENCE, |line| (line == "done").then_some(()))
        .unwrap();
    expect_same(&first, &fetched).unwrap();

    // Second: requested and committed by JavaScript.
    let second = place.home.join("second");
    let verlink2 = provision(&place, &second, "1.0.1", links, &production).unwrap();
    let request = js(
        &place,
        &["request", config, "js", key_of(source), length_of(&verlink2)],
    )
    .unwrap();
    let sign = ["sign", &request, "rust", "--password-fd", "0"];
    let by_rust = bosc(&place, &sign, password).unwrap();
    let by_js = js(&place, &["sign", "keys-js", "js", JS_PASSWORD, &request]).unwrap();
    let mut verify = place.bosc(
        "other",
        &["multisig", "verify", source, &request, &by_js, &by_rust, "--json"],
    );
    let verified = run(&mut verify).unwrap();
    let last: serde_json::Value = serde_json::from_str(verified.lines().last().unwrap()).unwrap();
    assert_eq!(
        last["data"]["quorum"],
        serde_json::json!({ "amount": 2, "total": 2 })
    );
    assert_eq!(
        last["data"]["result"]["db"]["batch"]["length"].to_string(),
        length_of(&verlink2)
    );
    let done = js(
        &place,
        &[
            "commit",
            config,
            "js",
            key_of(source),
            &request,
            "0",
            &by_js,
            &by_rust,
        ],
    );
    assert_eq!(done.unwrap(), format!("quorum 2 {}", length_of(&verlink2)));
    let info = place.run("reader", &["info", &link]).unwrap();
    assert!(info.contains("1.0.1"), "{info}");
    place.run("reader", &["dump", &link, "dumped"]).unwrap();
    expect_same(&second, &place.home.join("dumped")).unwrap();
}
