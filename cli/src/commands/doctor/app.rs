//! The app that the doctor is asked about: what it is, what it runs, and whether an update can be put in its place.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use app::{Format, Host, Layout, Link, Manifest, folders, layout};
use bosc_runtime::obstacle::{Room, is_full, replaceable, writable};
use bosc_runtime::{Build, Status};
use indicatif::{HumanBytes, HumanDuration};
use semver::Version;
use serde_json::json;

use super::report::Finding;

/// An app on this machine.
pub(super) struct App {
    pub(super) manifest: Manifest,
    /// The installed bundle; none for a project.
    bundle: Option<PathBuf>,
    /// Its data folder, if it is installed.
    data: Option<PathBuf>,
}

impl App {
    /// Reads an installed bundle, or a project's folder.
    ///
    /// # Errors
    /// If there is neither, or its package.json cannot be used.
    pub(super) fn read(dir: &Path, data: Option<&Path>) -> anyhow::Result<Self> {
        let dir = &std::path::absolute(dir).with_context(|| format!("cannot find {}", dir.display()))?;
        let (manifest, installed) = if dir.is_file() {
            (in_file(dir)?, true)
        } else {
            let inner = Layout::at(&Host::current(), dir).manifest(dir);
            let inner = inner.filter(|inner| inner.is_file());
            let installed = inner.is_some();
            let manifest = Manifest::read(&inner.unwrap_or_else(|| layout::manifest(dir)))?;
            (manifest, installed)
        };
        let data = installed.then(|| match data {
            Some(data) => data.to_owned(),
            None => folders::installed(&manifest.product_name),
        });
        Ok(Self {
            bundle: installed.then(|| dir.clone()),
            manifest,
            data,
        })
    }

    pub(super) fn link(&self) -> anyhow::Result<Link> {
        let link = self.manifest.upgrade()?;
        link.cloned().context("its package.json has no \"upgrade\"")
    }

    pub(super) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// What its bundle is called on the drive.
    pub(super) fn name_on_drive(&self) -> String {
        let layout = match &self.bundle {
            Some(bundle) => Layout::at(&Host::current(), bundle),
            None => Layout::of(&Host::current(), Format::Folder),
        };
        layout.bundle_name(&self.manifest.product_name)
    }

    /// The version here beside the one there.
    pub(super) fn compare(&self, there: &Version, refusal: Option<String>) -> Finding {
        const STEP: &str = "version";
        let here = &self.manifest.version;
        let data = json!({ "here": here.to_string(), "there": there.to_string() });
        let finding = match there.cmp_precedence(here) {
            std::cmp::Ordering::Greater => match refusal {
                Some(why) => Finding::bad(
                    STEP,
                    format!("the link has {there}, here is {here}, and it is not installed: {why}"),
                    "start the app with --retry-update to have a version that was taken back tried again; otherwise release one with a higher version",
                ),
                None => Finding::good(
                    STEP,
                    format!("the link has {there}, here is {here}: there is an update"),
                ),
            },
            std::cmp::Ordering::Equal => Finding::good(
                STEP,
                format!("{here} is here and on the link: nothing newer is released"),
            )
            .advise(
                "a release counts only with a higher version: `bosc version`, then make, build and stage",
            ),
            std::cmp::Ordering::Less => Finding::bad(
                STEP,
                format!("the version on the link is not newer: it has {there}, here is {here}"),
                "raise it with `bosc version`, then make, build, stage and provision again",
            ),
        };
        finding.with(data)
    }

    /// What the running app's updater waits for.
    pub(super) fn waiting(&self) -> Option<Finding> {
        const STEP: &str = "delay";
        let status = self.data.as_deref().map(Status::load)?;
        let Some(status) = status else {
            let text = "the app has not looked for updates yet, or was started with --no-updates";
            return Some(Finding::unknown(STEP, text));
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis() as u64;
        let ago = HumanDuration(Duration::from_millis(now.saturating_sub(status.at)));
        let left = status
            .next_look
            .map(|at| Duration::from_millis(at.saturating_sub(now)));
        let data = json!({ "at": status.at, "pid": status.pid, "nextLook": status.next_look, "delayLeftMs": left.map(|left| left.as_millis() as u64),
            "updated": status.updater.updated, "lastError": status.updater.last_error });
        let finding = if status.updater.updated && !status.updater.applied {
            let version = status.updater.next_version.unwrap_or_default();
            Finding::note(
                STEP,
                format!("version {version} is fetched and waits for the app to apply it, {ago} ago"),
            )
        } else if let Some(error) = status.updater.last_error {
            Finding::note(STEP, format!("the app said {ago} ago: {error}"))
        } else {
            match left {
                Some(left) if !left.is_zero() => Finding::good(
                    STEP,
                    format!(
                        "the app looks at the link in {}, as it said {ago} ago",
                        HumanDuration(left)
                    ),
                )
                .advise("--delay 0 has it look at once"),
                _ => Finding::good(STEP, format!("the app has nothing planned, as it said {ago} ago")),
            }
        };
        Some(finding.with(data))
    }

    /// Whether there is room for the update.
    pub(super) fn disk(&self, build: Option<Build>) -> Option<Finding> {
        const STEP: &str = "disk";
        let data = self.data.as_deref()?;
        let place = data.display();
        let room = match Room::at(data, build.map_or(0, |build| build.bytes)) {
            Ok(room) => room,
            Err(error) => {
                return Some(Finding::unknown(
                    STEP,
                    format!("cannot ask for the room at {place}: {error}"),
                ));
            }
        };
        let figures = json!({ "free": room.free, "needed": room.needed, "path": data });
        if !room.is_enough() {
            let (free, needed) = (HumanBytes(room.free), HumanBytes(room.needed));
            let text =
                format!("the disk is full: {free} are free at {place}, and an update takes up to {needed}");
            return Some(Finding::bad(STEP, text, "make room there").with(figures));
        }
        if let Err(error) = writable(data) {
            if is_full(&error) {
                return Some(full(data).with(figures));
            }
            let text = format!("the app's data folder {place} cannot be written: {error}");
            return Some(Finding::bad(STEP, text, "give it to the user who runs the app").with(figures));
        }
        Some(Finding::good(STEP, format!("{} are free at {place}", HumanBytes(room.free))).with(figures))
    }

    /// Whether the bundle can be exchanged: its folder must let go of it.
    pub(super) fn install(&self) -> Option<Finding> {
        const STEP: &str = "install";
        let bundle = self.bundle.as_deref()?;
        Some(match replaceable(bundle) {
            Ok(()) => Finding::good(STEP, format!("{} can be replaced", bundle.display())),
            Err((folder, error)) if is_full(&error) => full(&folder),
            Err((folder, error)) => Finding::bad(
                STEP,
                format!(
                    "{} cannot be replaced: {}: {error}",
                    bundle.display(),
                    folder.display()
                ),
                "move the app to a folder that is yours to write, or update it as its owner",
            ),
        })
    }
}

/// What a disk is that nothing can be written to any more, wherever it showed.
fn full(folder: &Path) -> Finding {
    let text = format!(
        "the disk is full: nothing can be written to {} any more",
        folder.display()
    );
    Finding::bad("disk", text, "make room there")
}

/// The manifest in an app that is one file.
fn in_file(file: &Path) -> anyhow::Result<Manifest> {
    match app::fit::package_of(file)? {
        Some(package) => Ok(Manifest::of(package)?),
        None => anyhow::bail!(
            "{} is no AppImage that can be looked into: name one that `bosc make` wrote, or the app's folder, or give the link",
            file.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Mark;
    use super::*;

    fn app(version: &str) -> (tempfile::TempDir, App) {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::of(&Host::current(), Format::Folder);
        let bundle = root.path().join("bin").join(layout.bundle_name("MyApp"));
        let inner = layout.manifest(&bundle).unwrap();
        std::fs::create_dir_all(inner.parent().unwrap()).unwrap();
        let package = json!({ "name": "my-app", "productName": "MyApp", "version": version });
        std::fs::write(inner, package.to_string()).unwrap();
        let data = root.path().join("data/MyApp");
        let app = App::read(&bundle, Some(&data)).unwrap();
        (root, app)
    }

    #[test]
    fn only_a_higher_version_is_an_update() {
        let (_root, app) = app("1.0.1");
        let compare = |there: &str, refusal: Option<&str>| {
            let there = Version::parse(there).unwrap();
            app.compare(&there, refusal.map(str::to_owned))
        };
        assert_eq!(compare("1.0.2", None).mark, Mark::Good);
        assert_eq!(compare("1.0.1", None).mark, Mark::Good);
        let older = compare("1.0.0", None);
        assert!(
            older.mark == Mark::Bad && older.text.contains("not newer"),
            "{older:?}"
        );
        let refused = compare("1.0.2", Some("it did not start"));
        assert!(
            refused.mark == Mark::Bad && refused.text.contains("it did not start"),
            "{refused:?}"
        );
    }

    #[test]
    fn a_disk_without_room_and_an_app_that_never_ran_are_told() {
        let (_root, app) = app("1.0.1");
        let build = |bytes| Some(Build { files: 1, bytes });
        let full = app.disk(build(u64::MAX)).unwrap();
        assert!(full.mark == Mark::Bad && full.text.contains("full"), "{full:?}");
        assert_eq!(app.disk(build(1)).unwrap().mark, Mark::Good);
        assert_eq!(app.waiting().unwrap().mark, Mark::Unknown);
        assert_eq!(app.install().unwrap().mark, Mark::Good);
        let named = super::full(Path::new("/apps"));
        assert!(
            named.mark == Mark::Bad && named.text.contains("full") && named.text.contains("/apps"),
            "{named:?}"
        );
    }
}
