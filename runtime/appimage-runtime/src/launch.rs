//! The start of the app, in this process's place.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::options::file;

/// What in an AppImage is started.
const RUN: &str = "AppRun";

/// How the app is started.
pub(crate) struct App {
    /// What the AppImage was called as.
    pub(crate) arg0: OsString,
    pub(crate) args: Vec<OsString>,
}

impl App {
    /// Lets the app whose files are in `folder` take this process over, with what AppImages tell their apps in the environment. Returns
    /// only if that failed, with the reason.
    pub(crate) fn replace_this(&self, folder: &Path) -> String {
        let run = folder.join(RUN);
        // Where it is a link to the program: that goes by its own name, which windows are told apart by.
        let mut command = Command::new(run.canonicalize().unwrap_or(run));
        command
            .args(&self.args)
            .env("APPIMAGE", file())
            .env("APPDIR", folder)
            .env("ARGV0", &self.arg0);
        if let Ok(current) = std::env::current_dir() {
            command.env("OWD", current);
        }
        let error = command.exec();
        format!("its {RUN} cannot be started: {error}; get the file anew")
    }
}
