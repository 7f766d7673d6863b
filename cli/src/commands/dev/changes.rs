//! What changes in an app's folder, and what that means.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use app::{Manifest, layout};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// An editor writes a file in several steps; this long after the last of them it is written.
const QUIET: Duration = Duration::from_millis(40);
/// A change is told after this time though others follow.
const AT_LAST: Duration = Duration::from_millis(200);

/// What the page is made of unless package.json's `bosc.files` says so.
const PAGE: [&str; 2] = ["renderer", "workers"];
/// What the program is made of.
const PROGRAM: [&str; 3] = ["src", "Cargo.toml", "build.rs"];

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// The page is to be loaded anew.
    Page,
    /// The program is to be built and started anew.
    Program,
}

/// What is watched.
#[derive(Debug, Clone)]
struct Parts {
    dir: PathBuf,
    page: Vec<String>,
}

impl Parts {
    fn of(dir: &Path, manifest: &Manifest) -> Self {
        let page = match &manifest.files {
            Some(files) => files.clone(),
            None => {
                let page = manifest.page.split('/').next().map(str::to_owned);
                let known = PAGE.map(str::to_owned).into_iter();
                known.chain(page).collect()
            }
        };
        Self {
            dir: dir.to_owned(),
            page,
        }
    }

    /// What a changed file means, if anything: not what editors and systems keep beside it.
    fn meaning(&self, path: &Path) -> Option<Change> {
        let inside = path.strip_prefix(&self.dir).ok()?;
        let hidden = inside.components().any(|part| match part {
            Component::Normal(name) => {
                let name = name.to_string_lossy();
                name.starts_with(['.', '#']) || name.ends_with('~') || name.ends_with(".swp")
            }
            _ => true,
        });
        if hidden {
            return None;
        }
        let under = |part: &str| inside.starts_with(part);
        if inside == Path::new(layout::PACKAGE) || PROGRAM.into_iter().any(under) {
            Some(Change::Program)
        } else if self.page.iter().any(|part| under(part)) {
            Some(Change::Page)
        } else {
            None
        }
    }
}

/// What changes, as it comes.
pub(super) struct Changes {
    seen: mpsc::UnboundedReceiver<notify::Result<Change>>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Watches an app's folder: what is beside package.json, and all of its page and its program.
    pub(super) fn watch(dir: &Path, manifest: &Manifest) -> anyhow::Result<Self> {
        let parts = Parts::of(dir, manifest);
        let (tell, seen) = mpsc::unbounded_channel();
        let meant = parts.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Ok(event) => {
                if let Some(change) = event.paths.iter().filter_map(|path| meant.meaning(path)).max() {
                    let _ = tell.send(Ok(change));
                }
            }
            Err(error) => drop(tell.send(Err(error))),
        })?;
        let failed = |path: &Path| format!("cannot see what changes in {}", path.display());
        watcher
            .watch(dir, RecursiveMode::NonRecursive)
            .with_context(|| failed(dir))?;
        // Not all below: what cargo builds lies there as well.
        for part in parts.page.iter().map(String::as_str).chain(["src"]) {
            let path = dir.join(part);
            if path.is_dir() {
                watcher
                    .watch(&path, RecursiveMode::Recursive)
                    .with_context(|| failed(&path))?;
            }
        }
        Ok(Self {
            seen,
            _watcher: watcher,
        })
    }

    /// The next change, with those that follow it at once. May be dropped while it waits for the first.
    pub(super) async fn next(&mut self) -> anyhow::Result<Change> {
        const GONE: &str = "the folder is not watched any more";
        let mut change = self.seen.recv().await.context(GONE)??;
        let last = Instant::now() + AT_LAST;
        loop {
            let quiet = (Instant::now() + QUIET).min(last);
            match tokio::time::timeout_at(quiet, self.seen.recv()).await {
                Ok(more) => change = change.max(more.context(GONE)??),
                Err(_) => return Ok(change),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(bosc: &str) -> Manifest {
        let package = format!(r#"{{ "name": "a", "version": "1.0.0", "bosc": {bosc} }}"#);
        Manifest::parse(package.as_bytes(), "package.json").unwrap()
    }

    #[test]
    fn a_page_is_loaded_and_a_program_built_and_nothing_else_matters() {
        let parts = Parts::of(Path::new("/app"), &manifest(r#"{ "page": "public/index.html" }"#));
        for (path, means) in [
            ("public/index.html", Some(Change::Page)),
            ("renderer/deep/style.css", Some(Change::Page)),
            ("workers/count", Some(Change::Page)),
            ("src/main.rs", Some(Change::Program)),
            ("Cargo.toml", Some(Change::Program)),
            ("package.json", Some(Change::Program)),
            ("renderers/x", None),
            ("target/debug/app", None),
            ("out/App-linux-x64/App/App", None),
            ("Cargo.lock", None),
            ("renderer/.style.css.swp", None),
            ("src/.main.rs.tmp", None),
            ("src/main.rs~", None),
            ("src/#main.rs#", None),
            ("README.md", None),
            ("../src/main.rs", None),
        ] {
            assert_eq!(parts.meaning(&Path::new("/app").join(path)), means, "{path}");
        }
        let parts = Parts::of(Path::new("/app"), &manifest(r#"{ "files": ["dist"] }"#));
        assert_eq!(parts.meaning(Path::new("/app/dist/x.js")), Some(Change::Page));
        assert_eq!(parts.meaning(Path::new("/app/renderer/x.js")), None);
    }

    #[tokio::test]
    async fn writes_are_seen_and_told_together() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["src", "renderer/deep"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let mut changes = Changes::watch(&root, &manifest("{}")).unwrap();
        let mut next = async || tokio::time::timeout(Duration::from_secs(10), changes.next()).await;
        std::fs::write(root.join("renderer/deep/a.css"), "a").unwrap();
        std::fs::write(root.join("notes"), "a").unwrap();
        assert_eq!(next().await.unwrap().unwrap(), Change::Page);
        // As editors do: a file beside, then renamed.
        std::fs::write(root.join("src/.main.rs.new"), "a").unwrap();
        std::fs::rename(root.join("src/.main.rs.new"), root.join("src/main.rs")).unwrap();
        std::fs::write(root.join("renderer/b.css"), "b").unwrap();
        assert_eq!(next().await.unwrap().unwrap(), Change::Program);
        // What was told together is over.
        let more = tokio::time::timeout(AT_LAST * 2, changes.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}
