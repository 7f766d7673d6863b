//! Wine, in a folder of its own, and the tests that run there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::setup::{self, Need};
use crate::steps::{cargo, has_program, run};

/// The source of a library that Wine 8 lacks.
const LIBRARY: &str = include_str!("bcryptprimitives.c");

const NEEDS: [Need; 2] = [
    Need {
        package: "wine",
        there: || has_program("wine"),
    },
    Need {
        package: "wine64",
        there: || Path::new("/usr/lib/wine/wine64").is_file() || has_program("wine64"),
    },
];

/// A Wine in which programs of Rust start.
pub(super) struct Wine {
    prefix: PathBuf,
    /// Where libraries lie that Wine is to find.
    libraries: PathBuf,
}

impl Wine {
    /// Installs it, builds what it lacks and makes its folder.
    pub(super) fn ready(folder: &Path) -> Result<Self> {
        setup::install(&NEEDS)?;
        let wine = Self {
            prefix: folder.join("wine"),
            libraries: folder.join("wine-libraries"),
        };
        fs::create_dir_all(&wine.libraries)
            .with_context(|| format!("cannot make {}", wine.libraries.display()))?;
        let boot = wine.environment(Command::new("wine").arg("wineboot")).output();
        let boot = boot.context("cannot run wine")?;
        ensure!(
            boot.status.success(),
            "wine cannot make {}",
            wine.prefix.display()
        );
        if !wine
            .prefix
            .join("drive_c/windows/system32/bcryptprimitives.dll")
            .is_file()
        {
            wine.build_library()?;
        }
        Ok(wine)
    }

    fn build_library(&self) -> Result<()> {
        let source = self.libraries.join("bcryptprimitives.c");
        fs::write(&source, LIBRARY).with_context(|| format!("cannot write {}", source.display()))?;
        run(Command::new("x86_64-w64-mingw32-gcc")
            .args(["-shared", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(source.with_extension("dll"))
            .arg(&source)
            .arg("-ladvapi32"))
    }

    /// What a command needs to know to run in this Wine.
    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEPATH", &self.libraries)
            .env("WINEDEBUG", "-all")
            // Neither Mono nor Gecko is wanted: nobody is to be asked about them.
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=")
    }

    /// Runs `tests/tests/wine.rs` with a `bosc.exe`, beside the `bosc` of this system.
    pub(super) fn test(&self, program: &Path) -> Result<()> {
        // In one call, as `cargo xtask test` does: built alone they would have fewer features of some libraries.
        run(&mut cargo(&[
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bin",
            "bosc",
            "--test",
            "wine",
        ]))?;
        let mut tests = cargo(&["test", "--quiet", "--locked", "--workspace", "--test", "wine"]);
        tests.env("BOSC_EXE", program).args(["--", "--test-threads=2"]);
        run(self.environment(&mut tests))
    }
}
