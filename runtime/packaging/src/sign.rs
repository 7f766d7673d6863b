//! Signing, by tools and commands of the author's. A bundle is signed before any format is made of it, and a file before it takes its
//! place: whatever hashes them comes after that, be it an MSIX's block map, `build` or `stage`.
//!
//! What is signed follows from the environment, by the names that Electron Forge's guides use where there is one:
//!
//! | variable | for | what is run |
//! | --- | --- | --- |
//! | `MAC_CODESIGN_IDENTITY` | macOS | `codesign` on the `.app` and the disk image |
//! | `KEYCHAIN_PROFILE` | macOS, with that | `notarytool` and `stapler` |
//! | `WINDOWS_SIGN_HOOK` | Windows | the command it names, on each program of the bundle and on the MSIX |
//! | `MAC_SIGN_HOOK`, `LINUX_SIGN_HOOK` | macOS, Linux | the command it names, on the bundle and on each file made of it |

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command};

use app::{Host, Layout, Manifest, layout};

use crate::place::Beside;
use crate::stop::Stop;
use crate::tree::Tree;
use crate::{Format, PackagingError, folder, macos};

/// What in a bundle for Windows is signed, by the ends of its names.
const PROGRAMS: [&str; 2] = [".exe", ".dll"];

/// What signs bundles for one machine, and the files made of them. By default nothing does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signing {
    bundle: Vec<Tool>,
    file: Vec<Tool>,
}

/// One program, and what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tool {
    /// Why it is run.
    variable: &'static str,
    program: OsString,
    args: Vec<Arg>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Arg {
    Text(OsString),
    /// What is to be signed.
    Path,
    /// What an app for macOS may ask for.
    Entitlements,
    /// A place for an archive that is needed for a moment.
    Archive,
}

impl Signing {
    /// What the environment asks for, of an app for that machine; `variable` reads it.
    pub fn by(host: &Host, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let hook = |name| {
            set(name).map(|program| Tool {
                variable: name,
                program,
                args: vec![Arg::Path],
            })
        };
        match host.platform() {
            "darwin" => {
                let mut signing = match set("MAC_CODESIGN_IDENTITY") {
                    Some(identity) => Self::codesign(&identity, set("KEYCHAIN_PROFILE").as_deref()),
                    None => Self::default(),
                };
                signing.bundle.extend(hook("MAC_SIGN_HOOK"));
                signing.file.extend(hook("MAC_SIGN_HOOK"));
                signing
            }
            platform => {
                let name = if platform == "win32" {
                    "WINDOWS_SIGN_HOOK"
                } else {
                    "LINUX_SIGN_HOOK"
                };
                let tools: Vec<Tool> = hook(name).into_iter().collect();
                Self {
                    bundle: tools.clone(),
                    file: tools,
                }
            }
        }
    }

    /// Apple's own tools.
    fn codesign(identity: &OsStr, profile: Option<&OsStr>) -> Self {
        let tool = |variable, program: &str, args: Vec<Arg>| Tool {
            variable,
            program: program.into(),
            args,
        };
        let sign = |rights: &[Arg]| {
            let first = ["--force", "--timestamp", "--sign"].map(text);
            let args = [&first[..], &[Arg::Text(identity.into())], rights, &[Arg::Path]].concat();
            tool("MAC_CODESIGN_IDENTITY", "codesign", args)
        };
        let rights = [
            text("--options"),
            text("runtime"),
            text("--entitlements"),
            Arg::Entitlements,
        ];
        let (mut bundle, mut file) = (vec![sign(&rights)], vec![sign(&[])]);
        if let Some(profile) = profile {
            let submit = |what: Arg| {
                let first = ["notarytool", "submit"].map(text);
                let last = [
                    text("--keychain-profile"),
                    Arg::Text(profile.into()),
                    text("--wait"),
                ];
                let args = [&first[..], &[what], &last].concat();
                tool("KEYCHAIN_PROFILE", "xcrun", args)
            };
            let staple = || {
                let args = vec![text("stapler"), text("staple"), Arg::Path];
                tool("KEYCHAIN_PROFILE", "xcrun", args)
            };
            let archive = ["-c", "-k", "--keepParent"].map(text);
            let archive = [&archive[..], &[Arg::Path, Arg::Archive]].concat();
            bundle.push(tool("KEYCHAIN_PROFILE", "ditto", archive));
            bundle.extend([submit(Arg::Archive), staple()]);
            file.extend([submit(Arg::Path), staple()]);
        }
        Self { bundle, file }
    }

    /// Whether nothing is signed.
    pub(crate) fn is_none(&self) -> bool {
        self.bundle.is_empty() && self.file.is_empty()
    }

    /// Whether all that signs is there.
    pub(crate) fn check(&self) -> Result<(), PackagingError> {
        let missing = self
            .bundle
            .iter()
            .chain(&self.file)
            .find(|tool| !is_there(&tool.program));
        match missing {
            Some(tool) => Err(tool.failed("it is not there")),
            None => Ok(()),
        }
    }

    /// Writes the bundle beside `folder`'s results, signs it, and gives what it holds then, which stays there as long as the place does.
    pub(crate) fn bundle(
        &self,
        bundle: &Tree,
        manifest: &Manifest,
        host: &Host,
        folder: &Path,
        stop: &Stop,
    ) -> Result<(Tree, Beside), PackagingError> {
        let beside = Beside::new(&folder.join("signed"), stop)?;
        let layout = Layout::of(host, layout::Format::Folder);
        let place = beside.path();
        let path = place.join(layout.bundle_name(&manifest.product_name));
        folder::write(bundle, &path)?;
        let rights = place.join("entitlements");
        if host.platform() == "darwin" {
            fs::write(&rights, macos::entitlements(manifest)?)
                .map_err(PackagingError::io("write", &rights))?;
        }
        let targets = if host.platform() == "win32" {
            let names = bundle.items().map(|(name, _)| name);
            let programs = names.filter(|name| {
                let name = name.to_ascii_lowercase();
                PROGRAMS.iter().any(|end| name.ends_with(end))
            });
            programs.map(|name| path.join(name)).collect()
        } else {
            vec![path.clone()]
        };
        let archive = place.join("notarised.zip");
        for target in targets {
            for tool in &self.bundle {
                tool.run(&target, &rights, &archive, stop)?;
            }
        }
        let mut signed = Tree::default();
        signed.put_from_disk("", &path)?;
        // A tool that went wrong without a word.
        let lost = bundle
            .items()
            .find(|(name, _)| signed.items().all(|(other, _)| other != *name));
        match (lost, self.bundle.last()) {
            (Some((name, _)), Some(tool)) => Err(tool.failed(&format!("after it {name} is missing"))),
            _ => Ok((signed, beside)),
        }
    }

    /// Signs a file that was made of a bundle. What is an archive alone has nothing to sign.
    pub(crate) fn file(&self, format: Format, path: &Path, stop: &Stop) -> Result<(), PackagingError> {
        if matches!(format, Format::Folder | Format::Zip) {
            return Ok(());
        }
        let nothing = Path::new("");
        self.file
            .iter()
            .try_for_each(|tool| tool.run(path, nothing, nothing, stop))
    }
}

fn text(text: &str) -> Arg {
    Arg::Text(text.into())
}

/// Whether a program is where it is named, or on the PATH.
fn is_there(program: &OsStr) -> bool {
    if Path::new(program).components().count() > 1 {
        return Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

impl Tool {
    fn failed(&self, what: &str) -> PackagingError {
        PackagingError::Signing {
            variable: self.variable,
            program: PathBuf::from(&self.program),
            what: what.to_owned(),
        }
    }

    /// Runs it; what it says goes to standard error.
    fn run(&self, path: &Path, rights: &Path, archive: &Path, stop: &Stop) -> Result<(), PackagingError> {
        let mut command = Command::new(&self.program);
        for arg in &self.args {
            command.arg(match arg {
                Arg::Text(text) => text.as_os_str(),
                Arg::Path => path.as_os_str(),
                Arg::Entitlements => rights.as_os_str(),
                Arg::Archive => archive.as_os_str(),
            });
        }
        let cannot = |error: std::io::Error| self.failed(&format!("it cannot be run: {error}"));
        let show = |mut said: ChildStdout| std::io::copy(&mut said, &mut std::io::stderr()).map(drop);
        let status = stop.run(&mut command, show, cannot)?;
        if status.success() {
            return Ok(());
        }
        Err(self.failed(&format!("it ended with {status}; see what it says above")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(host: &str, set: &[(&str, &str)]) -> [Vec<String>; 2] {
        let host = host.parse().unwrap();
        let signing = Signing::by(&host, |name| {
            let found = set.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        });
        [signing.bundle, signing.file].map(|tools| {
            let line = |tool: Tool| {
                let args = tool.args.iter().map(|arg| match arg {
                    Arg::Text(text) => text.to_string_lossy().into_owned(),
                    other => format!("<{other:?}>").to_lowercase(),
                });
                let words: Vec<String> = args.collect();
                format!("{} {}", tool.program.display(), words.join(" "))
            };
            tools.into_iter().map(line).collect()
        })
    }

    #[test]
    fn apples_tools_sign_notarise_and_staple_in_that_order() {
        let set = [("MAC_CODESIGN_IDENTITY", "Me (1)"), ("KEYCHAIN_PROFILE", "p")];
        let [bundle, file] = commands("darwin-arm64", &set);
        assert_eq!(
            bundle,
            [
                "codesign --force --timestamp --sign Me (1) --options runtime --entitlements <entitlements> <path>",
                "ditto -c -k --keepParent <path> <archive>",
                "xcrun notarytool submit <archive> --keychain-profile p --wait",
                "xcrun stapler staple <path>",
            ]
        );
        assert_eq!(
            file,
            [
                "codesign --force --timestamp --sign Me (1) <path>",
                "xcrun notarytool submit <path> --keychain-profile p --wait",
                "xcrun stapler staple <path>",
            ]
        );
        // A profile signs nothing by itself, and what is set for one system is nothing to another.
        assert_eq!(
            commands("darwin-x64", &set[1..]),
            [vec![], vec![]] as [Vec<String>; 2]
        );
        assert_eq!(commands("linux-x64", &set), [vec![], vec![]] as [Vec<String>; 2]);
    }

    #[test]
    fn a_hook_gets_what_is_to_be_signed() {
        for (host, name) in [
            ("win32-x64", "WINDOWS_SIGN_HOOK"),
            ("linux-arm64", "LINUX_SIGN_HOOK"),
            ("darwin-arm64", "MAC_SIGN_HOOK"),
        ] {
            let [bundle, file] = commands(host, &[(name, "/my/sign")]);
            assert_eq!(
                (bundle, file),
                (
                    vec!["/my/sign <path>".to_owned()],
                    vec!["/my/sign <path>".to_owned()]
                )
            );
            assert_eq!(
                commands(host, &[(name, "")]),
                [vec![], vec![]] as [Vec<String>; 2]
            );
        }
    }
}
