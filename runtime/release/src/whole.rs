//! A release as a whole: version, make, build, stage and provision, one after the other, from an app's folder to the link that apps
//! follow.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use app::{Document, Host, Link, Manifest, layout};
use corestore::Corestore;
use hyperdrive::{Hyperdrive, Meter};
use semver::Version;

use crate::bump::{next_version, replace};
use crate::drives::verlink;
use crate::error::refuse;
use crate::links::Links;
use crate::progress::{Progress, Step};
use crate::provision::version_on;
use crate::{Gather, Network, ProvisionPlan, Provisioned, ReleaseError, StageOptions, StagePlan, touch};

/// What a release will be. Nothing was written for it.
#[derive(Debug, Clone)]
pub struct ReleasePlan {
    dir: PathBuf,
    document: Document,
    name: String,
    product: String,
    links: Links,
    upgrade: Option<Link>,
    present: Option<Version>,
    version: Version,
    target: PathBuf,
    notes: Vec<String>,
}

/// What makes the bundles of an app, once its package.json says the version: for each machine, where its bundle is.
pub trait Make: Send {
    /// Makes them.
    fn make(&mut self) -> impl Future<Output = Result<Vec<(Host, PathBuf)>, MakeError>> + Send;
}

/// Why no bundle was made. A sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MakeError(pub String);

impl ReleasePlan {
    /// Plans the release of an app's folder. `bump` is the version, or names a part that is raised; without it, package.json's is taken if
    /// it was not released yet, else its last number raised.
    ///
    /// # Errors
    /// If the app would not start, its links are not this store's, or the version is not newer than what is released.
    pub async fn new(store: &Corestore, dir: &Path, bump: Option<&str>) -> Result<Self, ReleaseError> {
        let manifest = Manifest::read(&layout::manifest(dir))?;
        let mut links = Links::read(dir)?;
        // A placeholder is no link yet.
        let upgrade = manifest.upgrade().ok().flatten().cloned();
        let mut notes = Vec::new();
        if links.provision.is_none()
            && let Some(upgrade) = &upgrade
        {
            if store.key_pair_of(&upgrade.key)?.is_none() {
                refuse!(
                    NotOurs,
                    "package.json follows {}, which is not in this store: use the --storage it was made with, or write the link that \
                     releases go onto as \"provision\" into {}",
                    Link::plain(upgrade.key),
                    crate::LINKS
                );
            }
            links.provision = Some(Link::plain(upgrade.key));
        }
        for link in [&links.stage, &links.provision].into_iter().flatten() {
            if store.key_pair_of(&link.key)?.is_none() {
                refuse!(
                    NotOurs,
                    "{} of {} is not in this store: use the --storage it was made with",
                    Link::plain(link.key),
                    crate::LINKS
                );
            }
        }
        if let (Some(upgrade), Some(provision)) = (&upgrade, &links.provision)
            && upgrade.key != provision.key
        {
            notes.push(format!(
                "apps follow {}, not the link that this goes onto: they see it after `bosc multisig commit`",
                Link::plain(upgrade.key)
            ));
        }
        let present = match &links.provision {
            Some(link) => version_on(&Hyperdrive::open(store, link.key).await?).await?,
            None => None,
        };
        let document = manifest.document.clone();
        if upgrade.is_none() {
            // That it has a place for the link that will be made.
            document.with_upgrade(&Link::plain(hypercore::Key([0; 32])))?;
        }
        let version = choose(&document, &manifest.version, bump, present.as_ref())?;
        Ok(Self {
            target: dir.join("out").join(format!("{}-{version}", manifest.name)),
            dir: dir.to_owned(),
            name: manifest.name,
            product: manifest.product_name,
            document,
            links,
            upgrade,
            present,
            version,
            notes,
        })
    }

    /// The app's package name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The app's product name.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// The version that apps have now, if any.
    pub fn present(&self) -> Option<&Version> {
        self.present.as_ref()
    }

    /// The version that they will get.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The links; those that are not there yet are made.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Where the deployment folder will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// What may not be meant as it is. Sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Makes the release. If no bundle can be made, package.json has its old version again, and a second run begins anew; what
    /// fails later is gone on with by a second run. Dropped before it is done, it leaves the same.
    ///
    /// # Errors
    /// Of each step.
    pub async fn run(
        self,
        network: &Network,
        make: &mut impl Make,
        progress: &mut dyn Progress,
    ) -> Result<Provisioned, ReleaseError> {
        let store = network.store();
        let (document, stage, provision) = self.with_links(store).await?;
        let package = layout::manifest(&self.dir);
        let mut before = Before {
            path: &package,
            text: Some(document.text().to_owned()),
        };
        let text = document.with_version(&self.version)?;
        replace(&package, text.as_bytes()).map_err(ReleaseError::io("write", &package))?;
        let bundles = make
            .make()
            .await
            .map_err(|MakeError(why)| ReleaseError::refused(crate::Why::Deployment, why))?;
        let gather = Gather {
            package: package.clone(),
            target: Some(self.target.clone()),
            bundles,
        };
        let target = gather.plan()?.run(progress).await?;
        before.text = None;
        let options = StageOptions::default();
        let staged = StagePlan::new(store, &stage, target, options)
            .await?
            .run(progress)
            .await?;
        let production = verlink(&Hyperdrive::open(store, provision.key).await?);
        let links = [&staged.verlink, &provision, &production];
        let plan = ProvisionPlan::new(network, links, false, progress).await?;
        plan.run(&mut ButChanges(progress), Duration::ZERO).await
    }

    /// Makes the links that are not there, and writes down all; the stage link and the other.
    async fn with_links(&self, store: &Corestore) -> Result<(Document, Link, Link), ReleaseError> {
        let stage = match &self.links.stage {
            Some(link) => link.clone(),
            None => touch(store).await?,
        };
        let provision = match &self.links.provision {
            Some(link) => link.clone(),
            None => touch(store).await?,
        };
        let links = Links {
            stage: Some(stage.clone()),
            provision: Some(provision.clone()),
        };
        if Links::read(&self.dir)? != links {
            links.write(&self.dir)?;
        }
        if self.upgrade.is_some() {
            return Ok((self.document.clone(), stage, provision));
        }
        let text = self.document.with_upgrade(&provision)?;
        let package = layout::manifest(&self.dir);
        replace(&package, text.as_bytes()).map_err(ReleaseError::io("write", &package))?;
        Ok((Document::read(&package)?, stage, provision))
    }
}

/// Tells all but changes: they were told when they were staged.
struct ButChanges<'a>(&'a mut dyn Progress);

impl Progress for ButChanges<'_> {
    fn step(&mut self, step: Step<'_>) {
        if !matches!(step, Step::Changes(_)) {
            self.0.step(step);
        }
    }

    fn meter(&mut self, what: &'static str) -> Option<Arc<Meter>> {
        self.0.meter(what)
    }
}

/// A package.json as it was: so it is again unless this is told that all went well.
struct Before<'a> {
    path: &'a Path,
    text: Option<String>,
}

impl Drop for Before<'_> {
    fn drop(&mut self) {
        if let Some(text) = &self.text {
            // Nothing more can be done; the next run takes the version that is there.
            let _ = replace(self.path, text.as_bytes());
        }
    }
}

/// The version to release.
fn choose(
    document: &Document,
    written: &Version,
    bump: Option<&str>,
    present: Option<&Version>,
) -> Result<Version, ReleaseError> {
    let version = match (bump, present) {
        (Some(bump), _) if bump == written.to_string() => written.clone(),
        (Some(bump), _) => next_version(document, bump, None)?,
        (None, Some(present)) if written <= present => next_version(document, "patch", None)?,
        (None, _) => written.clone(),
    };
    if !version.pre.is_empty() || !version.build.is_empty() {
        refuse!(
            Prerelease,
            "{version} is no version that is released: name one such as 1.2.3"
        );
    }
    if let Some(present) = present.filter(|present| version <= **present) {
        refuse!(
            NotNewer,
            "version {version} is not newer than {present}, which is released: name a newer one"
        );
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_written_one_unless_that_is_released() {
        let chosen = |written: &str, bump: Option<&str>, present: Option<&str>| {
            let text = format!(r#"{{"version":"{written}"}}"#);
            let document = Document::parse(text.as_bytes(), "package.json").unwrap();
            let parse = |text: &str| Version::parse(text).unwrap();
            let present = present.map(parse);
            choose(&document, &parse(written), bump, present.as_ref()).map(|version| version.to_string())
        };
        for (written, bump, present, chooses) in [
            ("1.0.0", None, None, "1.0.0"),
            ("1.0.0", None, Some("1.0.0"), "1.0.1"),
            ("1.1.0", None, Some("1.0.0"), "1.1.0"),
            ("1.0.0", Some("minor"), Some("1.0.0"), "1.1.0"),
            ("1.0.0", Some("1.0.0"), None, "1.0.0"),
            ("1.0.0", Some("2.0.0"), Some("1.0.0"), "2.0.0"),
            ("1.0.0-rc.1", Some("patch"), None, "1.0.0"),
        ] {
            assert_eq!(chosen(written, bump, present).unwrap(), chooses);
        }
        for (written, bump, present) in [
            ("1.0.0", Some("patch"), Some("1.0.5")),
            ("1.0.0", None, Some("1.0.5")),
            ("1.0.0", Some("prerelease"), None),
            ("1.0.0", Some("sideways"), None),
        ] {
            assert!(chosen(written, bump, present).is_err(), "{written} {bump:?}");
        }
    }
}
