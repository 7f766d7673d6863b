//! What lies in an app's data folder, and where a system keeps such folders.

use std::path::{Path, PathBuf};

/// What the runtime keeps of updates, in the data folder. npm's `pear-runtime` has the same.
const RUNTIME: &str = "pear-runtime";

/// The data folder of one app, and what is where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folders<'a>(pub &'a Path);

impl Folders<'_> {
    /// What the app itself keeps. Updates never touch it.
    pub fn app_storage(self) -> PathBuf {
        self.0.join("app-storage")
    }

    /// What the web view keeps for the page.
    pub fn webview(self) -> PathBuf {
        self.0.join("webview")
    }

    /// The log files.
    pub fn log(self) -> PathBuf {
        self.0.join("log")
    }

    /// What is kept of updates.
    pub fn runtime(self) -> PathBuf {
        self.0.join(RUNTIME)
    }

    /// The store with the drive that the app follows.
    pub fn store(self) -> PathBuf {
        self.runtime().join("corestore")
    }

    /// Where releases are staged, each in a folder of its own.
    pub fn next(self) -> PathBuf {
        self.runtime().join("next")
    }

    /// Where the bundle before the present one is kept.
    pub fn previous(self) -> PathBuf {
        self.runtime().join("previous")
    }

    /// The note that an update leaves for the next start.
    pub fn note(self) -> PathBuf {
        self.runtime().join("bundle.json")
    }

    /// The highest release that was seen of a link.
    pub fn seen(self) -> PathBuf {
        self.runtime().join("seen.json")
    }

    /// What the updater said last.
    pub fn status(self) -> PathBuf {
        self.runtime().join("status.json")
    }
}

/// The data folder of the installed app `product_name`: that name where the system keeps such data for this process's user, as
/// `hello-pear-electron` and pear-chat have it: Linux `$SNAP_USER_COMMON`, `$XDG_CONFIG_HOME` or `~/.config`, macOS
/// `~/Library/Application Support`, Windows `~\\AppData\\Local`.
pub fn installed(product_name: &str) -> PathBuf {
    let home = std::env::home_dir().unwrap_or_default();
    data_dir(&home, |name| std::env::var_os(name).map(PathBuf::from)).join(product_name)
}

/// Where this process's user has a copy of the app `name` whose bundle belongs to the system: that name where the system keeps what
/// programs of users bring, on Linux `$XDG_DATA_HOME` or `~/.local/share`.
pub fn copies(name: &str) -> PathBuf {
    let home = std::env::home_dir().unwrap_or_default();
    share_dir(&home, |name| std::env::var_os(name).map(PathBuf::from)).join(name)
}

/// Where users' programs are; `var` looks a variable of the environment up.
fn share_dir(home: &Path, var: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if cfg!(any(target_os = "macos", windows)) {
        return data_dir(home, var);
    }
    var("XDG_DATA_HOME")
        .filter(|dir| dir.is_absolute())
        .unwrap_or_else(|| home.join(".local/share"))
}

/// Where data folders are; `var` looks a variable of the environment up.
fn data_dir(home: &Path, var: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if cfg!(target_os = "macos") {
        return home.join("Library/Application Support");
    }
    if cfg!(windows) {
        return home.join("AppData").join("Local");
    }
    let set = |name| var(name).filter(|dir: &PathBuf| dir.is_absolute());
    set("SNAP_USER_COMMON")
        .or_else(|| set("XDG_CONFIG_HOME"))
        .unwrap_or_else(|| home.join(".config"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn data_folders_on_linux() {
        let home = Path::new("/home/a");
        assert_eq!(data_dir(home, |_| None), Path::new("/home/a/.config"));
        let xdg = |name: &str| (name == "XDG_CONFIG_HOME").then(|| PathBuf::from("/x"));
        assert_eq!(data_dir(home, xdg), Path::new("/x"));
        assert_eq!(
            data_dir(home, |_| Some("relative".into())),
            Path::new("/home/a/.config")
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn copies_are_where_users_programs_are_on_linux() {
        let home = Path::new("/home/a");
        assert_eq!(share_dir(home, |_| None), Path::new("/home/a/.local/share"));
        let xdg = |name: &str| (name == "XDG_DATA_HOME").then(|| PathBuf::from("/x"));
        assert_eq!(share_dir(home, xdg), Path::new("/x"));
        assert!(copies("my-app").ends_with("my-app"));
    }

    #[test]
    fn what_installed_apps_have_on_their_disks_stays_where_it_is() {
        let folders = Folders(Path::new("/d"));
        for (found, place) in [
            (folders.app_storage(), "/d/app-storage"),
            (folders.webview(), "/d/webview"),
            (folders.log(), "/d/log"),
            (folders.store(), "/d/pear-runtime/corestore"),
            (folders.next(), "/d/pear-runtime/next"),
            (folders.previous(), "/d/pear-runtime/previous"),
            (folders.note(), "/d/pear-runtime/bundle.json"),
            (folders.seen(), "/d/pear-runtime/seen.json"),
            (folders.status(), "/d/pear-runtime/status.json"),
        ] {
            assert_eq!(found, Path::new(place));
        }
        assert!(installed("App").ends_with("App"));
    }
}
