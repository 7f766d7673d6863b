//! An update as a person takes it: the offer in the window, the click, the new version in place and on screen.

use std::time::Duration;

use anyhow::Result;
use app::fit;

use crate::process::{Process, wait_until};
use crate::walkthrough::Installed;
use crate::webdriver::WebDriver;

/// Asks the page whether it offers an update.
pub const OFFERED: &str = "return !document.querySelector('#update').hidden";

/// Waits for the offer and takes it; the app is about to restart then.
pub fn accept(driver: WebDriver, patience: Duration) -> Result<()> {
    wait_until("\"Update ready!\" is shown", patience, || {
        Ok((driver.run(OFFERED)? == true).then_some(()))
    })?;
    driver.find("#update")?.click()?;
    driver.abandon();
    Ok(())
}

/// The version that is installed on disk; empty if none can be read.
pub fn installed_version(app: &Installed) -> String {
    fit::version_of(&app.bundle).unwrap_or_default()
}

/// Takes an update to `version` and finds the window of the restarted app, which then shows it.
pub fn take(
    app: &Installed,
    process: &mut Process,
    driver: WebDriver,
    version: &str,
    patience: Duration,
) -> Result<WebDriver> {
    accept(driver, patience)?;
    wait_until("the new version is in place", Duration::from_secs(30), || {
        Ok((installed_version(app) == version).then_some(()))
    })?;
    let driver = app.attach(&format!("app-{version}"), process)?;
    driver.wait_text("#version", &format!("v{version}"), Duration::from_secs(20))?;
    Ok(driver)
}
