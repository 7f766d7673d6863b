//! `bosc make`: an app's project folder becomes an installable bundle, `out/<Product>-<host>/<Product>/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use bosc_runtime::host;
use hyperdrive::{LocalDrive, MirrorOptions, mirror};
use serde_json::{Value, json};

use crate::args;
use crate::output::Output;
use crate::package::Package;

/// What goes into a bundle besides package.json, where it exists, unless package.json's `bosc.files` lists other paths.
const DEFAULT_FILES: [&str; 3] = ["renderer", "workers", "build"];

pub(crate) async fn run(args: &args::Make, output: &Output) -> anyhow::Result<()> {
    let package = Package::read(&args.dir.join("package.json"))?;
    let (product, version) = (package.product_name()?.to_owned(), package.version()?);
    package.upgrade()?;
    let page = package
        .value
        .pointer("/bosc/page")
        .and_then(Value::as_str)
        .unwrap_or("renderer/index.html");
    if !args.dir.join(page).is_file() {
        bail!(
            "{} is missing: it is the page that the app shows (package.json, bosc.page)",
            args.dir.join(page).display()
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
    let bundle = out.join(format!("{product}-{}", host::current())).join(&product);
    let app = bundle.join("resources").join("app");
    // Assembled beside and moved into place, so that a failure leaves no half bundle.
    let fresh = bundle.with_file_name(format!(".{product}.new"));
    remove(&fresh)?;
    assemble(args, &package, &program, &product, &fresh).await?;
    remove(&bundle)?;
    std::fs::rename(&fresh, &bundle)
        .with_context(|| format!("cannot put the bundle at {}", bundle.display()))?;
    output.say(&format!("made {product} {version} for {}", host::current()));
    output.path(&bundle);
    output.done(json!({ "bundle": bundle.display().to_string(), "app": app.display().to_string(), "version": version.to_string() }));
    Ok(())
}

async fn assemble(
    args: &args::Make,
    package: &Package,
    program: &Path,
    product: &str,
    bundle: &Path,
) -> anyhow::Result<()> {
    let app = bundle.join("resources").join("app");
    std::fs::create_dir_all(&app).with_context(|| format!("cannot make {}", app.display()))?;
    let mut files = package.strings("/bosc/files");
    if files.is_empty() {
        files.extend(
            DEFAULT_FILES
                .iter()
                .filter(|file| args.dir.join(file).exists())
                .map(|file| (*file).to_owned()),
        );
    }
    for file in &files {
        if !args.dir.join(file).exists() {
            bail!(
                "{} is missing: package.json lists it in bosc.files",
                args.dir.join(file).display()
            );
        }
    }
    files.push("package.json".to_owned());
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
    let name = if cfg!(windows) {
        format!("{product}.exe")
    } else {
        product.to_owned()
    };
    let target = bundle.join(name);
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
