//! Which paths a mirror leaves out: `ignore` and `only` lists as `pear stage` has them.
//!
//! Not `globset`: there `*` also stands for nothing, and braces and brackets mean something, which are characters of a name in `pear stage`.

use std::collections::HashSet;

use crate::path;

/// Paths to leave out.
///
/// An ignored item matches itself and all beneath it. `*` stands for one or more characters of a name, `**` for anything
/// (`**/` also for nothing), `?` for one character. `!item` takes an item, its folders and all beneath it back in, whatever else ignores them.
/// `only` items are folders or files; when there are any, everything else is left out.
#[derive(Debug, Clone, Default)]
pub struct PathFilter {
    ignore: Items,
    keep: Items,
    only: Vec<String>,
}

/// Items of one list.
#[derive(Debug, Clone, Default)]
struct Items {
    /// The names of items such as `**/name`. Most lists are of these, and they cost no more than a look for each name of a path.
    names: HashSet<String>,
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
enum Pattern {
    Plain(String),
    /// With what a match ends with, and the longest text that it holds: most paths are told apart by these alone.
    Glob {
        tokens: Vec<Token>,
        tail: String,
        piece: String,
    },
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
            list.add(item);
        }
        filter.only = only
            .iter()
            .filter_map(|item| path::normalize(item.trim()).ok())
            .collect();
        filter
    }

    /// True when nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.ignore.names.is_empty() && self.ignore.patterns.is_empty() && self.only.is_empty()
    }

    /// Whether the file `key` is left out.
    pub fn ignores(&self, key: &str) -> bool {
        if !self.only.is_empty() && !self.only.iter().any(|only| path::is_within(key, only)) {
            return true;
        }
        self.ignore.cover(key) && !self.keep.cover(key)
    }

    /// Whether the folder `key` is left out with all beneath it, so that nobody needs to look inside.
    pub(crate) fn ignores_folder(&self, key: &str) -> bool {
        let only = |only: &String| path::is_within(key, only) || path::is_within(only, key);
        if !self.only.is_empty() && !self.only.iter().any(only) {
            return true;
        }
        self.ignore.cover(key) && !self.keep.cover(key) && !self.keep.may_lie_in(key)
    }
}

impl Items {
    fn add(&mut self, item: &str) {
        if let Some(name) = item.strip_prefix("**/").filter(|name| is_plain_name(name)) {
            self.names.insert(name.to_owned());
            return;
        }
        self.patterns.extend(Pattern::new(item));
        if item.contains("**/") {
            self.patterns.extend(Pattern::new(&item.replace("**/", "")));
        }
    }

    /// Whether one of them covers the file or folder.
    fn cover(&self, key: &str) -> bool {
        (!self.names.is_empty() && key.split('/').any(|name| self.names.contains(name)))
            || self.patterns.iter().any(|pattern| pattern.covers(key))
    }

    /// Whether something that one of them matches may lie beneath the folder.
    fn may_lie_in(&self, folder: &str) -> bool {
        !self.names.is_empty() || self.patterns.iter().any(|pattern| pattern.may_lie_in(folder))
    }
}

/// Whether an item's name stands for itself alone.
fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '*', '?', '\0'])
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
        let pieces = plain.split(['*', '?']);
        let piece = pieces
            .max_by_key(|piece| piece.len())
            .unwrap_or_default()
            .to_owned();
        Some(Self::Glob { tokens, tail, piece })
    }

    /// The item itself, or something beneath it.
    fn covers(&self, key: &str) -> bool {
        match self {
            Self::Plain(item) => path::is_within(key, item),
            Self::Glob { tokens, tail, piece } => {
                let ends = key
                    .match_indices('/')
                    .map(|(at, _)| at)
                    .filter(|&at| at > 0)
                    .chain([key.len()]);
                let heads = ends.filter_map(|end| key.get(..end));
                let piece_is_there = piece.is_empty() || key.contains(piece.as_str());
                piece_is_there
                    && heads
                        .filter(|head| head.ends_with(tail))
                        .any(|head| matches(tokens, head))
            }
        }
    }

    /// Whether something that the item matches may lie beneath the folder.
    fn may_lie_in(&self, folder: &str) -> bool {
        match self {
            Self::Plain(item) => path::is_within(item, folder),
            Self::Glob { tokens, .. } => {
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

/// Matches all of `text`: the classic walk over a set of states, linear in text times tokens. Two sets are enough.
fn matches(tokens: &[Token], text: &str) -> bool {
    let (mut states, mut next) = (vec![false; tokens.len() + 1], vec![false; tokens.len() + 1]);
    if let Some(first) = states.first_mut() {
        *first = true;
    }
    skip_any(tokens, &mut states);
    for char in text.chars() {
        next.fill(false);
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
        std::mem::swap(&mut states, &mut next);
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
    use proptest::prelude::*;

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

    proptest! {
        /// What a list says as names is what it says as patterns.
        #[test]
        fn names_at_any_depth_are_what_the_pattern_says(names in prop::collection::vec("[ab.]{1,2}", 1..3),
            key in "(/[ab.]{1,3}){1,4}", keep in any::<bool>()) {
            let items: Vec<String> = names.iter().map(|name| format!("**/{name}")).collect();
            let mut by_name = Items::default();
            items.iter().for_each(|item| by_name.add(item));
            let mut by_pattern = Items::default();
            for item in &items {
                by_pattern.patterns.extend(Pattern::new(item));
                by_pattern.patterns.extend(Pattern::new(&item.replace("**/", "")));
            }
            prop_assert_eq!(by_name.cover(&key), by_pattern.cover(&key));
            let plain = items.iter().all(|item| is_plain_name(&item[3..]));
            prop_assert!(!plain || by_name.may_lie_in(&key) && by_pattern.may_lie_in(&key));
            let list = |items: &Items| if keep {
                PathFilter { ignore: Items { patterns: vec![Pattern::Plain("/a".into())], ..Items::default() }, keep: items.clone(), only: Vec::new() }
            } else {
                PathFilter { ignore: items.clone(), ..PathFilter::default() }
            };
            let (one, other) = (list(&by_name), list(&by_pattern));
            prop_assert_eq!((one.ignores(&key), one.ignores_folder(&key)), (other.ignores(&key), other.ignores_folder(&key)));
        }

        /// What is left out before a path is matched in full is what would not have matched.
        #[test]
        fn the_shortcuts_of_a_pattern_leave_nothing_out(item in "[ab/*?]{1,6}", key in "(/[ab]{1,2}){1,3}") {
            if let Some(pattern @ Pattern::Glob { .. }) = Pattern::new(&item) {
                let Pattern::Glob { tokens, .. } = &pattern else { return Ok(()) };
                let ends = key.match_indices('/').map(|(at, _)| at).filter(|&at| at > 0).chain([key.len()]);
                let all = ends.map(|end| &key[..end]).any(|head| matches(tokens, head));
                prop_assert_eq!(pattern.covers(&key), all);
            }
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
