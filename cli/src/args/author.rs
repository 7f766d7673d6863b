//! The arguments of the commands that an author uses in an app's folder.

use std::path::PathBuf;

use clap::Args as ClapArgs;

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// The new folder; the app's name follows from it
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// What the app begins with
    #[arg(long, value_enum, default_value_t = Template::Chat)]
    pub(crate) template: Template,
    /// Name of the package, in small letters, digits and '-' [default: from the folder's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Name of the bundle that people install [default: from the package's]
    #[arg(long, value_name = "NAME")]
    pub(crate) product_name: Option<String>,
    /// Where the app's build gets Bosc from: a folder with its repository, or the address of one in git [default: the one this
    /// program was built from]
    #[arg(long, value_name = "FOLDER|URL")]
    pub(crate) bosc: Option<String>,
}

/// What a new app begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Template {
    /// A chat whose transcript stays on the computer
    Chat,
    /// A window, a page and one command
    Minimal,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Dev {
    /// The app's folder, which holds package.json
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Show the page that a server on this machine serves, such as http://localhost:5173 [default: bosc.devUrl of package.json,
    /// else the app's own files]
    #[arg(long, value_name = "URL", env = "PEAR_DEV_SERVER_URL")]
    pub(crate) url: Option<String>,
    /// Cargo profile to build with
    #[arg(long, default_value = "dev")]
    pub(crate) profile: String,
    /// Arguments of the app, after --
    #[arg(last = true)]
    pub(crate) args: Vec<std::ffi::OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Version {
    /// A version, or major, minor, patch, premajor, preminor, prepatch, prerelease; prints the present one if left out
    #[arg(value_name = "NEW-VERSION")]
    pub(crate) bump: Option<String>,
    /// Name of the prerelease line, such as rc
    #[arg(long, value_name = "ID")]
    pub(crate) preid: Option<String>,
    /// The package.json to change
    #[arg(long, value_name = "FILE", default_value = "package.json")]
    pub(crate) package: PathBuf,
}

/// What is made of an app on this machine.
#[derive(Debug, ClapArgs)]
pub(crate) struct Making {
    /// The app's program, already built [default: built with cargo from the app's folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) bin: Option<PathBuf>,
    /// Cargo profile to build with
    #[arg(long, default_value = "release", conflicts_with = "bin")]
    pub(crate) profile: String,
    /// What to make, separated by commas: folder, zip, appimage, deb, dmg, msix; apps update from folder and appimage
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', default_value = "folder")]
    pub(crate) format: Vec<packaging::Format>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Make {
    /// The app's folder, which holds package.json
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) making: Making,
    /// The machine to make it for, such as win32-x64; with --bin, its program [default: this one]
    #[arg(long, value_name = "HOST")]
    pub(crate) target: Option<app::Host>,
    /// Where to put it [default: out/ in the app's folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Build {
    /// The app's package.json
    #[arg(long, value_name = "FILE", default_value = "package.json")]
    pub(crate) package: PathBuf,
    /// The deployment folder to write [default: ./NAME-VERSION]
    #[arg(long, value_name = "DIR")]
    pub(crate) target: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) apps: Apps,
}

/// Bundles that were made, for each machine.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct Apps {
    /// Bundle for macOS on Apple silicon; each of these may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) darwin_arm64_app: Vec<PathBuf>,
    /// Bundle for macOS on Intel
    #[arg(long, value_name = "PATH")]
    pub(crate) darwin_x64_app: Vec<PathBuf>,
    /// Bundle for Linux on ARM
    #[arg(long, value_name = "PATH")]
    pub(crate) linux_arm64_app: Vec<PathBuf>,
    /// Bundle for Linux on x86-64
    #[arg(long, value_name = "PATH")]
    pub(crate) linux_x64_app: Vec<PathBuf>,
    /// Bundle for Windows on ARM
    #[arg(long, value_name = "PATH")]
    pub(crate) win32_arm64_app: Vec<PathBuf>,
    /// Bundle for Windows on x86-64
    #[arg(long, value_name = "PATH")]
    pub(crate) win32_x64_app: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Release {
    /// A version, or major, minor or patch [default: package.json's if it was not released yet, else patch]
    #[arg(value_name = "NEW-VERSION")]
    pub(crate) bump: Option<String>,
    /// The app's folder, which holds package.json
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) making: Making,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'd')]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) apps: Apps,
}

impl Apps {
    /// All of them, with their machines.
    pub(crate) fn bundles(&self) -> anyhow::Result<Vec<(app::Host, PathBuf)>> {
        let given = [
            ("darwin-arm64", &self.darwin_arm64_app),
            ("darwin-x64", &self.darwin_x64_app),
            ("linux-arm64", &self.linux_arm64_app),
            ("linux-x64", &self.linux_x64_app),
            ("win32-arm64", &self.win32_arm64_app),
            ("win32-x64", &self.win32_x64_app),
        ];
        let mut bundles = Vec::new();
        for (host, apps) in given {
            for app in apps {
                bundles.push((host.parse()?, app.clone()));
            }
        }
        Ok(bundles)
    }
}
