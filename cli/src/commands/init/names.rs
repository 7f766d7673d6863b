//! What a new app is called: its name for programs, its product's name for people's disks, its title for their eyes.

use std::path::Path;

use anyhow::{Context, bail};

/// Words that cargo takes for no package's name: they are others' (Rust's own, or folders that it writes).
const TAKEN: [&str; 12] = [
    "alloc",
    "bosc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "pear",
    "proc-macro",
    "self",
    "std",
    "test",
];

/// The names of an app.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// `my-app`: of the package, the scheme of its links and the deployment folders.
    pub(super) name: String,
    /// `MyApp`: of the bundle and the folder with the app's data.
    pub(super) product: String,
    /// `My app`: what people read.
    pub(super) title: String,
}

impl Names {
    /// Derives what is not given from the folder's name.
    pub(super) fn choose(dir: &Path, name: Option<&str>, product: Option<&str>) -> anyhow::Result<Self> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                let folder = dir.file_name().context("name the app's folder, such as my-app")?;
                plain(&folder.to_string_lossy())
            }
        };
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.starts_with(|c: char| c.is_ascii_lowercase())
            || !name.chars().all(letters)
            || name.ends_with('-')
            || name.len() > 64
        {
            bail!(
                "\"{name}\" cannot be an app's name: begin with a small letter and use small letters, digits and '-', such as \"my-app\" (--name)"
            );
        }
        if TAKEN.contains(&name.as_str()) {
            bail!("the name \"{name}\" is taken: choose another with --name");
        }
        let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
        let product = match product {
            Some(product) => product.to_owned(),
            None => words.iter().map(|word| capital(word)).collect(),
        };
        Ok(Self {
            title: capital(&words.join(" ")),
            product,
            name,
        })
    }
}

/// A folder's name in the letters of a package's.
fn plain(folder: &str) -> String {
    let mut name = String::new();
    for c in folder.chars() {
        match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' => name.push(c.to_ascii_lowercase()),
            _ if !name.ends_with('-') && !name.is_empty() => name.push('-'),
            _ => {}
        }
    }
    name.trim_end_matches('-').to_owned()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(
        folder: &str,
        name: Option<&str>,
        product: Option<&str>,
    ) -> Result<(String, String, String), String> {
        let names = Names::choose(&Path::new("/x").join(folder), name, product);
        names
            .map(|names| (names.name, names.product, names.title))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_follow_from_the_folder() {
        for (folder, name, product, title) in [
            ("my-app", "my-app", "MyApp", "My app"),
            ("Notes", "notes", "Notes", "Notes"),
            ("my app_2!", "my-app-2", "MyApp2", "My app 2"),
            ("--x", "x", "X", "X"),
        ] {
            assert_eq!(
                choose(folder, None, None),
                Ok((name.into(), product.into(), title.into()))
            );
        }
        let chosen = choose("x", Some("todo"), Some("To Do"));
        assert_eq!(chosen, Ok(("todo".into(), "To Do".into(), "Todo".into())));
    }

    #[test]
    fn names_that_no_package_can_bear_are_refused() {
        for folder in ["7up", "日本", "!!", "test", "std"] {
            let error = choose(folder, None, None).unwrap_err();
            assert!(error.contains("--name"), "{error}");
        }
        for name in ["", "My-App", "a/b", "a b", "-a", "a-", "../x"] {
            assert!(choose("x", Some(name), None).is_err(), "{name}");
        }
    }
}
