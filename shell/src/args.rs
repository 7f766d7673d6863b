//! The host's own command-line flags. Whatever is not one of them belongs to the app and is passed on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::PublicKey;
use clap::parser::ValueSource;
use clap::{ArgAction, CommandFactory, Parser};
use tracing::level_filters::LevelFilter;

/// Flags of every app built on the shell.
#[derive(Debug, Clone, Parser, Default, PartialEq)]
#[command(
    version,
    disable_version_flag = true,
    help_template = "{before-help}{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}{after-help}",
    after_help = "Other arguments, and everything after `--`, are passed to the app."
)]
pub struct Args {
    /// Run the app in this folder (it holds package.json) instead of the installed one, without updates
    #[arg(long, value_name = "DIR")]
    pub dev: Option<PathBuf>,

    /// Show the page that a developer's server on this machine serves, such as http://localhost:5173; never in an installed app
    #[arg(long, value_name = "URL", env = "PEAR_DEV_SERVER_URL")]
    pub dev_url: Option<String>,

    /// Hear `reload` on standard input, and end with it; never in an installed app.
    #[arg(long, hide = true)]
    pub dev_pipe: bool,

    /// Keep the app's data in this folder; a different folder is a separate instance
    #[arg(long, value_name = "DIR")]
    pub storage: Option<PathBuf>,

    /// Start without over-the-air updates; no socket is opened
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "updates")]
    pub no_updates: bool,

    /// Look for over-the-air updates (the default of an installed app)
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "no_updates")]
    pub updates: bool,

    /// Install a version again that was taken back because it did not start
    #[arg(long)]
    pub retry_update: bool,

    /// Nodes through which the swarm is joined, as host:port, separated by commas
    #[arg(long, value_name = "HOST:PORT", env = "BOSC_BOOTSTRAP", value_delimiter = ',', value_parser = host_port)]
    pub bootstrap: Vec<String>,

    /// Blind relays to meet seeders at to whom no way opens, as public keys, separated by commas (besides those in package.json)
    #[arg(long, value_name = "KEY", env = "BOSC_RELAY", value_delimiter = ',')]
    pub relay: Vec<PublicKey>,

    /// Longest random wait before an update is fetched, in milliseconds (one hour if not given, 0 = at once)
    #[arg(long, value_name = "MS", env = "BOSC_DELAY")]
    pub delay: Option<u64>,

    /// How much to say on standard error and in the log file: off, error, warn, info, debug or trace
    #[arg(long, short = 'L', value_name = "LEVEL")]
    pub log_level: Option<LevelFilter>,

    /// Print the app's name and version
    #[arg(long, action = ArgAction::Version)]
    pub version: (),

    /// Whether `bootstrap` came from the environment.
    #[arg(skip)]
    pub bootstrap_from_env: bool,

    /// Whether `relay` came from the environment.
    #[arg(skip)]
    pub relay_from_env: bool,

    /// Whether `delay` came from the environment.
    #[arg(skip)]
    pub delay_from_env: bool,

    /// Arguments that are the app's own.
    #[arg(skip)]
    pub rest: Vec<String>,
}

impl Args {
    /// Reads the arguments after the program's name. `Err` is clap's: help text, what `--version` prints, or a usage message. The first
    /// two say which app it is, for which `about` is asked then, with the folder that `--dev` names.
    pub fn parse_from_os<I>(
        program: &str,
        args: I,
        about: impl FnOnce(Option<&Path>) -> Option<About>,
    ) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = OsString>,
    {
        let mut command = Args::command().name("app").bin_name(program.to_owned());
        let (ours, rest) = split(&command, args.into_iter());
        let asked = |flags: &[&str]| ours.iter().any(|arg| flags.iter().any(|flag| arg == flag));
        if asked(&["--help", "-h", "--version"]) {
            command = match about(named_folder(&ours).as_deref()) {
                Some(about) => command
                    .about(about.text())
                    .display_name(printable(&about.name))
                    .version(printable(&about.version)),
                None => command.display_name(program.to_owned()).version(UNKNOWN),
            };
        }
        let matches =
            command.try_get_matches_from_mut(std::iter::once(OsString::from(program)).chain(ours))?;
        let mut parsed = <Args as clap::FromArgMatches>::from_arg_matches(&matches)?;
        let from_env = |name| matches.value_source(name) == Some(ValueSource::EnvVariable);
        parsed.bootstrap_from_env = from_env("bootstrap");
        parsed.relay_from_env = from_env("relay");
        parsed.delay_from_env = from_env("delay");
        parsed.rest = rest;
        Ok(parsed)
    }

    /// `--updates` or `--no-updates` as typed; `None` when neither was.
    pub fn updates_choice(&self) -> Option<bool> {
        if self.no_updates {
            Some(false)
        } else {
            self.updates.then_some(true)
        }
    }

    /// `--bootstrap`, `None` for the public nodes.
    pub fn bootstrap_nodes(&self) -> Option<Vec<String>> {
        (!self.bootstrap.is_empty()).then(|| self.bootstrap.clone())
    }

    /// `--delay` as a duration.
    pub fn delay(&self) -> Option<Duration> {
        self.delay.map(Duration::from_millis)
    }

    /// The first `<scheme>://…` among the app's own arguments: a deep link.
    pub fn deep_link(&self, scheme: &str) -> Option<&str> {
        deep_link_in(&self.rest, scheme)
    }
}

/// Which app it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What people call it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says of itself; empty for nothing.
    pub description: String,
}

impl About {
    fn text(&self) -> String {
        let description = printable(self.description.trim());
        let line = format!("{} {}", printable(&self.name), printable(&self.version));
        if description.is_empty() {
            line
        } else {
            format!("{line}\n{description}")
        }
    }
}

/// A text of a package.json without what a terminal would act on.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

/// What stands for the version of an app whose package.json is not there.
const UNKNOWN: &str = concat!(
    "of an unknown version, built on Bosc ",
    env!("CARGO_PKG_VERSION"),
    ": no package.json of it is beside the program or in this folder"
);

/// What `--dev` names.
fn named_folder(ours: &[OsString]) -> Option<PathBuf> {
    let mut args = ours.iter();
    let mut found = None;
    while let Some(arg) = args.next() {
        if arg == "--dev" {
            found = args.next().map(PathBuf::from);
        } else if let Some(dir) = arg.to_str().and_then(|text| text.strip_prefix("--dev=")) {
            found = Some(dir.into());
        }
    }
    found
}

/// The first `<scheme>://…` in `args`.
pub fn deep_link_in<'a>(args: &'a [String], scheme: &str) -> Option<&'a str> {
    args.iter().map(String::as_str).find(|arg| {
        arg.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && arg
                .get(scheme.len()..)
                .is_some_and(|rest| rest.starts_with("://"))
    })
}

/// Parts the host's flags (with their values) from the app's arguments.
fn split(command: &clap::Command, args: impl Iterator<Item = OsString>) -> (Vec<OsString>, Vec<String>) {
    let takes_value = |long: &str| {
        command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(long))
            .map(|arg| arg.get_action().takes_values())
    };
    let (mut ours, mut rest) = (Vec::new(), Vec::new());
    let mut args = args;
    while let Some(arg) = args.next() {
        let Some(text) = arg.to_str() else {
            rest.push(arg.to_string_lossy().into_owned());
            continue;
        };
        if text == "--" {
            rest.extend(args.by_ref().map(|arg| arg.to_string_lossy().into_owned()));
            break;
        }
        if text == "--help" || text == "-h" {
            ours.push(arg);
            continue;
        }
        if text == "-L" {
            ours.push(arg);
            ours.extend(args.next());
            continue;
        }
        let long = text
            .strip_prefix("--")
            .map(|long| long.split_once('=').map_or(long, |(name, _)| name));
        match long.and_then(takes_value) {
            None => rest.push(text.to_owned()),
            Some(needs_value) => {
                let inline = text.contains('=');
                ours.push(arg);
                if needs_value && !inline {
                    ours.extend(args.next());
                }
            }
        }
    }
    (ours, rest)
}

fn host_port(text: &str) -> Result<String, String> {
    let text = text.trim();
    let valid = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if valid {
        Ok(text.to_owned())
    } else {
        Err("write it as host:port, for example 127.0.0.1:49737".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::parse_from_os("PearChat", args.iter().map(OsString::from), |_| None)
    }

    #[test]
    fn help_and_version_say_which_app_it_is() {
        let about = |description: &str| About {
            name: "Pear Chat".into(),
            version: "1.2.3".into(),
            description: description.into(),
        };
        let said = |args: &[&str], about: &About| {
            let args = args.iter().map(OsString::from);
            let asked = Args::parse_from_os("PearChat", args, |dir| {
                assert!(dir.is_none_or(|dir| dir == Path::new("here")));
                Some(about.clone())
            });
            let error = asked.unwrap_err();
            assert!(!error.use_stderr() && error.exit_code() == 0, "{error}");
            error.to_string()
        };
        for help in [&["--help"][..], &["x", "-h"], &["--dev", "here", "--help"]] {
            let text = said(help, &about("Chats with\u{1b}[1A nobody"));
            assert!(
                text.starts_with("Pear Chat 1.2.3\nChats with [1A nobody\n\nUsage: PearChat"),
                "{text}"
            );
            assert!(
                text.contains("--storage") && text.contains("passed to the app"),
                "{text}"
            );
        }
        assert!(said(&["--help"], &about("")).starts_with("Pear Chat 1.2.3\n\nUsage"));
        assert_eq!(
            said(&["--dev=here", "--version"], &about("x")),
            "Pear Chat 1.2.3\n"
        );
        // What is after the two lines is the app's own.
        assert_eq!(parse(&["--", "--version"]).unwrap().rest, ["--version"]);
        let unknown = parse(&["--version"]).unwrap_err().to_string();
        assert!(
            unknown.starts_with("PearChat of an unknown version, built on Bosc ") && unknown.ends_with('\n'),
            "{unknown}"
        );
        assert!(
            parse(&["--help"])
                .unwrap_err()
                .to_string()
                .contains("Usage: PearChat")
        );
    }

    #[test]
    fn flags_and_the_apps_arguments_are_parted() {
        let args = parse(&[
            "--storage",
            "/tmp/s",
            "--room=blue",
            "pear-chat://join/1",
            "--delay=0",
            "--bootstrap",
            "a:1,b:2",
            "--",
            "--updates",
        ])
        .unwrap();
        assert_eq!(args.storage, Some(PathBuf::from("/tmp/s")));
        assert_eq!(args.delay(), Some(Duration::ZERO));
        assert_eq!(args.bootstrap_nodes().unwrap(), ["a:1", "b:2"]);
        assert_eq!(args.rest, ["--room=blue", "pear-chat://join/1", "--updates"]);
        assert_eq!(args.updates_choice(), None);
        let level = |args: &[&str]| parse(args).map(|args| args.log_level);
        for given in [
            &["-L", "debug"][..],
            &["--log-level", "debug"],
            &["--log-level=DEBUG"],
        ] {
            assert_eq!(level(given).unwrap(), Some(LevelFilter::DEBUG));
        }
        assert_eq!(level(&[]).unwrap(), None);
        assert!(level(&["-L", "loud"]).is_err() && level(&["-L"]).is_err());
        assert_eq!(args.deep_link("pear-chat"), Some("pear-chat://join/1"));
        assert_eq!(args.deep_link("pear"), None);
        assert!(!args.retry_update && parse(&["--retry-update"]).unwrap().retry_update);
    }

    #[test]
    fn the_last_of_updates_and_no_updates_wins() {
        assert_eq!(
            parse(&["--updates", "--no-updates"]).unwrap().updates_choice(),
            Some(false)
        );
        assert_eq!(
            parse(&["--no-updates", "--updates"]).unwrap().updates_choice(),
            Some(true)
        );
    }

    #[test]
    fn mistakes_are_explained() {
        let message = parse(&["--bootstrap", "nowhere"]).unwrap_err().to_string();
        assert!(message.contains("host:port"), "{message}");
        assert!(parse(&["--delay", "soon"]).is_err());
        assert!(parse(&["--storage"]).is_err());
    }

    proptest! {
        #[test]
        fn any_arguments_never_panic(args in proptest::collection::vec(".{0,12}", 0..6)) {
            let _ = Args::parse_from_os("x", args.iter().map(OsString::from), |_| None);
            let _ = deep_link_in(&args, "é");
        }
    }
}
