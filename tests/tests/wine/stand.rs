//! A place where both programs run: folders of one home, a DHT of Linux's, `bosc.exe` in the Wine that the environment names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bosc_tests::peers::{Place, noise, read_tree, write_deployment};
use bosc_tests::process::{Process, run};
use bosc_tests::skip::skipped;

/// No command takes this long under Wine, not even beside a compiler.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// A link with nothing behind it.
pub(crate) const ELSEWHERE: &str = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";

pub(crate) struct Stand {
    pub(crate) place: Place,
    exe: PathBuf,
}

impl Stand {
    /// Makes it; `None`, after saying so, where there is no `bosc.exe`.
    pub(crate) fn new(name: &str) -> Result<Option<Self>> {
        let Some(exe) = std::env::var_os("BOSC_EXE") else {
            skipped("wants bosc.exe and Wine: `cargo xtask cross` has them");
            return Ok(None);
        };
        let exe = PathBuf::from(exe);
        ensure!(exe.is_file(), "{} is not built", exe.display());
        Ok(Some(Self {
            place: Place::new(name)?,
            exe,
        }))
    }

    /// `bosc.exe` with a store of this place. Wine shows Linux' folders as a drive, so that paths are the same for both.
    pub(crate) fn windows(&self, store: &str, args: &[&str]) -> Command {
        let linux = self.linux(store, args);
        let mut command = self.wine(&self.exe);
        command.args(args);
        for (name, value) in linux.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }

    /// A program of Windows in this place.
    pub(crate) fn wine(&self, program: &Path) -> Command {
        let mut command = Command::new("wine");
        command.arg(program).current_dir(&self.place.home);
        command
    }

    /// The app without a window, which follows a link.
    pub(crate) fn headless(&self) -> Result<PathBuf> {
        let path = self.exe.with_file_name("examples").join("headless.exe");
        ensure!(path.is_file(), "{} is not built", path.display());
        Ok(path)
    }

    /// `bosc` with a store of this place.
    pub(crate) fn linux(&self, store: &str, args: &[&str]) -> Command {
        self.place.bosc(store, args)
    }

    /// `bosc.exe` or `bosc`.
    pub(crate) fn either(&self, windows: bool, store: &str, args: &[&str]) -> Command {
        if windows {
            self.windows(store, args)
        } else {
            self.linux(store, args)
        }
    }

    /// A new link of `bosc.exe`'s.
    pub(crate) fn touch_windows(&self, store: &str) -> Result<String> {
        Ok(run(&mut self.windows(store, &["touch"]))?.trim().to_owned())
    }

    /// Seeds a link under Wine, once it is announced.
    pub(crate) fn seed_windows(&self, store: &str, link: &str) -> Result<Process> {
        let mut command = self.windows(store, &["seed", link, "--no-tty"]);
        let mut seed = Process::start("seed-windows", &mut command, &self.place.logs())?;
        seed.wait_for("that it is announced", LIMIT, |line| {
            line.contains("announced").then_some(())
        })?;
        Ok(seed)
    }

    /// A deployment of files that both systems hold: no links, which Wine does not make.
    pub(crate) fn deployment(&self, name: &str, link: &str) -> Result<PathBuf> {
        let folder = self.place.home.join(name);
        let bundle = write_deployment(&folder, "Cool", "1.0.0", link)?;
        fs::remove_file(bundle.join("link"))?;
        for number in 0..50 {
            fs::write(bundle.join(format!("piece-{number}")), noise(9000, number))?;
        }
        Ok(folder)
    }

    /// The project of an app, as `bosc make` takes it.
    pub(crate) fn project(&self, link: &str) -> Result<()> {
        let app = self.place.home.join("app");
        fs::create_dir_all(app.join("renderer"))?;
        fs::write(app.join("renderer/index.html"), "<h1>hi</h1>")?;
        let package = serde_json::json!({
            "name": "cool-app", "productName": "Cool", "version": "1.0.0", "upgrade": link,
        });
        fs::write(app.join("package.json"), package.to_string())?;
        Ok(())
    }
}

/// The first bytes of a program for a machine; nothing here starts it.
pub(crate) fn program(host: &str) -> Vec<u8> {
    let mut program = vec![0; 100_000];
    let head: &[u8] = match host {
        "darwin-arm64" => b"\xcf\xfa\xed\xfe\x0c\0\0\x01",
        "linux-x64" => b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\x3e\0",
        _ => {
            program[0x3c] = 0x78;
            program[0x78..0x7e].copy_from_slice(b"PE\0\0\x64\x86");
            b"MZ"
        }
    };
    program[..head.len()].copy_from_slice(head);
    program
}

/// Fails unless both folders hold the same files. Whether they may be run is not compared: Wine decides that for what it writes.
pub(crate) fn same_contents(one: &Path, other: &Path) -> Result<()> {
    let contents = |folder: &Path| -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let tree = read_tree(folder)?.into_iter();
        Ok(tree.map(|(path, (_, bytes))| (path, bytes)).collect())
    };
    let (one, other) = (contents(one)?, contents(other)?);
    ensure!(!one.is_empty(), "both folders are empty");
    for (left, right) in one.iter().zip(&other) {
        ensure!(
            left.0 == right.0,
            "{:?} is on one side, {:?} on the other",
            left.0,
            right.0
        );
        ensure!(left.1 == right.1, "{:?} is not the same on both sides", left.0);
    }
    ensure!(
        one.len() == other.len(),
        "{} files became {}",
        one.len(),
        other.len()
    );
    Ok(())
}

pub(crate) fn is_executable(path: &Path) -> Result<bool> {
    let found = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(found.permissions().mode() & 0o100 != 0)
}

/// How many files in a folder are half-written, at any depth.
pub(crate) fn temporary_files(folder: &Path) -> Result<usize> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let half = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(".bosc-tmp-")
    };
    Ok(read_tree(folder)?.keys().filter(|path| half(path)).count())
}
