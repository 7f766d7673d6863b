//! What must not go public by mistake: `bosc stage` puts a folder where anybody may fetch it, and what was fetched cannot be
//! called back.
//!
//! Three nets: names that are left out, links that lead out of the folder, and contents that look like secrets. None is a
//! proof that there is no secret.

mod secrets;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use hyperdrive::{Entry, Fact, LocalDrive, Memory, PathFilter, Stamp};

use crate::ReleaseError;
use crate::error::refuse;
use secrets::file_secret;

/// Left out unless the author says otherwise: repositories, what desktops and editors leave behind, and files that hold
/// passwords, tokens or keys by custom. Only names that cannot be a part of an app: `*.pem` may be a list of certificates that
/// an app needs, and `id_*` a picture, so that those go by what they hold ([`secrets`]). Of `node_modules` only the deployment's own: an app
/// of Electron may need the one in its bundle. npm `pear stage` leaves out the first,
/// second and last line's in some versions, and nothing in others.
const LEFT_OUT: [&str; 31] = [
    "**/.git",
    "**/.github",
    "**/.gitlab-ci.yml",
    "**/.hg",
    "**/.svn",
    "**/.env",
    "**/.env.*",
    "**/.envrc",
    "**/.npmrc",
    "**/.yarnrc.yml",
    "**/.pypirc",
    "**/.netrc",
    "**/.git-credentials",
    "**/.ssh",
    "**/.gnupg",
    "**/.aws",
    "**/.pear",
    "**/.hypercore-sign",
    "**/id_rsa",
    "**/id_dsa",
    "**/id_ecdsa",
    "**/id_ecdsa_sk",
    "**/id_ed25519",
    "**/id_ed25519_sk",
    "node_modules",
    "**/.idea",
    "**/.vscode",
    "**/*~",
    "**/.*.swp",
    "**/Thumbs.db",
    "**/.DS_Store",
];

/// Places named in a refusal.
const NAMED: usize = 10;

/// The patterns to leave out: the built-in ones, if wanted, then the author's, which may take one back in with `!`.
pub(crate) fn ignored(built_in: bool, own: Vec<String>) -> Vec<String> {
    let built_in = LEFT_OUT.iter().filter(|_| built_in);
    built_in.map(|pattern| (*pattern).to_owned()).chain(own).collect()
}

/// Looks through a folder that is to be staged. `own` leaves out what the author says, `all` what the built-in patterns do besides.
/// A file that `memory` knows to be free of secrets, by the same rules, is not read again.
///
/// Returns what only the built-in ones leave out: to be said, so that nobody looks for it in vain. Of a folder its own name alone.
///
/// # Errors
/// If what is left would publish what lies outside of the folder, or what looks like a secret. `follow` says that links to the
/// outside are wanted, `force` that secrets are.
pub(crate) async fn look_through(
    local: &LocalDrive,
    (own, all): (&PathFilter, &PathFilter),
    follow: bool,
    force: bool,
    memory: &Arc<Memory>,
) -> Result<Option<String>, ReleaseError> {
    let entries = match local.list_stamped("/", own, memory).await {
        Ok(entries) => entries,
        // It may be what is left out that cannot be listed.
        Err(_) => local.list_stamped("/", all, memory).await?,
    };
    let (left_out, staged): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|(entry, _)| all.ignores(&entry.key));
    let rules = secrets::rules();
    let scanned = |stamp: Stamp| Fact::new(&stamp, &[b"scanned", &rules]);
    let staged = staged
        .into_iter()
        .map(|(entry, stamp)| (entry, stamp.map(scanned)));
    let unknown: Vec<_> = staged
        .filter(|(_, fact)| !fact.is_some_and(|fact| memory.knows(fact)))
        .collect();
    if unknown.iter().any(|(_, fact)| fact.is_some()) {
        memory.settle(local).await;
    }
    check(local, unknown, (follow, force), memory)?;
    let mut names = BTreeSet::new();
    for key in left_out.iter().map(|(entry, _)| entry.key.as_str()) {
        let ends = key.match_indices('/').skip(1).map(|(at, _)| at);
        let mut folders = ends.filter_map(|end| key.get(..end));
        names.insert(
            folders
                .find(|folder| all.ignores(folder))
                .unwrap_or(key)
                .to_owned(),
        );
    }
    Ok((!names.is_empty()).then(|| listed(names)))
}

/// Refuses entries that would publish what lies outside of the folder, or what looks like a secret. What was read and is none is
/// learned.
fn check(
    local: &LocalDrive,
    entries: Vec<(Entry, Option<Fact>)>,
    (follow, force): (bool, bool),
    memory: &Memory,
) -> Result<(), ReleaseError> {
    let (mut outside, mut secret) = (Vec::new(), Vec::new());
    for (entry, fact) in entries {
        let full = local.to_path(&entry.key)?;
        if entry.linkname.is_some() {
            if !follow {
                outside.extend(leads_out(local.root(), &full)?.map(|goal| (entry.key, goal)));
            }
            continue;
        }
        match (file_secret(&full)?, fact) {
            (Some(kind), _) if !force => secret.push((entry.key, kind.to_owned())),
            (None, Some(fact)) => memory.learn(fact),
            _ => {}
        }
    }
    if !outside.is_empty() {
        refuse!(
            LinksOut,
            "links lead out of {}: {}. Put what they lead to into the folder, leave them out with --ignore, or add --follow-links \
             to publish what they lead to",
            local.root().display(),
            named(&outside)
        );
    }
    if !secret.is_empty() {
        refuse!(
            Secrets,
            "files look like secrets, and what is staged can be fetched by anybody and not be called back: {}. Leave them out with \
             --ignore, or add --force if they may be public",
            named(&secret)
        );
    }
    Ok(())
}

fn named(places: &[(String, String)]) -> String {
    listed(places.iter().map(|(key, what)| format!("{key} ({what})")))
}

/// The first of many, and how many more.
fn listed(items: impl IntoIterator<Item = String>) -> String {
    let mut items = items.into_iter();
    let mut text: Vec<String> = items.by_ref().take(NAMED).collect();
    match items.count() {
        0 => {}
        more => text.push(format!("and {more} more")),
    }
    text.join(", ")
}

/// Where a link leads, if that is not inside the root, by its text or on the disk.
fn leads_out(root: &Path, link: &Path) -> Result<Option<String>, ReleaseError> {
    let target = std::fs::read_link(link).map_err(ReleaseError::io("read", link))?;
    let mut goal = PathBuf::new();
    for part in link.parent().unwrap_or(root).join(&target).components() {
        match part {
            Component::ParentDir => drop(goal.pop()),
            Component::CurDir => {}
            part => goal.push(part),
        }
    }
    let real = match (std::fs::canonicalize(link), std::fs::canonicalize(root)) {
        (Ok(goal), Ok(root)) => goal.starts_with(root),
        // A link to nothing publishes nothing.
        _ => true,
    };
    let inside = goal.starts_with(root) && real;
    Ok((!inside).then(|| format!("→ {}", target.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_no_part_of_an_app() {
        let own = vec!["!/.env".to_owned()];
        let filter = |built_in, own: &[String]| PathFilter::new(&ignored(built_in, own.to_vec()), &[]);
        let out = filter(true, &[]);
        for key in [
            "/.git/config",
            "/a/.git",
            "/.env",
            "/a/b/.env.production",
            "/.npmrc",
            "/x/.DS_Store",
            "/.ssh/id_rsa",
            "/keys/id_ed25519",
            "/.pear/default",
            "/a/.svn/x",
            "/node_modules/x/index.js",
            "/by-arch/x/app/Y/.main.rs.swp",
            "/page/index.html~",
            "/.vscode/settings.json",
        ] {
            assert!(out.ignores(key), "{key}");
            assert!(!filter(false, &[]).ignores(key), "{key}");
        }
        for key in [
            "/package.json",
            "/id_card.svg",
            "/cacert.pem",
            "/a/environment.js",
            "/.gitignore",
            "/git",
            "/by-arch/x/app/Y/.envoy",
            "/id_rsa.pub",
            "/by-arch/x/app/Y/resources/app/node_modules/x/index.js",
            "/~page/a~b",
            "/.github.io/index.html",
        ] {
            assert!(!out.ignores(key), "{key}");
        }
        assert!(!filter(true, &own).ignores("/.env") && filter(true, &own).ignores("/.git/x"));
    }
}
