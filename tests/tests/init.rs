//! A new app as `bosc init` makes it, outside of the repository, goes the way of docs/first-app.md: it is tested, released as an AppImage,
//! opened, and takes its second version by itself.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use app::Host;
use bosc_tests::display::Display;
use bosc_tests::peers::{Place, root};
use bosc_tests::process::{run, wait_until};
use bosc_tests::update::installed_version;
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

/// `bosc release` in the app's folder, as an author has it but for where cargo puts things; the link that apps follow.
fn release(place: &Place, folder: &Path) -> Result<String> {
    let args = [
        "release",
        "--profile",
        "dev",
        "--format",
        "appimage",
        "--yes",
        "--json",
    ];
    let mut command = place.bosc("author", &args);
    command
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", root().join("target"))
        .env("CARGO_NET_OFFLINE", "true");
    let said = run(&mut command)?;
    let last: Value = serde_json::from_str(said.lines().last().context("it said nothing")?)?;
    let link = last["data"]["target"]["link"].as_str();
    Ok(link.context("no link was released")?.to_owned())
}

#[test]
fn a_new_app_becomes_an_appimage_that_updates_itself_and_never_saw_the_repository() -> Result<()> {
    let place = Place::new("init")?;
    let elsewhere = tempfile::tempdir()?;
    let folder = elsewhere.path().join("my-notes");
    let path = folder.to_str().context("a path that is no text")?;
    let said = place.run("author", &["init", path, "--template", "minimal"])?;
    ensure!(said.trim() == path, "it said {said:?}");
    let tested = cargo(&folder, &["test"])?;
    ensure!(tested.contains("people_are_greeted_by_name ... ok"), "{tested}");

    let link = release(&place, &folder)?;
    let _seed = place.seed("author", &link)?;
    let made = folder.join(format!("out/MyNotes-{}/MyNotes.AppImage", Host::current()));
    // A person has the file wherever it was put.
    let file = place.home.join("downloads/MyNotes.AppImage");
    fs::create_dir_all(place.home.join("downloads"))?;
    fs::copy(&made, &file)?;

    let display = Display::own(&place.home)?;
    let installed = Installed::at(&place, file.clone())?;
    let (mut process, driver) = installed.open("my-notes", &display, &[])?;
    driver.wait_text("#version", "v1.0.0", Duration::from_secs(30))?;
    driver.wait_text("h1", "My notes", Duration::from_secs(5))?;
    let field = driver.find("#name")?;
    field.click()?;
    field.type_text("Ada")?;
    driver.find("#greet button")?.click()?;
    driver.wait_text("#answer", "Hello, Ada!", Duration::from_secs(10))?;
    driver.screenshot(&place.home.join("shots/my-notes.png"))?;

    let page = folder.join("renderer/index.html");
    let text = fs::read_to_string(&page)?;
    fs::write(
        &page,
        text.replace("<h1>My notes</h1>", "<h1>My notes, again</h1>"),
    )?;
    ensure!(release(&place, &folder)? == link, "another link was made");
    let there = "return !document.querySelector('#update').hidden";
    wait_until("an update is offered", Duration::from_secs(60), || {
        Ok((driver.run(there)? == true).then_some(()))
    })?;
    driver.screenshot(&place.home.join("shots/my-notes-update.png"))?;
    driver.find("#update")?.click()?;
    driver.abandon();
    wait_until("the file is version 1.0.1", Duration::from_secs(30), || {
        Ok((installed_version(&installed) == "1.0.1").then_some(()))
    })?;
    let driver = installed.attach("my-notes-again", &mut process)?;
    driver.wait_text("#version", "v1.0.1", Duration::from_secs(30))?;
    driver.wait_text("h1", "My notes, again", Duration::from_secs(5))?;
    driver.screenshot(&place.home.join("shots/my-notes-again.png"))?;
    driver.abandon();
    process.stop();
    installed.expect_nothing_left()
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
