//! This machine: its platform's name as deployment folders spell it (Node's words, `<platform>-<arch>`), and where apps keep
//! their data on it.

use std::path::{Path, PathBuf};

/// This machine's platform: `linux`, `darwin` or `win32`; other systems by Rust's name.
pub fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    }
}

/// This machine's processor: `x64` or `arm64`; others by Rust's name.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// This machine as `<platform>-<arch>`.
pub fn current() -> String {
    format!("{}-{}", platform(), arch())
}

/// Where the system keeps the data of installed apps, each in a folder with its product name, as `hello-pear-electron` and
/// pear-chat have it: Linux `$SNAP_USER_COMMON`, `$XDG_CONFIG_HOME` or `~/.config`, macOS `~/Library/Application Support`, Windows
/// `~\\AppData\\Local`. `var` looks a variable of the environment up.
pub fn data_dir(home: &Path, var: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

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
}
