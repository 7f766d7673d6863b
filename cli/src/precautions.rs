//! What must not go public by mistake: `bosc stage` puts a folder where anybody may fetch it, and what was fetched cannot be
//! called back.
//!
//! Three nets: names that are left out, links that lead out of the folder, and contents that look like secrets. None is a
//! proof that there is no secret.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use hyperdrive::{Drive, Entry, LocalDrive, PathFilter};
use memchr::memmem;

/// Left out unless the author says otherwise: repositories, what desktops and editors leave behind, and files that hold
/// passwords, tokens or keys by custom. Only names that cannot be a part of an app: `*.pem` may be a list of certificates that
/// an app needs, and `id_*` a picture, so that those go by what they hold ([`secret_in`]). npm `pear stage` leaves out the first,
/// second and last line's in some versions, and nothing in others.
pub(crate) const LEFT_OUT: [&str; 26] = [
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
    "**/Thumbs.db",
    "**/.DS_Store",
];

/// Bytes of a file that are looked at: secrets are in small files, and big ones must not make a stage slow.
const LOOKED_AT: usize = 4 << 20;
/// Bytes in which a zero byte makes a file a binary one. Programs hold the words of every key format they can read.
const SNIFFED: usize = 8192;
/// Places named in a refusal.
const NAMED: usize = 10;

/// The patterns to leave out: the built-in ones, if wanted, then the author's, which may take one back in with `!`.
pub(crate) fn ignored(built_in: bool, own: Vec<String>) -> Vec<String> {
    let built_in = LEFT_OUT.iter().filter(|_| built_in);
    built_in.map(|pattern| (*pattern).to_owned()).chain(own).collect()
}

/// Looks through a folder that is to be staged. `own` leaves out what the author says, `all` what the built-in patterns do besides.
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
) -> anyhow::Result<Option<String>> {
    let entries = match local.list_filtered("/", own).await {
        Ok(entries) => entries,
        // It may be what is left out that cannot be listed.
        Err(_) => local.list_filtered("/", all).await?,
    };
    let (left_out, staged): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| all.ignores(&entry.key));
    check(local, staged, follow, force)?;
    let mut names = BTreeSet::new();
    for key in left_out.iter().map(|entry| entry.key.as_str()) {
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

/// Refuses entries that would publish what lies outside of the folder, or what looks like a secret.
fn check(local: &LocalDrive, entries: Vec<Entry>, follow: bool, force: bool) -> anyhow::Result<()> {
    let (mut outside, mut secret) = (Vec::new(), Vec::new());
    for entry in entries {
        let full = local.to_path(&entry.key)?;
        if entry.linkname.is_some() {
            if !follow {
                outside.extend(leads_out(local.root(), &full)?.map(|goal| (entry.key, goal)));
            }
        } else if let Some(kind) = file_secret(&full)?.filter(|_| !force) {
            secret.push((entry.key, kind.to_owned()));
        }
    }
    if !outside.is_empty() {
        bail!(
            "links lead out of {}: {}. Put what they lead to into the folder, leave them out with --ignore, or add --follow-links \
             to publish what they lead to",
            local.root().display(),
            named(&outside)
        );
    }
    if !secret.is_empty() {
        bail!(
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
fn leads_out(root: &Path, link: &Path) -> anyhow::Result<Option<String>> {
    let io = || format!("cannot read {}", link.display());
    let target = std::fs::read_link(link).with_context(io)?;
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

fn file_secret(full: &Path) -> anyhow::Result<Option<&'static str>> {
    let io = || format!("cannot read {}", full.display());
    let mut file = std::fs::File::open(full).with_context(io)?;
    let mut bytes = Vec::with_capacity(SNIFFED);
    let mut sniffed = file.by_ref().take(SNIFFED as u64);
    sniffed.read_to_end(&mut bytes).with_context(io)?;
    // Of binary files the beginning says enough.
    if !bytes.contains(&0) {
        let rest = (LOOKED_AT - SNIFFED) as u64;
        file.take(rest).read_to_end(&mut bytes).with_context(io)?;
    }
    Ok(secret_in(&bytes))
}

/// What secret a file seems to hold.
fn secret_in(bytes: &[u8]) -> Option<&'static str> {
    if is_store(bytes) {
        return Some("a store with the secret keys of links");
    }
    let sniffed = bytes.get(..SNIFFED).unwrap_or(bytes);
    if sniffed.contains(&0) {
        return None;
    }
    if has_private_key(bytes) {
        return Some("a private key");
    }
    TOKENS
        .iter()
        .find(|(prefix, length, alphabet, _)| has_token(bytes, prefix.as_bytes(), *length, *alphabet))
        .map(|(.., kind)| *kind)
}

/// A database of SQLite with the tables of a corestore.
fn is_store(bytes: &[u8]) -> bool {
    let schema = bytes.get(..SNIFFED).unwrap_or(bytes);
    bytes.starts_with(b"SQLite format 3\0")
        && contains(schema, b"CREATE TABLE cores")
        && contains(schema, b"secret_key")
}

/// A PEM block of a private key, also as a JSON string holds it; the words alone are in many documents.
fn has_private_key(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const END: &[u8] = b"PRIVATE KEY-----";
    /// A label that names an algorithm is no longer.
    const LABEL: usize = 32;
    positions(bytes, BEGIN).any(|after| {
        let label = after.get(..LABEL + END.len()).unwrap_or(after);
        let Some(at) = label.windows(END.len()).position(|window| window == END) else {
            return false;
        };
        let body = after.get(at + END.len()..).unwrap_or_default();
        let body = body.strip_prefix(b"\r").unwrap_or(body);
        let body = body.strip_prefix(b"\n").or_else(|| body.strip_prefix(br"\n"));
        body.is_some_and(|body| body.iter().take(16).filter(|byte| is_key_body(**byte)).count() == 16)
    })
}

/// Base64, or the headers of an encrypted key (`Proc-Type: 4,ENCRYPTED`).
fn is_key_body(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=-:, ".contains(&byte)
}

type Alphabet = fn(&u8) -> bool;

/// Tokens that their makers gave a prefix of their own, so that they can be found: prefix, characters that follow at least,
/// which, and the name. Shapes that are public by design (browser keys) are not here.
const TOKENS: [(&str, usize, Alphabet, &str); 13] = [
    ("AKIA", 16, upper, "an AWS access key"),
    ("ghp_", 36, u8::is_ascii_alphanumeric, "a GitHub token"),
    ("gho_", 36, u8::is_ascii_alphanumeric, "a GitHub token"),
    ("ghs_", 36, u8::is_ascii_alphanumeric, "a GitHub token"),
    ("ghu_", 36, u8::is_ascii_alphanumeric, "a GitHub token"),
    ("github_pat_", 60, word, "a GitHub token"),
    ("glpat-", 20, word, "a GitLab token"),
    ("npm_", 36, u8::is_ascii_alphanumeric, "an npm token"),
    ("xoxb-", 24, word, "a Slack token"),
    ("xoxp-", 24, word, "a Slack token"),
    ("sk_live_", 24, u8::is_ascii_alphanumeric, "a Stripe key"),
    ("rk_live_", 24, u8::is_ascii_alphanumeric, "a Stripe key"),
    ("sk-ant-", 40, word, "an Anthropic key"),
];

fn upper(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Whether a token stands there as a word of its own: not in the middle of base64.
fn has_token(bytes: &[u8], prefix: &[u8], length: usize, alphabet: Alphabet) -> bool {
    let starts = bytes.len();
    positions(bytes, prefix).any(|after| {
        let start = starts - after.len() - prefix.len();
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        before.is_none_or(|byte| !word(byte) && !b"+/".contains(byte))
            && after
                .get(..length)
                .is_some_and(|token| token.iter().all(alphabet))
    })
}

/// What follows each place where a word stands.
fn positions<'a>(bytes: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    memmem::find_iter(bytes, word).filter_map(|at| bytes.get(at + word.len()..))
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    positions(bytes, word).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_found_and_certificates_are_not() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n";
        for label in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
            let key = format!("-----BEGIN {label}PRIVATE KEY-----\n{body}");
            assert_eq!(secret_in(key.as_bytes()), Some("a private key"), "{label}");
            let windows = key.replace('\n', "\r\n");
            assert_eq!(secret_in(windows.as_bytes()), Some("a private key"), "{label}");
            let json = serde_json::json!({ "type": "service_account", "private_key": key }).to_string();
            assert_eq!(secret_in(json.as_bytes()), Some("a private key"), "{label}");
        }
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        assert_eq!(secret_in(old.as_bytes()), Some("a private key"));
        for fine in [
            format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"),
            format!("-----BEGIN PUBLIC KEY-----\n{body}"),
            "if (text.startsWith('-----BEGIN PRIVATE KEY-----')) {}".to_owned(),
            "a key begins with -----BEGIN PRIVATE KEY-----\n\n...".to_owned(),
            "-----BEGIN ".to_owned(),
        ] {
            assert_eq!(secret_in(fine.as_bytes()), None, "{fine}");
        }
        // A program that can read keys holds the words.
        let program = format!("\u{7f}ELF\0\0-----BEGIN PRIVATE KEY-----\n{body}");
        assert_eq!(secret_in(program.as_bytes()), None);
    }

    #[test]
    fn tokens_are_found_as_words_of_their_own() {
        for (prefix, length, _, kind) in TOKENS {
            let token = format!("{prefix}{}", "A0B1".repeat(20));
            assert_eq!(secret_in(format!("token={token}\n").as_bytes()), Some(kind));
            assert_eq!(secret_in(token.as_bytes()), Some(kind), "at the beginning");
            let short = &token[..prefix.len() + length - 1];
            assert_eq!(secret_in(format!("\"{short}\"").as_bytes()), None, "{short}");
            assert_eq!(secret_in(format!("x{token}").as_bytes()), None, "inside a word");
            assert_eq!(secret_in(format!("+{token}").as_bytes()), None, "inside base64");
        }
    }

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
            "/.github.io/index.html",
        ] {
            assert!(!out.ignores(key), "{key}");
        }
        assert!(!filter(true, &own).ignores("/.env") && filter(true, &own).ignores("/.git/x"));
    }
}
