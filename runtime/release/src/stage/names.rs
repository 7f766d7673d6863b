//! Whether the files of each bundle have names that its system holds: what no disk there takes is refused while it can still be renamed,
//! rather than by every app that fetches it.

use app::{Host, layout};
use hyperdrive::{Drive, DriveError, LocalDrive, Names, PathFilter};

use crate::{ReleaseError, Why};

/// Checks the bundles in a deployment folder, except for what is left out.
///
/// # Errors
/// For the first file whose name the bundle's system would not hold, or if the folder cannot be read.
pub(super) async fn check(local: &LocalDrive, taken: &PathFilter) -> Result<(), ReleaseError> {
    for host in Host::ALL {
        let names = names(&host);
        // What any name is good for need not be listed once more.
        if names == Names::Unix {
            continue;
        }
        let bundles = format!("{}/{host}", layout::HOSTS_ON_DRIVE);
        let entries = local.list_filtered(&bundles, taken).await?;
        let keys = entries.iter().map(|entry| entry.key.as_str());
        names.check(keys).map_err(|error| match error {
            DriveError::Unsafe { .. } => ReleaseError::refused(Why::Deployment, error.to_string()),
            other => other.into(),
        })?;
    }
    Ok(())
}

/// The rules of a host's disks.
fn names(host: &Host) -> Names {
    match host.platform() {
        "win32" => Names::Windows,
        "darwin" => Names::Macos,
        _ => Names::Unix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_bundle_is_held_to_the_names_of_its_own_system() {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalDrive::new(folder.path());
        let all = PathFilter::new(&[], &[]);
        let put = async |key: &str| {
            let none = futures::stream::empty();
            local
                .put(key, Box::pin(none), hyperdrive::PutOptions::default())
                .await
                .unwrap();
        };
        // Not every disk that this test runs on would hold them all.
        if Names::HERE != Names::Unix {
            return;
        }
        check(&local, &all).await.unwrap();
        put("/CON").await;
        put("/by-arch/linux-x64/app/A/aux").await;
        put("/by-arch/linux-x64/app/A/AUX").await;
        put("/by-arch/win32-x64/app/A/Aux.x").await;
        let error = check(&local, &all).await.unwrap_err().to_string();
        assert!(
            error.contains("/by-arch/win32-x64/app/A/Aux.x") && error.contains("device"),
            "{error}"
        );
        let without = PathFilter::new(&["by-arch/win32-x64".to_owned()], &[]);
        check(&local, &without).await.unwrap();
        put("/by-arch/darwin-arm64/app/A/x").await;
        put("/by-arch/darwin-arm64/app/A/X").await;
        let error = check(&local, &without).await.unwrap_err().to_string();
        assert!(
            error.contains("/by-arch/darwin-arm64/app/A/x") && error.contains("macOS"),
            "{error}"
        );
    }
}
