//! `bosc init`: a new app in a folder of its own, which builds, runs, is tested and released outside of Bosc's repository.

mod manifest;
mod names;
mod template;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use app::Manifest;
use serde_json::{Value, json};

use crate::args;
use crate::output::Output;
use manifest::Source;
use names::Names;

/// Where an app's `upgrade` points until it has a link; no update is looked for there.
const NO_LINK_YET: &str = "pear://replace-with-your-provision-link";

pub(crate) fn run(args: &args::Init, output: &Output) -> anyhow::Result<()> {
    let dir = std::path::absolute(&args.dir).with_context(|| format!("{} is no path", args.dir.display()))?;
    let names = Names::choose(&dir, args.name.as_deref(), args.product_name.as_deref())?;
    let source = Source::choose(args.bosc.as_deref())?;
    let files = files(args.template, &names, &source)?;
    write(&dir, &files)?;
    output.say(&format!("made {} in {}", names.product, dir.display()));
    for line in [
        format!("  cd {}", args.dir.display()),
        "  bosc dev         opens the window and shows what you change; the page is in renderer/, the program in src/"
            .to_owned(),
        "  cargo test".to_owned(),
        "  bosc release     makes what people install, and puts it where their apps update from".to_owned(),
    ] {
        output.say(&line);
    }
    output.path(&dir);
    let made: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    output.done(json!({ "dir": dir.display().to_string(), "name": names.name, "productName": names.product, "files": made }));
    Ok(())
}

/// What the folder will hold, by path.
fn files(template: args::Template, names: &Names, source: &Source) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let (folder, dependencies) = template::of(template);
    let mut files: Vec<(String, Vec<u8>)> = folder
        .iter()
        .map(|(path, content)| ((*path).to_owned(), template::named(path, content, names)))
        .collect();
    let text = |path: &str, text: String| (path.to_owned(), text.into_bytes());
    let (path, types) = template::BRIDGE;
    files.push(text(path, types.to_owned()));
    files.push(text("Cargo.toml", manifest::write(names, source, dependencies)?));
    files.push(("Cargo.lock".to_owned(), manifest::LOCK.as_bytes().to_vec()));
    let package = package(names);
    // Nothing is begun that could not be started.
    Manifest::parse(package.as_bytes(), "the new package.json")?;
    files.push(text("package.json", package));
    files.push(text("README.md", readme(names)));
    // Bundles, and the deployment folders beside them.
    files.push(text(".gitignore", format!("/target\n/out\n/{}-*/\n", names.name)));
    Ok(files)
}

fn package(names: &Names) -> String {
    let package: Value = json!({
        "name": names.name,
        "productName": names.product,
        "version": "1.0.0",
        "upgrade": NO_LINK_YET,
        "bosc": {
            "page": "renderer/index.html",
            "window": { "title": names.title, "width": 920, "height": 680, "minWidth": 360, "minHeight": 420 },
        },
    });
    format!("{package:#}\n")
}

fn readme(names: &Names) -> String {
    let Names { product, title, .. } = names;
    format!(
        "# {title}\n\n\
         An app on Bosc: `renderer/` is what people see, `src/` what happens below, `package.json` says the name, the\n\
         version and the link that updates come from. `renderer/bridge.d.ts` has the types of all that the page can ask of the program.\n\n\
         ```sh\n\
         bosc dev          # opens the window; what you change is seen at once\n\
         cargo test\n\
         ```\n\n\
         ## Release\n\n\
         ```sh\n\
         bosc release      # shows what it will do and asks: version, make, build, stage, provision\n\
         bosc seed <the link that it printed>      # keep it running: apps fetch from it\n\
         ```\n\n\
         The first release makes two links and writes them into `bosc.json`, and the one that apps follow into `upgrade` of `package.json`: commit\n\
         both files. The keys to write the links stay in the store of this machine (`--storage`, or `BOSC_STORAGE`): keep a copy of it. What people\n\
         install lies in `out/{product}-<platform>-<arch>/` then.\n"
    )
}

/// Writes the files into a folder that is not there or empty. What was written before something fails stays, and the error says so.
fn write(dir: &Path, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    let found = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("cannot look into {}", dir.display())),
    };
    if found {
        bail!("{} is not empty: name a new folder", dir.display());
    }
    for (path, content) in files {
        let path: PathBuf = dir.join(path);
        let folder = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, content))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(template: args::Template) -> Vec<(String, Vec<u8>)> {
        let names = Names::choose(Path::new("/x/my-notes"), None, None).unwrap();
        let source = Source::Folder("/bosc".into());
        files(template, &names, &source).unwrap()
    }

    fn text(files: &[(String, Vec<u8>)], path: &str) -> String {
        let found = files.iter().find(|(name, _)| name == path);
        String::from_utf8(found.unwrap_or_else(|| panic!("no {path}")).1.clone()).unwrap()
    }

    #[test]
    fn a_new_app_bears_its_own_name_everywhere() {
        for template in [args::Template::Chat, args::Template::Minimal] {
            let files = made(template);
            let package: Value = serde_json::from_str(&text(&files, "package.json")).unwrap();
            assert_eq!(
                (&package["name"], &package["productName"]),
                (&"my-notes".into(), &"MyNotes".into())
            );
            assert!(text(&files, "renderer/index.html").contains("<title>My notes</title>"));
            assert!(text(&files, "renderer/index.html").contains(">My notes</h1>"));
            assert!(text(&files, "renderer/bridge.d.ts").contains("interface Bridge {"));
            assert!(text(&files, "src/main.rs").starts_with("//! My notes: "));
            for (path, content) in &files {
                let content = String::from_utf8_lossy(content);
                if path != "Cargo.lock" {
                    assert!(
                        !content.contains("@TITLE@") && !content.contains("Pear chat"),
                        "{path}"
                    );
                    assert!(
                        !content.contains("pear-chat") && !content.contains("PearChat"),
                        "{path}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_folder_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine"), "mine").unwrap();
        let error = write(dir.path(), &made(args::Template::Minimal))
            .unwrap_err()
            .to_string();
        assert!(error.contains("is not empty"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
