//! Builds the program at the head of every AppImage, which is embedded in this crate: linked statically, for size, and with settings of
//! its own, none of which a dependency can ask for. So cargo runs once more, in a target folder of its own.
//!
//! Nothing is fetched where all is there already; `cargo install` fetches only what `bosc` needs itself, and then what this program needs
//! besides comes from the registry, by the same lock file.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The crate that is built, beside this one.
const RUNTIME: &str = "bosc-appimage-runtime";

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let out = PathBuf::from(var("OUT_DIR"));
    let crates = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("..");
    println!("cargo::rerun-if-changed=build.rs");
    for source in [
        "appimage-runtime/src",
        "appimage-runtime/Cargo.toml",
        "appimage/src",
        "appimage/Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={}", crates.join(source).display());
    }
    let program = if var("CARGO_CFG_TARGET_OS") == "linux" {
        build(&crates, &out, &var("TARGET"))
    } else {
        // No AppImage is made here: `Plan` refuses it.
        let none = out.join("no-runtime");
        std::fs::write(&none, "")
            .map(|()| none)
            .map_err(|error| error.to_string())
    };
    match program {
        Ok(program) => println!("cargo::rustc-env=BOSC_APPIMAGE_RUNTIME={}", program.display()),
        Err(why) => println!("cargo::error=the program at the head of AppImages cannot be built: {why}"),
    }
}

fn build(crates: &Path, out: &Path, target: &str) -> Result<PathBuf, String> {
    let built = cargo(crates, out, target, &["--offline"])?;
    if !built.status.success() {
        let built = cargo(crates, out, target, &[])?;
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
    }
    let made = out
        .join("runtime")
        .join(target)
        .join("appimage-runtime")
        .join(RUNTIME);
    if made.is_file() {
        Ok(made)
    } else {
        Err(format!("{} is missing", made.display()))
    }
}

fn cargo(crates: &Path, out: &Path, target: &str, more: &[&str]) -> Result<Output, String> {
    let cargo = env::var_os("CARGO").unwrap_or(OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--locked",
            "--profile",
            "appimage-runtime",
            "--manifest-path",
        ])
        .arg(crates.join("appimage-runtime/Cargo.toml"))
        .arg("--target-dir")
        .arg(out.join("runtime"))
        .args(["--target", target])
        .args(more);
    // What the build around this one was asked for is not meant for this program.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let theirs = [
            "CARGO_PROFILE_",
            "CARGO_TARGET_",
            "CARGO_FEATURE_",
            "CARGO_CFG_",
            "CARGO_BUILD_",
        ];
        if theirs.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS")
        // It runs wherever Linux does, whatever C library that has.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))
}
