//! Machines that apps are built for, as deployment folders name them: Node's words, `<platform>-<arch>`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Longest name of a host in bytes; the longest that there is has twelve.
const MAX_NAME_BYTES: usize = 32;

/// A kind of machine, such as `linux-x64`. Others than those that Bosc runs on have names as well: a release may be for them, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    platform: Cow<'static, str>,
    arch: Cow<'static, str>,
}

/// A text is no host's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no machine: write <platform>-<arch>, such as linux-x64 or darwin-arm64")]
pub struct NotAHost(String);

impl Host {
    /// Those that Bosc runs on.
    pub const ALL: [Host; 6] = [
        Host::known("darwin", "arm64"),
        Host::known("darwin", "x64"),
        Host::known("linux", "arm64"),
        Host::known("linux", "x64"),
        Host::known("win32", "arm64"),
        Host::known("win32", "x64"),
    ];

    const fn known(platform: &'static str, arch: &'static str) -> Self {
        Self {
            platform: Cow::Borrowed(platform),
            arch: Cow::Borrowed(arch),
        }
    }

    /// This machine: systems and processors that Node has no name for are called as Rust does.
    pub fn current() -> Self {
        let platform = match std::env::consts::OS {
            "macos" => "darwin",
            "windows" => "win32",
            other => other,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        Self::known(platform, arch)
    }

    /// `linux`, `darwin`, `win32`, or another.
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// `x64`, `arm64`, or another.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The host of [`Host::ALL`] that this one, which is none of them, is meant to be: in words of others than Node, or with a letter
    /// wrong. No name that Node has for another machine is taken for one of them.
    pub fn meant(&self) -> Option<Host> {
        if Self::ALL.contains(self) {
            return None;
        }
        let platform = match self.platform() {
            "macos" | "mac" | "osx" => "darwin",
            "windows" | "win" | "win64" => "win32",
            other => other,
        };
        let arch = match self.arch() {
            "x86_64" | "amd64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        let name = format!("{platform}-{arch}");
        Self::ALL
            .into_iter()
            .find(|host| strsim::damerau_levenshtein(&host.to_string(), &name) <= 1)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.platform, self.arch)
    }
}

impl FromStr for Host {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        match text.split_once('-') {
            Some((platform, arch)) if text.len() <= MAX_NAME_BYTES && word(platform) && word(arch) => {
                Ok(Self {
                    platform: Cow::Owned(platform.to_owned()),
                    arch: Cow::Owned(arch.to_owned()),
                })
            }
            _ => Err(NotAHost(text.chars().take(MAX_NAME_BYTES).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_parsed_as_they_are_printed() {
        for host in Host::ALL {
            assert_eq!(host.to_string().parse(), Ok(host));
        }
        let host: Host = "android-arm64".parse().unwrap();
        assert_eq!((host.platform(), host.arch()), ("android", "arm64"));
        assert_eq!(Host::current().to_string().parse(), Ok(Host::current()));
        assert!(!cfg!(target_os = "linux") || Host::ALL.contains(&Host::current()));
    }

    #[test]
    fn what_names_no_machine_is_refused() {
        for text in [
            "",
            "-",
            "linux",
            "linux-",
            "-x64",
            "Linux-x64",
            "linux-x64-musl",
            "../x-y",
            "linux x64",
            ".DS_Store",
        ] {
            let error = text.parse::<Host>().unwrap_err().to_string();
            assert!(error.contains("linux-x64 or"), "{text}: {error}");
        }
        assert!(format!("linux-{}", "x".repeat(100)).parse::<Host>().is_err());
    }

    #[test]
    fn a_misspelt_host_is_noticed() {
        let meant = |text: &str| text.parse::<Host>().unwrap().meant().map(|host| host.to_string());
        assert_eq!(meant("linux-x46").as_deref(), Some("linux-x64"));
        assert_eq!(meant("linxu-arm64").as_deref(), Some("linux-arm64"));
        assert_eq!(meant("linux-x86_64").as_deref(), Some("linux-x64"));
        assert_eq!(meant("macos-aarch64").as_deref(), Some("darwin-arm64"));
        for text in [
            "linux-x64",
            "linux-arm",
            "linux-ia32",
            "android-arm64",
            "ios-arm64",
            "freebsd-x64",
            "plan9-mips",
        ] {
            assert_eq!(meant(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_what_is_taken_is_printed_alike(text in "[a-z0-9_]{0,8}-?[a-zA-Z0-9_/.]{0,8}") {
            if let Ok(host) = text.parse::<Host>() {
                prop_assert_eq!(host.to_string(), text);
            }
        }

        #[test]
        fn garbage_never_panics(text: String) {
            let _ = text.parse::<Host>();
        }
    }
}
