//! Bundles for several machines become one deployment folder, and what such a folder must be (npm `pear-build`).

use std::path::{Path, PathBuf};

use app::{Fits, Host, Layout, Manifest, layout};
use hyperdrive::{LocalDrive, MirrorOptions, mirror};

use crate::error::refuse;
use crate::progress::{Progress, Step};
use crate::{ReleaseError, Why};

/// The changes of an app's versions, which go into its deployment for whoever is asked to update.
pub const CHANGELOG: &str = "CHANGELOG.md";

/// What goes into a deployment folder.
#[derive(Debug, Clone)]
pub struct Gather {
    /// The app's package.json.
    pub package: PathBuf,
    /// The folder to write; `None` is `NAME-VERSION` where the program runs.
    pub target: Option<PathBuf>,
    /// Bundles, and the machines that they are for.
    pub bundles: Vec<(Host, PathBuf)>,
}

/// A deployment that can be gathered: everything about it was checked, and nothing written.
#[derive(Debug)]
pub struct GatherPlan {
    manifest: Manifest,
    changelog: Option<PathBuf>,
    target: PathBuf,
    bundles: Vec<(Host, PathBuf)>,
    notes: Vec<String>,
}

impl Gather {
    /// Checks everything.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn plan(self) -> Result<GatherPlan, ReleaseError> {
        let manifest = Manifest::read(&self.package)?;
        manifest.release()?;
        let product = &manifest.product_name;
        if self.bundles.is_empty() {
            refuse!(
                Input,
                "at least one app build must be specified, such as --linux-x64-app out/{product}-linux-x64/{product}"
            );
        }
        let target = self
            .target
            .unwrap_or_else(|| PathBuf::from(format!("{}-{}", manifest.name, manifest.version)));
        let (mut bundles, mut notes) = (Vec::new(), Vec::new());
        for (host, bundle) in self.bundles {
            named(&host, &bundle, product)?;
            notes.extend(check_bundle(&manifest, &host, &bundle)?);
            let bundle = std::fs::canonicalize(&bundle).map_err(ReleaseError::io("read", &bundle))?;
            if is_within(&target, &bundle) {
                refuse!(
                    Input,
                    "{} lies in {}, which goes into it: name a target outside of the bundles",
                    target.display(),
                    bundle.display()
                );
            }
            bundles.push((host, bundle));
        }
        let changelog = self.package.with_file_name(CHANGELOG);
        Ok(GatherPlan {
            changelog: changelog.is_file().then_some(changelog),
            manifest,
            target,
            bundles,
            notes,
        })
    }
}

/// Whether a folder that need not be there yet lies in another.
fn is_within(target: &Path, bundle: &Path) -> bool {
    let there = target.ancestors().find_map(|folder| {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        folder.canonicalize().ok()
    });
    there.is_some_and(|there| there.starts_with(bundle))
}

impl GatherPlan {
    /// What is released.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder that will be written.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The bundles, and their machines.
    pub fn bundles(&self) -> &[(Host, PathBuf)] {
        &self.bundles
    }

    /// What may not be meant as it is. Sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Writes the folder. What it held of earlier bundles is brought to what these hold.
    ///
    /// # Errors
    /// If something cannot be read or written; what was written then stays.
    pub async fn run(self, progress: &mut dyn Progress) -> Result<PathBuf, ReleaseError> {
        for (host, bundle) in &self.bundles {
            let (Some(parent), Some(base)) = (bundle.parent(), bundle.file_name()) else {
                refuse!(Input, "{} has no name", bundle.display())
            };
            let folder = layout::bundles(&layout::hosts(&self.target).join(host.to_string()));
            let options = MirrorOptions {
                prefix: vec![format!("/{}", base.to_string_lossy())],
                meter: progress.meter("gathering"),
                ..MirrorOptions::default()
            };
            let (from, to) = (LocalDrive::new(parent), LocalDrive::new(&folder));
            mirror(&from, &to, options).finish().await?;
            progress.step(Step::Gathered {
                file: &folder.join(base),
                origin: bundle,
            });
        }
        let announced = layout::manifest(&self.target);
        std::fs::write(&announced, self.manifest.document.text())
            .map_err(ReleaseError::io("write", &announced))?;
        let changelog = self.target.join(CHANGELOG);
        match &self.changelog {
            Some(from) => drop(std::fs::copy(from, &changelog).map_err(ReleaseError::io("copy", from))?),
            None => match std::fs::remove_file(&changelog) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(ReleaseError::io("delete", &changelog)(error));
                }
                _ => {}
            },
        }
        Ok(self.target)
    }
}

/// Refuses a bundle that no installed app would find.
fn named(host: &Host, bundle: &Path, product: &str) -> Result<(), ReleaseError> {
    if !bundle.exists() {
        refuse!(
            Missing,
            "{} does not exist: make the bundle first with `bosc make`",
            bundle.display()
        );
    }
    let base = bundle
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let layout = Layout::at(host, bundle);
    if !layout.is_named(&base, product) {
        refuse!(
            Deployment,
            "expected {} but got {base} for {host}: installed apps look for the bundle by package.json's productName",
            layout.bundle_name(product)
        );
    }
    Ok(())
}

/// Fails unless a bundle is the release that `manifest` announces, and its own package.json one that an app starts with. A bundle
/// that keeps no package.json where ours do is another kind of app's, and only noted.
fn check_bundle(manifest: &Manifest, host: &Host, bundle: &Path) -> Result<Option<String>, ReleaseError> {
    let announced = &manifest.document;
    let unfit = |error: app::Unfit| {
        let sentence = format!(
            "{} is not the release of {}: {error}",
            bundle.display(),
            announced.origin()
        );
        ReleaseError::refused(Why::Deployment, sentence)
    };
    Ok(match app::check_bundle(announced, host, bundle).map_err(unfit)? {
        Fits::Same(inner) => {
            Manifest::of(inner).map_err(|error| {
                let why = app::Unfit::Package(error);
                let sentence = format!("{} does not start: {why}", bundle.display());
                ReleaseError::refused(Why::Deployment, sentence)
            })?;
            None
        }
        Fits::OneFile => None,
        Fits::NoPackage(inner) => Some(format!(
            "{} is missing: an app on Bosc would refuse this bundle",
            inner.display()
        )),
    })
}

/// Fails unless each bundle in a deployment folder is the release that its package.json announces. Returns what may not be meant
/// as it is.
pub(crate) fn check_bundles(dir: &Path, manifest: &Manifest) -> Result<Vec<String>, ReleaseError> {
    let mut notes = Vec::new();
    let mut any = false;
    for place in folder(&layout::hosts(dir))? {
        let bundles = folder(&layout::bundles(&place))?;
        if bundles.is_empty() {
            continue;
        }
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let host: Host = match name.parse() {
            Ok(host) => host,
            Err(error) => refuse!(
                Deployment,
                "no app looks for a bundle in {}: {error}",
                place.display()
            ),
        };
        if let Some(meant) = host.meant() {
            refuse!(
                Deployment,
                "{} is for {host}, which no app runs on: did you mean {meant}?",
                place.display()
            );
        }
        for bundle in bundles {
            any = true;
            notes.extend(check_bundle(manifest, &host, &bundle)?);
        }
    }
    if !any {
        notes.push(format!(
            "{} has no bundle in it, so that no installed app can update from it: is it the folder that `bosc build` wrote?",
            dir.display()
        ));
    }
    Ok(notes)
}

/// What is in a folder, by name; nothing if there is no folder.
fn folder(path: &Path) -> Result<Vec<PathBuf>, ReleaseError> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(path).and_then(|entries| {
        let paths = entries.map(|entry| Ok(entry?.path()));
        paths.collect::<std::io::Result<Vec<_>>>()
    });
    let mut entries = entries.map_err(ReleaseError::io("read", path))?;
    entries.sort();
    Ok(entries)
}
