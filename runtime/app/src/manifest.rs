//! What an app must hold to be started, and what a release of it must hold besides.
//!
//! A [`Manifest`] is a `package.json` that the host starts. [`Manifest::release`] is what the commands that make releases ask on top
//! of it. So what the host refuses, they refuse with the same sentence, and before anybody has it.

use std::path::Path;

use base::PublicKey;
use semver::Version;
use serde_json::Value;

use crate::category::{self, Category};
use crate::error::quoted;
use crate::fields::Fields;
use crate::names::{path_inside, usable_name, usable_product_name};
use crate::unknown::{self, Unknown};
use crate::{Document, Link, LinkError, Making, ManifestError, Seeding, WindowConfig};

/// The page opened when `package.json` names none in `bosc.page`.
const DEFAULT_PAGE: &str = "renderer/index.html";

/// A `package.json` that an app can be started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The whole of it, as `bridge.pkg()` returns it.
    pub document: Document,
    /// `name`: also the scheme of the app's deep links.
    pub name: String,
    /// `productName`, or `name` without one: the bundle's and the data folder's name.
    pub product_name: String,
    /// `version`.
    pub version: Version,
    /// `bosc.page`: the first page, a path inside the app.
    pub page: String,
    /// `bosc.window`.
    pub window: WindowConfig,
    /// `bosc.contentSecurityPolicy`: replaces the strict default.
    pub content_security_policy: Option<String>,
    /// `bosc.permissions`: what the page may ask of the system (`microphone`, `camera`, `notifications`, …).
    pub permissions: Vec<String>,
    /// `bosc.files`: what goes into a bundle, paths inside the app; `None` if it is not said.
    pub files: Option<Vec<String>>,
    /// `bosc.relays`: public keys of blind relays, to meet seeders at to whom no way opens.
    pub relays: Vec<PublicKey>,
    /// `bosc.seed`: the app serves what it has of its release to others, and how fast; `None`, the default: it does not.
    pub seed: Option<Seeding>,
    /// `bosc.category`, or what is wrong with it; an app starts all the same.
    category: Result<Category, String>,
    /// `bosc.make`: what systems are told of an app that is installed.
    pub making: Making,
    /// `bosc.devUrl`: where a developer's server serves the page; an installed app does not read it.
    pub dev_url: Option<String>,
    /// `upgrade`; without one, or with one that is no link, an app starts all the same.
    upgrade: Option<Result<Link, LinkError>>,
    unknown: Vec<Unknown>,
}

/// `pear.stage`: what `bosc stage` takes of a deployment folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Staging {
    /// Patterns of what is left out.
    pub ignore: Vec<String>,
    /// Patterns of what alone is taken; empty for all.
    pub only: Vec<String>,
    /// What is left out is deleted from the drive as well.
    pub purge: bool,
}

impl Manifest {
    /// Reads a file.
    ///
    /// # Errors
    /// Of [`Document::read`] and [`Manifest::of`].
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        Self::of(Document::read(path)?)
    }

    /// Takes the bytes of a `package.json`; `origin` says in messages where they are from.
    ///
    /// # Errors
    /// Of [`Document::parse`] and [`Manifest::of`].
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, ManifestError> {
        Self::of(Document::parse(bytes, origin)?)
    }

    /// Takes a document for an app's.
    ///
    /// # Errors
    /// The first field that keeps the host from starting it.
    pub fn of(document: Document) -> Result<Self, ManifestError> {
        let top = Fields::of(&document);
        let name = name(&top)?.to_owned();
        let product_name = match top.text("productName")? {
            None => &name,
            Some(product) => product,
        };
        if !usable_product_name(product_name) {
            let what = format!(
                "must be usable as a folder's name on every system, such as \"MyApp\"; {} is not",
                quoted(product_name)
            );
            return Err(top.refuse("productName", &what));
        }
        let product_name = product_name.to_owned();
        // That it is a text.
        top.text("version")?;
        let version = document.version()?;
        let upgrade = top
            .text("upgrade")?
            .filter(|link| !link.is_empty())
            .map(str::parse);
        let bosc = top.inner("bosc")?;
        let page = bosc.text("page")?.unwrap_or(DEFAULT_PAGE);
        Ok(Self {
            page: inside(&bosc, "page", page)?,
            window: WindowConfig::read(&bosc, &product_name)?,
            content_security_policy: bosc.text("contentSecurityPolicy")?.map(str::to_owned),
            permissions: bosc
                .texts("permissions")?
                .into_iter()
                .map(str::to_owned)
                .collect(),
            files: files(&bosc)?,
            relays: relays(&bosc)?,
            seed: Seeding::read(&bosc)?,
            category: category::listed(bosc.text("category")?),
            making: Making::read(&bosc, &name)?,
            dev_url: bosc.text("devUrl")?.map(str::to_owned),
            unknown: unknown::all(&document),
            name,
            product_name,
            version,
            upgrade,
            document,
        })
    }

    /// The link that updates come from; `None` if `upgrade` is not there or empty.
    ///
    /// # Errors
    /// If it is no link, such as the placeholder of the template.
    pub fn upgrade(&self) -> Result<Option<&Link>, ManifestError> {
        match &self.upgrade {
            None => Ok(None),
            Some(Ok(link)) => Ok(Some(link)),
            Some(Err(error)) => Err(self.document.wrong(&format!(
                "\"upgrade\" is not a link ({error}); run `bosc touch` and put the link it prints there"
            ))),
        }
    }

    /// `bosc.category`: what systems list the app under; `Utility` if it is not said.
    ///
    /// # Errors
    /// If it is no main category of freedesktop's menu specification.
    pub fn category(&self) -> Result<Category, ManifestError> {
        let wrong = |what: &String| self.document.wrong(&format!("\"bosc.category\" {what}"));
        self.category.as_ref().copied().map_err(wrong)
    }

    /// Fields under `bosc` that nothing reads. They keep no app from starting, as it may be made for a later host; a release is
    /// not made with them.
    pub fn unknown(&self) -> &[Unknown] {
        &self.unknown
    }

    /// What a release needs besides what the host does: a link to follow, a category that menus know, and no field that nothing reads.
    /// Returns the link.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn release(&self) -> Result<&Link, ManifestError> {
        if let Some(unknown) = self.unknown.first() {
            return Err(self.document.wrong(&unknown.to_string()));
        }
        self.category()?;
        self.upgrade()?.ok_or_else(|| {
            self.document.wrong(
                "\"upgrade\" is missing: installed apps would never update; run `bosc touch` and put the link it prints there",
            )
        })
    }

    /// `pear.stage`.
    ///
    /// # Errors
    /// If it is not what it must be: what should have been left out could not be called back.
    pub fn staging(&self) -> Result<Staging, ManifestError> {
        let stage = Fields::of(&self.document).inner("pear")?.inner("stage")?;
        let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
        Ok(Staging {
            ignore: owned(stage.texts("ignore")?),
            only: owned(stage.texts("only")?),
            purge: stage.value("purge") == Some(&Value::Bool(true)),
        })
    }
}

fn name<'a>(top: &Fields<'a>) -> Result<&'a str, ManifestError> {
    const WANTED: &str = "must be a name of letters, digits, '-', '_' and '.', such as \"my-app\"";
    match top.text("name")? {
        Some(name) if usable_name(name) => Ok(name),
        Some(name) => Err(top.refuse("name", &format!("{WANTED}; {} is not", quoted(name)))),
        None => Err(top.refuse("name", &format!("{WANTED}; there is none"))),
    }
}

/// A path of the field `name`.
fn inside(bosc: &Fields<'_>, name: &str, path: &str) -> Result<String, ManifestError> {
    path_inside(path).ok_or_else(|| {
        let what = format!(
            "has {}, which names nothing in the app's folder; write a path inside it",
            quoted(path)
        );
        bosc.refuse(name, &what)
    })
}

fn files(bosc: &Fields<'_>) -> Result<Option<Vec<String>>, ManifestError> {
    let files = bosc.texts("files")?;
    let files = files
        .into_iter()
        .map(|file| inside(bosc, "files", file))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Some(files).filter(|files| !files.is_empty()))
}

fn relays(bosc: &Fields<'_>) -> Result<Vec<PublicKey>, ManifestError> {
    let relays = bosc.texts("relays")?.into_iter().map(|text| {
        text.parse().map_err(|error| {
            let what = format!(
                "names {}, which is no public key ({error}); `bosc relay` prints the one of a relay",
                quoted(text)
            );
            bosc.refuse("relays", &what)
        })
    });
    relays.collect()
}

#[cfg(test)]
mod tests;
