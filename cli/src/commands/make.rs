//! `bosc make`: an app's project folder becomes an installable bundle, `out/<Product>-<host>/<Product>/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use app::{Format, Host, Layout, Manifest, layout};
use hyperdrive::{LocalDrive, MirrorOptions, mirror};
use serde_json::{Value, json};

use crate::args;
use crate::output::Output;

/// What goes into a bundle besides package.json, where it exists, unless package.json's `bosc.files` lists other paths.
const DEFAULT_FILES: [&str; 3] = ["renderer", "workers", "build"];

pub(crate) async fn run(args: &args::Make, output: &Output) -> anyhow::Result<()> {
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
        None => cargo_build(&args.dir, &args.profile, output)?,
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
    let app = layout.app(&bundle).map(|app| app.display().to_string());
    output.say(&format!("made {product} {version} for {host}"));
    output.path(&bundle);
    output
        .done(json!({ "bundle": bundle.display().to_string(), "app": app, "version": version.to_string() }));
    Ok(())
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

/// Builds the app's program with cargo and returns where it is.
fn cargo_build(dir: &Path, profile: &str, output: &Output) -> anyhow::Result<PathBuf> {
    let manifest = dir.join("Cargo.toml");
    if !manifest.is_file() {
        bail!(
            "{} is missing: name the app's program with --bin",
            manifest.display()
        );
    }
    output.say("building the app's program...");
    let built = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "build",
            "--bins",
            "--message-format=json-render-diagnostics",
            "--profile",
            profile,
            "--manifest-path",
        ])
        .arg(&manifest)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo: install Rust, or name the app's program with --bin")?;
    if !built.status.success() {
        bail!("cargo could not build {}", manifest.display());
    }
    let manifest = std::fs::canonicalize(&manifest)?;
    let programs: Vec<PathBuf> = String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message
                .get("manifest_path")
                .and_then(Value::as_str)
                .map(Path::new)
                == Some(manifest.as_path())
        })
        .filter_map(|message| {
            message
                .get("executable")
                .and_then(Value::as_str)
                .map(PathBuf::from)
        })
        .collect();
    match programs.as_slice() {
        [program] => Ok(program.clone()),
        [] => bail!("{} builds no program", manifest.display()),
        _ => bail!(
            "{} builds several programs: name the app's with --bin",
            manifest.display()
        ),
    }
}
