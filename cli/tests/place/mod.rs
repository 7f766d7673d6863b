//! A folder in which `bosc` runs, and what a refusal looks like.

#![allow(dead_code)] // Each test file uses a part of it.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

/// A folder with a store.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder inside another.
    pub(crate) fn within(folder: &Path) -> Self {
        Self(tempfile::tempdir_in(folder).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `bosc` in this place, with a network that leads nowhere.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("bosc").unwrap();
        command
            .args(args)
            .current_dir(self.0.path())
            .env("BOSC_STORAGE", self.path("store"))
            .env("BOSC_BOOTSTRAP", "127.0.0.1:1");
        command
    }

    /// Runs it.
    pub(crate) fn bosc(&self, args: &[&str]) -> Assert {
        self.command(args).assert()
    }

    pub(crate) fn stdout(&self, args: &[&str]) -> String {
        String::from_utf8(self.bosc(args).success().get_output().stdout.clone()).unwrap()
    }

    pub(crate) fn touch(&self) -> String {
        self.stdout(&["touch"]).trim().to_owned()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn package(&self, folder: &str, version: &str, upgrade: &str) {
        let text = format!(
            "{{\n  \"name\": \"cool-app\",\n  \"productName\": \"Cool\",\n  \"version\": \"{version}\",\n  \"upgrade\": \"{upgrade}\"\n}}\n"
        );
        self.write(&format!("{folder}/package.json"), &text);
    }

    /// A project that `make` takes.
    pub(crate) fn project(&self, upgrade: &str) {
        self.package("app", "1.0.0", upgrade);
        self.write("app/renderer/index.html", "<h1>hi</h1>");
        self.write("program", "#!/bin/sh\n");
    }

    pub(crate) fn length(&self, link: &str) -> u64 {
        let out = self.stdout(&["info", "--json", link]);
        let info = out
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        info.filter(|line| line["tag"] == "info")
            .map(|line| line["data"]["length"].as_u64().unwrap())
            .next()
            .unwrap_or(0)
    }

    /// Puts a package.json straight into a drive, as another tool may; the versioned link.
    pub(crate) fn put_package(&self, link: &str, package: String) -> String {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let staged = runtime.block_on(async {
            let store = corestore::Corestore::open(self.path("store")).unwrap();
            let key: hypercore::Key = link.trim_start_matches("pear://").parse().unwrap();
            let drive = hyperdrive::Hyperdrive::open(&store, key).await.unwrap();
            let options = hyperdrive::PutOptions::default();
            drive
                .put(app::layout::PACKAGE_ON_DRIVE, package, options)
                .await
                .unwrap();
            let length = drive.core().length();
            store.close().unwrap();
            format!("pear://0.{length}.{key}")
        });
        runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        staged
    }
}

/// Exit status 1, nothing on stdout, and one line on stderr that holds every word.
pub(crate) fn refuses(assert: Assert, words: &[&str]) {
    let mut assert = assert
        .code(1)
        .stdout("")
        .stderr(predicate::function(|text: &str| {
            text.trim_end().lines().count() == 1
        }));
    for word in words {
        assert = assert.stderr(contains(*word));
    }
}
