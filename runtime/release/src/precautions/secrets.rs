//! What looks like a secret inside a file.

use std::io::Read;
use std::path::Path;

use memchr::memmem;

use crate::ReleaseError;

/// What a file was found free of: this file, so that what was scanned by other rules is scanned again.
const RULES: &[u8] = include_bytes!("secrets.rs");

/// Bytes of a file that are looked at: secrets are in small files, and big ones must not make a stage slow.
const LOOKED_AT: usize = 4 << 20;
/// Bytes in which a zero byte makes a file a binary one. Programs hold the words of every key format they can read.
const SNIFFED: usize = 8192;

/// The hash of the rules.
pub(super) fn rules() -> [u8; 32] {
    base::hash::blake2b(&[RULES])
}

/// What secret a file seems to hold.
pub(super) fn file_secret(full: &Path) -> Result<Option<&'static str>, ReleaseError> {
    let io = |error| ReleaseError::io("read", full)(error);
    let mut file = std::fs::File::open(full).map_err(io)?;
    let mut bytes = Vec::with_capacity(SNIFFED);
    let mut sniffed = file.by_ref().take(SNIFFED as u64);
    sniffed.read_to_end(&mut bytes).map_err(io)?;
    // Of binary files the beginning says enough.
    if !bytes.contains(&0) {
        let rest = (LOOKED_AT - SNIFFED) as u64;
        file.take(rest).read_to_end(&mut bytes).map_err(io)?;
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
}
