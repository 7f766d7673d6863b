//! Finding the app: the installed bundle around this program, or a project folder during development.

use std::io::Read;
use std::path::{Path, PathBuf};

use app::{Format, Host, Layout, layout};

use crate::error::ShellError;

/// Where the app is.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// The folder with `package.json` and the page.
    pub app: PathBuf,
    /// The installed bundle that an update replaces (`PearChat/`, `PearChat.app`, an AppImage file); `None` in
    /// development.
    pub bundle: Option<PathBuf>,
}

/// What the search looks at, so that tests can bring their own.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// This program.
    pub exe: PathBuf,
    /// The current folder.
    pub cwd: PathBuf,
    /// `$APPIMAGE`: the AppImage file this program was started from.
    pub appimage: Option<PathBuf>,
    /// `$APPDIR`: where that AppImage is mounted.
    pub appdir: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn here() -> std::io::Result<Self> {
        let var = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let mut around = Self {
            exe: std::env::current_exe()?,
            cwd: std::env::current_dir()?,
            appimage: var("APPIMAGE"),
            appdir: var("APPDIR"),
        };
        if around.forget_foreign_image() {
            tracing::warn!(
                "APPIMAGE and APPDIR are ignored: this program was not started from that AppImage"
            );
        }
        Ok(around)
    }

    /// Programs that an AppImage starts inherit its variables, and anybody can set them. They count only if this program lies
    /// in the folder and that is an AppImage's (it has an `AppRun`), and the file is an AppImage. Whether they were forgotten.
    fn forget_foreign_image(&mut self) -> bool {
        let genuine = match (&self.appimage, &self.appdir) {
            (None, None) => return false,
            (Some(image), Some(dir)) => {
                self.exe.starts_with(dir) && dir.join("AppRun").exists() && is_appimage(image)
            }
            _ => false,
        };
        if !genuine {
            (self.appimage, self.appdir) = (None, None);
        }
        !genuine
    }

    /// Whether this program stands in an installed bundle, be it damaged.
    pub fn is_installed(&self) -> bool {
        self.installed().is_dir()
    }

    /// The app beside this program, if it stands in a bundle. An AppImage holds one that is laid out like a folder.
    fn installed(&self) -> PathBuf {
        let layout = Layout::of(&Host::current(), Format::Folder);
        let bundle = layout.around(&self.exe).unwrap_or_default();
        layout.app(&bundle).unwrap_or(bundle)
    }

    /// The installed bundle that this program stands in, be it damaged; `None` in development.
    pub fn bundle(&self) -> Option<PathBuf> {
        if self.is_installed() {
            self.around_exe()
        } else {
            None
        }
    }

    /// What the product is called, as far as this program's own name tells.
    pub fn product_name(&self) -> String {
        layout::product(&self.exe)
    }

    fn around_exe(&self) -> Option<PathBuf> {
        let mounted = self.appdir.as_ref().is_some_and(|dir| self.exe.starts_with(dir));
        if mounted && self.appimage.is_some() {
            return self.appimage.clone();
        }
        let bundle = Layout::of(&Host::current(), Format::Folder).around(&self.exe)?;
        Some(bosc_runtime::bundle::around(&bundle).to_owned())
    }
}

/// Whether a file begins as AppImages do: an ELF program with `AI` and the type (1 or 2) in its header.
fn is_appimage(path: &Path) -> bool {
    let mut head = [0; 11];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.starts_with(b"\x7fELF") && matches!(head, [.., b'A', b'I', 1 | 2])
}

/// Finds the app: `--dev`, then the bundle around the program, then the current folder.
pub fn locate(dev: Option<&Path>, around: &Surroundings) -> Result<Located, ShellError> {
    if let Some(dir) = dev {
        return Ok(Located {
            app: around.cwd.join(dir),
            bundle: None,
        });
    }
    let installed = around.installed();
    let manifest = layout::manifest(&installed);
    if manifest.is_file() {
        return Ok(Located {
            app: installed,
            bundle: around.bundle(),
        });
    }
    if installed.is_dir() {
        return Err(ShellError::Damaged { missing: manifest });
    }
    if layout::manifest(&around.cwd).is_file() {
        return Ok(Located {
            app: around.cwd.clone(),
            bundle: None,
        });
    }
    Err(ShellError::NoApp {
        installed: manifest,
        cwd: around.cwd.clone(),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn around(root: &Path) -> Surroundings {
        std::fs::create_dir_all(root.join("PearChat/resources")).unwrap();
        std::fs::create_dir_all(root.join("project")).unwrap();
        Surroundings {
            exe: root.join("PearChat/PearChat"),
            cwd: root.join("project"),
            appimage: None,
            appdir: None,
        }
    }

    #[test]
    fn the_search_goes_dev_bundle_current_folder() {
        let root = tempfile::tempdir().unwrap();
        let around = around(root.path());
        let message = locate(None, &around).unwrap_err().to_string();
        assert!(
            message.contains("resources/app/package.json") && message.contains("--dev"),
            "{message}"
        );

        std::fs::write(around.cwd.join("package.json"), "{}").unwrap();
        assert_eq!(
            locate(None, &around).unwrap(),
            Located {
                app: around.cwd.clone(),
                bundle: None
            }
        );

        let app = root.path().join("PearChat/resources/app");
        std::fs::create_dir(&app).unwrap();
        assert!(locate(None, &around).unwrap_err().to_string().contains("damaged"));

        std::fs::write(app.join("package.json"), "{}").unwrap();
        let found = locate(None, &around).unwrap();
        assert_eq!(
            found,
            Located {
                app,
                bundle: Some(root.path().join("PearChat"))
            }
        );

        let dev = locate(Some(Path::new("../other")), &around).unwrap();
        assert_eq!(
            dev,
            Located {
                app: around.cwd.join("../other"),
                bundle: None
            }
        );
    }

    #[test]
    fn a_product_with_a_dot_is_called_by_all_of_its_name() {
        let root = tempfile::tempdir().unwrap();
        let mut around = around(root.path());
        assert_eq!(around.product_name(), "PearChat");
        around.exe = root.path().join("My.Chat/My.Chat");
        assert_eq!(around.product_name(), "My.Chat");
    }

    #[test]
    fn variables_of_another_appimage_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        let plain = around(root.path());
        let (image, dir) = (
            root.path().join("PearChat.AppImage"),
            root.path().join("PearChat"),
        );
        let kept = |image: &Path, dir: &Path| {
            let mut around = plain.clone();
            (around.appimage, around.appdir) = (Some(image.to_owned()), Some(dir.to_owned()));
            !around.forget_foreign_image() && around.appimage.is_some()
        };
        std::fs::write(&image, b"\x7fELF\x02\x01\x01\0AI\x02rest").unwrap();
        // An installed folder, and somebody who sets the variables.
        assert!(!kept(&image, &dir));
        std::fs::write(dir.join("AppRun"), "").unwrap();
        assert!(kept(&image, &dir));
        assert!(!kept(&image, Path::new("/elsewhere")));
        let other = root.path().join("document");
        std::fs::write(&other, "what a person wrote").unwrap();
        assert!(!kept(&other, &dir) && !kept(&root.path().join("none"), &dir));
        let mut half = plain.clone();
        half.appimage = Some(image);
        assert!(half.forget_foreign_image() && half.appimage.is_none());
    }

    #[test]
    fn an_appimage_is_its_own_bundle() {
        let root = tempfile::tempdir().unwrap();
        let mut around = around(root.path());
        let app = root.path().join("PearChat/resources/app");
        std::fs::create_dir(&app).unwrap();
        std::fs::write(app.join("package.json"), "{}").unwrap();
        around.appimage = Some("/apps/PearChat.AppImage".into());
        around.appdir = Some(root.path().join("PearChat"));
        assert_eq!(
            locate(None, &around).unwrap().bundle,
            Some("/apps/PearChat.AppImage".into())
        );
        around.appdir = Some("/elsewhere".into());
        assert_eq!(
            locate(None, &around).unwrap().bundle,
            Some(root.path().join("PearChat"))
        );
    }
}
