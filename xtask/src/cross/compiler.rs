//! Which Rust compiler has the standard library of another system.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::setup::{self, Need};
use crate::steps::{cargo, has_program, root};

/// The distribution's compiler with the sources of its standard library, which is then built along.
const DISTRIBUTION: [Need; 4] = [
    Need {
        package: "rustc-web",
        there: || Path::new("/usr/bin/rustc").is_file(),
    },
    Need {
        package: "cargo-web",
        there: || Path::new("/usr/bin/cargo").is_file(),
    },
    Need {
        package: "rust-web-clippy",
        there: || Path::new("/usr/bin/cargo-clippy").is_file(),
    },
    Need {
        package: "rust-web-src",
        there: || {
            Path::new("/usr/src").read_dir().is_ok_and(|mut names| {
                names.any(|name| {
                    name.is_ok_and(|name| name.file_name().to_string_lossy().starts_with("rustc-"))
                })
            })
        },
    },
];

/// A compiler for another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compiler {
    /// The one that compiled this, with the other system's library from rustup.
    Same,
    /// The distribution's.
    Distribution,
}

impl Compiler {
    /// Finds one, and installs what it lacks.
    pub(super) fn find(triple: &str) -> Result<Self> {
        if has_library(triple) {
            return Ok(Self::Same);
        }
        if has_program("rustup") {
            println!("rustup target add {triple} ...");
            let added = Command::new("rustup").args(["target", "add", triple]).output()?;
            if added.status.success() && has_library(triple) {
                return Ok(Self::Same);
            }
            println!("rustup has no {triple} to give: the distribution's compiler is tried");
        }
        setup::install(&DISTRIBUTION)?;
        Ok(Self::Distribution)
    }

    /// Where it puts what it builds: two compilers must not share a folder.
    pub(super) fn target(self, folder: &Path) -> PathBuf {
        match self {
            Self::Same => folder.to_owned(),
            Self::Distribution => folder.join("distribution"),
        }
    }

    /// Cargo, for the other system, with the lock file's versions.
    pub(super) fn cargo(self, command: &str, triple: &str, folder: &Path) -> Command {
        let common = [command, "--quiet", "--locked", "--target", triple];
        let mut cargo = match self {
            Self::Same => cargo(&common),
            Self::Distribution => {
                let mut cargo = Command::new("/usr/bin/cargo");
                let path = std::env::var_os("PATH").unwrap_or_default();
                let paths = [PathBuf::from("/usr/bin")].into_iter();
                if let Ok(path) = std::env::join_paths(paths.chain(std::env::split_paths(&path))) {
                    cargo.env("PATH", path);
                }
                cargo
                    .args(common)
                    .args(["-Z", "build-std=std,panic_unwind"])
                    .current_dir(root())
                    // The standard library is built from source only by a compiler that takes unstable options.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env_remove("CARGO")
                    .env_remove("RUSTUP_TOOLCHAIN");
                cargo
            }
        };
        cargo.env("CARGO_TARGET_DIR", self.target(folder));
        cargo
    }
}

/// Whether the compiler that runs this has a system's standard library.
fn has_library(triple: &str) -> bool {
    library(triple).is_ok_and(|folder| {
        folder.read_dir().is_ok_and(|mut names| {
            names.any(|name| name.is_ok_and(|name| name.file_name().to_string_lossy().starts_with("libstd-")))
        })
    })
}

fn library(triple: &str) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", triple])
        .output()?;
    ensure!(asked.status.success(), "rustc does not know {triple}");
    Ok(PathBuf::from(String::from_utf8(asked.stdout)?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_compilers_share_no_folder() {
        let folder = Path::new("t");
        assert_ne!(
            Compiler::Same.target(folder),
            Compiler::Distribution.target(folder)
        );
    }

    #[test]
    fn a_system_that_nobody_knows_has_no_library() {
        assert!(!has_library("pdp11-unknown-unix"));
    }
}
