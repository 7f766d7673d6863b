//! What new apps begin with, as it lies in the repository that this program was built from.

use super::names::Names;
use crate::args;

/// Files by path.
type Files = &'static [(&'static str, &'static [u8])];

macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!($folder, "/", $path)))),+]
    };
}

const CHAT: Files = files!("../../../../template-app":
    "build/icon.png",
    "build/icon.svg",
    "renderer/app.js",
    "renderer/icon.svg",
    "renderer/index.html",
    "renderer/style.css",
    "renderer/transcript.js",
    "renderer/update.js",
    "src/chat.rs",
    "src/chat/store.rs",
    "src/main.rs",
);
const CHAT_DEPENDENCIES: &str = include_str!("../../../../template-app/Cargo.toml");

const MINIMAL: Files = files!("../../../templates/minimal":
    "build/icon.png",
    "renderer/app.js",
    "renderer/index.html",
    "renderer/style.css",
    "src/main.rs",
);
/// What its program names.
const MINIMAL_DEPENDENCIES: &str = "[features]\ndev = [\"bosc-shell/dev\"]\n\n\
    [dependencies]\nbosc-shell.workspace = true\nserde.workspace = true\n";

/// The types of what a page finds in `window.bridge`: where they are put, and they.
pub(super) const BRIDGE: (&str, &str) = (
    "renderer/bridge.d.ts",
    include_str!("../../../../shell/src/bridge/bridge.d.ts"),
);

/// A template's files, and the manifest that says what its program depends on.
pub(super) fn of(template: args::Template) -> (Files, &'static str) {
    match template {
        args::Template::Chat => (CHAT, CHAT_DEPENDENCIES),
        args::Template::Minimal => (MINIMAL, MINIMAL_DEPENDENCIES),
    }
}

/// A file's content with the new app's name in it.
pub(super) fn named(path: &str, content: &[u8], names: &Names) -> Vec<u8> {
    if path.ends_with(".png") {
        return content.to_vec();
    }
    let text = String::from_utf8_lossy(content);
    text.replace("@TITLE@", &names.title)
        .replace("Pear Chat, the app authors start from", &names.title)
        .replace("Pear chat", &names.title)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn templates_have_every_file_of_their_folders() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (folder, files, written_anew) in [
            (
                "../template-app",
                CHAT,
                &["Cargo.toml", "README.md", "package.json"][..],
            ),
            ("templates/minimal", MINIMAL, &[]),
        ] {
            let folder = root.join(folder);
            let all = paths_beneath(&folder);
            let mut expected: Vec<&str> = files
                .iter()
                .map(|(path, _)| *path)
                .chain(written_anew.iter().copied())
                .collect();
            expected.sort_unstable();
            // What making a bundle leaves beside the sources.
            let found: Vec<&String> = all.iter().filter(|path| !path.starts_with("out/")).collect();
            assert_eq!(found, expected, "{}", folder.display());
        }
    }

    /// Paths of all files beneath a folder, in order.
    fn paths_beneath(folder: &Path) -> Vec<String> {
        let mut open = vec![folder.to_path_buf()];
        let mut paths = Vec::new();
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    paths.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        paths.sort();
        paths
    }
}
