//! What kind of app it is, for menus: one of the main categories of freedesktop's menu specification, and Apple's nearest.

use crate::error::quoted;

/// What systems list an app under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category {
    /// `Categories` of a desktop entry: sound and film alone want their common one beside them.
    pub desktop: &'static str,
    /// `LSApplicationCategoryType` on macOS: Apple's nearest.
    pub apple: &'static str,
}

/// What an app belongs to that does not say.
const DEFAULT: &str = "Utility";

/// The main categories, what an entry lists for each, and the nearest of Apple's.
const MAIN: [(&str, &str, &str); 13] = [
    ("AudioVideo", "AudioVideo;", "public.app-category.entertainment"),
    ("Audio", "AudioVideo;Audio;", "public.app-category.music"),
    ("Video", "AudioVideo;Video;", "public.app-category.video"),
    (
        "Development",
        "Development;",
        "public.app-category.developer-tools",
    ),
    ("Education", "Education;", "public.app-category.education"),
    ("Game", "Game;", "public.app-category.games"),
    ("Graphics", "Graphics;", "public.app-category.graphics-design"),
    ("Network", "Network;", "public.app-category.social-networking"),
    ("Office", "Office;", "public.app-category.productivity"),
    ("Science", "Science;", "public.app-category.education"),
    ("Settings", "Settings;", "public.app-category.utilities"),
    ("System", "System;", "public.app-category.utilities"),
    ("Utility", "Utility;", "public.app-category.utilities"),
];

/// How like a category, from 0 to 1, another text must be to be taken for it misspelt.
const LIKE: f64 = 0.5;

/// What systems list an app under that says this.
///
/// # Errors
/// What is wrong with it, as a clause about the field.
pub(crate) fn listed(category: Option<&str>) -> Result<Category, String> {
    let category = category.unwrap_or(DEFAULT);
    let found = MAIN.iter().find(|(name, ..)| *name == category);
    let listed = |(_, desktop, apple): &(&str, &'static str, &'static str)| Category { desktop, apple };
    found.map(listed).ok_or_else(|| {
        let advice = match nearest(category) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write one of {}", MAIN.map(|(name, ..)| name).join(", ")),
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
    let best = MAIN.iter().map(|(name, ..)| (like(name), *name));
    best.max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(like, _)| *like > LIKE)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_listed_with_the_one_that_it_needs() {
        let desktop = |category| listed(category).unwrap().desktop;
        assert_eq!(desktop(None), "Utility;");
        assert_eq!(desktop(Some("Game")), "Game;");
        assert_eq!(desktop(Some("Audio")), "AudioVideo;Audio;");
        assert_eq!(listed(Some("Audio")).unwrap().apple, "public.app-category.music");
        for (name, listed, apple) in MAIN {
            assert!(listed.ends_with(&format!("{name};")), "{name}");
            assert!(apple.starts_with("public.app-category."), "{apple}");
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
