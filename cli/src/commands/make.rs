//! `bosc make`: an app's project folder becomes an installable bundle, `out/<Product>-<host>/<Product>/`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use app::{Format, Host, Layout, Manifest, layout};
use hyperdrive::{LocalDrive, MirrorOptions, mirror};
use semver::Version;
use serde_json::json;

use crate::args;
use crate::cargo;
use crate::output::Output;

/// What goes into a bundle besides package.json, where it exists, unless package.json's `bosc.files` lists other paths.
const DEFAULT_FILES: [&str; 3] = ["renderer", "workers", "build"];

pub(crate) async fn run(args: &args::Make, output: &Output) -> anyhow::Result<()> {
    let (bundle, version) = make(args, output).await?;
    let layout = Layout::of(&Host::current(), Format::Folder);
    let app = layout.app(&bundle).map(|app| app.display().to_string());
    output.path(&bundle);
    output
        .done(json!({ "bundle": bundle.display().to_string(), "app": app, "version": version.to_string() }));
    Ok(())
}

/// Makes the bundle; where it is, and its version.
pub(crate) async fn make(args: &args::Make, output: &Output) -> anyhow::Result<(PathBuf, Version)> {
    let manifest = Manifest::read(&layout::manifest(&args.dir))?;
    manifest.release()?;
    let (product, version) = (&manifest.product_name, &manifest.version);
    let page = args.dir.join(&manifest.page);
    if !page.is_file() {
        bail!(
            "{} is missing: it is the page that the app shows (package.json, bosc.page)",
            page.display()
        );
    }
    let program = match &args.bin {
        Some(program) if program.is_file() => program.clone(),
        Some(program) => bail!(
            "{} is not there: build the app's program first, or leave --bin out",
            program.display()
        ),
        None => {
            output.say("building the app's program...");
            cargo::build(&args.dir, &args.profile)?
        }
    };
    let out = args.out.clone().unwrap_or_else(|| args.dir.join("out"));
    let host = Host::current();
    let layout = Layout::of(&host, Format::Folder);
    let name = layout.bundle_name(product);
    let bundle = out.join(format!("{product}-{host}")).join(&name);
    // Assembled in a folder beside and moved into place, so that a failure leaves no half bundle.
    let beside = bundle.with_file_name(format!(".{product}.new"));
    remove(&beside)?;
    let fresh = beside.join(name);
    assemble(args, &manifest, &program, &layout, &fresh).await?;
    remove(&bundle)?;
    std::fs::rename(&fresh, &bundle)
        .with_context(|| format!("cannot put the bundle at {}", bundle.display()))?;
    remove(&beside)?;
    output.say(&format!("made {product} {version} for {host}"));
    Ok((bundle, version.clone()))
}

async fn assemble(
    args: &args::Make,
    manifest: &Manifest,
    program: &Path,
    layout: &Layout,
    bundle: &Path,
) -> anyhow::Result<()> {
    let app = layout
        .app(bundle)
        .context("a bundle that is one file cannot be made")?;
    let target = layout.program(bundle);
    for folder in target.parent().into_iter().chain([app.as_path()]) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut files = manifest.files.clone().unwrap_or_else(|| {
        let there = DEFAULT_FILES.iter().filter(|file| args.dir.join(file).exists());
        there.map(|file| (*file).to_owned()).collect()
    });
    for file in &files {
        if !args.dir.join(file).exists() {
            bail!(
                "{} is missing: package.json lists it in bosc.files",
                args.dir.join(file).display()
            );
        }
    }
    files.push(layout::PACKAGE.to_owned());
    let (from, to) = (LocalDrive::new(&args.dir), LocalDrive::new(&app));
    mirror(
        &from,
        &to,
        MirrorOptions {
            prefix: files,
            ..MirrorOptions::default()
        },
    )
    .finish()
    .await?;
    std::fs::copy(program, &target).with_context(|| format!("cannot copy {}", program.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot replace {}", path.display()))
        }
        _ => Ok(()),
    }
}
