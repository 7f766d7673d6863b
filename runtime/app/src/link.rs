//! `pear://` links: `pear://<key>`, and versioned `pear://<fork>.<length>.<key>[.<hash>]` (npm `pear-link` index.js).
//!
//! Stricter than upstream where nothing emits the difference: numbers are plain decimals, and there are no aliases.

use std::fmt;
use std::str::FromStr;

use base::Key;

use crate::error::short;

/// What a link names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The drive.
    pub key: Key,
    /// Fork of a versioned link.
    pub fork: Option<u64>,
    /// Length of the drive's metadata core in a versioned link.
    pub length: Option<u64>,
    /// Tree hash at that length, in a hash link.
    pub hash: Option<[u8; 32]>,
    /// Path inside the drive with search and fragment, as written; empty, or starting with `/`, `?` or `#`.
    pub path: String,
}

/// The text is not a link. All of these have upstream's code `ERR_INVALID_LINK`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Empty.
    #[error("No link specified: give one that starts with pear://")]
    Missing,
    /// It has no `pear://` in front.
    #[error(
        "\"{0}\" is not a pear link: a link starts with pear:// and holds a key of 52 characters, as `bosc touch` prints it"
    )]
    NotPear(String),
    /// Another scheme.
    #[error("Protocol is not supported: \"{0}\" should start with pear://")]
    Protocol(String),
    /// Wrong number of parts, or numbers that are not numbers.
    #[error("Incorrect hostname: \"{0}\" is neither pear://<key> nor pear://<fork>.<length>.<key>")]
    Hostname(String),
    /// The key does not decode.
    #[error("Invalid Hypercore key in \"{0}\": expected 52 z-base-32 characters or 64 hex digits")]
    Key(String),
    /// A version is needed here.
    #[error("{0} must be versioned: use the pear://<fork>.<length>.<key> link that `bosc stage` prints last")]
    Unversioned(&'static str),
}

impl Link {
    /// A plain link to a drive.
    pub fn plain(key: Key) -> Self {
        Self {
            key,
            fork: None,
            length: None,
            hash: None,
            path: String::new(),
        }
    }

    /// A versioned link.
    pub fn versioned(fork: u64, length: u64, key: Key) -> Self {
        Self {
            fork: Some(fork),
            length: Some(length),
            ..Self::plain(key)
        }
    }

    /// Whether it names a version.
    pub fn is_versioned(&self) -> bool {
        self.length.is_some()
    }

    /// Fork and length; an error naming `what` if the link is plain.
    pub fn version(&self, what: &'static str) -> Result<(u64, u64), LinkError> {
        self.fork.zip(self.length).ok_or(LinkError::Unversioned(what))
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = unquote(text.trim()).trim();
        if text.is_empty() {
            return Err(LinkError::Missing);
        }
        // A scheme may be written in any letters.
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("pear") => rest,
            Some(_) => return Err(LinkError::Protocol(short(text))),
            None => return Err(LinkError::NotPear(short(text))),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let hostname = || LinkError::Hostname(short(text));
        let key = |part: &str| part.parse::<Key>().map_err(|_| LinkError::Key(short(text)));
        let number = |part: &str| {
            let decimal = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            decimal
                .then(|| part.parse::<u64>().ok())
                .flatten()
                .filter(|n| *n <= 1 << 53)
                .ok_or_else(hostname)
        };
        let (fork, length, key, hash) = match host.split('.').collect::<Vec<_>>()[..] {
            [only] => (None, None, key(only)?, None),
            [fork, length, id] => (Some(number(fork)?), Some(number(length)?), key(id)?, None),
            [fork, length, id, hash] => (
                Some(number(fork)?),
                Some(number(length)?),
                key(id)?,
                Some(key(hash)?.0),
            ),
            _ => return Err(hostname()),
        };
        Ok(Self {
            key,
            fork,
            length,
            hash,
            path: path.to_owned(),
        })
    }
}

/// Takes one matching pair of quotes off.
fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pear://")?;
        for number in [self.fork, self.length].into_iter().flatten() {
            write!(f, "{number}.")?;
        }
        write!(f, "{}", self.key)?;
        if let Some(hash) = self.hash {
            write!(f, ".{}", Key(hash))?;
        }
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const Z32: &str = "5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";

    fn parse(text: &str) -> Result<Link, LinkError> {
        text.parse()
    }

    #[test]
    fn blanks_inside_quotes_count_no_more_than_outside() {
        let link = parse(&format!("\" pear://{Z32}/page \n\"")).unwrap();
        assert_eq!(link.path, "/page");
        assert_eq!(parse(&link.to_string()), Ok(link));
        assert_eq!(parse("' '"), Err(LinkError::Missing));
    }

    #[test]
    fn the_forms_of_a_link() {
        let key: Key = Z32.parse().unwrap();
        assert_eq!(parse(&format!("pear://{Z32}")), Ok(Link::plain(key)));
        assert_eq!(
            parse(&format!("pear://0.12.{Z32}")),
            Ok(Link::versioned(0, 12, key))
        );
        let hashed = format!("pear://1.483.{Z32}.{Z32}");
        assert_eq!(parse(&hashed).unwrap().hash, Some(key.0));
        assert_eq!(parse(&hashed).unwrap().to_string(), hashed);
        let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            parse(&format!("pear://{hex}")).unwrap().to_string(),
            format!("pear://{Z32}")
        );
        let with_path = format!("pear://0.1.{Z32}/a/b.html?c#d");
        assert_eq!(parse(&with_path).unwrap().path, "/a/b.html?c#d");
        assert_eq!(parse(&with_path).unwrap().to_string(), with_path);
        assert_eq!(parse(&format!("'pear://{Z32}'")), Ok(Link::plain(key)));
    }

    #[test]
    fn what_is_not_a_link() {
        assert_eq!(parse(""), Err(LinkError::Missing));
        assert!(matches!(parse(Z32), Err(LinkError::NotPear(_))));
        assert!(matches!(parse("http://example.com"), Err(LinkError::Protocol(_))));
        for host in [
            format!("1.{Z32}"),
            format!("..{Z32}"),
            format!("0x1.1e3.{Z32}"),
            format!("-1.2.{Z32}"),
            format!("1.2.{Z32}.{Z32}.5"),
        ] {
            assert!(
                matches!(parse(&format!("pear://{host}")), Err(LinkError::Hostname(_))),
                "{host}"
            );
        }
        for host in [
            "keet".to_owned(),
            Z32.to_uppercase(),
            format!("0.1.{}", &Z32[1..]),
        ] {
            assert!(
                matches!(parse(&format!("pear://{host}")), Err(LinkError::Key(_))),
                "{host}"
            );
        }
        assert!(matches!(
            parse(&format!("\"pear://{Z32}'")),
            Err(LinkError::NotPear(_) | LinkError::Protocol(_))
        ));
    }

    proptest! {
        #[test]
        fn links_round_trip(key: [u8; 32], version in proptest::option::of((0u64..1 << 50, 0u64..1 << 50)), hash: [u8; 32], hashed: bool) {
            let mut link = Link::plain(Key(key));
            if let Some((fork, length)) = version {
                link = Link::versioned(fork, length, Key(key));
                link.hash = hashed.then_some(hash);
            }
            prop_assert_eq!(parse(&link.to_string()), Ok(link));
        }

        #[test]
        fn garbage_never_panics(text: String) {
            let _ = parse(&text);
            let _ = parse(&format!("pear://{text}"));
        }
    }
}
