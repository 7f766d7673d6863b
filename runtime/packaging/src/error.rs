//! Why something cannot be made.

use std::io;
use std::path::{Path, PathBuf};

use app::{Host, ManifestError};

use crate::Format;

/// Why something cannot be made. Each is a sentence with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackagingError {
    /// The app's package.json.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The app's page.
    #[error("{} is missing: it is the page that the app shows (package.json, bosc.page)", path.display())]
    NoPage {
        /// Where it should be.
        path: PathBuf,
    },
    /// A program that was named.
    #[error("{} is not there: build the app's program first, or leave --bin out", path.display())]
    NoProgram {
        /// Where it should be.
        path: PathBuf,
    },
    /// Neither a program nor the means to build it.
    #[error("{} is missing: name the app's program with --bin", path.display())]
    NoSources {
        /// The Cargo.toml that should be there.
        path: PathBuf,
    },
    /// What signs.
    #[error("{} cannot sign, as {variable} asks for: {what}. Nothing was made; unset {variable} to make it unsigned", program.display())]
    Signing {
        /// The variable that asks for it.
        variable: &'static str,
        /// What it is to be done with.
        program: PathBuf,
        /// What happened.
        what: String,
    },
    /// What `bosc.files` lists.
    #[error("{} is missing: package.json lists it in bosc.files", path.display())]
    NoFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file that no bundle can hold.
    #[error("{} cannot be in a bundle: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The icon.
    #[error("{} cannot be the app's icon: {why}", path.display())]
    Icon {
        /// The icon.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A name that Debian does not take.
    #[error(
        "a deb cannot be called \"{name}\": the \"name\" of package.json must be of small letters, digits, '+', '-' and '.', and of two at least"
    )]
    DebName {
        /// The name.
        name: String,
    },
    /// A field of package.json that a format or a system cannot take.
    #[error("package.json: \"{field}\" {what}; {advice}")]
    Field {
        /// The field, in full.
        field: &'static str,
        /// What is wrong with it.
        what: String,
        /// What to write instead.
        advice: String,
    },
    /// A format that cannot be made for a machine, or not on this one.
    #[error("{format} cannot be made here for {host}: {why}")]
    Elsewhere {
        /// The format.
        format: Format,
        /// The machine that it would be for.
        host: Host,
        /// What is in the way, and what to do.
        why: String,
    },
    /// A machine that nothing is made for.
    #[error("no app on Bosc runs on {host}: {advice}")]
    UnknownHost {
        /// Its name.
        host: Host,
        /// What to name instead.
        advice: String,
    },
    /// cargo builds for the machine it runs on.
    #[error(
        "the app's program for {host} must be named with --bin: cargo builds it for this machine, {here}"
    )]
    OtherHost {
        /// The machine that it would be for.
        host: Host,
        /// This machine.
        here: Host,
    },
    /// A program for another machine.
    #[error(
        "{} is {found}: name the app's program for {host} with --bin, or another machine with --target", path.display()
    )]
    OtherProgram {
        /// The program.
        path: PathBuf,
        /// What it is.
        found: String,
        /// The machine that it would be for.
        host: Host,
    },
    /// macOS's tool.
    #[error("the disk image cannot be made: {0}")]
    Dmg(String),
    /// `SOURCE_DATE_EPOCH`.
    #[error("SOURCE_DATE_EPOCH is {found:?}: it must be the seconds since 1970, or not be set")]
    Time {
        /// Its value.
        found: String,
    },
    /// cargo.
    #[error("cannot run cargo: {source}; install Rust, or name the app's program with --bin")]
    NoCargo {
        /// What the system said.
        source: io::Error,
    },
    /// The app's build.
    #[error("{} builds {what}: {advice}", path.display())]
    Build {
        /// Its Cargo.toml.
        path: PathBuf,
        /// What it builds.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The program at the head of AppImages, or what lies behind it.
    #[error("the AppImage cannot be made: {0}")]
    AppImage(String),
    /// Whoever asked for it said to stop.
    #[error("stopped before it was made")]
    Stopped,
    /// A file or folder.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was done: "read", "write".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PackagingError {
    /// For an error of the system while something is done with a path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
