//! Fields under `bosc` that nothing reads: misspelt ones, or those of a later Bosc.

use std::fmt;

use serde_json::Value;

use crate::Document;
use crate::error::quoted;

/// The objects under `bosc`, and what is read of each.
const KNOWN: [(&str, &[&str]); 4] = [
    (
        "bosc",
        &[
            "page",
            "window",
            "files",
            "permissions",
            "contentSecurityPolicy",
            "relays",
            "seed",
            "make",
            "devUrl",
            "category",
        ],
    ),
    (
        "bosc.window",
        &[
            "title",
            "width",
            "height",
            "minWidth",
            "minHeight",
            "backgroundColor",
            "backgroundColorDark",
        ],
    ),
    ("bosc.make", &["identifier", "publisher"]),
    ("bosc.seed", &["rate"]),
];

/// How like a known name, from 0 to 1, an unknown one must be to be taken for it misspelt. Half of the letters: `seeding` is meant to be
/// `seed`, `csp` is nothing that is known.
const LIKE: f64 = 0.5;

/// A field that nothing reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// It, in full: `bosc.pages`.
    pub field: String,
    /// The known field that it is most like, in full, if it is like any.
    pub meant: Option<String>,
    /// All that is known beside it.
    known: &'static [&'static str],
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is unknown: ", quoted(&self.field))?;
        match &self.meant {
            Some(meant) => write!(f, "did you mean {meant:?}?"),
            None => write!(f, "known there are {}", self.known.join(", ")),
        }
    }
}

/// All of a document.
pub(crate) fn all(document: &Document) -> Vec<Unknown> {
    let mut all = Vec::new();
    for (object, known) in KNOWN {
        let pointer = format!("/{}", object.replace('.', "/"));
        let fields = document.value().pointer(&pointer).and_then(Value::as_object);
        let unknown = fields
            .into_iter()
            .flat_map(|fields| fields.keys())
            .filter(|name| !known.contains(&name.as_str()));
        all.extend(unknown.map(|name| Unknown {
            field: format!("{object}.{name}"),
            meant: nearest(object, known, name),
            known,
        }));
    }
    all
}

/// The known field that a name stands for: one of the same name in another object, else the one that is most like it.
fn nearest(object: &str, known: &[&str], name: &str) -> Option<String> {
    let elsewhere = KNOWN.iter().find(|(_, known)| known.contains(&name));
    if let Some((object, _)) = elsewhere {
        return Some(format!("{object}.{name}"));
    }
    let like = |known: &str| {
        strsim::normalized_damerau_levenshtein(&known.to_ascii_lowercase(), &name.to_ascii_lowercase())
    };
    let best = known
        .iter()
        .map(|known| (like(known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(like, _)| *like > LIKE)
        .map(|(_, known)| format!("{object}.{known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    fn said(bosc: &str) -> Vec<String> {
        let text = format!(r#"{{"name":"a","version":"1.0.0","bosc":{bosc}}}"#);
        let document = Document::parse(text.as_bytes(), "it").unwrap();
        all(&document).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelt_field_is_told_with_the_one_that_was_meant() {
        for (bosc, says) in [
            (
                r#"{"pages":1}"#,
                r#""bosc.pages" is unknown: did you mean "bosc.page"?"#,
            ),
            (
                r#"{"contentsecuritypolicy":1}"#,
                r#""bosc.contentsecuritypolicy" is unknown: did you mean "bosc.contentSecurityPolicy"?"#,
            ),
            (
                r#"{"window":{"widht":1}}"#,
                r#""bosc.window.widht" is unknown: did you mean "bosc.window.width"?"#,
            ),
            (
                r#"{"title":1}"#,
                r#""bosc.title" is unknown: did you mean "bosc.window.title"?"#,
            ),
            (
                r#"{"seed":{"speed":1}}"#,
                r#""bosc.seed.speed" is unknown: known there are rate"#,
            ),
        ] {
            assert_eq!(said(bosc), [says]);
        }
        let other = said(r#"{"csp":1}"#);
        assert!(
            matches!(other.as_slice(), [only] if only.contains("known there are page, window")),
            "{other:?}"
        );
        assert_eq!(said("7"), Vec::<String>::new());
    }

    #[test]
    fn what_is_known_is_read() {
        // A value that no field takes: one that nothing reads would not be noticed.
        for (object, known) in KNOWN {
            for name in known {
                let mut fields = serde_json::json!({ *name: [[]] });
                for outer in object.rsplit('.') {
                    fields = serde_json::json!({ outer: fields });
                }
                fields["name"] = "a".into();
                fields["version"] = "1.0.0".into();
                let document = Document::parse(fields.to_string().as_bytes(), "it").unwrap();
                assert_eq!(all(&document), []);
                let error = Manifest::of(document).unwrap_err().to_string();
                assert!(error.contains(&format!("\"{object}.{name}\"")), "{error}");
            }
        }
    }

    #[test]
    fn the_template_has_no_unknown_fields() {
        let text = include_bytes!("../../../template-app/package.json");
        assert_eq!(Manifest::parse(text, "it").unwrap().unknown(), []);
    }
}
