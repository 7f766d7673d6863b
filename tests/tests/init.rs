//! A new app as `bosc init` makes it, outside of the repository: it is built and tested without the network, released, and its
//! window opens.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use app::Host;
use bosc_tests::display::Display;
use bosc_tests::peers::{Place, root};
use bosc_tests::process::run;
use bosc_tests::walkthrough::Installed;
use serde_json::Value;

/// Cargo in the app's folder. What it compiles lies with all else that this repository compiles, so that little is compiled
/// twice; an author's would lie in the folder.
fn cargo(folder: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command
        .args(args)
        .arg("--offline")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", root().join("target"));
    run(&mut command).with_context(|| format!("cargo {}", args.join(" ")))
}

#[test]
fn a_new_app_is_tested_released_and_opened_outside_of_the_repository() -> Result<()> {
    let place = Place::new("init")?;
    let elsewhere = tempfile::tempdir()?;
    let folder = elsewhere.path().join("my-notes");
    let path = folder.to_str().context("a path that is no text")?;
    let said = place.run("author", &["init", path, "--template", "minimal"])?;
    ensure!(said.trim() == path, "it said {said:?}");

    let tested = cargo(&folder, &["test"])?;
    ensure!(tested.contains("people_are_greeted_by_name ... ok"), "{tested}");

    let link = place.run("author", &["touch"])?.trim().to_owned();
    let package = folder.join("package.json");
    let text = fs::read_to_string(&package)?;
    let linked = text.replace("pear://replace-with-your-provision-link", &link);
    ensure!(linked != text, "package.json has no place for a link: {text}");
    fs::write(&package, linked)?;
    cargo(&folder, &["build"])?;
    let program = root().join("target/debug/my-notes");
    let program = program.to_str().context("a path that is no text")?;
    place.run("author", &["make", path, "--bin", program])?;
    let host = Host::current();
    let bundle = folder.join(format!("out/MyNotes-{host}/MyNotes"));
    let deployment = elsewhere.path().join("my-notes-1.0.0");
    place.run(
        "author",
        &[
            "build",
            &format!("--package={}", package.display()),
            &format!("--{host}-app"),
            &bundle.display().to_string(),
            "--target",
            &deployment.display().to_string(),
        ],
    )?;
    place.run("author", &["stage", &link, &deployment.display().to_string()])?;
    let staged = place.run("author", &["info", &link])?;
    ensure!(staged.contains("1.0.0"), "{staged}");

    let display = Display::own(&place.home)?;
    let installed = Installed::at(&place, bundle)?;
    let (mut process, driver) = installed.open("my-notes", &display, &["--no-updates"])?;
    driver.wait_text("#version", "v1.0.0", Duration::from_secs(30))?;
    driver.wait_text("h1", "My notes", Duration::from_secs(5))?;
    let field = driver.find("#name")?;
    field.click()?;
    field.type_text("Ada")?;
    driver.find("#greet button")?.click()?;
    driver.wait_text("#answer", "Hello, Ada!", Duration::from_secs(10))?;
    driver.screenshot(&place.home.join("shots/my-notes.png"))?;
    driver.abandon();
    process.stop();
    Ok(())
}

#[test]
fn a_new_chat_needs_no_version_that_is_not_there() -> Result<()> {
    let place = Place::new("init-chat")?;
    let elsewhere = tempfile::tempdir()?;
    let folder = elsewhere.path().join("talk");
    let path = folder.to_str().context("a path that is no text")?;
    place.run("author", &["init", path])?;
    let resolved: Value = serde_json::from_str(&cargo(&folder, &["metadata", "--format-version", "1"])?)?;
    let members = resolved["workspace_members"].as_array().map_or(0, Vec::len);
    ensure!(members == 1, "it is part of another workspace");
    let again = place.run("author", &["init", path]);
    ensure!(again.is_err(), "a folder in use was taken");
    Ok(())
}
