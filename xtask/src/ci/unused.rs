//! Every dependency of a crate occurs in its sources: what a build needs in code, a dev-dependency in tests, examples or benches.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde_json::Value;

use super::items;
use crate::steps::root;

/// A crate, a dependency of it that no source names, and why it is there all the same.
const ALLOWED: [(&str, &str, &str); 0] = [];

/// The words that items begin with.
const ITEMS: [&str; 10] = [
    "const",
    "enum",
    "fn",
    "impl",
    "macro_rules",
    "static",
    "struct",
    "trait",
    "type",
    "union",
];

/// When a source is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// For whoever uses the crate.
    Build,
    /// For its own tests, examples and benches.
    Test,
    /// Before the crate, as its build script.
    Script,
}

/// The first words of all paths in a crate's sources.
#[derive(Debug, Default)]
struct Names {
    build: HashSet<String>,
    test: HashSet<String>,
    script: HashSet<String>,
}

impl Names {
    fn of(&mut self, when: When) -> &mut HashSet<String> {
        match when {
            When::Build => &mut self.build,
            When::Test => &mut self.test,
            When::Script => &mut self.script,
        }
    }
}

pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let members: HashSet<&str> = items(&metadata["workspace_members"])
        .filter_map(Value::as_str)
        .collect();
    let mut findings = Vec::new();
    let mut needless: HashSet<(&str, &str)> = ALLOWED.iter().map(|(from, to, _)| (*from, *to)).collect();
    for package in items(&metadata["packages"]) {
        let (Some(id), Some(name)) = (package["id"].as_str(), package["name"].as_str()) else {
            continue;
        };
        if !members.contains(id) {
            continue;
        }
        let mut names = Names::default();
        for target in items(&package["targets"]) {
            let when = match target["kind"][0].as_str() {
                Some("test" | "example" | "bench") => When::Test,
                Some("custom-build") => When::Script,
                _ => When::Build,
            };
            let file = Path::new(target["src_path"].as_str().context("a target without a source")?);
            let folder = file.parent().unwrap_or(file);
            read(file, folder, when, &mut names)?;
        }
        let node = items(&metadata["resolve"]["nodes"]).find(|node| node["id"].as_str() == Some(id));
        let node = node.with_context(|| format!("cargo metadata says nothing about what {name} needs"))?;
        for finding in idle(node, &names) {
            let allowed = ALLOWED
                .iter()
                .find(|(from, to, _)| *from == name && *to == finding.library);
            match allowed {
                Some((from, to, _)) => drop(needless.remove(&(*from, *to))),
                None => findings.push(format!("{name}: {}", finding.what)),
            }
        }
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).context("cannot read Cargo.toml")?;
    findings.extend(untaken(&manifest, metadata)?);
    findings.extend(
        needless
            .into_iter()
            .map(|(from, to)| format!("ALLOWED has {to} of {from} without need")),
    );
    findings.sort();
    Ok(findings)
}

/// What `[workspace.dependencies]` lists and no crate takes.
fn untaken(manifest: &str, metadata: &Value) -> Result<Vec<String>> {
    let manifest: toml::Table = toml::from_str(manifest).context("Cargo.toml is not usable")?;
    let listed = manifest
        .get("workspace")
        .and_then(|table| table.get("dependencies"));
    let listed = listed
        .and_then(toml::Value::as_table)
        .context("Cargo.toml has no [workspace.dependencies]")?;
    let members: HashSet<&str> = items(&metadata["workspace_members"])
        .filter_map(Value::as_str)
        .collect();
    let taken: HashSet<&str> = items(&metadata["packages"])
        .filter(|package| package["id"].as_str().is_some_and(|id| members.contains(id)))
        .flat_map(|package| items(&package["dependencies"]))
        .filter_map(|dependency| dependency["rename"].as_str().or(dependency["name"].as_str()))
        .collect();
    let idle = listed.keys().filter(|name| !taken.contains(name.as_str()));
    Ok(idle
        .map(|name| format!("no crate takes {name}; take it out of [workspace.dependencies]"))
        .collect())
}

/// A dependency that no source of the right kind names.
#[derive(Debug, PartialEq, Eq)]
struct Idle {
    library: String,
    what: String,
}

/// What is idle among the dependencies of a package, a node of cargo's graph.
fn idle(node: &Value, names: &Names) -> Vec<Idle> {
    let mut found = Vec::new();
    for dep in items(&node["deps"]) {
        let Some(library) = dep["name"].as_str() else {
            continue;
        };
        for kind in items(&dep["dep_kinds"]) {
            let what = match kind["kind"].as_str() {
                None if names.build.contains(library) => continue,
                None if names.test.contains(library) => {
                    format!("{library} occurs in tests only; move it to [dev-dependencies]")
                }
                None => format!("{library} occurs nowhere; take it out of [dependencies]"),
                // One that is a dependency as well only adds features for tests.
                Some("dev") if names.test.contains(library) => continue,
                Some("dev") => {
                    format!(
                        "{library} occurs in no test, example or bench; take it out of [dev-dependencies]"
                    )
                }
                Some("build") if names.script.contains(library) => continue,
                Some(kind) => {
                    format!(
                        "{library} does not occur in the build script; take it out of [{kind}-dependencies]"
                    )
                }
            };
            found.push(Idle {
                library: library.to_owned(),
                what,
            });
        }
    }
    found
}

/// Reads a file and the modules that it declares. `folder` is where the files of those modules lie.
fn read(file: &Path, folder: &Path, when: When, names: &mut Names) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let tokens: TokenStream = text
        .parse()
        .map_err(|error| anyhow::anyhow!("{} is not Rust: {error}", file.display()))?;
    let mut modules = Vec::new();
    walk(tokens, when, folder, names, &mut modules);
    for module in modules {
        let (file, folder) = module.find(file)?;
        read(&file, &folder, module.when, names)?;
    }
    Ok(())
}

/// `mod name;`
#[derive(Debug)]
struct Module {
    name: String,
    /// Where its file or folder lies.
    folder: PathBuf,
    /// `#[path = "…"]`
    path: Option<String>,
    when: When,
}

impl Module {
    /// Its file, and the folder of the modules below it.
    fn find(&self, declared_in: &Path) -> Result<(PathBuf, PathBuf)> {
        let below = self.folder.join(&self.name);
        if let Some(path) = &self.path {
            let file = declared_in.parent().unwrap_or(declared_in).join(path);
            let folder = file.parent().unwrap_or(&file).to_owned();
            return Ok((file, folder));
        }
        let beside = self.folder.join(format!("{}.rs", self.name));
        if beside.is_file() {
            return Ok((beside, below));
        }
        let inside = below.join("mod.rs");
        ensure!(
            inside.is_file(),
            "{} declares the module {}, whose file is not found",
            declared_in.display(),
            self.name
        );
        Ok((inside, below))
    }
}

/// Collects the names of a module's tokens, item by item as far as `#[cfg(test)]` asks for it.
fn walk(tokens: TokenStream, when: When, folder: &Path, names: &mut Names, modules: &mut Vec<Module>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    // The attributes of what comes next, and whether that is an item: its commas do not end it.
    let (mut test, mut path, mut item) = (false, None, false);
    let mut whole = when;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1);
        let here = if test && whole == When::Build {
            When::Test
        } else {
            whole
        };
        match token {
            TokenTree::Punct(sign) if sign.as_char() == '#' => {
                let inner = is_sign(next, '!');
                let group = tokens.get(at + 1 + usize::from(inner));
                if let Some(TokenTree::Group(group)) = group {
                    let tests = is_test(group.stream());
                    if !inner {
                        test |= tests;
                        path = path.or_else(|| path_of(group.stream()));
                    } else if tests && whole == When::Build {
                        whole = When::Test;
                    }
                }
                at += 1;
                continue;
            }
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Bracket && is_attribute(&tokens, at) =>
            {
                walk(group.stream(), here, folder, names, modules);
                at += 1;
                continue;
            }
            TokenTree::Ident(word) if word == "mod" => {
                let (name, end) = (next, tokens.get(at + 2));
                if let (Some(TokenTree::Ident(name)), Some(end)) = (name, end) {
                    let name = name.to_string();
                    match end {
                        TokenTree::Punct(sign) if sign.as_char() == ';' => modules.push(Module {
                            name,
                            folder: folder.to_owned(),
                            path: path.take(),
                            when: here,
                        }),
                        TokenTree::Group(body) => {
                            walk(body.stream(), here, &folder.join(name), names, modules)
                        }
                        _ => {}
                    }
                    (test, path, item) = (false, None, false);
                    at += 3;
                    continue;
                }
            }
            TokenTree::Ident(word) if starts_path(&tokens, at) => {
                names.of(here).insert(word.to_string());
            }
            TokenTree::Group(group) => {
                // A use tree in braces: `use {a::b, c};`, each of which starts a path.
                if group.delimiter() == Delimiter::Brace && is_word(before(&tokens, at, 1), "use") {
                    let mut first = true;
                    for token in group.stream() {
                        if let (true, TokenTree::Ident(word)) = (first, &token) {
                            names.of(here).insert(word.to_string());
                        }
                        first = is_sign(Some(&token), ',');
                    }
                }
                walk(group.stream(), here, folder, names, modules);
            }
            _ => {}
        }
        item |= matches!(token, TokenTree::Ident(word) if ITEMS.iter().any(|item| word == item));
        // The end of an item, or of a statement, field or arm that had attributes.
        let ends = match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(sign) => sign.as_char() == ';' || (sign.as_char() == ',' && !item),
            _ => false,
        };
        if ends {
            (test, path, item) = (false, None, false);
        }
        at += 1;
    }
}

/// Whether the word at `at` is a crate's name by its place: before `::`, or after `use` or `extern crate`.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    // `name::<T>` is a function's.
    let leads = is_sign(tokens.get(at + 1), ':')
        && is_sign(tokens.get(at + 2), ':')
        && !is_sign(tokens.get(at + 3), '<')
        && !is_word(tokens.get(at), "use");
    let mut start = at;
    // `::name::…` starts a path, `other::name::…` does not, `<T>::name` neither.
    if is_sign(before(tokens, at, 1), ':') && is_sign(before(tokens, at, 2), ':') {
        start -= 2;
        let global = match before(tokens, start, 1) {
            Some(TokenTree::Ident(word)) => word == "use",
            Some(TokenTree::Punct(sign)) => sign.as_char() != '>',
            _ => true,
        };
        if !global {
            return false;
        }
    }
    let word = before(tokens, start, 1);
    leads || is_word(word, "use") || (is_word(word, "crate") && is_word(before(tokens, start, 2), "extern"))
}

fn before(tokens: &[TokenTree], at: usize, steps: usize) -> Option<&TokenTree> {
    tokens.get(at.checked_sub(steps)?)
}

fn is_sign(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_word(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if word == name)
}

/// Whether the brackets at `at` belong to an attribute.
fn is_attribute(tokens: &[TokenTree], at: usize) -> bool {
    let last = before(tokens, at, 1);
    is_sign(last, '#') || (is_sign(last, '!') && is_sign(before(tokens, at, 2), '#'))
}

/// Whether an attribute (what is between its brackets) leaves an item to tests: `cfg(test)`, `cfg(all(test, …))`, `test`.
fn is_test(attribute: TokenStream) -> bool {
    let mut tokens = attribute.into_iter();
    let (Some(TokenTree::Ident(word)), rest) = (tokens.next(), tokens.next()) else {
        return false;
    };
    match rest {
        Some(TokenTree::Group(group)) if word == "cfg" => needs_test(group.stream()),
        None => word == "test",
        _ => false,
    }
}

/// Whether a condition holds in tests only.
fn needs_test(condition: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.into_iter().collect();
    tokens.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Ident(word) => word == "test",
        TokenTree::Group(group) => is_word(before(&tokens, at, 1), "all") && needs_test(group.stream()),
        _ => false,
    })
}

/// The file of `path = "…"`.
fn path_of(attribute: TokenStream) -> Option<String> {
    let tokens: Vec<TokenTree> = attribute.into_iter().collect();
    match tokens.as_slice() {
        [
            TokenTree::Ident(word),
            TokenTree::Punct(_),
            TokenTree::Literal(text),
        ] if word == "path" => Some(text.to_string().trim_matches('"').to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Names {
        let mut names = Names::default();
        walk(
            text.parse().unwrap(),
            When::Build,
            Path::new("src"),
            &mut names,
            &mut Vec::new(),
        );
        names
    }

    fn sorted(names: &HashSet<String>) -> Vec<&str> {
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_path_starts_with_a_crate_and_nothing_else_does() {
        let names = names(
            "//! talks::of others\nuse a::b;\nuse ::c::d;\nuse {e::f, g};\nextern crate h;\n#[i::j]\n#[derive(k::L)]\n\
             fn x() { m!(n::o(\"p::q\")); y.r(); crate::s::t(); <U>::v(); z.w::<x2::Y>(); }",
        );
        assert_eq!(
            sorted(&names.build),
            ["a", "c", "crate", "e", "g", "h", "i", "k", "n", "x2"]
        );
        assert!(names.test.is_empty());
    }

    #[test]
    fn what_is_for_tests_does_not_count_for_the_build() {
        let names = names(
            "use a::b;\n#[cfg(test)]\nuse c::d;\n#[test]\nfn s<A, B>() { q::r(); }\nfn x() {}\n#[cfg(all(test, unix))]\nmod tests { use e::f; #[test] fn t() { g::h(); } }\n\
             #[cfg(not(test))]\nfn y() { i::j(); }\n#[cfg(any(test, unix))]\nfn z() { k::l(); }\n#[test]\nfn u() { m::n(); }\nuse o::p;",
        );
        assert_eq!(sorted(&names.build), ["a", "i", "k", "o"]);
        assert_eq!(sorted(&names.test), ["c", "e", "g", "m", "q"]);
        let mut whole = Names::default();
        let text = "#![cfg(test)]\nuse a::b;".parse().unwrap();
        walk(text, When::Build, Path::new("src"), &mut whole, &mut Vec::new());
        assert_eq!((sorted(&whole.build), sorted(&whole.test)), (vec![], vec!["a"]));
    }

    #[test]
    fn modules_are_found_in_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "lib.rs",
            "mod a;\n#[cfg(test)]\nmod t;\nmod inline { mod deep; }\n#[path = \"other/file.rs\"]\nmod o;",
        );
        write("a/mod.rs", "mod b;\nuse in_a::X;");
        write("a/b.rs", "mod c;");
        write("a/b/c.rs", "use in_c::X;");
        write("t.rs", "mod u;\nuse in_t::X;");
        write("t/u.rs", "use in_u::X;");
        write("inline/deep.rs", "use in_deep::X;");
        write("other/file.rs", "use in_other::X;");
        let mut names = Names::default();
        read(
            &folder.path().join("lib.rs"),
            folder.path(),
            When::Build,
            &mut names,
        )
        .unwrap();
        assert_eq!(sorted(&names.build), ["in_a", "in_c", "in_deep", "in_other"]);
        assert_eq!(sorted(&names.test), ["in_t", "in_u"]);
        write("lib.rs", "mod gone;");
        let error = read(
            &folder.path().join("lib.rs"),
            folder.path(),
            When::Build,
            &mut names,
        )
        .unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }

    #[test]
    fn a_version_that_no_crate_takes_is_found() {
        let manifest =
            "[workspace.dependencies]\na = \"1\"\nb = { package = \"long-b\", path = \"b\" }\nc = \"1\"\n";
        let metadata = serde_json::json!({ "workspace_members": ["one"], "packages": [
            { "id": "one", "dependencies": [{ "name": "a", "rename": null }, { "name": "long-b", "rename": "b" }] },
            { "id": "c", "dependencies": [{ "name": "c", "rename": null }] },
        ] });
        let found = untaken(manifest, &metadata).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("takes c;"), "{found:?}");
    }

    #[test]
    fn idle_dependencies_are_named_with_what_to_do() {
        let dep = |name: &str, kinds: &[Value]| {
            let kinds: Vec<Value> = kinds
                .iter()
                .map(|kind| serde_json::json!({ "kind": kind }))
                .collect();
            serde_json::json!({ "name": name, "dep_kinds": kinds })
        };
        let node = serde_json::json!({ "deps": [
            dep("used", &[Value::Null]),
            dep("idle", &[Value::Null]),
            dep("tested", &[Value::Null]),
            dep("both", &[Value::Null, "dev".into()]),
            dep("lazy", &["dev".into()]),
            dep("script", &["build".into()]),
        ] });
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let names = Names {
            build: set(&["used", "both", "lazy", "script"]),
            test: set(&["tested", "both"]),
            script: set(&[]),
        };
        let found = idle(&node, &names);
        let libraries: Vec<&str> = found.iter().map(|idle| idle.library.as_str()).collect();
        assert_eq!(libraries, ["idle", "tested", "lazy", "script"]);
        assert!(found[0].what.contains("nowhere"), "{}", found[0].what);
        assert!(found[1].what.contains("move it"), "{}", found[1].what);
    }
}
