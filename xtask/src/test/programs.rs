//! The programs that hold the tests: which there are, and running one.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::counts::{Counts, Reader};
use crate::steps::{cargo, root};

/// A program that holds tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The package and the target in it.
    pub(super) name: String,
    path: PathBuf,
    /// The package's folder, in which its tests run.
    folder: PathBuf,
}

/// How the tests of one program went.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) name: String,
    pub(super) counts: Counts,
    /// Whether it ended well, whatever its lines say.
    pub(super) good: bool,
}

/// A line of cargo's that tells of something built.
#[derive(Deserialize)]
struct Built {
    executable: Option<PathBuf>,
    manifest_path: PathBuf,
    profile: Profile,
    target: Target,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds all tests of the workspace.
pub(super) fn build() -> Result<Vec<Program>> {
    let mut child = cargo(&[
        "test",
        "--quiet",
        "--locked",
        "--workspace",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .context("cannot run cargo test")?;
    let mut programs = Vec::new();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        programs.extend(program(&line?));
    }
    anyhow::ensure!(child.wait()?.success(), "the tests cannot be built");
    Ok(programs)
}

/// The test program that such a line tells of, if it does.
fn program(line: &str) -> Option<Program> {
    let built: Built = serde_json::from_str(line).ok()?;
    let folder = built.manifest_path.parent()?;
    let path = built.executable.filter(|_| built.profile.test)?;
    let package = folder.strip_prefix(root()).unwrap_or(folder).display();
    let kind = built.target.kind.first().map_or("", String::as_str);
    Some(Program {
        name: match kind {
            "test" => format!("{package} --test {}", built.target.name),
            "bin" => format!("{package} --bin {}", built.target.name),
            _ => package.to_string(),
        },
        folder: folder.to_owned(),
        path,
    })
}

impl Program {
    /// Runs its tests, `threads` at once if that is given, and hands each line to `show`.
    pub(super) fn run(&self, threads: Option<usize>, show: &mut dyn FnMut(&str)) -> Result<Ran> {
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder);
        if let Some(threads) = threads {
            command.arg(format!("--test-threads={threads}"));
        }
        lines(command, &self.name, show)
    }
}

/// The examples in the documentation.
pub(super) fn doc_tests(show: &mut dyn FnMut(&str)) -> Result<Ran> {
    let command = cargo(&["test", "--quiet", "--locked", "--workspace", "--doc"]);
    lines(command, "examples in the documentation", show)
}

fn lines(mut command: Command, name: &str, show: &mut dyn FnMut(&str)) -> Result<Ran> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", Path::new(command.get_program()).display()))?;
    let mut reader = Reader::default();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line = line?;
        reader.add(&line);
        show(&line);
    }
    Ok(Ran {
        name: name.to_owned(),
        counts: reader.counts(),
        good: child.wait()?.success(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(test: bool, executable: &str, kind: &str) -> String {
        let manifest = root().join("cli/Cargo.toml");
        serde_json::json!({
            "reason": "compiler-artifact",
            "executable": (!executable.is_empty()).then_some(executable),
            "manifest_path": manifest,
            "profile": { "test": test, "opt_level": "1" },
            "target": { "name": "words", "kind": [kind], "src_path": "x" },
        })
        .to_string()
    }

    #[test]
    fn test_programs_are_found_among_what_cargo_built() {
        let found = program(&line(true, "/t/words-1", "test")).unwrap();
        assert_eq!(
            (found.name.as_str(), &*found.folder),
            ("cli --test words", &*root().join("cli"))
        );
        assert_eq!(program(&line(true, "/t/bosc-1", "lib")).unwrap().name, "cli");
        assert_eq!(program(&line(false, "/t/bosc", "bin")), None);
        assert_eq!(program(&line(true, "", "lib")), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(program("what a program said"), None);
    }
}
