//! What interop tests need: a local DHT, `bosc` in a home of its own, JavaScript peers, and folders to move.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use app::Seeding;
use bosc_runtime::{Runtime, RuntimeConfig};

use crate::process::{Process, run};

/// JavaScript peers may take half a minute to find each other on one machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A program that `cargo xtask test` built beside the running test.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let path = folder.context("no target folder")?.join(name);
    ensure!(
        path.is_file(),
        "{} is not built: run the tests with `cargo xtask test`",
        path.display()
    );
    Ok(path)
}

/// `target/test-logs/<name>`, made anew.
pub fn fresh_home(name: &str) -> Result<PathBuf> {
    let home = root().join("target/test-logs").join(name);
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    Ok(home)
}

/// A folder, a DHT, and `bosc` with stores in that folder.
pub struct Place {
    /// The folder.
    pub home: PathBuf,
    /// The DHT's address.
    pub bootstrap: String,
    bosc: PathBuf,
    _dht: Process,
}

impl Place {
    /// Makes `target/test-logs/<name>` anew and starts a DHT.
    pub fn new(name: &str) -> Result<Self> {
        Self::at(fresh_home(name)?, program("bosc")?)
    }

    /// Starts a DHT for a folder and a `bosc` program.
    pub fn at(home: PathBuf, bosc: PathBuf) -> Result<Self> {
        fs::create_dir_all(&home)?;
        let mut command = Command::new(&bosc);
        command.args(["dht", "--port", "0"]);
        let mut dht = Process::start("dht", &mut command, &home.join("logs"))?;
        let bootstrap = dht.wait_for("its address", Duration::from_secs(20), |line| {
            line.parse::<std::net::SocketAddr>()
                .ok()
                .map(|address| address.to_string())
        })?;
        Ok(Self {
            home,
            bootstrap,
            bosc,
            _dht: dht,
        })
    }

    /// Where logs are kept.
    pub fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }

    /// `bosc` with a store of this place.
    pub fn bosc(&self, store: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.bosc);
        command
            .args(args)
            .current_dir(&self.home)
            .env("BOSC_STORAGE", self.home.join(store))
            .env("BOSC_BOOTSTRAP", &self.bootstrap);
        command
    }

    /// Runs `bosc`; its stdout.
    pub fn run(&self, store: &str, args: &[&str]) -> Result<String> {
        run(&mut self.bosc(store, args))
    }

    /// Runs `bosc seed` until it is announced.
    pub fn seed(&self, store: &str, link: &str) -> Result<Process> {
        let mut command = self.bosc(store, &["seed", link, "--no-tty"]);
        let mut seed = Process::start(&format!("seed-{store}"), &mut command, &self.logs())?;
        seed.wait_for("that it is announced", PATIENCE, |line| {
            line.contains("announced").then_some(())
        })?;
        Ok(seed)
    }

    /// The runtime of an app that is installed in `<name>/apps/Cool` in version 1.0.0, and takes what `link` has at once.
    pub async fn old_app(&self, name: &str, link: &str, seed: Option<Seeding>) -> Result<Runtime> {
        let app = self.home.join(name).join("apps/Cool");
        fs::create_dir_all(&app)?;
        fs::write(app.join("package.json"), "the old version")?;
        let config = RuntimeConfig {
            dir: self.home.join(name).join("data"),
            app: Some(app),
            name: "Cool".to_owned(),
            version: "1.0.0".parse()?,
            upgrade: link.parse()?,
            updates: true,
            delay: Some(Duration::ZERO),
            bootstrap: Some(vec![self.bootstrap.clone()]),
            relays: Vec::new(),
            seed,
        };
        Ok(Runtime::start(config).await?)
    }

    /// A JavaScript peer: a script of tests/interop with the DHT's address as its first argument.
    pub fn node(&self, script: &str, args: &[&str]) -> Result<Process> {
        let folder = root().join("tests/interop");
        ensure!(
            folder.join("node_modules/hyperdrive").is_dir(),
            "the JavaScript packages are not installed: run the tests with `cargo xtask test`"
        );
        let mut command = Command::new("node");
        command
            .arg(folder.join(script))
            .arg(&self.bootstrap)
            .args(args)
            .current_dir(&self.home);
        Process::start(script, &mut command, &self.logs())
    }
}

/// Bytes that do not compress and are the same in every run.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// Writes a folder with all that a bundle may hold: files of many sizes, a program, links, names that need care.
pub fn write_tree(folder: &Path, seed: u64) -> Result<()> {
    fs::create_dir_all(folder.join("sub/deep er"))?;
    for (name, length) in [
        ("empty", 0),
        ("small", 11),
        ("middle", 70_000),
        ("big", 3_000_000),
        ("sub/ünï cödé.txt", 500),
    ] {
        fs::write(folder.join(name), noise(length, seed + length as u64))?;
    }
    let program = folder.join("sub/deep er/run");
    fs::write(&program, "#!/bin/sh\necho hello\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    std::os::unix::fs::symlink("sub/deep er/run", folder.join("link"))?;
    Ok(())
}

/// Writes a deployment folder with one bundle for this machine.
pub fn write_deployment(folder: &Path, product: &str, version: &str, upgrade: &str) -> Result<PathBuf> {
    let bundle = folder
        .join("by-arch")
        .join(app::Host::current().to_string())
        .join("app")
        .join(product);
    write_tree(
        &bundle,
        version.len() as u64 + u64::from(version.bytes().last().unwrap_or(0)),
    )?;
    let package = serde_json::json!({ "name": product, "version": version, "upgrade": upgrade }).to_string();
    fs::write(bundle.join("package.json"), &package)?;
    // What the updater looks at before it puts a bundle in place.
    fs::create_dir_all(bundle.join("resources/app"))?;
    fs::write(bundle.join("resources/app/package.json"), &package)?;
    let program = bundle.join(product);
    fs::write(&program, "#!/bin/sh\necho 'bosc: ready'\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    fs::write(folder.join("package.json"), package)?;
    Ok(bundle)
}

/// Everything in a folder that must survive a transfer: contents, the executable bit, link targets.
pub fn read_tree(folder: &Path) -> Result<BTreeMap<PathBuf, (bool, Vec<u8>)>> {
    let mut tree = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let path = entry?.path();
            let found = fs::symlink_metadata(&path)?;
            let key = path.strip_prefix(folder)?.to_owned();
            if found.is_dir() {
                folders.push(path);
            } else if found.is_symlink() {
                let target = fs::read_link(&path)?.into_os_string().into_encoded_bytes();
                tree.insert(key, (false, [b"link to ".as_slice(), &target].concat()));
            } else {
                tree.insert(key, (found.permissions().mode() & 0o111 != 0, fs::read(&path)?));
            }
        }
    }
    Ok(tree)
}

/// Fails, naming the first difference, unless both folders hold the same.
pub fn expect_same(one: &Path, other: &Path) -> Result<()> {
    let (one, other) = (read_tree(one)?, read_tree(other)?);
    for key in one.keys().chain(other.keys()) {
        ensure!(
            one.get(key) == other.get(key),
            "{} is not the same on both sides",
            key.display()
        );
    }
    ensure!(!one.is_empty(), "both folders are empty");
    Ok(())
}
