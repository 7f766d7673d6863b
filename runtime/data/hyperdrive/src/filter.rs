//! Which paths a mirror leaves out: `ignore` and `only` lists as `pear stage` has them.
//!
//! Not `globset`: there `*` also stands for nothing, and braces and brackets mean something, which are characters of a name in `pear stage`.

use crate::path;

/// Paths to leave out.
///
/// An ignored item matches itself and all beneath it. `*` stands for one or more characters of a name, `**` for anything
/// (`**/` also for nothing), `?` for one character. `!item` takes an item, its folders and all beneath it back in, whatever else ignores them.
/// `only` items are folders or files; when there are any, everything else is left out.
#[derive(Debug, Clone, Default)]
pub struct PathFilter {
    ignore: Vec<Pattern>,
    keep: Vec<Pattern>,
    only: Vec<String>,
}

#[derive(Debug, Clone)]
enum Pattern {
    Plain(String),
    /// With what a match ends with: most paths are told apart by that alone.
    Glob(Vec<Token>, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Name,
    Any,
}

impl PathFilter {
    /// A filter from the two lists. Items that name nothing (`/`, an empty string) are dropped.
    pub fn new(ignore: &[String], only: &[String]) -> Self {
        let mut filter = Self::default();
        for item in ignore.iter().map(|item| item.trim()) {
            let (list, item) = match item.strip_prefix('!') {
                Some(item) => (&mut filter.keep, item),
                None => (&mut filter.ignore, item),
            };
            list.extend(Pattern::new(item));
            if item.contains("**/") {
                list.extend(Pattern::new(&item.replace("**/", "")));
            }
        }
        filter.only = only
            .iter()
            .filter_map(|item| path::normalize(item.trim()).ok())
            .collect();
        filter
    }

    /// True when nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.ignore.is_empty() && self.only.is_empty()
    }

    /// Whether the file `key` is left out.
    pub fn ignores(&self, key: &str) -> bool {
        if !self.only.is_empty() && !self.only.iter().any(|only| path::is_within(key, only)) {
            return true;
        }
        self.ignore.iter().any(|pattern| pattern.covers(key)) && !self.keep.iter().any(|p| p.covers(key))
    }

    /// Whether the folder `key` is left out with all beneath it, so that nobody needs to look inside.
    pub(crate) fn ignores_folder(&self, key: &str) -> bool {
        let only = |only: &String| path::is_within(key, only) || path::is_within(only, key);
        if !self.only.is_empty() && !self.only.iter().any(only) {
            return true;
        }
        self.ignore.iter().any(|pattern| pattern.covers(key))
            && !self
                .keep
                .iter()
                .any(|pattern| pattern.covers(key) || pattern.may_lie_in(key))
    }
}

impl Pattern {
    fn new(item: &str) -> Option<Self> {
        let plain = path::normalize(item).ok()?;
        if !item.contains(['*', '?']) {
            return Some(Self::Plain(plain));
        }
        let mut tokens = Vec::new();
        let mut chars = plain.chars().peekable();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' if chars.next_if_eq(&'*').is_some() => Token::Any,
                '*' => Token::Name,
                '?' => Token::One,
                char => Token::Char(char),
            });
        }
        let tail = plain.rsplit(['*', '?']).next().unwrap_or_default().to_owned();
        Some(Self::Glob(tokens, tail))
    }

    /// The item itself, or something beneath it.
    fn covers(&self, key: &str) -> bool {
        match self {
            Self::Plain(item) => path::is_within(key, item),
            Self::Glob(tokens, tail) => {
                let ends = key
                    .match_indices('/')
                    .map(|(at, _)| at)
                    .filter(|&at| at > 0)
                    .chain([key.len()]);
                let heads = ends.filter_map(|end| key.get(..end));
                heads.filter(|head| head.ends_with(tail)).any(|head| {
                    let head: Vec<char> = head.chars().collect();
                    matches(tokens, &head)
                })
            }
        }
    }

    /// Whether something that the item matches may lie beneath the folder.
    fn may_lie_in(&self, folder: &str) -> bool {
        match self {
            Self::Plain(item) => path::is_within(item, folder),
            Self::Glob(tokens, _) => {
                let fixed = tokens.iter().map_while(|token| match token {
                    Token::Char(char) => Some(*char),
                    _ => None,
                });
                let fixed: String = fixed.collect();
                fixed.starts_with(folder) || folder.starts_with(&fixed)
            }
        }
    }
}

/// Matches all of `text`: the classic two-pointer walk over a set of states, linear in text times tokens.
fn matches(tokens: &[Token], text: &[char]) -> bool {
    let mut states = vec![false; tokens.len() + 1];
    if let Some(first) = states.first_mut() {
        *first = true;
    }
    skip_any(tokens, &mut states);
    for &char in text {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens
            .iter()
            .enumerate()
            .filter(|(at, _)| states.get(*at) == Some(&true))
        {
            let (stay, go) = match token {
                Token::Char(wanted) => (false, *wanted == char),
                Token::One => (false, char != '/'),
                Token::Name => (char != '/', char != '/'),
                Token::Any => (true, true),
            };
            for (slot, on) in [(at, stay), (at + 1, go)] {
                if let Some(state) = next.get_mut(slot) {
                    *state |= on;
                }
            }
        }
        skip_any(tokens, &mut next);
        states = next;
    }
    states.last() == Some(&true)
}

/// `**` may also stand for nothing.
fn skip_any(tokens: &[Token], states: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        let on = *token == Token::Any && states.get(at) == Some(&true);
        if let Some(state) = states.get_mut(at + 1).filter(|_| on) {
            *state = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(ignore: &[&str], only: &[&str]) -> PathFilter {
        let owned = |items: &[&str]| items.iter().map(|item| item.to_string()).collect::<Vec<_>>();
        PathFilter::new(&owned(ignore), &owned(only))
    }

    #[test]
    fn plain_items_cover_themselves_and_what_is_beneath() {
        let filter = filter(&["node_modules", "/a/b/"], &[]);
        for key in ["/node_modules", "/node_modules/x/y", "/a/b", "/a/b/c"] {
            assert!(filter.ignores(key), "{key}");
        }
        for key in ["/node_modules2", "/x/node_modules", "/a/bc"] {
            assert!(!filter.ignores(key), "{key}");
        }
    }

    #[test]
    fn stars_stay_inside_a_name() {
        let filter = filter(&["/src/*.map", "**/*.log", "/v?/x"], &[]);
        for key in [
            "/src/a.map",
            "/a.log",
            "/deep/er/b.log",
            "/src/a.map/inside",
            "/v1/x",
        ] {
            assert!(filter.ignores(key), "{key}");
        }
        for key in ["/src/.map", "/src/a/b.map", "/srcXa.map", "/src/a.mapx", "/v12/x"] {
            assert!(!filter.ignores(key), "{key}");
        }
    }

    #[test]
    fn an_exclamation_mark_takes_back_in() {
        let filter = filter(&["/dist", "!/dist/keep"], &[]);
        assert!(
            filter.ignores("/dist/x") && !filter.ignores("/dist/keep/x") && !filter.ignores("/dist/keep")
        );
        assert!(!filter.ignores_folder("/dist") && filter.ignores_folder("/dist/x"));
    }

    #[test]
    fn only_leaves_out_all_else() {
        let filter = filter(&["/a/x"], &["/a", "package.json"]);
        assert!(!filter.ignores("/a/b") && !filter.ignores("/package.json") && filter.ignores("/a/x"));
        assert!(filter.ignores("/b") && filter.ignores("/ab"));
        assert!(!filter.ignores_folder("/a") && filter.ignores_folder("/b"));
        assert!(!PathFilter::new(&[], &["/a/b/c".into()]).ignores_folder("/a"));
    }
}
