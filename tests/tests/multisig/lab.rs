//! A team whose secrets the test holds, and its release machine.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use bosc_tests::peers::{Place, write_deployment};
use bosc_tests::process::{Process, run, wait_until};
use bosc_tests::team::{refused, seeders, verlink, write_config};
use hypercore::KeyPair;
use multisig::{Request, Response, Team};

/// Two of three must sign; `release` is the store of the machine that stages and provisions.
pub(crate) struct Lab {
    pub(crate) place: Place,
    pub(crate) team: Team,
    pairs: [KeyPair; 3],
    /// The team's link.
    pub(crate) link: String,
    /// The stage link.
    pub(crate) stage: String,
    /// The provision link: the source of every release.
    pub(crate) source: String,
}

/// What opens the key of [`Lab::keep_secret_of_the_first`].
pub(crate) const PASSWORD_OF_THE_FIRST: &str = "low cost password\n";

impl Lab {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let place = Place::new(name)?;
        let pairs = [1, 2, 3].map(|seed| KeyPair::from_seed([seed; 32]));
        let keys = pairs.each_ref().map(|pair| pair.public_key);
        write_config(&place, &keys.map(|key| key.to_string()), 2)?;
        let touch = || Ok::<_, anyhow::Error>(place.run("release", &["touch"])?.trim().to_owned());
        Ok(Self {
            team: Team::new(keys.to_vec(), 2, "my-org/my-app")?,
            link: place.run("release", &["multisig", "link"])?.trim().to_owned(),
            stage: touch()?,
            source: touch()?,
            pairs,
            place,
        })
    }

    /// The deployment folder of a version.
    pub(crate) fn folder(&self, version: &str) -> PathBuf {
        self.place.home.join(format!("app-{version}"))
    }

    /// Stages and provisions a version onto `target`, on top of `production`; the versioned link to request.
    pub(crate) fn provision(&self, version: &str, target: &str, production: &str) -> Result<String> {
        self.provision_with(version, target, production, &[])
    }

    /// The same, with more arguments.
    pub(crate) fn provision_with(
        &self,
        version: &str,
        target: &str,
        production: &str,
        more: &[&str],
    ) -> Result<String> {
        let folder = self.folder(version);
        if !folder.exists() {
            write_deployment(&folder, "Cool", version, &self.link)?;
        }
        let folder = folder.display().to_string();
        let staged = verlink(&self.place.run("release", &["stage", &self.stage, &folder])?)?;
        let args = [&["provision", &staged, target, production], more].concat();
        verlink(&self.place.run("release", &args)?)
    }

    /// Provisions a version onto the source, whose history is all there is in production.
    pub(crate) fn provision_next(&self, version: &str) -> Result<String> {
        self.provision(version, &self.source, &self.source.replace("://", "://0.0."))
    }

    /// `bosc multisig` with a store, and little patience.
    pub(crate) fn multisig(&self, store: &str, args: &[&str]) -> Command {
        let args = [&["multisig"], args, &["--peer-update-timeout", "3000"]].concat();
        self.place.bosc(store, &args)
    }

    pub(crate) fn request(&self, store: &str, source: &str) -> Result<String> {
        Ok(run(&mut self.multisig(store, &["request", source]))?
            .trim()
            .to_owned())
    }

    /// The answer of one of the three signers.
    pub(crate) fn answer(&self, signer: usize, request: &str) -> Result<String> {
        let request: Request = request.parse()?;
        Ok(Response::sign(&request, &self.pairs[signer])?.to_string())
    }

    /// The answers of signers 0 and 2.
    pub(crate) fn quorum(&self, request: &str) -> Result<[String; 2]> {
        Ok([self.answer(0, request)?, self.answer(2, request)?])
    }

    /// A signer's secret.
    pub(crate) fn pair(&self, signer: usize) -> &KeyPair {
        &self.pairs[signer]
    }

    /// Puts the first signer's secret into a folder of keys, as "default"; the file is recorded from npm.
    pub(crate) fn keep_secret_of_the_first(&self, folder: &str) -> Result<()> {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../vectors/multisig/vectors.json"))?;
        let field = |name: &str| hex::decode(vectors["low"][name].as_str().unwrap_or_default());
        let folder = self.place.home.join(folder);
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("default"), field("file")?)?;
        std::fs::write(folder.join("default.public"), self.pairs[0].public_key.0)?;
        Ok(())
    }

    /// `bosc multisig commit`.
    pub(crate) fn commit(&self, store: &str, source: &str, request: &str, more: &[&str]) -> Result<Command> {
        let [one, two] = self.quorum(request)?;
        let args = [&["commit", source, request, &one, &two], more].concat();
        Ok(self.multisig(store, &args))
    }

    /// A guard held: its code is on stderr, and is the code of the JSON error.
    pub(crate) fn expect_code(&self, command: impl Fn() -> Result<Command>, code: &str) -> Result<String> {
        let stderr = refused(&mut command()?)?;
        anyhow::ensure!(stderr.contains(code), "expected {code}, got: {stderr}");
        let output = command()?.arg("--json").output()?;
        let line = String::from_utf8(output.stdout)?;
        let last: serde_json::Value = serde_json::from_str(line.lines().last().unwrap_or_default())?;
        anyhow::ensure!(
            last["tag"] == "error" && last["data"]["code"] == code,
            "expected the JSON error {code}, got: {last}"
        );
        Ok(stderr)
    }

    /// The release machine and one more serve the source.
    pub(crate) fn seed_source(&self) -> Result<Vec<Process>> {
        seeders(&self.place, &["release", "north", "south"], &self.source)
    }

    /// Two machines serve the team's link.
    pub(crate) fn seed_target(&self) -> Result<Vec<Process>> {
        seeders(&self.place, &["east", "west"], &self.link)
    }

    /// Waits until a store holds `length` entries of the team's drive.
    pub(crate) fn wait_for_length(&self, store: &str, length: u64) -> Result<()> {
        let wanted = format!("pear://0.{length}.");
        wait_until("a seeder has the release", Duration::from_secs(30), || {
            let shown = self.place.run(store, &["info", &self.link, "--timeout", "1"]);
            Ok(shown.is_ok_and(|shown| shown.contains(&wanted)).then_some(()))
        })
    }
}
