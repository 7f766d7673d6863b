//! What can keep an app from starting or running, as sentences for the person in front of it.

use std::path::PathBuf;

use app::ManifestError;

use crate::instance::InstanceError;

/// Why the host could not run the app.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShellError {
    /// Neither an installed bundle nor a project folder.
    #[error(
        "no app was found: there is no {installed} beside the program, and no package.json in {cwd}; \
         start it from the app's folder, or name the folder with --dev <dir>"
    )]
    NoApp {
        /// Where an installed app would have its package.json.
        installed: PathBuf,
        /// The current folder.
        cwd: PathBuf,
    },
    /// An installed bundle lacks its package.json.
    #[error("the installed app is damaged: {missing} is missing; install the app again")]
    Damaged {
        /// The file that should be there.
        missing: PathBuf,
    },
    /// The package.json cannot be used.
    #[error(transparent)]
    Package(#[from] ManifestError),
    /// The storage folder cannot be used.
    #[error("the storage folder {path} cannot be used: {source}; choose another with --storage <dir>")]
    Storage {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Trouble with the single-instance lock.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// There is no display.
    #[error("no display was found; start the app in a desktop session, or set DISPLAY (for tests: xvfb-run)")]
    NoDisplay,
    /// The window or its web view could not be made.
    #[error(
        "the window could not be opened: {0}; check that the system's web view is installed (on Linux: webkit2gtk-4.1)"
    )]
    Window(String),
    /// The background runtime could not start.
    #[error("the background runtime could not start: {0}")]
    Runtime(std::io::Error),
    /// The app's own setup failed.
    #[error("{0}")]
    Setup(String),
    /// The first page is missing.
    #[error(
        "the file {file} is missing; add it, or name the page in package.json (\"bosc\": {{\"page\": …}}); if you installed this app, install it again"
    )]
    NoPage {
        /// The file that should be there.
        file: PathBuf,
    },
    /// What is to serve the page in development cannot.
    #[error(
        "the page cannot come from {url}: {why}; name a server of this machine, such as http://localhost:5173"
    )]
    DevUrl {
        /// What was named.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The app could not be started again.
    #[error("the app could not be started again: {program}: {source}; start it yourself")]
    Restart {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ShellError {
    /// Whether it came before any window or event loop was made.
    pub(crate) fn before_window(&self) -> bool {
        matches!(
            self,
            ShellError::Damaged { .. }
                | ShellError::Package(_)
                | ShellError::Storage { .. }
                | ShellError::Instance(_)
                | ShellError::Runtime(_)
        )
    }
}
