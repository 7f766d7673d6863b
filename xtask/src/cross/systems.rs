//! The systems that are compiled for, and the C compilers that their bundled SQLite wants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::setup::{self, Need};
use crate::steps::has_program;

/// Variables and what they are set to.
pub(super) type Environment = Vec<(String, PathBuf)>;

/// A system that programs are compiled for.
pub(super) struct System {
    pub(super) name: &'static str,
    pub(super) triple: &'static str,
    /// Sees to its C compiler; what build scripts are to be told of it.
    pub(super) prepare: fn(&Path) -> Result<Environment>,
}

/// Windows, with the libraries of MinGW: what Microsoft's linker wants cannot be had here.
pub(super) const WINDOWS: System = System {
    name: "Windows",
    triple: "x86_64-pc-windows-gnu",
    prepare: mingw,
};

/// Checked and not linked: Apple's frameworks cannot be had here.
const MACOS: System = System {
    name: "macOS",
    triple: "aarch64-apple-darwin",
    prepare: zig,
};

pub(super) const ALL: [&System; 2] = [&WINDOWS, &MACOS];

/// Packages that are checked on Linux alone, and why.
pub(super) const LINUX_ONLY: [(&str, &str); 1] = [(
    "bosc-tests",
    "network namespaces, TUN devices, Xvfb and signals are what its programs are made of",
)];

fn mingw(_: &Path) -> Result<Environment> {
    setup::install(&[Need {
        package: "gcc-mingw-w64-x86-64",
        there: || has_program("x86_64-w64-mingw32-gcc"),
    }])?;
    Ok(Vec::new())
}

/// What brings a C compiler that knows macOS' headers, from PyPI.
const ZIG: &str = "ziglang==0.17.1";

/// Zig takes Clang's arguments, but not those in which Apple's compiler is told the machine and the system's version.
const WRAPPER: &str = r#"#!/bin/sh
# Zig's C compiler in the place of Apple's; written by `cargo xtask cross`.
next=
for word do
    shift
    if [ -n "$next" ]; then
        next=
        continue
    fi
    case $word in
    -arch) next=1 ;;
    -mmacosx-version-min=* | --target=*) ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec "${0%/*}/zig/bin/python" -m ziglang cc -target aarch64-macos "$@"
"#;

fn zig(folder: &Path) -> Result<Environment> {
    let environment = folder.join("zig");
    let python = environment.join("bin/python");
    let there = |python: &Path| {
        let asked = Command::new(python).args(["-m", "ziglang", "version"]).output();
        asked.is_ok_and(|asked| asked.status.success())
    };
    if !there(&python) {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        println!("installing {ZIG} in {} ...", environment.display());
        quiet(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        quiet(Command::new(&python).args(["-m", "pip", "install", "--quiet", ZIG]))?;
        ensure!(there(&python), "{ZIG} was installed, and does not run");
    }
    let compiler = folder.join("macos-cc");
    write_program(&compiler, WRAPPER)?;
    Ok(vec![
        ("CC_aarch64_apple_darwin".into(), compiler),
        ("AR_aarch64_apple_darwin".into(), "ar".into()),
        // Asked of Apple's tools otherwise. Zig brings the headers, and nothing is linked.
        ("SDKROOT".into(), environment),
        ("ZIG_GLOBAL_CACHE_DIR".into(), folder.join("zig-cache")),
    ])
}

/// Runs a command whose words count only if it fails.
fn quiet(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.trim().lines().next_back().unwrap_or("it says nothing");
    ensure!(output.status.success(), "{program} failed: {last}");
    Ok(())
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    let write = || {
        fs::write(path, text)?;
        #[cfg(unix)]
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok::<_, std::io::Error>(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_wrapper_leaves_out_what_zig_does_not_take() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("zig/bin");
        fs::create_dir_all(&bin).unwrap();
        write_program(
            &bin.join("python"),
            "#!/bin/sh\nfor word do echo \"<$word>\"; done\n",
        )
        .unwrap();
        let wrapper = folder.path().join("macos-cc");
        write_program(&wrapper, WRAPPER).unwrap();
        let output = Command::new(&wrapper)
            .args([
                "-O2",
                "-arch",
                "arm64",
                "-mmacosx-version-min=11.0",
                "--target=arm64-apple-macosx",
                "a b.c",
            ])
            .output()
            .unwrap();
        let words = String::from_utf8(output.stdout).unwrap();
        let words: Vec<&str> = words.lines().collect();
        assert_eq!(
            words,
            [
                "<-m>",
                "<ziglang>",
                "<cc>",
                "<-target>",
                "<aarch64-macos>",
                "<-O2>",
                "<a b.c>"
            ]
        );
    }
}
