//! What changed from version to version, as an author writes it: the sections of `CHANGELOG.md` (npm `pear changelog`).

use semver::VersionReq;

use crate::ReleaseError;
use crate::error::refuse;

/// One version's section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The first word of its heading, without a `v` before it: a version, if it is one.
    pub version: String,
    /// All of it, heading first, without blank ends.
    pub text: String,
}

/// The sections of a changelog, newest first, as they are written: each begins with `## `. What comes before the first is none.
pub fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let heading = line.strip_prefix("## ").filter(|_| !fenced);
        if let Some(heading) = heading {
            let word = heading.split_whitespace().next().unwrap_or_default();
            let word = word.trim_start_matches('[').trim_end_matches(']');
            sections.push(Section {
                version: word.strip_prefix('v').unwrap_or(word).to_owned(),
                text: line.to_owned(),
            });
        } else if let Some(section) = sections.last_mut() {
            section.text.push('\n');
            section.text.push_str(line);
        }
    }
    for section in &mut sections {
        section.text.truncate(section.text.trim_end().len());
    }
    sections
}

/// Which sections are shown.
#[derive(Debug, Clone)]
pub enum Of {
    /// All.
    All,
    /// Those of the newest one's major version; all, if that is no version.
    Major,
    /// Those whose version is in a range, such as `^1.2`.
    Range(VersionReq),
}

impl Of {
    /// A range as a person writes it.
    ///
    /// # Errors
    /// If it is none.
    pub fn range(text: &str) -> Result<Self, ReleaseError> {
        match VersionReq::parse(text.trim_start_matches("^*").trim()) {
            _ if text.trim() == "^*" => Ok(Self::Major),
            Ok(range) => Ok(Self::Range(range)),
            Err(error) => refuse!(Input, "\"{text}\" is no range of versions, such as ^1.2: {error}"),
        }
    }

    /// The sections that it takes, `max` of the newest, oldest first.
    pub fn choose(&self, sections: Vec<Section>, max: usize) -> Vec<Section> {
        let parse = |section: &Section| semver::Version::parse(&section.version).ok();
        let major = sections.first().and_then(parse).map(|version| version.major);
        let takes = |section: &Section| match self {
            Self::All => true,
            Self::Major => {
                major.is_none() || parse(section).is_some_and(|version| Some(version.major) == major)
            }
            Self::Range(range) => parse(section).is_some_and(|version| range.matches(&version)),
        };
        let mut chosen: Vec<Section> = sections.into_iter().filter(takes).take(max).collect();
        chosen.reverse();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Changes\n\nWhat changed.\n\n## v2.1.0 (today)\n\n- b\n\n```sh\n## no heading\n```\n\n## [2.0.0]\n- a\n## 1.9.0\nold\n## Unreleased\n";

    fn shown(of: &Of, max: usize) -> Vec<String> {
        let chosen = of.choose(sections(TEXT), max);
        chosen.into_iter().map(|section| section.version).collect()
    }

    #[test]
    fn a_changelog_is_parted_at_its_versions() {
        let all = sections(TEXT);
        assert_eq!(all.len(), 4);
        assert_eq!(
            all[0].text,
            "## v2.1.0 (today)\n\n- b\n\n```sh\n## no heading\n```"
        );
        assert_eq!(
            (all[1].version.as_str(), all[1].text.as_str()),
            ("2.0.0", "## [2.0.0]\n- a")
        );
        assert!(sections("nothing\n# at all").is_empty());
    }

    #[test]
    fn the_newest_of_a_range_are_shown_oldest_first() {
        assert_eq!(shown(&Of::Major, 10), ["2.0.0", "2.1.0"]);
        assert_eq!(shown(&Of::Major, 1), ["2.1.0"]);
        assert_eq!(shown(&Of::All, 10), ["Unreleased", "1.9.0", "2.0.0", "2.1.0"]);
        assert_eq!(shown(&Of::range("<2").unwrap(), 10), ["1.9.0"]);
        assert_eq!(shown(&Of::range("^*").unwrap(), 10), ["2.0.0", "2.1.0"]);
        assert!(Of::range("newest").is_err());
    }
}
