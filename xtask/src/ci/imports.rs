//! One style of imports: `std`, then other crates, then our own modules; a blank line between the three and none within; a `use` for
//! each module. (rustfmt could do it, in its nightly version alone.)

use std::collections::HashSet;

/// Where an import comes from, in the order they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Std,
    Crate,
    Here,
}

/// What is wrong with the imports of a Rust file, as `: line …`.
pub(super) fn check(text: &str) -> Vec<String> {
    let modules: HashSet<&str> = text.lines().filter_map(declared).collect();
    let mut findings = Vec::new();
    // The import before, as long as nothing but blank lines and attributes came after it.
    let mut last: Option<(From, usize)> = None;
    let mut blank = false;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.is_empty() {
            blank = true;
            continue;
        }
        if trimmed.starts_with("#[") || trimmed.starts_with("// ") {
            continue;
        }
        // A line of a longer text may begin with the word, too.
        let import = |path: &&str| path.ends_with([';', '{']);
        let Some(path) = trimmed.strip_prefix("use ").filter(import) else {
            (last, blank) = (None, false);
            continue;
        };
        let mut whole = path.to_owned();
        while !whole.ends_with(';') {
            let Some((_, more)) = lines.next() else { break };
            whole.push_str(more.trim());
        }
        if whole.matches('{').count() > 1 {
            findings.push(format!(": line {}: a `use` for each module, please", number + 1));
        }
        let from = origin(path, &modules);
        let before = last
            .replace((from, indent))
            .filter(|(_, at)| *at == indent)
            .map(|(from, _)| from);
        let wrong = match before {
            Some(before) if before > from => "imports come as std, other crates, our own modules",
            Some(before) if before < from && !blank => {
                "a blank line, please, between std, other crates and our own modules"
            }
            Some(before) if before == from && blank => {
                "no blank line, please, between imports of the same kind"
            }
            _ => "",
        };
        if !wrong.is_empty() {
            findings.push(format!(": line {}: {wrong}", number + 1));
        }
        blank = false;
    }
    findings
}

/// The name of a module that a line declares.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = line
        .strip_prefix("pub(crate) ")
        .or_else(|| line.strip_prefix("pub "))
        .unwrap_or(line);
    let name = line.strip_prefix("mod ")?;
    name.strip_suffix(';').or_else(|| name.strip_suffix(" {"))
}

/// Where the path of a `use` comes from.
fn origin(path: &str, modules: &HashSet<&str>) -> From {
    let end = path
        .find(|sign: char| !sign.is_alphanumeric() && sign != '_')
        .unwrap_or(path.len());
    match path.get(..end).unwrap_or_default() {
        "std" | "core" | "alloc" => From::Std,
        "crate" | "self" | "super" => From::Here,
        name if modules.contains(name) => From::Here,
        _ => From::Crate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_in_order_with_blank_lines_between_are_fine() {
        for fine in [
            "use std::fs;\n\nuse bytes::Bytes;\nuse tokio::time;\n\nuse crate::a;\nuse super::b;\n",
            "mod c;\n\nuse std::fs;\n\nuse c::D;\n",
            "const X: &str = \"\n    use {a} or {b}\n\";\n",
            "use std::{\n    fs,\n    io,\n};\n\nuse crate::a;\n",
            "use crate::a;\n\nfn x() {\n    use std::fs;\n}\n",
            "use std::fs;\n#[cfg(unix)]\nuse std::os;\n\nuse crate::a;\n\npub use b::C;\n\nuse std::io;\n",
        ] {
            assert_eq!(check(fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn another_order_and_missing_or_needless_blank_lines_are_found() {
        for (text, what) in [
            ("use crate::a;\n\nuse std::fs;\n", ": line 3: imports come as"),
            ("use bytes::Bytes;\nuse std::fs;\n", ": line 2: imports come as"),
            ("use std::fs;\nuse bytes::Bytes;\n", ": line 2: a blank line"),
            ("use std::fs;\n\nuse std::io;\n", ": line 3: no blank line"),
            (
                "mod c;\nuse c::D;\n#[cfg(unix)]\nuse bytes::Bytes;\n",
                ": line 4: imports come as",
            ),
            (
                "mod t {\n    use super::*;\n    use proptest::prelude::*;\n}\n",
                ": line 3: imports come as",
            ),
            (
                "use std::{fs, io::{Read, Write}};\n",
                ": line 1: a `use` for each",
            ),
        ] {
            let found = check(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with(what), "{text}: {found:?}");
        }
    }
}
