//! Where a desktop's menu shows an app: one of the main categories of freedesktop's menu specification.

use crate::error::quoted;

/// What an app belongs to that does not say.
const DEFAULT: &str = "Utility;";

/// The main categories, and what an entry lists for each: sound and film alone want their common one beside them.
const MAIN: [(&str, &str); 13] = [
    ("AudioVideo", "AudioVideo;"),
    ("Audio", "AudioVideo;Audio;"),
    ("Video", "AudioVideo;Video;"),
    ("Development", "Development;"),
    ("Education", "Education;"),
    ("Game", "Game;"),
    ("Graphics", "Graphics;"),
    ("Network", "Network;"),
    ("Office", "Office;"),
    ("Science", "Science;"),
    ("Settings", "Settings;"),
    ("System", "System;"),
    ("Utility", "Utility;"),
];

/// How like a category, from 0 to 1, another text must be to be taken for it misspelt.
const LIKE: f64 = 0.5;

/// What a desktop entry lists for a category.
///
/// # Errors
/// What is wrong with it, as a clause about the field.
pub(crate) fn listed(category: Option<&str>) -> Result<&'static str, String> {
    let Some(category) = category else {
        return Ok(DEFAULT);
    };
    let found = MAIN.iter().find(|(name, _)| *name == category);
    found.map(|(_, listed)| *listed).ok_or_else(|| {
        let advice = match nearest(category) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write one of {}", MAIN.map(|(name, _)| name).join(", ")),
        };
        format!(
            "is {}, which is no main category of a desktop's menu: {advice}",
            quoted(category)
        )
    })
}

fn nearest(category: &str) -> Option<&'static str> {
    let category = category.to_ascii_lowercase();
    let like = |name: &str| strsim::normalized_damerau_levenshtein(&name.to_ascii_lowercase(), &category);
    let best = MAIN.iter().map(|(name, _)| (like(name), *name));
    best.max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(like, _)| *like > LIKE)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_listed_with_the_one_that_it_needs() {
        assert_eq!(listed(None), Ok("Utility;"));
        assert_eq!(listed(Some("Game")), Ok("Game;"));
        assert_eq!(listed(Some("Audio")), Ok("AudioVideo;Audio;"));
        for (name, listed) in MAIN {
            assert!(listed.ends_with(&format!("{name};")), "{name}");
        }
    }

    #[test]
    fn an_unknown_category_is_named_with_the_nearest() {
        for (wrong, near) in [("Games", "Game"), ("network", "Network"), ("Graphic", "Graphics")] {
            let says = format!(
                "is {wrong:?}, which is no main category of a desktop's menu: did you mean {near:?}?"
            );
            assert_eq!(listed(Some(wrong)), Err(says));
        }
        for far in ["", "Zzz;\nExec=sh"] {
            let said = listed(Some(far)).unwrap_err();
            assert!(
                said.contains("write one of AudioVideo, Audio,") && !said.contains('\n'),
                "{said}"
            );
        }
    }
}
