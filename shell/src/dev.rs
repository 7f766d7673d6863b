//! What only developers may say: switches that an installed app ignores, unless its program was built for development.
//!
//! Whoever can set an environment or a command line of an app that a person installed (a shortcut, a link) would otherwise make it
//! run other code under its name, follow another network, or be driven from outside.

use app::Manifest;
use url::{Host, Url};

use crate::args::Args;
use crate::error::ShellError;
use crate::locate::Located;
use crate::page::{ORIGIN, SCHEME};
use crate::window::{Mailbox, Outcome, UserEvent};

/// Whether this program was built for development: a debug build, or one with the feature `dev`.
const BUILT: bool = cfg!(any(debug_assertions, feature = "dev"));

/// Whether the switches count here.
pub(crate) fn allowed(installed: bool) -> bool {
    BUILT || !installed
}

/// Takes from the command line what does not count, and says so.
pub(crate) fn restrict(args: &mut Args, allowed: bool) {
    if allowed {
        return;
    }
    if args.dev.take().is_some() {
        ignored("--dev");
    }
    // Who starts the app may still say it as an argument.
    if std::mem::take(&mut args.bootstrap_from_env) {
        args.bootstrap.clear();
        ignored("BOSC_BOOTSTRAP");
    }
    if std::mem::take(&mut args.relay_from_env) {
        args.relay.clear();
        ignored("BOSC_RELAY");
    }
    if std::mem::take(&mut args.delay_from_env) {
        args.delay = None;
        ignored("BOSC_DELAY");
    }
}

/// Where a page is from: its first address, and the origin that alone is spoken with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) url: String,
    pub(crate) origin: String,
    /// A developer's server serves it.
    pub(crate) foreign: bool,
}

impl Source {
    /// The app's own files, with `path` of its page as an address has it.
    fn own(path: &str) -> Self {
        Self {
            url: format!("{SCHEME}://localhost{path}"),
            origin: ORIGIN.to_owned(),
            foreign: false,
        }
    }

    /// A server of this machine: the page may call all that the app's own may.
    fn server(text: &str) -> Result<Self, ShellError> {
        let refused = |why: &str| ShellError::DevUrl {
            url: text.to_owned(),
            why: why.to_owned(),
        };
        let url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("it is no http address"));
        }
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if !here {
            return Err(refused(
                "it is not on this machine, and what serves the page can do all that the app can",
            ));
        }
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            url: url.into(),
            foreign: true,
        })
    }
}

/// Where the page is from: of an installed app always its own files, of a project's the server that `--dev-url`,
/// `PEAR_DEV_SERVER_URL` or `bosc.devUrl` names, if one does. `path` is its page as an address has it.
pub(crate) fn page(
    args: &Args,
    located: &Located,
    manifest: &Manifest,
    path: &str,
) -> Result<Source, ShellError> {
    let named = args.dev_url.as_ref().filter(|url| !url.is_empty());
    if located.bundle.is_some() {
        if named.is_some() {
            ignored("--dev-url");
        }
        return Ok(Source::own(path));
    }
    match named.or(manifest.dev_url.as_ref()) {
        Some(url) => Source::server(url),
        None => Ok(Source::own(path)),
    }
}

/// Does what standard input says, until it ends, and the app with it: `bosc dev` holds the other end. Not in an installed app.
pub(crate) fn listen(args: &Args, located: &Located, mailbox: Mailbox) {
    if !args.dev_pipe {
        return;
    }
    if located.bundle.is_some() {
        return ignored("--dev-pipe");
    }
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if line == "reload" {
                mailbox.send(UserEvent::Reload);
            }
        }
        mailbox.send(UserEvent::Leave(Outcome::Closed));
    });
}

/// Whether a WebDriver may control the window: `BOSC_AUTOMATION=1`.
pub(crate) fn automation(allowed: bool) -> bool {
    let asked = std::env::var_os("BOSC_AUTOMATION").is_some_and(|value| value == "1");
    match (asked, allowed) {
        (true, true) => {
            tracing::warn!("automation is allowed (BOSC_AUTOMATION=1): a WebDriver can control this window");
        }
        (true, false) => ignored("BOSC_AUTOMATION"),
        (false, _) => {}
    }
    asked && allowed
}

fn ignored(switch: &str) {
    tracing::warn!(
        "{switch} is ignored: this is an installed app, and its program was not built for development"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(dev_url: &str) -> Manifest {
        let package = serde_json::json!({ "name": "a", "version": "1.0.0", "bosc": { "devUrl": dev_url } });
        Manifest::parse(package.to_string().as_bytes(), "package.json").unwrap()
    }

    #[test]
    fn a_server_of_this_machine_alone_may_serve_the_page_and_never_an_installed_apps() {
        let project = Located {
            app: "/project".into(),
            bundle: None,
        };
        let installed = Located {
            bundle: Some("/opt/App".into()),
            ..project.clone()
        };
        let asked = |url: Option<&str>| Args {
            dev_url: url.map(str::to_owned),
            ..Args::default()
        };
        let own = Source::own("/index.html");
        for url in [
            "http://localhost:5173",
            "http://127.0.0.1:3000/app/",
            "https://[::1]:8443/",
        ] {
            let source = page(
                &asked(Some(url)),
                &project,
                &manifest("http://localhost:1"),
                "/index.html",
            )
            .unwrap();
            assert!(source.foreign && source.url.starts_with(url), "{source:?}");
            assert!(
                url.starts_with(&source.origin) && source.origin.matches('/').count() == 2,
                "{source:?}"
            );
            assert_eq!(
                page(&asked(Some(url)), &installed, &manifest(url), "/index.html").unwrap(),
                own
            );
        }
        let by_package = page(
            &asked(None),
            &project,
            &manifest("http://localhost:1"),
            "/index.html",
        )
        .unwrap();
        assert_eq!(by_package.origin, "http://localhost:1");
        for url in [
            "http://example.com/",
            "http://localhost.example.com",
            "file:///etc/passwd",
            "localhost:5173",
            "x",
        ] {
            let refused = page(
                &asked(Some(url)),
                &project,
                &manifest("http://localhost:1"),
                "/index.html",
            );
            assert!(matches!(refused, Err(ShellError::DevUrl { .. })), "{url}");
        }
    }

    #[test]
    fn an_installed_app_does_not_hear_what_is_for_developers() {
        let given = Args {
            dev: Some("/elsewhere".into()),
            bootstrap: vec!["a:1".into()],
            bootstrap_from_env: true,
            relay: vec![base::PublicKey([7; 32])],
            relay_from_env: true,
            delay: Some(7),
            delay_from_env: true,
            storage: Some("/s".into()),
            ..Args::default()
        };
        let mut args = given.clone();
        restrict(&mut args, true);
        assert_eq!(args, given);
        restrict(&mut args, false);
        let left = Args {
            storage: Some("/s".into()),
            ..Args::default()
        };
        assert_eq!(args, left);

        // What the person who starts it says counts.
        let typed = Args {
            bootstrap_from_env: false,
            relay_from_env: false,
            delay_from_env: false,
            dev: None,
            ..given
        };
        let mut args = typed.clone();
        restrict(&mut args, false);
        assert_eq!(args, typed);
        assert!(!automation(false) && allowed(false));
    }
}
