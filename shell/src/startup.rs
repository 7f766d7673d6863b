//! Where the host meets `bosc-runtime`: storage folders and the updater.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use app::{Host, Layout, Manifest, folders};
use async_trait::async_trait;
use bosc_runtime::{Runtime, RuntimeConfig, Told, UpdaterEvent};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use crate::args::Args;
use crate::locate::Located;
use crate::updater::{PearEvent, StartUpdater, UpdaterHost};

/// The folder of this instance: `--storage`; in development `<temporary files>/pear-<user>/<product name>`; for an installed app
/// the system's place for it, [`folders::installed`].
pub(crate) fn storage_dir(args: &Args, installed: bool, product_name: &str) -> PathBuf {
    if let Some(dir) = &args.storage {
        return std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
    }
    if installed {
        folders::installed(product_name)
    } else {
        dev_dir().join(product_name)
    }
}

/// The folder of all apps in development. Temporary files are everybody's: each user has one of their own.
pub(crate) fn dev_dir() -> PathBuf {
    #[cfg(unix)]
    let name = format!("pear-{}", rustix::process::geteuid().as_raw());
    #[cfg(not(unix))]
    let name = "pear";
    std::env::temp_dir().join(name)
}

/// Makes a folder at a place where others may have been first, and sees to it that it is this user's alone.
///
/// # Errors
/// If it is a link or another user's, or what the system said.
pub(crate) fn own_dir(path: &Path) -> std::io::Result<()> {
    bosc_runtime::private_dir(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let found = std::fs::symlink_metadata(path)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(std::io::Error::other("it is a link, or another user made it"));
        }
        if found.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}

/// Whether this start looks for updates: only an installed bundle can be swapped, and `--no-updates` switches them off.
fn updates_wanted(args: &Args, located: &Located) -> bool {
    let choice = args.updates_choice();
    if located.bundle.is_none() && choice == Some(true) {
        tracing::warn!("--updates has no effect in development: only an installed app can be updated");
    }
    located.bundle.is_some() && choice != Some(false)
}

/// The updater of an installed app, unless updates are off.
pub(crate) fn updater(
    args: &Args,
    located: &Located,
    manifest: &Manifest,
    storage: &Path,
) -> Option<StartUpdater> {
    if !updates_wanted(args, located) {
        return None;
    }
    let bundle = located.bundle.as_deref()?;
    let upgrade = match manifest.upgrade() {
        Ok(Some(upgrade)) => upgrade.clone(),
        Ok(None) => {
            tracing::warn!("package.json has no \"upgrade\" link, so this app cannot update itself");
            return None;
        }
        Err(error) => {
            let message = error.to_string();
            return Some(Box::new(move || Box::pin(async move { Err(message) })));
        }
    };
    let config = RuntimeConfig {
        dir: storage.to_owned(),
        app: located.bundle.clone(),
        name: Layout::at(&Host::current(), bundle).bundle_name(&manifest.product_name),
        version: manifest.version.clone(),
        upgrade,
        updates: true,
        delay: args.delay(),
        bootstrap: args.bootstrap_nodes(),
        relays: manifest.relays.iter().chain(&args.relay).copied().collect(),
        seed: manifest.seed,
    };
    Some(Box::new(move || {
        Box::pin(async move {
            match Runtime::start(config).await {
                Ok(runtime) => Ok(Arc::new(RuntimeHost(runtime)) as Arc<dyn UpdaterHost>),
                Err(error) => {
                    tracing::error!(%error, "updates are not looked for");
                    Err(error.told().message)
                }
            }
        })
    }))
}

/// `bosc-runtime` as the host's updater.
struct RuntimeHost(Runtime);

#[async_trait]
impl UpdaterHost for RuntimeHost {
    fn events(&self) -> BoxStream<'static, PearEvent> {
        let events = futures::stream::unfold(self.0.events(), |mut events| async move {
            loop {
                match events.recv().await {
                    Ok(event) => return Some((pear_event(&event), events)),
                    // A slow page may miss progress; what matters is in the state.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        events.boxed()
    }

    fn state(&self) -> Value {
        serde_json::to_value(self.0.state()).unwrap_or_default()
    }

    async fn apply(&self) -> Result<bool, Told> {
        self.0.apply_update().await.map_err(|error| {
            tracing::error!(%error, "the update was not put in place");
            error.told()
        })
    }

    async fn retry(&self) -> Result<bool, String> {
        let retried = self.0.retry_update().await;
        retried.map_err(|error| format!("cannot write the note about the last update: {error}"))
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

fn pear_event(event: &UpdaterEvent) -> PearEvent {
    let data = serde_json::to_value(event).unwrap_or_default();
    let name = data
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    PearEvent { name, data }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn events_carry_their_names_and_details() {
        let event = UpdaterEvent::Updated {
            next_version: "1.0.1".into(),
            length: 7,
            fork: 0,
        };
        let PearEvent { name, data } = pear_event(&event);
        assert_eq!(
            (name.as_str(), &data["nextVersion"], &data["length"]),
            ("updated", &"1.0.1".into(), &7.into())
        );
        assert_eq!(
            pear_event(&UpdaterEvent::UpdateScheduled { delay: 5 }).name,
            "update-scheduled"
        );
    }

    #[tokio::test]
    async fn a_placeholder_link_is_an_error_in_words() {
        let text =
            br#"{"name":"pear-chat","version":"1.0.0","upgrade":"pear://replace-with-your-provision-link"}"#;
        let manifest = Manifest::parse(text, "p/package.json").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let located = Located {
            app: dir.path().into(),
            bundle: Some(dir.path().into()),
        };
        let start = updater(&Args::default(), &located, &manifest, dir.path()).unwrap();
        let message = start().await.err().unwrap();
        assert!(
            message.contains("p/package.json: \"upgrade\" is not a link"),
            "{message}"
        );
        assert!(!dir.path().join("pear-runtime").exists());
    }

    #[test]
    fn only_an_installed_app_updates_unless_told_not_to() {
        let mut located = Located {
            app: "/app".into(),
            bundle: None,
        };
        let mut args = Args {
            updates: true,
            ..Args::default()
        };
        assert!(!updates_wanted(&args, &located));
        located.bundle = Some("/app".into());
        assert!(updates_wanted(&args, &located));
        args = Args::default();
        assert!(updates_wanted(&args, &located));
        args.no_updates = true;
        assert!(!updates_wanted(&args, &located));
    }

    #[test]
    fn the_folder_in_development_is_this_users_alone() {
        use std::os::unix::fs::{PermissionsExt, chown, symlink};
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let user = rustix::process::geteuid().as_raw().to_string();
        assert!(dev_dir().to_string_lossy().ends_with(&format!("/pear-{user}")));

        let made = dir.path().join("made");
        own_dir(&made).unwrap();
        assert_eq!(mode(&made), 0o700);
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o777)).unwrap();
        own_dir(&made).unwrap();
        assert_eq!(mode(&made), 0o700);
        symlink(&made, dir.path().join("link")).unwrap();
        own_dir(&dir.path().join("link")).unwrap_err();
        let others = dir.path().join("others");
        std::fs::create_dir(&others).unwrap();
        // Only root can give a folder away.
        if chown(&others, Some(12345), None).is_ok() {
            own_dir(&others).unwrap_err();
        }
    }

    #[test]
    fn storage_is_the_flags_the_systems_or_a_temporary_folder() {
        let mut args = Args::default();
        assert_eq!(storage_dir(&args, false, "PearChat"), dev_dir().join("PearChat"));
        assert!(storage_dir(&args, true, "PearChat").ends_with("PearChat"));
        args.storage = Some("/s".into());
        assert_eq!(storage_dir(&args, true, "PearChat"), Path::new("/s"));
    }
}
