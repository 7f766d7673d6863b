//! The `Cargo.toml` of a new app: what its template depends on, in the versions that Bosc itself was built with.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toml::{Table, Value};

use super::names::Names;

/// The versions that Bosc was built with: with them an app builds without asking the network for others.
pub(super) const LOCK: &str = include_str!("../../../../Cargo.lock");
/// The workspace that this program is of: versions, and how programs are optimised.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// Where an app's build gets Bosc from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A folder with Bosc's repository.
    Folder(PathBuf),
    /// A git repository.
    Git(String),
}

impl Source {
    /// What was asked for, else the repository that this program was built from.
    pub(super) fn choose(asked: Option<&str>) -> anyhow::Result<Self> {
        if let Some(url) = asked.filter(|text| text.contains("://") || text.starts_with("git@")) {
            return Ok(Self::Git(url.to_owned()));
        }
        let folder = match asked {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        };
        let found = std::fs::canonicalize(&folder).ok().map(as_people_write_it);
        match found.filter(|folder| folder.join("shell/Cargo.toml").is_file()) {
            Some(folder) => Ok(Self::Folder(folder)),
            None if asked.is_some() => bail!(
                "{} is not Bosc's repository: it has no shell/Cargo.toml",
                folder.display()
            ),
            None => bail!(
                "Bosc's repository is no longer at {}: say where it is with --bosc, as a folder or as the address of a git repository",
                folder.display()
            ),
        }
    }

    /// The dependency on one of its crates.
    fn dependency(&self, package: &str) -> anyhow::Result<Value> {
        let mut table = Table::new();
        match self {
            Self::Folder(folder) => {
                let path = folder.join(folder_of(package)?);
                let path = path
                    .to_str()
                    .context("the path of Bosc's repository is no text: name another with --bosc")?;
                table.insert("path".to_owned(), path.into());
            }
            Self::Git(url) => {
                table.insert("git".to_owned(), url.as_str().into());
            }
        }
        Ok(table.into())
    }
}

/// A path as cargo and people read it: without the `\\?\` that Windows puts before a drive's letter when it is asked for the real path.
fn as_people_write_it(path: PathBuf) -> PathBuf {
    let plain = path.to_str().and_then(|text| text.strip_prefix(r"\\?\"));
    match plain.filter(|text| text.get(1..2) == Some(":")) {
        Some(plain) => PathBuf::from(plain),
        None => path,
    }
}

/// Where in the repository a crate of ours lies.
fn folder_of(package: &str) -> anyhow::Result<String> {
    let workspace: Table = WORKSPACE.parse()?;
    let path = workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies")?.get(package)?.get("path")?.as_str());
    path.map(str::to_owned)
        .with_context(|| format!("{package} is no crate of this workspace"))
}

/// Writes the manifest.
pub(super) fn write(names: &Names, source: &Source, template: &str) -> anyhow::Result<String> {
    let workspace: Table = WORKSPACE.parse().context("the workspace's manifest")?;
    let template: Table = template.parse().context("the template's manifest")?;
    let common = workspace.get("workspace");
    let of_package = |field: &str| {
        let value = common.and_then(|common| common.get("package")?.get(field)?.as_str());
        value.with_context(|| format!("the workspace has no {field}"))
    };
    let mut out = format!(
        "[package]\nname = \"{}\"\n# The app's version is package.json's.\nversion = \"0.0.0\"\nedition = \"{}\"\nrust-version = \"{}\"\npublish = false\n\n\
         # It stands alone, also in a folder within another workspace.\n[workspace]\n",
        names.name,
        of_package("edition")?,
        of_package("rust-version")?,
    );
    if let Some(features) = template.get("features").and_then(Value::as_table) {
        out += "\n[features]\n# Installed apps obey what is for developers: for tests of release builds, never for people.\n";
        for (name, enables) in features {
            out += &format!("{name} = {enables}\n");
        }
    }
    for section in ["dependencies", "dev-dependencies"] {
        let Some(dependencies) = template.get(section).and_then(Value::as_table) else {
            continue;
        };
        out += &format!("\n[{section}]\n");
        for name in dependencies.keys() {
            if name.starts_with("bosc-") {
                out += "# Where Bosc comes from: a folder, or a git repository.\n";
                out += &format!("{name} = {}\n", source.dependency(name)?);
                continue;
            }
            let version = common.and_then(|common| common.get("dependencies")?.get(name));
            let version = version.with_context(|| format!("the workspace has no {name}"))?;
            out += &format!("{name} = {version}\n");
        }
    }
    if let Some(profiles) = workspace.get("profile") {
        let profiles = Table::from_iter([("profile".to_owned(), profiles.clone())]);
        out += "\n# As Bosc's own: unoptimised builds of its cryptography are ten times slower.\n";
        out += &toml::to_string(&profiles)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::template;
    use super::*;
    use crate::args::Template;

    fn manifest(template: Template, source: &Source) -> (String, Table) {
        let names = Names::choose(Path::new("/x/my-app"), None, None).unwrap();
        let text = write(&names, source, template::of(template).1).unwrap();
        let parsed = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
        (text, parsed)
    }

    #[test]
    fn an_app_gets_the_versions_that_bosc_was_built_with_and_one_line_for_bosc() {
        for template in [Template::Chat, Template::Minimal] {
            let (text, parsed) = manifest(template, &Source::Folder("/bosc".into()));
            assert_eq!(
                parsed["dependencies"]["bosc-shell"]["path"].as_str(),
                Some("/bosc/shell")
            );
            assert_eq!(text.matches("/bosc/").count(), 1, "{text}");
            assert_eq!(parsed["dependencies"]["serde"]["version"].as_str(), Some("1"));
            assert_eq!(parsed["profile"]["release"]["strip"].as_bool(), Some(true));
            assert!(parsed["workspace"].as_table().unwrap().is_empty());
            assert!(!text.contains("workspace = true"), "{text}");
        }
        let (_, chat) = manifest(Template::Chat, &Source::Folder("/bosc".into()));
        assert_eq!(
            chat["dependencies"]["rusqlite"]["features"][0].as_str(),
            Some("bundled")
        );
        assert!(chat["dev-dependencies"].get("tempfile").is_some());
    }

    #[test]
    fn bosc_may_come_from_git_or_from_a_folder_that_has_it() {
        let git = Source::choose(Some("https://example.com/bosc.git")).unwrap();
        let (_, parsed) = manifest(Template::Minimal, &git);
        let dependency = &parsed["dependencies"]["bosc-shell"];
        assert_eq!(dependency["git"].as_str(), Some("https://example.com/bosc.git"));
        let own = Source::choose(None).unwrap();
        assert!(matches!(own, Source::Folder(folder) if folder.join("shell/Cargo.toml").is_file()));
        let elsewhere = tempfile::tempdir().unwrap();
        let error = Source::choose(elsewhere.path().to_str()).unwrap_err().to_string();
        assert!(error.contains("shell/Cargo.toml"), "{error}");
    }

    #[test]
    fn a_path_is_written_without_what_windows_puts_before_it() {
        for (path, written) in [
            (r"\\?\C:\bosc\shell", r"C:\bosc\shell"),
            (r"\\?\UNC\server\share", r"\\?\UNC\server\share"),
            (r"C:\bosc", r"C:\bosc"),
            ("/bosc/shell", "/bosc/shell"),
        ] {
            assert_eq!(as_people_write_it(path.into()), PathBuf::from(written));
        }
    }
}
