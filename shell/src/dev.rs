//! What only developers may say: switches that an installed app ignores, unless its program was built for development.
//!
//! Whoever can set an environment or a command line of an app that a person installed (a shortcut, a link) would otherwise make it
//! run other code under its name, follow another network, or be driven from outside.

use crate::args::Args;

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
