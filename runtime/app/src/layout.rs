//! How a bundle is laid out, what it is called on a drive, and where on it.
//!
//! ```text
//! PearChat/                      PearChat.app/                        PearChat.AppImage
//!   PearChat (on Windows .exe)     Contents/MacOS/PearChat            one file; what it holds is laid out
//!   resources/app/package.json     Contents/Resources/app/package.json  like a folder's, where it is mounted
//! ```

use std::path::{Path, PathBuf};

use crate::Host;

/// The folder of a deployment, and of a drive, that has a folder for each machine.
const BY_ARCH: &str = "by-arch";

/// The same on a drive, as a path there.
pub const HOSTS_ON_DRIVE: &str = "/by-arch";

/// What describes an app, in its folder and in a deployment.
pub const PACKAGE: &str = "package.json";

/// The same on a drive, where it announces a release.
pub const PACKAGE_ON_DRIVE: &str = "/package.json";

/// The app's icon, a path inside the app.
pub const ICON: &str = "build/icon.png";

/// The mark of a bundle that the system's package manager keeps, a path inside the bundle: nobody may change it but the package manager.
pub const PACKAGED: &str = "resources/packaged";

/// Whether a bundle is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// It is a folder; on macOS one that is called `.app`.
    Folder,
    /// It is one file, such as an AppImage.
    File,
}

/// The layout of one bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    host: Host,
    format: Format,
}

impl Layout {
    /// That of bundles for a machine.
    pub fn of(host: &Host, format: Format) -> Self {
        Self {
            host: host.clone(),
            format,
        }
    }

    /// That of a bundle which is there, or will be a folder.
    pub fn at(host: &Host, bundle: &Path) -> Self {
        let format = if bundle.is_file() {
            Format::File
        } else {
            Format::Folder
        };
        Self::of(host, format)
    }

    fn is_mac(&self) -> bool {
        self.host.platform() == "darwin"
    }

    /// What the bundle of a product is called, wherever it is released: installed apps look for it by that name.
    pub fn bundle_name(&self, product: &str) -> String {
        match self.format {
            Format::File => format!("{product}.AppImage"),
            Format::Folder if self.is_mac() => format!("{product}.app"),
            Format::Folder => product.to_owned(),
        }
    }

    /// Whether an installed app finds a bundle under a name. Of other systems' single files (`.msix`, `.exe`), which are no apps on
    /// Bosc, the product alone counts.
    pub fn is_named(&self, name: &str, product: &str) -> bool {
        let others = self.format == Format::File && self.host.platform() != "linux";
        name == self.bundle_name(product) || (others && self::product(Path::new(name)) == product)
    }

    /// The program that starts it: the file itself, or the one in it that bears its name.
    pub fn program(&self, bundle: &Path) -> PathBuf {
        let name = product(bundle);
        match self.format {
            Format::File => bundle.to_owned(),
            Format::Folder if self.is_mac() => bundle.join("Contents/MacOS").join(name),
            Format::Folder if self.host.platform() == "win32" => bundle.join(format!("{name}.exe")),
            Format::Folder => bundle.join(name),
        }
    }

    /// The app in it: the folder with package.json and the page. `None` if it is one file.
    pub fn app(&self, bundle: &Path) -> Option<PathBuf> {
        match self.format {
            Format::File => None,
            Format::Folder if self.is_mac() => Some(bundle.join("Contents/Resources/app")),
            Format::Folder => Some(bundle.join("resources").join("app")),
        }
    }

    /// Its package.json. `None` if it is one file.
    pub fn manifest(&self, bundle: &Path) -> Option<PathBuf> {
        self.app(bundle).map(|app| manifest(&app))
    }

    /// Where its package.json is inside, from where its app's files are: for a bundle that is one file, in that file.
    pub fn manifest_inside(&self) -> PathBuf {
        let folder = Self::of(&self.host, Format::Folder);
        folder.manifest(Path::new("")).unwrap_or_default()
    }

    /// The folder that is the bundle of a program, if it has one: [`program`](Self::program) the other way.
    pub fn around(&self, program: &Path) -> Option<PathBuf> {
        let folder = program.parent()?;
        if self.is_mac() {
            folder.parent()?.parent().map(Path::to_owned)
        } else {
            Some(folder.to_owned())
        }
    }
}

/// The package.json of an app's folder, or of a deployment.
pub fn manifest(app: &Path) -> PathBuf {
    app.join(PACKAGE)
}

/// A bundle's name without the suffix that its platform gives it.
pub fn product(bundle: &Path) -> String {
    let name = bundle.file_name().unwrap_or_default().to_string_lossy();
    [".app", ".AppImage", ".msix", ".exe"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(&name)
        .to_owned()
}

/// Where the bundle of that name for a machine is on a drive.
pub fn on_drive(host: &Host, name: &str) -> String {
    format!("{HOSTS_ON_DRIVE}/{host}/app/{name}")
}

/// The folder of a deployment that has one folder for each machine, called by its host.
pub fn hosts(deployment: &Path) -> PathBuf {
    deployment.join(BY_ARCH)
}

/// The folder of a deployment with the bundles for a machine; `host` is its folder in [`hosts`].
pub fn bundles(host: &Path) -> PathBuf {
    host.join("app")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(host: &str, format: Format) -> Layout {
        Layout::of(&host.parse().unwrap(), format)
    }

    #[test]
    fn each_platform_has_its_layout() {
        for (host, name, program, app) in [
            (
                "darwin-arm64",
                "App.app",
                "Contents/MacOS/App",
                "Contents/Resources/app",
            ),
            ("win32-x64", "App", "App.exe", "resources/app"),
            ("linux-x64", "App", "App", "resources/app"),
        ] {
            let layout = layout(host, Format::Folder);
            assert_eq!(layout.bundle_name("App"), name);
            let bundle = Path::new("/apps").join(name);
            assert_eq!(layout.program(&bundle), bundle.join(program));
            assert_eq!(layout.app(&bundle), Some(bundle.join(app)));
            assert_eq!(
                layout.manifest(&bundle),
                Some(bundle.join(app).join("package.json"))
            );
            // What is made is found again by the program that was made.
            assert_eq!(layout.around(&layout.program(&bundle)), Some(bundle));
        }
    }

    #[test]
    fn one_file_is_its_own_program_and_is_not_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("renamed");
        std::fs::write(&image, "").unwrap();
        let host: Host = "linux-x64".parse().unwrap();
        let layout = Layout::at(&host, &image);
        assert_eq!(layout.bundle_name("PearChat"), "PearChat.AppImage");
        assert_eq!(
            (layout.program(&image), layout.app(&image)),
            (image.clone(), None)
        );
        assert_eq!(Layout::at(&host, dir.path()).bundle_name("PearChat"), "PearChat");
    }

    #[test]
    fn a_bundle_is_named_as_installed_apps_look_for_it() {
        let named = |host: &str, format, name: &str| layout(host, format).is_named(name, "App");
        assert!(
            named("linux-x64", Format::Folder, "App") && named("linux-x64", Format::File, "App.AppImage")
        );
        assert!(
            !named("linux-x64", Format::File, "App") && !named("linux-x64", Format::Folder, "App.AppImage")
        );
        assert!(
            named("darwin-x64", Format::Folder, "App.app") && !named("darwin-x64", Format::Folder, "App")
        );
        assert!(
            named("win32-x64", Format::File, "App.msix") && !named("win32-x64", Format::File, "Other.msix")
        );
    }

    #[test]
    fn a_deployment_and_a_drive_have_the_same_places() {
        let host: Host = "linux-x64".parse().unwrap();
        let deployment = Path::new("/d");
        let bundle = bundles(&hosts(deployment).join(host.to_string())).join("App");
        assert_eq!(PACKAGE_ON_DRIVE, format!("/{PACKAGE}"));
        assert_eq!(on_drive(&host, "App"), "/by-arch/linux-x64/app/App");
        assert_eq!(
            bundle,
            Path::new("/d").join(on_drive(&host, "App").trim_start_matches('/'))
        );
    }
}
